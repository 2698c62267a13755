// Goal: chaos happens where and when the scenario and the seed say, is seen in reports, survives replay, and breaks nothing that must hold.
// Method: a run in which everything goes wrong that may, and runs with single points.

import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct ChaosTests {
    private static func scenario(_ adding: String) throws -> Scenario {
        try Sample.scenario("node.limits.chunk_bytes=512B", adding: DeterminismTests.lively + adding)
    }

    @Test("chaos: every point strikes in a few runs, every check holds, and reports count it")
    func all() throws {
        let scenario = try Scenario.load(path: ScenarioLibrary.root + "smoke/chaos.toml")
        #expect(scenario.chaos.points == ChaosPoint.allCases)
        var struck: Set<String> = []
        for seed in scenario.seeds.all {
            let report = Simulation(scenario: scenario, seed: seed).run()
            #expect(report.valid, "seed \(seed): \(report.failures)")
            struck.formUnion(report.chaos.filter { $0.count > 0 }.map(\.point))
            let document = try JSONDocument.parse(report.json)
            #expect(try document.required("chaos").elements().count == ChaosPoint.allCases.count)
        }
        let missing = ChaosPoint.allCases.map(\.name).filter { !struck.contains($0) }
        #expect(missing.isEmpty, "never struck: \(missing)")
    }

    @Test("chaos: a seed gives the same run again, another trace than without, and points that never strike change nothing")
    func determinism() throws {
        let runs = try ["", "[chaos]\nfire = \"0%\"\n", "[chaos]\n", "[chaos]\n"].map {
            Simulation(scenario: try Self.scenario($0), seed: 5).run()
        }
        #expect(runs[2].traceHash == runs[3].traceHash && runs[2].chaos == runs[3].chaos)
        #expect(runs[0].traceHash == runs[1].traceHash && runs[0].traceHash != runs[2].traceHash)
        #expect(runs[0].chaos.isEmpty && runs[1].chaos.allSatisfy { $0.count == 0 })
    }

    @Test("chaos: names and patterns are read, the canonical form keeps them, and a mistake names its nearest")
    func reading() throws {
        let scenario = try Self.scenario("[chaos]\npoints = [\"sync.*\", \"swim.probe-skipped\"]\nfire = \"2.5%\"\n")
        #expect(scenario.chaos.points.count == ChaosPoint.allCases.count { $0.name.hasPrefix("sync.") } + 1)
        #expect(scenario.chaos.points.first == .probeSkipped && scenario.chaos.fire == 25_000)
        #expect(try Scenario.parse(scenario.canonical, file: "canonical.toml").canonical == scenario.canonical)
        #expect(scenario.shown.contains("points = [\"swim.probe-skipped\", \"sync.round-skipped\""))
        #expect(scenario.hash != (try Self.scenario("")).hash)
        do throws(ScenarioError) {
            _ = try Scenario.parse(Sample.text + "[chaos]\npoints = [\"sync.answer-cat\"]\n", file: "sample.toml")
            Issue.record("a point that there is not")
        } catch {
            #expect(error.description.contains("sync.answer-cut"))
        }
        #expect(throws: ScenarioError.self) { try Self.scenario("[chaos]\npoints = [\"swam.*\"]\n") }
    }

    @Test("chaos: a node that was recorded under chaos does again what it did")
    func replay() throws {
        let simulation = Simulation(scenario: try Self.scenario("[chaos]\nfire = \"20%\"\n"), seed: 2)
        simulation.nodeLogs = NodeLogs()
        _ = simulation.run()
        var logs = try #require(simulation.nodeLogs)
        var strikes = 0
        for log in logs.take() {
            var replay = try NodeReplay(log.bytes)
            while let step = try replay.next() {
                #expect(step.isEqual)
                strikes += step.replayed.count { if case .measure(.chaos) = $0 { true } else { false } }
            }
        }
        #expect(strikes > 100)
    }

    @Test("chaos: of a swarm of the library, every seed of a few has points of its own, and shrinking takes away those that do not matter")
    func swarm() throws {
        let scenario = try Scenario.load(path: ScenarioLibrary.root + "smoke/swarm-five.toml")
        let drawn = (1...8).map { scenario.drawn(seed: $0).chaos }
        #expect(Set(drawn).count == 8 && drawn.allSatisfy { $0.fire == scenario.swarm.chaos?.fire })
        let candidates = ShrinkStep.chaos.candidates(scenario.drawn(seed: 1), violated: "")
        #expect(candidates.first?.chaos.points.isEmpty == true && candidates.count > 2)
    }
}
