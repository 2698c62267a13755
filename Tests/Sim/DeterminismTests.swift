import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct DeterminismTests {
    /// A scenario in which everything happens: loss, doubling, cuts, crashes, deletions, transactions of many rows.
    static let lively = """

        [[link]]
        latency = { model = "exp", min = "1ms", mean = "5ms" }
        loss = "3%"
        duplicate = "2%"
        reorder = "2%"
        bandwidth = "20Mbit/s"

        [[workload]]
        kind = "delete"
        table = "items"
        rate = "3/s"

        [[workload]]
        kind = "upsert"
        table = "services"
        rate = "2/s"
        rows = 30
        keys = { dist = "zipf", n = 100, s = 1.2 }

        [[fault]]
        id = "blow"
        kind = "crash"
        select = "1 random"
        every = "exp(4s)"
        for = "1s..3s"

        """

    private func run(_ overrides: [String] = [], seed: UInt64, adding: String = DeterminismTests.lively) throws -> SimulationReport {
        let text = Sample.text.split(separator: "[[link]]\nlatency = \"1ms..2ms\"\nloss = \"0%\"\n").joined()
        return Simulation(scenario: try Scenario.parse(text + adding, file: "lively.toml", overrides: overrides), seed: seed).run()
    }

    @Test("determinism: the same seed twice gives the same report, field for field", arguments: [1, 2, 3] as [UInt64])
    func sameSeed(seed: UInt64) throws {
        let first = try run(seed: seed)
        let second = try run(seed: seed)
        #expect(first == second)
        #expect(first.json == second.json)
        #expect(first.events > 1_000)
        #expect(first.traceHash.utf8.count == 32)
    }

    @Test("determinism: other seeds give other traces")
    func otherSeeds() throws {
        let traces = try (1...6).map { try run(seed: $0).traceHash }
        #expect(Set(traces).count == 6)
    }

    @Test("determinism: two runs side by side do not touch each other")
    func sideBySide() throws {
        let scenario = try Sample.scenario()
        let left = Simulation(scenario: scenario, seed: 1)
        let right = Simulation(scenario: scenario, seed: 1)
        let reports = [left.run(), right.run()]
        #expect(reports[0] == reports[1])
        #expect(reports[0].valid, "\(reports[0].failures)")
    }

    @Test("determinism: a further check observes only, the trace stays")
    func checksObserve() throws {
        let plain = try run(seed: 4)
        let checked = try run(
            seed: 4,
            adding: Self.lively
                + "[[check]]\neventually = \"converged\"\nafter = \"heal\"\nwithin = \"3s\"\n"
                + "[[check]]\nalways = \"bookkeeping-matches-rows\"\n"
        )
        #expect(checked.traceHash == plain.traceHash)
        #expect(checked.checks.count == 3)
    }

    @Test("determinism: a further fault does not reshuffle the workload, nor the other faults")
    func streamsAreSeparate() throws {
        func schedule(_ adding: String) throws -> (transactions: [String], starts: [Instant]) {
            let scenario = try Scenario.parse(Sample.text + adding, file: "a.toml")
            let root = Random(seed: 7)
            let faults = FaultPlan(scenario: scenario, random: root.fork("faults"))
            var plan = WorkloadPlan(scenario: scenario, faults: faults, random: root.fork("workload"))
            var transactions: [String] = []
            while let next = plan.sources[0].next {
                let transaction = plan.take(source: 0)
                transactions.append("\(next) \(transaction.node) \(transaction.rows)")
            }
            return (transactions, faults.occurrences.filter { scenario.faults[$0.fault].id == "cut" }.map(\.start))
        }
        let alone = try schedule("")
        let accompanied = try schedule(
            "[[fault]]\nid = \"blow\"\nkind = \"crash\"\nselect = \"1 random\"\nevery = \"exp(2s)\"\nfor = \"1s\"\n")
        #expect(alone.transactions.count > 200)
        #expect(alone.transactions == accompanied.transactions)
        #expect(alone.starts == accompanied.starts)
    }
}
