// Goal: every kind of workload writes what it says, and the checks that know of it hold, and object when they must.

import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct WorkloadTests {
    private static func scenario(_ workload: String, _ overrides: String...) throws -> Scenario {
        let text = Sample.text.split(separator: "[[workload]]", maxSplits: 1)
        let rest = Sample.text[try #require(Sample.text.firstRange(of: "[[fault]]")).lowerBound...]
        return try Scenario.parse(
            text[0] + "[[workload]]\n\(workload)\n" + rest + """
                [[check]]
                always = "matches-oracle"
                [[check]]
                always = "bookkeeping-matches-rows"
                [[check]]
                eventually = "converged"
                after = "heal"
                within = "4s"
                """, file: "workload.toml", overrides: overrides)
    }

    @Test(
        "workload: each kind runs across a cut, ends as the oracle says, and its canonical form is the same run",
        arguments: Workload.Kind.allCases)
    func runs(kind: Workload.Kind) throws {
        let rate = kind == .large ? "1/s" : "20/s"
        let scenario = try Self.scenario(
            "kind = \"\(kind.rawValue)\"\nrate = \"\(rate)\"\n" + (kind == .upsert ? "columns = \"one\"" : ""), "run.duration=13s")
        let report = Simulation(scenario: scenario, seed: 2).run()
        #expect(report.valid, "\(report.failures)")
        #expect(kind == .delete || (report.metric("propagation.count") ?? 0) > 5)
        let again = try Scenario.parse(scenario.canonical, file: "canonical.toml")
        #expect(again.canonical == scenario.canonical)
        #expect(Simulation(scenario: again, seed: 2).run().traceHash == report.traceHash)
    }

    /// The transactions of the only workload, as planned.
    private func plan(_ workload: String) throws -> [(at: Instant, transaction: PlannedTransaction)] {
        let scenario = try Self.scenario(workload)
        let faults = FaultPlan(scenario: scenario, random: Random(seed: 1))
        var plan = WorkloadPlan(scenario: scenario, faults: faults, random: Random(seed: 2))
        var result: [(Instant, PlannedTransaction)] = []
        while let next = plan.sources[0].next { result.append((next, plan.take(source: 0))) }
        return result
    }

    @Test("workload hot: two to four different nodes write one row in one instant")
    func hot() throws {
        let transactions = try plan("kind = \"hot\"\nrate = \"50/s\"")
        var groups: [[PlannedTransaction]] = []
        var last: Instant?
        for (at, transaction) in transactions {
            if at == last { groups[groups.count - 1].append(transaction) } else { groups.append([transaction]) }
            last = at
        }
        #expect(groups.count > 300 && groups.allSatisfy { (2...4).contains($0.count) })
        for group in groups {
            #expect(Set(group.map(\.node)).count == group.count && Set(group.flatMap { $0.rows.map(\.key) }).count == 1)
        }
    }

    @Test("workload large: transactions are within a few percent of a bound")
    func large() throws {
        let sizes = try plan("kind = \"large\"\nrate = \"20/s\"\nrow = \"226B\"").map { $0.transaction.rows.count * 256 }
        let bounds = [16_384, 32_768, 131_072, 1_048_576]
        for bound in bounds { #expect(sizes.contains { abs($0 - bound) <= bound * 4 / 100 }, "\(bound)") }
        #expect(sizes.allSatisfy { size in bounds.contains { abs(size - $0) <= $0 * 4 / 100 } })
    }

    @Test("workload service: services are registered before they change, and others than their agent take some away")
    func services() throws {
        let transactions = try plan("kind = \"service\"\nrate = \"100/s\"\nkeys = { dist = \"uniform\", n = 4 }").map(\.transaction)
        var registered: Set<UInt64> = []
        var (flips, reaped) = (0, 0)
        for transaction in transactions {
            let row = try #require(transaction.rows.first)
            switch row.kind {
            case .upsert(let columns) where columns == 0b111: registered.insert(row.key)
            case .upsert:
                #expect(registered.contains(row.key))
                flips += 1
            case .delete:
                #expect(registered.remove(row.key) != nil)
                if transaction.node != Int(row.key) / 4 { reaped += 1 }
            case .count: Issue.record("services are not counted")
            }
        }
        #expect(flips > 500 && reaped > 10)
    }

    @Test("workload schema-growth: at the end every node has the last schema")
    func growth() throws {
        let transactions = try plan("kind = \"schema-growth\"\nrate = \"7/s\"").map(\.transaction)
        var files = [String](repeating: "", count: 3)
        for transaction in transactions {
            guard let step = transaction.schema else {
                // Whoever writes a column has it.
                let column = try #require(
                    transaction.statements[0].sql.split(separator: " ").first { $0.hasPrefix("extra_") }.map { $0.dropLast() })
                #expect(files[transaction.node].contains("\(column) TEXT"))
                continue
            }
            for node in step.nodes { files[node] = step.change.files.map(\.text).joined() }
        }
        #expect(Set(files).count == 1 && files[0].contains("extra_12"))
    }

    // MARK: The check of counters

    @Test("checker no-acked-write-lost: a counter between what one node added and what all added is right, any other is not")
    func counts() throws {
        var record = AcknowledgedWrites()
        let (alice, bob) = (ActorID(high: 1, low: 1), ActorID(high: 2, low: 2))
        for number in 1...3 as ClosedRange<UInt64> {
            record.record(
                host: 0, actor: alice, version: number, rows: [RowWrite(table: 0, key: 7, number: number, kind: .count(column: 0))])
        }
        record.record(host: 1, actor: bob, version: 1, rows: [RowWrite(table: 0, key: 7, number: 4, kind: .count(column: 0))])
        #expect(record.wrong(table: 0, rows: [(7, [3])]) == nil && record.wrong(table: 0, rows: [(7, [4])]) == nil)
        #expect(try #require(record.wrong(table: 0, rows: [(7, [2])])).contains("node:0 alone added more"))
        #expect(try #require(record.wrong(table: 0, rows: [(7, [5])])).contains("together added 4 only"))
        #expect(try #require(record.wrong(table: 0, rows: [])).contains("is gone"))
        // A commit of unknown fate may have counted.
        record.recordUncertain(host: 1, rows: [RowWrite(table: 0, key: 7, number: 5, kind: .count(column: 0))])
        #expect(record.wrong(table: 0, rows: [(7, [5])]) == nil && record.wrong(table: 0, rows: [(7, [3])]) == nil)
    }

    @Test("checker no-acked-write-lost: a write of unknown fate may be there, and may be missing")
    func uncertain() throws {
        var record = AcknowledgedWrites()
        let alice = ActorID(high: 1, low: 1)
        record.record(host: 0, actor: alice, version: 1, rows: [RowWrite(table: 0, key: 1, number: 1, kind: .upsert(columns: 1))])
        record.recordUncertain(host: 0, rows: [RowWrite(table: 0, key: 1, number: 2, kind: .upsert(columns: 1))])
        record.recordUncertain(host: 0, rows: [RowWrite(table: 0, key: 2, number: 3, kind: .upsert(columns: 1))])
        for rows in [[(1, [1])], [(1, [2])], [(1, [1]), (2, [3])]] as [[(UInt64, [UInt64])]] {
            #expect(record.wrong(table: 0, rows: rows.map { (key: $0.0, marks: $0.1) }) == nil)
        }
        #expect(record.wrong(table: 0, rows: [(2, [3])]) != nil)
        record.recordUncertain(host: 0, rows: [RowWrite(table: 0, key: 1, number: 4, kind: .delete)])
        #expect(record.wrong(table: 0, rows: [(2, [3])]) == nil)
        // What came after it for certain.
        record.record(host: 0, actor: alice, version: 2, rows: [RowWrite(table: 0, key: 1, number: 5, kind: .upsert(columns: 1))])
        #expect(record.wrong(table: 0, rows: []) != nil && record.wrong(table: 0, rows: [(1, [2])]) != nil)
    }

    // MARK: Mistakes

    @Test(
        "workload: what does not fit a kind is refused, with its line",
        arguments: [
            ("kind = \"hot\"\nrate = \"1/s\"\nrows = 3", "draws its rows itself"),
            ("kind = \"counter\"\nrate = \"1/s\"\ncolumns = \"one\"", "only a workload of kind upsert"),
            ("kind = \"schema-growth\"\nrate = \"1/s\"\nat = \"node:1\"", "at all nodes"),
            ("kind = \"schema-growth\"\nrate = \"1/s\"\ntable = \"items\"", "a table of its own"),
            ("kind = \"service\"\nrate = \"1/s\"\nkeys = { dist = \"sequential\" }", "each node has"),
            ("kind = \"conter\"\nrate = \"1/s\"", "did you mean \"counter\"?"),
            ("kind = \"counter\"\nrate = \"1/s\"\n[[workload]]\nkind = \"delete\"\ntable = \"counters\"\nrate = \"1/s\"", "nothing else"),
        ])
    func mistakes(workload: String, message: String) throws {
        let error = try #require(throws: ScenarioError.self) { _ = try Self.scenario(workload) }
        #expect("\(error)".contains(message), "\(error)")
        #expect(error.line != nil)
    }
}
