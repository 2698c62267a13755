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
            try await perform(step.kind)
        }
        return latest
    }

    private func perform(_ kind: ProcessStep.Kind) async throws {
        switch kind {
        case .kill(let nodes): for node in nodes { await fleet.kill(node) }
        case .revive(let nodes): for node in nodes { try await fleet.revive(node) }
        case .leave(let nodes): for node in nodes { await fleet.leave(node) }
        case .pause(let nodes): for node in nodes { await fleet.pause(node) }
        case .resume(let nodes): for node in nodes { await fleet.resume(node) }
        case .wipe(let nodes):
            for node in nodes {
                await fleet.kill(node)
                files.wipe(node)
            }
        case .stepClock(let steps): for (node, nanoseconds) in steps { clocks.step(node, by: nanoseconds) }
        case .driftClock(let nodes, let partsPerMillion): for node in nodes { clocks.drift(node, by: partsPerMillion) }
        case .endDrift(let nodes, let partsPerMillion): for node in nodes { clocks.endDrift(node, of: partsPerMillion) }
        case .changeSchema(let nodes, let schema, let allowDestructive):
            for node in nodes {
                try files.writeSchema(schema, of: node)
                try files.writeConfiguration(of: node, plan, addresses, allowDestructiveSchema: allowDestructive)
                // An agent that is down reads the files when it starts.
                guard await fleet.responsive.contains(node) else { continue }
                _ = try? await AdminClient(path: files.adminSocket(node)).send(.reload(allowDestructive: allowDestructive))
            }
        }
    }
}
