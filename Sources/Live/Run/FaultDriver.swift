import PatinaAgent
import PatinaProtocol

/// Does to the processes what the plan says, at its times. What is about the network is the relay's.
struct FaultDriver: Sendable {
    let plan: LivePlan
    let fleet: AgentFleet
    let files: AgentFiles
    let addresses: LoopbackPlan
    let clocks: AgentClocks

    /// Runs until the last fault, or until the task is cancelled.
    ///
    /// - Returns: by how much the latest fault missed its time.
    func run(zero: Instant) async throws -> Duration {
        var latest: Duration = .zero
        for step in plan.processes {
            let due = zero + (step.at - .zero)
            try await Monotonic.sleep(until: due)
            latest = max(latest, Monotonic.now - due)
            try await perform(step)
        }
        return latest
    }

    /// Kills a process, does something to its files, and starts another one.
    private func restart(_ node: Int, _ change: () throws(LiveError) -> Void) async throws {
        await fleet.kill(node)
        try change()
        try await fleet.revive(node)
    }

    private func perform(_ step: ProcessStep) async throws {
        switch step.kind {
        case .kill(let nodes): for node in nodes { await fleet.kill(node) }
        case .revive(let nodes): for node in nodes { try await fleet.revive(node) }
        case .leave(let nodes): for node in nodes { await fleet.leave(node) }
        case .pause(let nodes): for node in nodes { await fleet.pause(node) }
        case .resume(let nodes): for node in nodes { await fleet.resume(node) }
        case .wipe(let nodes):
            for node in nodes {
                await fleet.kill(node)
                files.disk.wipe(node)
            }
        case .slowDown(let nodes, let time): for node in nodes { await fleet.slowDown(node, by: time) }
        case .speedUp(let nodes, let time): for node in nodes { await fleet.speedUp(node, by: time) }
        case .reset(let nodes):
            await withTaskGroup(of: Void.self) { group in
                // An agent that stands still or is down has nothing to say, and nobody waits for it.
                for node in nodes where await fleet.responsive.contains(node) {
                    group.addTask { _ = try? await AdminClient(path: files.adminSocket(node)).send(.reconnect) }
                }
            }
        case .keepCopy(let nodes, let mark):
            for node in nodes {
                try await fleet.whileStopped(node) { [disk = files.disk] () throws(LiveError) in try disk.keep(node, mark: mark) }
            }
        case .restoreCopy(let nodes, let mark, let reservation):
            for node in nodes {
                await fleet.kill(node)
                try files.disk.restore(node, mark: mark, reservation)
            }
        case .damage(let nodes, let file, let bits):
            for node in nodes {
                await fleet.noteDamage(node)
                var random = Random(seed: plan.seed).fork("bits \(step.at)", UInt64(node))
                try files.disk.flip(node, file, bits: bits, using: &random)
                try await fleet.revive(node)
            }
        case .expireCertificates(let nodes):
            for node in nodes { try await restart(node) { () throws(LiveError) in try files.certificates.expire(node) } }
        case .renewCertificates(let nodes):
            for node in nodes { try await restart(node) { () throws(LiveError) in try files.certificates.renew(node) } }
        case .stepClock(let steps): for (node, nanoseconds) in steps { clocks.step(node, by: nanoseconds) }
        case .driftClock(let nodes, let partsPerMillion): for node in nodes { clocks.drift(node, by: partsPerMillion) }
        case .endDrift(let nodes, let partsPerMillion): for node in nodes { clocks.endDrift(node, of: partsPerMillion) }
        case .changeSchema(let nodes, let schema, let allowDestructive):
            for node in nodes {
                try files.writeSchema(schema, of: node)
                try files.writeConfiguration(of: node, plan, addresses, allowDestructiveSchema: allowDestructive)
                // An agent that is down reads the files when it starts.
                guard await fleet.responsive.contains(node) else { continue }
                do throws(AdminClient.Failure) {
                    _ = try await AdminClient(path: files.adminSocket(node)).send(.reload(allowDestructive: allowDestructive))
                } catch {
                    // One that is killed meanwhile reads them when it starts.
                    if case .refused(let reason) = error { await fleet.note("node:\(node) does not take its new schema files: \(reason)") }
                }
            }
        }
    }
}
