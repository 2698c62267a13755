// Goal: `where` of a check narrows it to what it says, and mistakes in it are named.

import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct ConditionTests {
    @Test(
        "where: a condition reads back as it was written",
        arguments: [
            "during(cut)", "not during(cut, 5s)", "observer in node:0-2 and not target in region:ams", "target.up",
            "not partitioned(observer, target) and during(cut)",
        ])
    func reads(text: String) throws { #expect(try Condition.parse(text).text == text) }

    private static func check(_ lines: String, _ overrides: String...) throws -> Scenario {
        try Scenario.parse(Sample.text + "[[check]]\n\(lines)\n", file: "where.toml", overrides: overrides)
    }

    @Test(
        "where: a mistake names its line, the key and what may have been meant",
        arguments: [
            ("never = \"suspected\"\nwhere = \"durin(cut)\"", "did you mean \"during\"?"),
            ("never = \"suspected\"\nwhere = \"during(cutt)\"", "did you mean \"cut\"?"),
            ("never = \"suspected\"\nwhere = \"during(cut, soon)\"", "\"soon\" is no time"),
            ("never = \"suspected\"\nwhere = \"observer in 2 random\"", "no fixed selection"),
            ("never = \"suspected\"\nwhere = \"target in node:7\"", "numbered from 0 to 2"),
            ("never = \"refuted\"\nwhere = \"target.up\"", "has an observer and no target"),
            ("never = \"suspected\"\nwhere = \"partitioned(observer)\"", "did you mean \"partitioned(observer, target)\"?"),
            ("metric = \"faults\"\nat_most = 1\nwhere = \"during(cut)\"", "a number of the whole run"),
            ("always = \"queues-bounded\"\nwhere = \"during(cut)\"", "only never, sometimes and metric have where"),
        ])
    func mistakes(lines: String, message: String) throws {
        let error = try #require(throws: ScenarioError.self) { _ = try Self.check(lines) }
        #expect("\(error)".contains(message), "\(error)")
        // The line of `where`, which is the last one.
        #expect(error.line == (Sample.text + "[[check]]\n\(lines)").split(separator: "\n", omittingEmptySubsequences: false).count)
    }

    private func result(_ lines: String, _ overrides: String...) throws -> SimulationReport.CheckResult {
        let scenario = try Self.check(lines)
        #expect(try Scenario.parse(scenario.canonical, file: "canonical.toml").canonical == scenario.canonical)
        let report = Simulation(scenario: scenario, seed: 1).run()
        return try #require(report.checks.last)
    }

    @Test("where: what happens during a fault is told from what happens without it")
    func during() throws {
        #expect(try !result("never = \"suspected\"").valid)
        #expect(try !result("never = \"suspected\"\nwhere = \"during(cut, 2s)\"").valid)
        let outside = try result("never = \"suspected\"\nwhere = \"not during(cut, 2s)\"")
        #expect(outside.valid, "\(outside.detail)")
        #expect(outside.name == "never suspected where not during(cut, 2s)")
        #expect(try #require(result("sometimes = \"suspected\"\nwhere = \"during(cut)\"").occurrences) > 0)
    }

    @Test("where: who says it and about whom")
    func roles() throws {
        // Node 0 is cut off: it suspects the others, and they suspect it.
        #expect(try !result("never = \"suspected\"\nwhere = \"observer in node:0 and target in node:1-2\"").valid)
        #expect(try result("never = \"suspected\"\nwhere = \"observer in node:1 and target in node:2 and not during(cut, 5s)\"").valid)
        #expect(try result("never = \"suspected\"\nwhere = \"not target.up\"").valid)
        #expect(try !result("never = \"suspected\"\nwhere = \"partitioned(observer, target)\"").valid)
    }

    @Test("where: a latency of the quiet time is not that of the cut")
    func latencies() throws {
        let metric = "metric = \"propagation.max_ms\"\nat_most = 1000"
        #expect(try !result(metric).valid)
        #expect(try !result(metric + "\nwhere = \"during(cut)\"").valid)
        let quiet = try result(metric + "\nwhere = \"not during(cut)\"")
        #expect(quiet.valid && quiet.detail != "0.0", "\(quiet.detail)")
        // Nothing crosses the cut between the other two.
        #expect(try result(metric + "\nwhere = \"observer in node:1-2 and target in node:1-2\"").valid)
    }
}
