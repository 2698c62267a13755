import OrderedCollections
import PatinaProtocol
import PatinaStore

/// One run of a scenario: a whole cluster in one thread and in virtual time. The same scenario and seed give the same run, event for
/// event, in every process and build; `docs/determinism.md` says what that rests on.
///
/// What every event touches is not checked for overlapping accesses while it runs: one thread has it, nothing calls back into it, and the
/// checks took a twentieth of a run.
public final class Simulation {
    let scenario: Scenario
    let seed: UInt64
    let clock = VirtualClock()
    @exclusivity(unchecked) var heap = EventHeap<Happening>()
    @exclusivity(unchecked) var network: Network
    @exclusivity(unchecked) var hosts: [Host] = []
    /// Numbers of hosts by identity.
    var hostOf: [ActorID: Int] = [:]
    let faults: FaultPlan
    var workloads: WorkloadPlan
    @exclusivity(unchecked) var trace = TraceHash()
    @exclusivity(unchecked) var metrics: RunMetrics
    var checks: CheckBoard
    var acknowledged = AcknowledgedWrites()
    var oracle = OracleLog()
    var applications = AppliedOnce()
    var departures = Departures()
    var incarnations = Incarnations()
    var versions = VersionRegister()
    /// Copies of disks for faults that put them back, by the mark of the fault and by node.
    var backups: [UInt64: [Int: OrderedDictionary<String, [UInt8]>]] = [:]
    @exclusivity(unchecked) var connections: [Connection] = []
    @exclusivity(unchecked) var sessions = SessionTable()
    /// Seeds the cuts of session bytes.
    let cutSeed: UInt64
    /// Used again and again for what a node wants.
    @exclusivity(unchecked) var effects = Effects()
    /// Events that nodes have handled.
    @exclusivity(unchecked) var events: UInt64 = 0
    /// Times that something went wrong with a store that no scenario asked for.
    var storeFailures: [String] = []
    /// Machines that stand still, are slow, or have not caught up since.
    @exclusivity(unchecked) var hinderedHosts = 0
    /// Faults that are active at present, and when the last one ended.
    var activeFaults = 0
    var lastFaultEnd = Instant(nanoseconds: -1)
    /// Heals and restarts that the cluster has not recovered from yet.
    var catchUps: [GoalTracker] = []
    var looks = 0
    var pollIsScheduled = false
    /// Made with the first database in memory.
    var template: StoreTemplate?
    /// Nil in a run that nobody wants a report page of.
    var recorder: RunRecorder?
    /// What every node handled and wanted; nil unless somebody wants to replay single nodes.
    var nodeLogs: NodeLogs?

    /// Some process speaks, or has spoken, another wire version than this build's.
    var speaksOtherWires = false
    /// Draws what only a later build says.
    var wireRandom: Random

    private let uniqueMark: UnsafeMutableRawPointer

    /// In release builds the invariants of a node are checked at one of this many of its events.
    private static let invariantStride: UInt64 = 256
    /// How often the invariants of `always` are looked at.
    static let lookInterval: Duration = .seconds(1)

    /// The mistake that the cluster has; nil outside of tests of checkers.
    let mutant: Mutant?
    var mutantRandom: Random
    /// Chunks that the mutant `arrival-wins` has seen.
    var arrivals: UInt64 = 0

    /// - Parameter mutant: a mistake that all nodes have, to see whether the checks find it.
    public init(scenario: Scenario, seed: UInt64, mutant: Mutant? = nil) {
        self.scenario = scenario
        self.seed = seed
        self.mutant = mutant
        mutantRandom = Random(seed: seed).fork("mutant")
        let root = Random(seed: seed)
        wireRandom = root.fork("wire")
        network = Network(scenario: scenario, random: root.fork("link"))
        faults = FaultPlan(scenario: scenario, random: root.fork("faults"))
        workloads = WorkloadPlan(scenario: scenario, faults: faults, random: root.fork("workload"))
        metrics = RunMetrics(nodes: scenario.topology.nodes)
        checks = CheckBoard(checks: scenario.checks, faults: faults, end: .zero + scenario.duration)
        var cuts = root.fork("session cuts")
        cutSeed = cuts.next()
        // The address of a byte is unique among the simulations of this process and plays no part in what happens.
        uniqueMark = .allocate(byteCount: 1, alignment: 1)
        makeHosts(root.fork("host"))
        scheduleEverything()
    }

    deinit {
        for host in hosts {
            host.process?.store.close()
            host.anchor?.close()
        }
        uniqueMark.deallocate()
    }

    private func makeHosts(_ random: Random) {
        let count = scenario.topology.nodes
        let unique = String(UInt(bitPattern: uniqueMark), radix: 16)
        let settings = scenario.nodeSettings(random.fork("where"))
        hosts.reserveCapacity(count)
        for index in 0..<count {
            let own = random.fork("host", UInt64(index))
            var choices = own.fork("choices")
            let settings = settings[index]
            let limit = settings.machine.clockSkew
            let skew: Duration = limit > .zero ? choices.duration(in: .zero...(limit * 2)) - limit : .zero
            let wall = WallClock(clock: clock, skew: skew)
            if settings.machine.clockDrift > 0 {
                var drifts = own.fork("drift")
                wall.drift(by: drifts.below(2 * settings.machine.clockDrift + 1) - settings.machine.clockDrift, strike: -1)
            }
            hosts.append(
                Host(
                    index: index, address: Host.address(of: index),
                    bootstrap: scenario.topology.contacts(of: index, using: &choices).map(Host.address),
                    storeName: "\(index)-simulation-\(unique)", settings: settings, wall: wall,
                    startAt: .zero + .nanoseconds(scenario.topology.join.over.nanoseconds / Int64(count) * Int64(index)), random: own))
            hostOf[hosts[index].identity] = index
        }
        for host in hosts where host.eventCost > .zero { hinder(host) }
        precondition(hostOf.count == count, "two hosts drew the same identity")
    }

    private func scheduleEverything() {
        for host in hosts { heap.push(.hostStarts(host.index), at: host.startAt.nanoseconds) }
        for (index, occurrence) in faults.occurrences.enumerated() {
            heap.push(.faultStarts(occurrence: index), at: occurrence.start.nanoseconds)
            if let end = occurrence.end { heap.push(.faultEnds(occurrence: index), at: end.nanoseconds) }
        }
        for index in workloads.sources.indices { scheduleTransaction(source: index) }
        for (index, time) in checks.beginnings { heap.push(.checkBegins(index), at: time.nanoseconds) }
        heap.push(.look, at: (Instant.zero + scenario.warmup).nanoseconds)
    }

    /// Runs to the end and judges every check.
    public func run() -> SimulationReport {
        advance(to: .zero + scenario.duration)
        return finish()
    }

    /// Lets everything happen that happens until `end`, inclusive.
    func advance(to end: Instant) {
        while let time = heap.firstTime, time <= end.nanoseconds, let (_, happening) = heap.pop() {
            clock.now = Instant(nanoseconds: time)
            process(happening)
            recorder?.traced(trace.digest)
        }
        clock.now = end
    }

    func process(_ happening: consuming Happening) {
        if hinderedHosts > 0, mustWait(happening) { return }
        handle(happening)
    }

    /// Lets something happen now.
    func handle(_ happening: consuming Happening) {
        switch happening {
        case .hostStarts(let index): start(hosts[index])
        case .timer(let index, let life, let timer):
            let host = hosts[index]
            guard host.life == life, host.isUp else { return }
            trace.record(.timer, host: index, at: clock.now)
            deliver(.deadlinePassed(timer), to: host)
        case .datagram(let from, let to, let bytes): datagramArrives(from: from, to: to, bytes: bytes)
        case .message(let message): messageArrives(message)
        case .messageRetry(let message): attempt(message)
        case .sessionItem(let arrival): sessionItemArrives(arrival)
        case .sessionRetry(let session, let serial, let direction, let attempt):
            pump(session, serial: serial, direction: direction, attempt: attempt)
        case .transportEvent(let host, let life, let event): transportEventArrives(event, at: hosts[host], life: life)
        case .connectionExpires(let connection, let epoch):
            if connections[connection].epoch == epoch { lose(connection, initiator: nil) }
        case .storeFinishes(let host, let life, let operation, let token):
            storeFinishes(operation, token, at: hosts[host], life: life)
        case .storeUpkeep(let host, let life): storeUpkeep(at: hosts[host], life: life)
        case .transactionArrives(let source): transactionArrives(source: source)
        case .transactionFinishes(let life, let transaction): transactionFinishes(transaction, life: life)
        case .faultStarts(let occurrence): faultStarts(occurrence)
        case .faultEnds(let occurrence): faultEnds(occurrence)
        case .checkBegins(let check): checkBegins(check)
        case .poll:
            pollIsScheduled = false
            poll()
        case .look: look()
        case .hostResumes(let index): takeFromInbox(of: hosts[index])
        case .sample: sample()
        }
    }

    /// Hands one event to a running node and does what it wants.
    func deliver(_ event: Event, to host: Host) {
        guard let process = host.process else { preconditionFailure("an event for host \(host.index), which is down") }
        guard let given = speaksOtherWires || mutant != nil ? crossing(event, into: host) : event else { return }
        process.node.handle(given, now: clock.now, into: &effects)
        nodeLogs?.append(given, of: host.index, now: clock.now, effects: effects.items)
        events += 1
        if hinderedHosts > 0 { host.busyUntil = clock.now + host.eventCost }
        #if DEBUG
            process.node.checkInvariants()
        #else
            if events % Self.invariantStride == 0 { process.node.checkInvariants() }
        #endif
        perform(for: host)
    }

    /// Does what the node of `host` wants, in order. Whatever follows from it waits in the heap: nothing is handled in between.
    private func perform(for host: Host) {
        guard !effects.isEmpty else { return }
        let now = clock.now
        // Taken out for the duration, so that the buffer is not accessed twice at the same time; its memory comes back.
        var effects = Effects()
        swap(&effects, &self.effects)
        if let mutant {
            var changed = Effects()
            effects.drain { effect in
                for effect in mutated(effect, of: host, by: mutant) { changed.append(effect) }
            }
            swap(&effects, &changed)
        }
        if host.wire != .own {
            var changed = Effects()
            effects.drain { effect in
                for effect in translated(effect, of: host) { changed.append(effect) }
            }
            swap(&effects, &changed)
        }
        effects.drain { effect in
            switch effect {
            case .schedule(let timer, let at):
                heap.push(.timer(host: host.index, life: host.life, timer), at: max(at, now).nanoseconds)
            case .sendDatagram(let to, let bytes): sendDatagram(bytes, from: host, to: to)
            case .sendMessage(let to, let bytes): sendMessage(bytes, from: host, to: to)
            case .openSession(let id, let to): openSession(id, from: host, to: to)
            case .writeSession(let id, let bytes): writeSession(id, .bytes(bytes), at: host)
            case .finishSession(let id): writeSession(id, .finish, at: host)
            case .resetSession(let id): resetSession(id, at: host)
            case .store(let operation, let token): startStore(operation, token, at: host)
            case .notify(let notice): observe(notice, at: host)
            case .measure(let measurement): observe(measurement, at: host)
            }
        }
        swap(&effects, &self.effects)
    }
}
