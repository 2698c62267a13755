import CSQLite
import PatinaProtocol
import Testing

@testable import PatinaSim

/// The check `matches-oracle` accepts what is right and objects to what is not.
@Suite struct OracleCheckTests {
    private static let conflicts = """
        [[workload]]
        kind = "upsert"
        table = "items"
        rate = "20/s"
        keys = { dist = "uniform", n = 3 }
        columns = "one"

        [[workload]]
        kind = "delete"
        table = "items"
        rate = "5/s"
        keys = { dist = "uniform", n = 3 }

        [[check]]
        always = "matches-oracle"

        """

    private func failed(_ report: SimulationReport) -> String? {
        report.checks.first { $0.name == "always matches-oracle" && !$0.valid }?.detail
    }

    @Test("oracle check: conflicting writes and deletes across a cut end as the oracle says", arguments: 1...6 as ClosedRange<UInt64>)
    func holds(seed: UInt64) throws {
        let report = Simulation(scenario: try Sample.scenario(adding: Self.conflicts), seed: seed).run()
        #expect(report.valid, "\(report.failures)")
    }

    @Test(
        "oracle check: objects when rule and rows differ",
        arguments: [OracleMutation.lesserColumnVersion, .lesserValue, .ignoreCausalLength])
    func mutations(mutation: OracleMutation) throws {
        let scenario = try Sample.scenario(adding: Self.conflicts)
        let noticed = (1...4 as ClosedRange<UInt64>).contains { seed in
            let simulation = Simulation(scenario: scenario, seed: seed)
            simulation.oracle.mutation = mutation
            return failed(simulation.run())?.contains("table items") ?? false
        }
        #expect(noticed)
    }

    @Test("oracle check: objects to a row that a foreign hand took away")
    func foreignHand() throws {
        let simulation = Simulation(scenario: try Sample.scenario(adding: Self.conflicts), seed: 1)
        simulation.advance(to: .zero + .seconds(19))
        // Now others get at the database.
        try #require(simulation.hosts[1].process).store.makeReader().close()
        var database: OpaquePointer?
        let name = "file:/\(simulation.hosts[1].storeName)?vfs=memdb"
        try #require(sqlite3_open_v2(name, &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI, nil) == SQLITE_OK)
        // Tables in memory have no guards against it.
        let sql = "DELETE FROM items WHERE id = (SELECT max(id) FROM items)"
        let code = sqlite3_exec(database, sql, nil, nil, nil)
        try #require(code == SQLITE_OK, "\(String(cString: sqlite3_errmsg(database)))")
        sqlite3_close_v2(database)
        let detail = try #require(failed(simulation.finish()))
        #expect(detail.contains("node:1") && detail.contains("first missing"))
    }

    @Test("oracle check: objects when no node could be compared")
    func nothingCompared() throws {
        let scenario = try Sample.scenario("fault.cut.for=forever", adding: Self.conflicts)
        let detail = try #require(failed(Simulation(scenario: scenario, seed: 1).run()))
        #expect(detail.contains("nothing was compared"))
    }
}
