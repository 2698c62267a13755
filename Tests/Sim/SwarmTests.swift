import PatinaProtocol
import Testing

@testable import PatinaSim

private let swarm = """

    [[check]]
    sometimes = "sync-repair"

    [swarm]
    vary = ["link.*.loss 0..10%", "link.*.latency x0.5..x4", "node.swim.*", "fault.*", "topology.nodes 3..5"]
    faults = { kinds = "10%", strike = "10%" }
    chaos = { sites = "10%", fire = "10%" }
    """

private func temporaryFile(_ text: String) throws -> String {
    let directory = "\(ScenarioLibrary.root)../.build/sim-tests/\(UInt64.random(in: .min ... .max))"
    try FileAccess.makeDirectory(directory)
    try FileAccess.write(Array(text.utf8), to: "\(directory)/scenario.toml")
    return "\(directory)/scenario.toml"
}

@Suite struct SwarmDrawTests {
    @Test("swarm: a seed draws the same each time, other seeds draw differently, and the canonical form keeps it")
    func draws() throws {
        let scenario = try Sample.scenario(adding: swarm)
        let forms = (1...20).map { scenario.drawn(seed: $0).canonical }
        #expect(forms == (1...20).map { scenario.drawn(seed: $0).canonical })
        #expect(Set(forms).count == 20)
        #expect(try Scenario.parse(scenario.canonical, file: "canonical.toml").canonical == scenario.canonical)
        for form in forms { #expect(try Scenario.parse(form, file: "drawn.toml").canonical == form) }
    }

    @Test("swarm: values stay within what was asked for, and every end is used")
    func ranges() throws {
        let scenario = try Sample.scenario(adding: swarm)
        let drawn = (1...200).map { scenario.drawn(seed: $0) }
        #expect(drawn.allSatisfy { (3...5).contains($0.topology.nodes) && $0.links[0].model.loss <= 100_000 })
        #expect(Set(drawn.map(\.topology.nodes)) == [3, 4, 5])
        #expect(drawn.contains { $0.links[0].model.loss < 20_000 } && drawn.contains { $0.links[0].model.loss > 80_000 })
        for each in drawn {
            guard case .fixed(.uniform(let range)) = each.links[0].latency else { continue }
            #expect(range.lowerBound >= .microseconds(499) && range.upperBound <= .milliseconds(8))
        }
        // The only check hangs on no fault, so the cut is missing now and then; others are added.
        #expect(drawn.contains { !$0.faults.contains { $0.id == "cut" } } && drawn.contains { $0.faults.contains { $0.id == "cut" } })
        let kinds = Set(drawn.flatMap { $0.faults.filter { $0.id.hasPrefix("drawn-") }.map(\.kind) })
        #expect(kinds == Set(DrawnFaultKind.names) && DrawnFaultKind.all.map(\.name).count == DrawnFaultKind.names.count)
        #expect(drawn.contains { !$0.faults.contains { $0.id.hasPrefix("drawn-") } })
        #expect(Set(drawn.flatMap(\.chaos.points)) == Set(ChaosPoint.allCases) && drawn.contains { $0.chaos.points.isEmpty })
        #expect(drawn.allSatisfy { $0.swarm == SwarmSettings() })
    }

    @Test("swarm: a fault that something hangs on always strikes")
    func needed() throws {
        let scenario = try Sample.scenario(adding: "[[check]]\neventually = \"caught-up\"\nafter = \"cut.end\"\nwithin = \"8s\"\n" + swarm)
        #expect((1...50).allSatisfy { seed in scenario.drawn(seed: seed).faults.contains { $0.id == "cut" } })
    }

    @Test("swarm: the factor is even over doublings")
    func factors() {
        var random = Random(seed: 9)
        let drawn = (0..<4_000).map { _ in SwarmRange.factor(in: 250...4_000, using: &random) }
        #expect(drawn.allSatisfy { (250...4_000).contains($0) })
        for low in [250, 500, 1_000, 2_000] { #expect((800...1_200).contains(drawn.count { $0 >= low && $0 < low * 2 }), "\(low)") }
    }
}

@Suite struct SwarmCommandTests {
    @Test("swarm: shards together are the whole, and merge says so")
    func shards() throws {
        let file = try temporaryFile(Sample.text + swarm)
        func part(_ number: UInt64, of: UInt64) throws -> SwarmReport {
            var command = SwarmCommand(file: file, count: 5, jobs: 1)
            command.overrides = ["run.duration=8s"]
            command.shard = (number, of)
            return try command.run { _ in }
        }
        let whole = try part(1, of: 1)
        #expect(whole.runs == 5 && whole.valid && whole.isComplete)
        let parts = [try part(1, of: 2), try part(2, of: 2)]
        #expect(parts.map(\.runs) == [3, 2] && !parts[0].isComplete)
        let merged = try SwarmReport.merge(parts.map { try SwarmReport(json: $0.json) })
        #expect(
            merged.digest == whole.digest && merged.runs == 5 && merged.coverage == whole.coverage && merged.chaos == whole.chaos
                && merged.isComplete)
        #expect(throws: JSONFailure.self) { try SwarmReport.merge([parts[0], parts[0]]) }
        #expect(throws: JSONFailure.self) { try SwarmReport.merge([parts[0], whole]) }
        #expect(throws: JSONFailure.self) { try SwarmReport.merge([]) }
    }

    @Test("swarm: stops at the first failure, or goes on; a failure names its check and its line runs it again")
    func failures() throws {
        let file = try temporaryFile(Sample.text + "[[check]]\nmetric = \"propagation.p50_ms\"\nat_most = 0.001\n" + swarm)
        var command = SwarmCommand(file: file, count: 3, jobs: 1)
        command.overrides = ["run.duration=8s"]
        let first = try command.run { _ in }
        #expect(first.runs == 1 && !first.valid && first.failures.map(\.seed) == [1])
        #expect(first.reproduction(seed: 1) == "patina sim run \(file) --seed 1 --swarm --set run.duration=8s")
        command.keepGoing = true
        let all = try command.run { _ in }
        #expect(all.runs == 3 && all.failuresCount == 3 && all.failures[1].checks.map(\.name) == ["metric propagation.p50_ms"])
        let again = try SimulationCommand.run(file: file, seed: 2, overrides: ["run.duration=8s"], draws: true)
        #expect(again.checks.first { !$0.valid }?.detail == all.failures[1].checks[0].detail)
    }

    @Test("swarm: a complete swarm in which something that must happen never did is not covered")
    func coverage() throws {
        let file = try temporaryFile(Sample.text + "[[check]]\nsometimes = \"malformed-input\"\n")
        var command = SwarmCommand(file: file, count: 2, jobs: 1)
        command.overrides = ["run.duration=8s"]
        let report = try command.run { _ in }
        #expect(
            report.valid && !report.isCovered && report.coverage == [SwarmReport.Coverage(check: "sometimes malformed-input", seeds: 0)])
    }

    @Test("swarm: requests and results survive their lines, and a damaged line is an error")
    func lines() throws {
        for mutant in [nil, Mutant.digestIgnored] {
            let request = WorkerRequest(seed: 7, file: "/a b/c.toml", draws: true, mutant: mutant)
            #expect(WorkerRequest(line: request.line) == request)
        }
        for line in ["", "swarm", "swarm x - /a", "dance 1 - /a", "plain 1 - ", "plain 1 nobody /a"] {
            #expect(WorkerRequest(line: line) == nil)
        }
        var result = WorkerResult(failing: "a \"check\"", "line\nbreak")
        result.occurrences = [WorkerResult.Occurrence(check: "b", count: 3)]
        result.chaos = [WorkerResult.Occurrence(check: "sync.answer-cut", count: 0)]
        #expect(try WorkerResult(line: result.line) == result)
        #expect(throws: JSONFailure.self) { try WorkerResult(line: String(result.line.dropLast(4))) }
    }

    @Test("swarm: a worker that dies in the middle of a run fails that seed, and the others go on")
    func death() throws {
        // A worker that answers nothing: the shell reads one line and leaves.
        let pool = WorkerPool(executable: "/bin/false", overrides: [], jobs: 2)
        var seed: UInt64 = 0
        var results: [WorkerResult] = []
        let problem = pool.run {
            seed += 1
            return seed <= 3 ? WorkerRequest(seed: seed, file: "x", draws: false) : nil
        } done: { _, result in
            results.append(result)
            return true
        }
        #expect(problem == nil && results.count == 3 && results.allSatisfy { $0.failures.map(\.check) == [WorkerResult.deadProcess] })
        #expect(
            WorkerPool(executable: "/nowhere/patina", overrides: [], jobs: 1).run {
                WorkerRequest(seed: 1, file: "x", draws: false)
            } done: { _, _ in
                true
            } != nil)
    }
}
