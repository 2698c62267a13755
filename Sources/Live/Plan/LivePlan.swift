import PatinaProtocol
import PatinaSim
import PatinaStore

/// Everything of a live run that is known before it starts: the same plans that the simulator makes of the scenario and the seed.
struct LivePlan: Sendable {
    let scenario: Scenario
    let seed: UInt64
    let faults: FaultPlan
    let network: NetworkTimeline
    let processes: [ProcessStep]
    let workload: [DueTransaction]
    /// For each agent those that it knows when it starts.
    let contacts: [[Int]]
    /// For each agent how far its wall clock is off when it starts, and how many microseconds it gains in a second.
    let skews: [Duration]
    let drifts: [Int]
    /// For each agent what `[node]` and `[[node.where]]` say.
    let settings: [NodeSettings]

    /// A transaction and when it is due.
    struct DueTransaction: Sendable {
        let at: Instant
        let transaction: PlannedTransaction
    }

    enum Bounds {
        /// Transactions of one run, all planned before it starts.
        static let transactions = 1_000_000
        /// How long a run may take.
        static let duration: Duration = .seconds(3_600)
    }

    var nodes: Int { scenario.topology.nodes }

    /// The agents whose certificates expire at some time.
    var expiring: Set<Int> {
        processes.reduce(into: []) { result, step in
            if case .expireCertificates(let nodes) = step.kind { result.formUnion(nodes) }
        }
    }

    /// - Throws: `LiveError` when the scenario asks for something that real agents cannot be made to do.
    init(_ scenario: Scenario, seed: UInt64) throws(LiveError) {
        let root = Random(seed: seed)
        self.scenario = scenario
        self.seed = seed
        try Self.demandAgents(scenario)
        faults = FaultPlan(scenario: scenario, random: root.fork("faults"))
        network = NetworkTimeline(faults)
        processes = try ProcessStep.all(of: faults, scenario)
        workload = try Self.workload(scenario, faults, root.fork("workload"))
        var contacts: [[Int]] = []
        var skews: [Duration] = []
        var drifts: [Int] = []
        // The draws of the simulator's machines, in its order.
        let random = root.fork("host")
        settings = scenario.nodeSettings(random.fork("where"))
        for index in 0..<scenario.topology.nodes {
            let own = random.fork("host", UInt64(index))
            var choices = own.fork("choices")
            let machine = settings[index].machine
            try Self.demandMachine(machine, of: index, scenario)
            let limit = machine.clockSkew
            var drift = own.fork("drift")
            drifts.append(machine.clockDrift > 0 ? drift.below(2 * machine.clockDrift + 1) - machine.clockDrift : 0)
            skews.append(limit > .zero ? choices.duration(in: .zero...(limit * 2)) - limit : .zero)
            contacts.append(scenario.topology.contacts(of: index, using: &choices))
        }
        self.contacts = contacts
        self.skews = skews
        self.drifts = drifts
    }

    /// The draws of the links, as the simulator makes them.
    func makeNetwork() -> Network { Network(scenario: scenario, random: Random(seed: seed).fork("link")) }

    private static func demandAgents(_ scenario: Scenario) throws(LiveError) {
        let file = scenario.file
        guard scenario.topology.nodes <= LoopbackPlan.agentsMaximum else {
            throw LiveError(
                "\(file): \(scenario.topology.nodes) agents do not fit on one machine, \(LoopbackPlan.agentsMaximum) may; try --nodes 16")
        }
        guard scenario.duration <= Bounds.duration else {
            throw LiveError("\(file): a live run takes as long as the scenario says, and an hour at most; try --set run.duration=60s")
        }
        guard !scenario.hasChaos else {
            throw LiveError("\(file): the live engine cannot make the points of [chaos] strike, because agents have none; take them out")
        }
        if let index = scenario.workloads.firstIndex(where: { $0.kind == .schemaGrowth }) {
            throw LiveError(
                "\(file): the live engine sends transactions only, and workload \(index + 1), kind schema-growth, gives nodes new schemas, "
                    + "too; a fault of kind schema-change can do that")
        }
        for fault in scenario.faults {
            guard let kind = FaultKind.named(fault.kind), let reason = kind.notLive else { continue }
            let able = FaultKind.all.filter { $0.engines.contains(.live) }.map(\.name).joined(separator: ", ")
            throw LiveError(
                "\(file): the live engine cannot bring about \(fault.kind) (fault \"\(fault.id)\"): \(reason). It can: \(able)")
        }
    }

    /// Agents take every setting of the protocol, and of their machine what a real one can be given.
    private static func demandMachine(_ machine: NodeSettings.Machine, of node: Int, _ scenario: Scenario) throws(LiveError) {
        let key: (name: String, reason: String)? =
            if machine.hasDisk {
                ("disk.simulated", DiskFault.needsOwnDisk)
            } else if machine.connectTimeout != NodeSettings.Machine().connectTimeout {
                ("transport.connect_timeout", "an agent has no key for it")
            } else {
                nil
            }
        if let key {
            throw LiveError(
                "\(scenario.file): node:\(node) cannot be given \(key.name) of [node] or [[node.where]] by the live engine: \(key.reason); "
                    + "take it out, or override it with --set")
        }
    }

    private static func workload(_ scenario: Scenario, _ faults: FaultPlan, _ random: Random) throws(LiveError) -> [DueTransaction] {
        var plan = WorkloadPlan(scenario: scenario, faults: faults, random: random)
        var due: [DueTransaction] = []
        while true {
            // The earliest; of equal ones the first source.
            var first: (source: Int, at: Instant)?
            for (index, source) in plan.sources.enumerated() {
                if let next = source.next, first.map({ next < $0.at }) ?? true { first = (index, next) }
            }
            guard let first else { return due }
            guard due.count < Bounds.transactions else {
                throw LiveError("\(scenario.file): more than \(Bounds.transactions) transactions; lower the rates or the duration")
            }
            due.append(DueTransaction(at: first.at, transaction: plan.take(source: first.source)))
        }
    }
}
