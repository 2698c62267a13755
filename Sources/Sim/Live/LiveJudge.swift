import PatinaProtocol

/// Judges a run of real agents by what they recorded: replays the logs of all of them in the order of their instants through the same
/// `Node`, and hands what the nodes notice and measure to the metrics and checks that a simulated run has.
///
/// Times are those of the scenario: the beginning of the run is zero.
package final class LiveJudge {
    enum Item {
        case step(life: Int)
        case lifeEnds(life: Int)
        case pauseBegins(node: Int)
        case pauseEnds(node: Int)
        case faultStarts(Int)
        case faultEnds(Int)
        case network(change: Int)
        case checkBegins(Int)
        case poll
        case look
        case sample
    }

    /// An agent, over all of its processes.
    final class Agent {
        let index: Int
        var life: RecordedLife?
        var upSince = Instant.zero
        var pausedBy = 0
        var lastHindered = Instant(nanoseconds: -1)
        /// Who wrote here so far, in order; more than one when the disk was wiped.
        var actors: [ActorID] = []

        init(index: Int) { self.index = index }
    }

    let evidence: LiveEvidence
    var scenario: Scenario { evidence.scenario }
    var now = Instant.zero
    var heap = EventHeap<Item>()
    var lives: [RecordedLife] = []
    var agents: [Agent]
    var agentOf: [ActorID: Int] = [:]
    private var nodeOf: [Address: Int] = [:]
    var metrics: RunMetrics
    var checks: CheckBoard
    var acknowledged = AcknowledgedWrites()
    var applications = AppliedOnce()
    var departures = Departures()
    var incarnations = Incarnations()
    let timeline: NetworkTimeline
    var network: Network
    var activeFaults = 0
    var lastFaultEnd = Instant(nanoseconds: -1)
    var catchUps: [GoalTracker] = []
    var pollIsScheduled = false
    let recorder: RunRecorder
    /// Logs that could not be opened.
    var unreadable: [String] = []
    /// In what the rows differ at the end; nil when they are equal.
    let rowDifference: String?
    var looks = 0
    var timings = LiveTimings()

    package init(_ evidence: LiveEvidence) {
        self.evidence = evidence
        let scenario = evidence.scenario
        let end = Instant.zero + scenario.duration
        agents = (0..<scenario.topology.nodes).map(Agent.init)
        metrics = RunMetrics(nodes: scenario.topology.nodes)
        checks = CheckBoard(checks: scenario.checks, faults: evidence.faults, end: end)
        timeline = NetworkTimeline(evidence.faults)
        network = Network(scenario: scenario, random: Random(seed: evidence.seed).fork("link"))
        recorder = RunRecorder(nodes: scenario.topology.nodes, duration: scenario.duration)
        rowDifference = Self.difference(among: evidence.tables)
        openLogs()
        schedule(end)
    }

    /// Since the run began.
    func time(_ instant: Instant) -> Instant { .zero + (instant - evidence.zero) }

    private func openLogs() {
        for life in evidence.lives.sorted(by: { ($0.node, $0.number) < ($1.node, $1.number) }) {
            do throws(NodeReplayError) {
                lives.append(try RecordedLife(life))
            } catch {
                // A process that was killed while it started may have written nothing.
                if case .noHeader = error, life.ended != nil { continue }
                unreadable.append("node:\(life.node), process \(life.number): \(error)")
                continue
            }
            let opened = lives[lives.count - 1]
            agentOf[opened.actor] = opened.node
            nodeOf[opened.address] = opened.node
            if agents[opened.node].actors.last != opened.actor { agents[opened.node].actors.append(opened.actor) }
        }
    }

    private func schedule(_ end: Instant) {
        for (index, life) in lives.enumerated() {
            if let step = life.next { heap.push(.step(life: index), at: time(step.now).nanoseconds) }
            if let ended = life.ended { heap.push(.lifeEnds(life: index), at: time(ended).nanoseconds) }
        }
        for pause in evidence.pauses {
            heap.push(.pauseBegins(node: pause.node), at: time(pause.from).nanoseconds)
            if let to = pause.to { heap.push(.pauseEnds(node: pause.node), at: time(to).nanoseconds) }
        }
        for (index, occurrence) in evidence.faults.occurrences.enumerated() {
            heap.push(.faultStarts(index), at: occurrence.start.nanoseconds)
            if let end = occurrence.end { heap.push(.faultEnds(index), at: end.nanoseconds) }
        }
        for change in 0..<timeline.count { heap.push(.network(change: change), at: timeline.time(of: change).nanoseconds) }
        for (index, time) in checks.beginnings { heap.push(.checkBegins(index), at: time.nanoseconds) }
        heap.push(.look, at: (Instant.zero + scenario.warmup).nanoseconds)
        heap.push(.sample, at: recorder.interval)
        for entry in evidence.acknowledged.sorted(by: { ($0.node, $0.actor, $0.version) < ($1.node, $1.actor, $1.version) }) {
            acknowledged.record(host: writer(entry), actor: entry.actor, version: entry.version, rows: entry.rows)
        }
        acknowledged.exempt(evidence.uncertain)
    }

    /// Another writer after the disk was wiped: what it writes then knows nothing of what was written before. The agent is this modulo
    /// the number of agents.
    private func writer(_ entry: LiveEvidence.Acknowledged) -> Int {
        entry.node + agents.count * (agents[entry.node].actors.firstIndex(of: entry.actor) ?? 0)
    }

    /// Goes through everything that happened and judges every check.
    package func judge() -> LiveVerdict {
        let end = Instant.zero + scenario.duration
        while let time = heap.firstTime, time <= end.nanoseconds, let (_, item) = heap.pop() {
            now = Instant(nanoseconds: time)
            handle(item)
        }
        now = end
        return finish()
    }

    private func handle(_ item: Item) {
        switch item {
        case .step(let index): step(lives[index], index)
        case .lifeEnds(let index): lifeEnds(lives[index])
        case .pauseBegins(let node):
            agents[node].pausedBy += 1
            recorder.changed(node, to: .paused, at: now)
        case .pauseEnds(let node):
            agents[node].pausedBy -= 1
            agents[node].lastHindered = now
            recorder.changed(node, to: .up, at: now)
            catchUpBegins()
        case .faultStarts(let index):
            activeFaults += 1
            metrics.faults += 1
            recorder.faultStarted(index, id: scenario.faults[evidence.faults.occurrences[index].fault].id, at: now)
        case .faultEnds(let index):
            activeFaults -= 1
            lastFaultEnd = now
            recorder.faultEnded(index, at: now)
        case .network(let change):
            network.apply(change, of: timeline)
            if timeline.ends(change) { catchUpBegins() }
        case .checkBegins(let check):
            checks.begin(check, goal: tracker())
            poll()
        case .poll:
            pollIsScheduled = false
            poll()
        case .look: look()
        case .sample: sample()
        }
    }

    /// Lets one recorded event count.
    private func step(_ life: RecordedLife, _ index: Int) {
        guard let step = life.next else { return }
        let agent = agents[life.node]
        if agent.life !== life { lifeBegins(life, agent) }
        if case .transactionCommitted(let chunks) = step.event, let version = chunks.first?.id.version, now >= .zero {
            metrics.acknowledged(version: version, by: life.node, at: now)
            recorder.note(life.node, .broadcast, "commits version \(version)", at: now)
        }
        if now >= .zero { timings.note(step, at: life.node, life: index, time: time) { self.nodeOf[$0] } }
        // The ledger of after this event, while what it led to is looked at.
        life.advance()
        for effect in step.replayed {
            switch effect {
            case .notify(let notice): observe(notice, at: agent, life)
            case .measure(let measurement) where now >= .zero: observe(measurement, at: agent)
            default: break
            }
        }
        if let next = life.next { heap.push(.step(life: index), at: max(now, time(next.now)).nanoseconds) }
    }

    private func lifeBegins(_ life: RecordedLife, _ agent: Agent) {
        agent.life = life
        agent.upSince = now
        recorder.changed(life.node, to: .up, at: max(now, .zero))
        if life.number > 1 { catchUpBegins() }
    }

    private func lifeEnds(_ life: RecordedLife) {
        let agent = agents[life.node]
        guard agent.life === life else { return }
        agent.life = nil
        agent.pausedBy = 0
        metrics.crashed(life.node, at: now)
        recorder.changed(life.node, to: .down, at: now)
    }
}

extension NetworkTimeline {
    /// Whether a partition or a clog is over with a change: there may be something to catch up on.
    func ends(_ number: Int) -> Bool {
        switch changes[number].kind {
        case .heal: true
        case .calm:
            changes.contains { change in
                guard change.strike == changes[number].strike, case .disturb(let disturbance) = change.kind else { return false }
                if case .clog = disturbance.change { return true }
                return false
            }
        case .cut, .disturb: false
        }
    }
}
