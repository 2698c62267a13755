// Goal: every checker finds a mistake, and every mistake is found.
// Method: each file in scenarios/negative that names mutants holds without them and fails with each of them.

import Testing

@testable import PatinaSim

/// The scenarios that name mutants, and which.
enum MutantScenarios {
    static let names = NegativeScenarios.names.filter { !((try? NegativeScenarios.list("mutants", of: $0)) ?? []).isEmpty }

    static func path(_ name: String) -> String { ScenarioLibrary.root + "negative/\(name).toml" }

    static func mutants(_ name: String) throws -> [Mutant] {
        try NegativeScenarios.list("mutants", of: name).map { try #require(Mutant(rawValue: $0), "\($0)") }
    }
}

@Suite struct MutantTests {
    /// Seeds that a mutant may survive here. `make e2e ONLY=mutants` goes on to 500.
    private static let seeds: ClosedRange<UInt64> = 1...5

    @Test("mutants: a scenario holds without a mistake, and fails with each of its own", arguments: MutantScenarios.names)
    func killed(name: String) throws {
        let scenario = try Scenario.load(path: MutantScenarios.path(name))
        let clean = Simulation(scenario: scenario, seed: 1).run()
        #expect(clean.valid, "without a mistake: \(clean.failures)")
        // The checks that have failed so far, and those that must.
        var failed: Set<String> = []
        let mustFail = Set(try NegativeScenarios.fails(name))
        for mutant in try MutantScenarios.mutants(name) {
            let killer = Self.seeds.first { seed in
                let report = Simulation(scenario: scenario, seed: seed, mutant: mutant).run()
                failed.formUnion(report.checks.filter { !$0.valid }.map(\.name))
                return !report.valid
            }
            #expect(killer != nil, "\(mutant.rawValue) survives seeds \(Self.seeds)")
        }
        #expect(failed.isSuperset(of: mustFail), "holds with every mutant: \(mustFail.subtracting(failed).sorted())")
    }

    @Test("mutants: each is named by a scenario, has a name of its own and a summary")
    func named() throws {
        let named = Set(try MutantScenarios.names.flatMap { try MutantScenarios.mutants($0) })
        for mutant in Mutant.allCases { #expect(named.contains(mutant), "\(mutant.rawValue)") }
        #expect(Mutant.allCases.count >= 20)
        #expect(Mutant.allCases.allSatisfy { !$0.summary.isEmpty })
        #expect(Catalogue.mutants.split(separator: "\n").count == Mutant.allCases.count + 2)
    }
}

@Suite struct StateCheckTests {
    @Test("checker gaps-well-formed: ranges that touch, overlap or start at 0 are found")
    func gaps() {
        #expect(GapShape.problem(complete: [1...3, 5...9]) == nil)
        #expect(GapShape.problem(complete: [1...3, 4...9]) != nil)
        #expect(GapShape.problem(complete: [1...3, 2...9]) != nil)
        #expect(GapShape.problem(complete: [0...3]) != nil)
    }

    @Test("checker incarnation-ascends: the same incarnation again is found, a new generation starts anew")
    func incarnations() {
        var incarnations = Incarnations()
        let given: [(UInt64, Int, UInt64)] = [(1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 2)]
        var problems: [Bool] = []
        for (incarnation, life, generation) in given {
            problems.append(incarnations.refuted(incarnation, at: 0, life: life, generation: generation) != nil)
        }
        #expect(problems == [false, false, true, false, false])
    }
}
