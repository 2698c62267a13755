// Goal: no kind of fault and no check is there that nothing shows.
// Method: both are taken from the code's own lists and looked for in the scenario files. A negative file says in a comment which checks
// it must fail; `MutantTests` and `RunTests` see to it that it does.

import Testing

@testable import PatinaSim

/// What the negative scenarios say of themselves in comments.
enum NegativeScenarios {
    static let names = ScenarioLibrary.files(in: "negative")

    /// The names after `# KEY: `, separated by commas; empty where there is no such line.
    static func list(_ key: String, of name: String) throws -> [String] {
        let text = try FileAccess.read(ScenarioLibrary.root + "negative/\(name).toml")
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("# \(key): ") }) else { return [] }
        return line.dropFirst(key.utf8.count + 4).split(separator: ",").map { Quantity.trim($0) }
    }

    /// The checks that a file must fail, by the names of reports.
    static func fails(_ name: String) throws -> [String] { try list("fails", of: name) }
}

@Suite struct CoverageTests {
    /// Every scenario of the library, but for those of thousands of nodes.
    private func scenarios() throws -> [(name: String, scenario: Scenario)] {
        var result: [(String, Scenario)] = []
        for group in ScenarioLibrary.groups {
            for name in ScenarioLibrary.files(in: group) {
                result.append(("\(group)/\(name)", try Scenario.load(path: "\(ScenarioLibrary.root)\(group)/\(name).toml")))
            }
        }
        return result
    }

    @Test("coverage: every kind of fault and of workload is used by a scenario, and there are at least forty of them")
    func kinds() throws {
        let scenarios = try scenarios()
        #expect(scenarios.count >= 40)
        let faults = Set(scenarios.flatMap { $0.scenario.faults.map(\.kind) })
        for kind in FaultKind.all { #expect(faults.contains(kind.name), "no scenario has a fault of kind \(kind.name)") }
        let workloads = Set(scenarios.flatMap { $0.scenario.workloads.map(\.kind) })
        for kind in Workload.Kind.allCases { #expect(workloads.contains(kind), "no scenario has a workload of kind \(kind.rawValue)") }
        for (name, scenario) in scenarios {
            #expect(scenario.about.split(separator: " ").count > 4, "\(name) says too little about itself")
        }
    }

    @Test("coverage: every check has a negative scenario that must fail it")
    func checks() throws {
        var failing: Set<String> = []
        for name in NegativeScenarios.names {
            let fails = try NegativeScenarios.fails(name)
            #expect(!fails.isEmpty, "negative/\(name) does not say which checks it fails")
            let scenario = try Scenario.load(path: "\(ScenarioLibrary.root)negative/\(name).toml")
            let names = scenario.checks.map(\.name)
            for check in fails {
                #expect(names.contains(check), "negative/\(name) has no check \(check)")
                // Without the point in time of `eventually`.
                failing.insert(check.split(separator: " ").prefix(2).joined(separator: " "))
            }
        }
        for invariant in Check.Invariant.allCases { #expect(failing.contains("always \(invariant.rawValue)")) }
        for goal in Check.Goal.allCases { #expect(failing.contains("eventually \(goal.rawValue)")) }
        for occasion in Check.Occasion.allCases { #expect(failing.contains("never \(occasion.rawValue)")) }
        #expect(failing.contains { $0.hasPrefix("metric ") } && failing.contains { $0.hasPrefix("sometimes ") })
    }

    @Test("coverage: matches-oracle is asked for in at least ten scenarios that must hold")
    func oracle() throws {
        let asking = try scenarios().filter { !$0.name.hasPrefix("negative/") && $0.scenario.checks.contains(.always(.matchesOracle)) }
        #expect(asking.count >= 10)
    }
}
