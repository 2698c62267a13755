import CSQLite
import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct RunTests {
    @Test(
        "runs: scenarios that must hold do",
        arguments: ScenarioLibrary.positive.filter { !$0.hasPrefix("scale/") && $0 != "smoke/partition-heal.toml" })
    func positive(path: String) throws {
        let scenario = try Scenario.load(path: ScenarioLibrary.root + path)
        let report = Simulation(scenario: scenario, seed: scenario.seeds.first).run()
        #expect(report.valid, "\(report.failures)")
        #expect(SimulationReport.uncovered(in: [report]) == [])
        #expect(report.metric("transactions.acknowledged") ?? 0 > 20)
        #expect(report.metric("propagation.count") ?? 0 > 20)
    }

    @Test("runs: scenarios that must fail do, and name what does not hold", arguments: ScenarioLibrary.negative)
    func negative(path: String, failing: [String]) throws {
        let scenario = try Scenario.load(path: ScenarioLibrary.root + path)
        let report = Simulation(scenario: scenario, seed: scenario.seeds.first).run()
        // What must happen and did not in any seed fails the scenario, not the run.
        let missing = failing.filter { $0.hasPrefix("sometimes ") }
        #expect(report.valid == (missing == failing))
        #expect(report.checks.filter { !$0.valid }.map(\.name) == failing.filter { !missing.contains($0) })
        let seeds = missing.isEmpty ? [scenario.seeds.first] : scenario.seeds.all
        #expect(SimulationReport.uncovered(in: seeds.map { Simulation(scenario: scenario, seed: $0).run() }) == missing)
    }

    @Test("runs: partition-heal holds", arguments: 1...25 as ClosedRange<UInt64>)
    func partitionHeal(seed: UInt64) throws {
        let scenario = try Scenario.load(path: ScenarioLibrary.root + "smoke/partition-heal.toml")
        #expect(scenario.seeds.all == Array(1...25) && scenario.topology.nodes == 20)
        let report = Simulation(scenario: scenario, seed: seed).run()
        #expect(report.valid, "\(report.failures)")
        // In this scenario all of them occur in each seed.
        #expect(SimulationReport.uncovered(in: [report]) == [])
    }

    @Test("runs: bookkeeping that does not match the rows is found")
    func bookkeeping() throws {
        let scenario = try Sample.scenario(adding: "[[check]]\nalways = \"bookkeeping-matches-rows\"\n")
        let simulation = Simulation(scenario: scenario, seed: 1)
        simulation.advance(to: .zero + .seconds(16))
        // A foreign hand, which gets at the database from now on: the row goes, its bookkeeping stays.
        try #require(simulation.hosts[1].process).store.makeReader().close()
        var database: OpaquePointer?
        let name = "file:/\(simulation.hosts[1].storeName)?vfs=memdb"
        try #require(sqlite3_open_v2(name, &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI, nil) == SQLITE_OK)
        // Tables in memory have no guards against it.
        let sql = "DELETE FROM items WHERE id = (SELECT min(id) FROM items)"
        let code = sqlite3_exec(database, sql, nil, nil, nil)
        try #require(code == SQLITE_OK, "\(String(cString: sqlite3_errmsg(database)))")
        #expect(sqlite3_changes(database) == 1)
        sqlite3_close_v2(database)
        let report = simulation.finish()
        let failed = report.checks.filter { !$0.valid }.map(\.name)
        #expect(failed.contains("always bookkeeping-matches-rows"))
        // The row was acknowledged, too.
        #expect(failed.contains("always no-acked-write-lost"))
    }

    @Test("runs: the JSON has the fields of the contract, and numbers are numbers")
    func json() throws {
        let json = Simulation(scenario: try Sample.scenario(), seed: 3).run().json
        let fields = [
            "scenario", "scenario_hash", "seed", "valid", "trace_hash", "sim_seconds", "wall_seconds", "events", "messages_delivered",
            "bytes_delivered",
            "checks", "chaos", "metrics",
        ]
        var rest = json[...]
        for field in fields {
            let place = try #require(rest.firstRange(of: "\n  \"\(field)\": "), "\(field) is missing or out of order")
            rest = rest[place.upperBound...]
        }
        #expect(json.contains("\"seed\": 3,") && json.contains("\"sim_seconds\": 20,") && json.contains("\"wall_seconds\": null,"))
        #expect(json.contains("\"name\": \"always no-acked-write-lost\""))
        #expect(json.hasPrefix("{\n") && json.hasSuffix("}\n"))
    }

    @Test("runs: text in JSON is escaped")
    func escapes() {
        #expect(JSONWriter.quote("a\"b\\c\nd\u{1}é") == "\"a\\\"b\\\\c\\nd\\u0001é\"")
        var writer = JSONWriter()
        writer.object {
            $0.field("whole", 3.0)
            $0.field("part", 0.25)
            $0.field("none", Double.nan)
            $0.array("empty", of: [Int]()) { _, _ in }
        }
        #expect(writer.text == "{\n  \"whole\": 3,\n  \"part\": 0.25,\n  \"none\": null,\n  \"empty\": []\n}")
    }

    @Test("runs: the command writes the report and the canonical scenario, and measures the time")
    func command() throws {
        let directory = "\(ScenarioLibrary.root)../.build/sim-tests/\(UInt64.random(in: .min ... .max))"
        let report = try SimulationCommand.run(
            file: ScenarioLibrary.root + "smoke/three-nodes.toml", seed: 5, overrides: ["run.duration=10s", "run.drain=3s"], out: directory)
        #expect(report.seed == 5 && report.simulatedTime == .seconds(10))
        #expect((report.wallTime ?? .zero) > .zero)
        let again = try SimulationCommand.run(file: "\(directory)/scenario.toml", seed: 5)
        #expect(again.traceHash == report.traceHash && again.scenarioHash == report.scenarioHash)
        let line = SimulationCommand.reproduction(file: "a b.toml", seed: 5, overrides: ["run.duration=10s", "name=it's"])
        #expect(line == "patina sim run 'a b.toml' --seed 5 --set run.duration=10s --set 'name=it'\\''s'")
    }
}

@Suite struct HistogramTests {
    @Test("histogram: percentiles are within a hundredth of the exact ones")
    func percentiles() {
        var random = Random(seed: 1)
        var histogram = Histogram()
        var values: [Int64] = []
        for _ in 0..<20_000 {
            let value = random.exponential(mean: .milliseconds(40))
            values.append(value.nanoseconds)
            histogram.record(value)
        }
        values.sort()
        for (thousandths, index) in [(500, 9_999), (990, 19_799), (1_000, 19_999)] {
            let exact = Double(values[index]) / 1e6
            #expect(abs(histogram.milliseconds(percentile: UInt64(thousandths)) - exact) <= exact / 100 + 0.001)
        }
        #expect(Histogram().milliseconds(percentile: 500) == 0)
    }
}
