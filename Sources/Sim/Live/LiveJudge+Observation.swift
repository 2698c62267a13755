import PatinaProtocol

/// What the agents said, and the judgement of the checks, as `Simulation+Observation` does it for simulated ones.
extension LiveJudge {
    // MARK: What nodes say

    func observe(_ notice: Notice, at agent: Agent, _ life: RecordedLife) {
        recorder.noticed(notice, node: agent.index, at: max(now, .zero)) { [agentOf] actor in
            agentOf[actor].map { "node:\($0)" } ?? "\(actor)"
        }
        switch notice {
        case .versionApplied(let origin, let version):
            if applications.record(origin, version, at: agent.index, life: life.number) {
                checks.violated(.noDuplicateApply, at: now, "node:\(agent.index) applied version \(version) of \(origin) twice")
            }
            guard let index = agentOf[origin] else { return }
            let quietSince = activeFaults == 0 ? lastFaultEnd : nil
            let latency = metrics.applied(version: version, of: index, at: now, quietSince: quietSince)
            if let latency { recorder.applied(after: latency, at: now) }
        case .memberDown(let record):
            departures.departed(record, at: agent.index, life: life.number)
            declaredDown(record, by: agent)
        case .memberSuspected(let record): occurred(.suspected, "node:\(agent.index) suspects \(record.address)")
        case .refuted(let incarnation):
            occurred(.refuted, "node:\(agent.index)")
            if let problem = incarnations.refuted(incarnation, at: agent.index, life: life.number, generation: life.ownGeneration) {
                checks.violated(.incarnationAscends, at: now, "node:\(agent.index) \(problem)")
            }
        case .malformed(let from, let reason): occurred(.malformedInput, "node:\(agent.index) from \(from): \(reason)")
        case .chunkRefused(let id, let reason): occurred(.chunkRefused, "node:\(agent.index), \(id): \(reason)")
        case .storeFailed(let reason): occurred(.storeFailed, "node:\(agent.index): \(reason)")
        case .memberUp(let record):
            if departures.isResurrection(record, at: agent.index, life: life.number) {
                checks.violated(
                    .noResurrection, at: now,
                    "node:\(agent.index) takes back \(record.address) with generation \(record.generation), which was gone")
            }
        case .memberLeft(let record): departures.departed(record, at: agent.index, life: life.number)
        case .left: break
        }
    }

    func observe(_ measurement: Measurement, at agent: Agent) {
        metrics.record(measurement)
        recorder.measured(measurement, node: agent.index, at: now)
        switch measurement {
        case .repaired(let id): occurred(.lazyRepair, "node:\(agent.index), \(id)")
        case .synced(_, let chunks, _) where chunks > 0: occurred(.syncRepair, "node:\(agent.index), \(chunks) chunks")
        case .dropped(let bound): occurred(.limitReached, "node:\(agent.index), \(bound)")
        case .skipped(let kind): occurred(.laterKindSkipped, "node:\(agent.index), \(kind)")
        default: break
        }
    }

    /// What happens before the scenario begins is no part of it.
    private func occurred(_ occasion: Check.Occasion, _ detail: @autoclosure () -> String) {
        if now >= .zero { checks.occurred(occasion, at: now, detail()) }
    }

    private func declaredDown(_ record: MemberRecord, by observer: Agent) {
        guard now >= .zero else { return }
        metrics.downDeclarations += 1
        guard let index = agentOf[record.actor] else { return }
        let target = agents[index]
        guard let life = target.life else { return metrics.detected(index, at: now) }
        guard life.actor == record.actor, record.generation == life.generation else { return }
        for (check, grace) in checks.declaredDownGraces {
            let start = now - grace
            guard target.pausedBy == 0, observer.pausedBy == 0, target.lastHindered <= start, observer.lastHindered <= start,
                target.upSince <= start, observer.upSince <= start, network.wasWhole(between: index, and: observer.index, since: start)
            else { continue }
            checks.declaredDown(check: check, at: now, "node:\(observer.index) declared node:\(index) down")
        }
    }

    // MARK: Looks

    private var liveLedgers: [VersionLedger] { agents.compactMap { $0.life?.ledger } }

    func tracker() -> GoalTracker { GoalTracker(begun: now, nodes: agents.count, ledgers: liveLedgers) }

    func catchUpBegins() {
        guard now >= .zero else { return }
        catchUps.append(tracker())
        schedulePoll()
    }

    private func schedulePoll() {
        guard !pollIsScheduled else { return }
        pollIsScheduled = true
        var next = now + .milliseconds(20)
        if let deadline = checks.nextDeadline(at: now), deadline > now { next = min(next, deadline) }
        heap.push(.poll, at: next.nanoseconds)
    }

    func poll() {
        for index in catchUps.indices.reversed() where missing(&catchUps[index]) == nil {
            metrics.catchUp.record(now - catchUps[index].begun)
            catchUps.remove(at: index)
        }
        for (check, goal) in checks.pending(at: now) {
            checks.look(check, at: now) { tracker in
                switch goal {
                case .caughtUp: self.missing(&tracker)
                case .converged: self.divergence()
                case .membersAgree: self.membershipDifference()
                }
            }
        }
        if !catchUps.isEmpty || !checks.pending(at: now).isEmpty { schedulePoll() }
    }

    private func missing(_ goal: inout GoalTracker) -> String? {
        for agent in agents {
            guard let ledger = agent.life?.ledger else { continue }
            if let lacking = goal.missing(at: agent.index, ledger) { return "node:\(agent.index) lacks \(lacking)" }
        }
        return nil
    }

    private func divergence() -> String? {
        let ledgers = agents.compactMap { agent in agent.life.map { (node: agent.index, digest: $0.ledger.fingerprint) } }
        return Agreement.difference(in: "the ledgers", among: ledgers) ?? rowDifference
    }

    private func membershipDifference() -> String? {
        let live = agents.compactMap { $0.life?.actor }.sorted()
        for agent in agents {
            guard let members = agent.life?.aliveMembers, members != live else { continue }
            return "node:\(agent.index) believes in \(members.count) members, \(live.count) nodes are live"
        }
        return nil
    }

    /// In what the rows differ that the agents had at the end; nil when all are equal.
    static func difference(among tables: [LiveEvidence.Tables?]) -> String? {
        var first: (node: Int, rows: [[[Value]]])?
        for (node, each) in tables.enumerated() {
            switch each {
            case nil: continue
            case .unreadable(let reason): return "node:\(node) cannot be read: \(reason)"
            case .rows(let rows):
                guard let known = first else {
                    first = (node, rows)
                    continue
                }
                if rows != known.rows { return "at the end of the run the rows of node:\(node) are not those of node:\(known.node)" }
            }
        }
        return nil
    }

    /// The regular look: one agent at a time, each in its turn.
    func look() {
        let agent = agents[looks % agents.count]
        looks += 1
        checkState(of: agent)
        heap.push(.look, at: (now + Simulation.lookInterval).nanoseconds)
    }

    func checkState(of agent: Agent) {
        guard let life = agent.life else { return }
        if checks.watches(.gapsWellFormed), let problem = GapShape.problem(life.ledger) {
            checks.violated(.gapsWellFormed, at: now, "node:\(agent.index): \(problem)")
        }
        let status = life.status
        if checks.watches(.queuesBounded), let problem = QueueBounds.problem(status, life.limits) {
            checks.violated(.queuesBounded, at: now, "node:\(agent.index) has \(problem)")
        }
        if checks.watches(.bytesBounded), let problem = ByteBounds.problem(status, life.limits) {
            checks.violated(.bytesBounded, at: now, "node:\(agent.index) has \(problem)")
        }
    }

    /// What the agents saw and knew at this moment, for the series of the report.
    func sample() {
        let up = agents.count(where: { $0.life != nil })
        var (right, all, worst, total) = (0, 0, UInt64(0), UInt64(0))
        for agent in agents {
            guard let life = agent.life else { continue }
            var (present, wrong) = (0, 0)
            for member in life.members where member.state.isPresent {
                guard let other = agentOf[member.record.actor], other != agent.index else { continue }
                // Not the writer that the agent was before its disk was wiped.
                if agents[other].life?.actor == member.record.actor { present += 1 } else { wrong += 1 }
            }
            right += present
            all += up - 1 + wrong
            let missing = Simulation.missing(in: life.ledger, of: metrics.versionsAcknowledged)
            worst = max(worst, missing)
            total += missing
        }
        recorder.sampled(
            RunRecorder.Sample(
                at: now.nanoseconds, agreement: up == 0 ? nil : all == 0 ? 1_000_000 : right * 1_000_000 / all, missingWorst: worst,
                missingMean: up == 0 ? 0 : total * 1_000 / UInt64(up), liveNodes: up))
        if now.nanoseconds < recorder.duration { heap.push(.sample, at: min(recorder.duration, now.nanoseconds + recorder.interval)) }
    }
}
