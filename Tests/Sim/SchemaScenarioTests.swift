// Goal: the scenarios about schemas hold, and a schema that one node never gets is noticed.
// Method: the files of scenarios/schema with one seed each, and one of them without its last change.

import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct SchemaScenarioTests {
    private func text(_ name: String) throws -> String {
        try FileAccess.read(String(#filePath.dropLast("Tests/Sim/SchemaScenarioTests.swift".count)) + "scenarios/schema/\(name).toml")
    }

    @Test("schema scenarios: nodes that get the schema at different times agree in the end", arguments: ["skew-heals", "column-dropped"])
    func holds(name: String) throws {
        let scenario = try Scenario.parse(try text(name), file: "\(name).toml")
        #expect(try Scenario.parse(scenario.canonical, file: "again.toml").canonical == scenario.canonical)
        let report = Simulation(scenario: scenario, seed: 1).run()
        #expect(report.valid, "\(report.failures)")
        #expect(try #require(report.metric("transactions.refused")) > 10)
        #expect(try #require(report.metric("transactions.acknowledged")) > 200)
    }

    @Test("schema scenarios: without the last change the nodes do not agree")
    func mustObject() throws {
        let whole = try text("skew-heals")
        let begin = try #require(whole.firstRange(of: "# The last ones"))
        let end = try #require(whole.firstRange(of: "[[fault]]\nid = \"crash\""))
        let scenario = try Scenario.parse(String(whole[..<begin.lowerBound] + whole[end.lowerBound...]), file: "cut.toml")
        #expect(!Simulation(scenario: scenario, seed: 1).run().valid)
    }
}
