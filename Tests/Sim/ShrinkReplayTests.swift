import PatinaProtocol
import Testing

@testable import PatinaSim

private func directory() throws -> String {
    let path = "\(ScenarioLibrary.root)../.build/sim-tests/\(UInt64.random(in: .min ... .max))"
    try FileAccess.makeDirectory(path)
    return path
}

@Suite struct ShrinkTests {
    @Test("shrink: a failing run becomes small, keeps what it violates, and the written scenario fails alone")
    func shrinks() throws {
        let path = try directory()
        let noise = (1...4).map {
            "[[fault]]\nid = \"noise-\($0)\"\nkind = \"crash\"\nselect = \"1 random\"\nevery = \"4s\"\nfor = \"1s\"\n"
        }
        // The cut never heals, so the cluster does not converge; the crashes have nothing to do with it.
        let text =
            Sample.text.replacing("for = \"3s\"", with: "for = \"forever\"").replacing(
                "[[check]]\nalways = \"no-acked-write-lost\"\n", with: "")
            + noise.joined()
            + "[[check]]\neventually = \"converged\"\nafter = \"heal\"\nwithin = \"3s\"\n"
        try FileAccess.write(Array(text.utf8), to: "\(path)/scenario.toml")
        var command = ShrinkCommand(source: "\(path)/scenario.toml")
        command.overrides = ["topology.nodes=4", "run.duration=16s", "workload.0.rate=4/s"]
        command.runs = 60
        let outcome = try command.run { _ in }
        #expect(outcome.violated == "eventually converged after heal")
        #expect(outcome.before.faults > 4 && outcome.after.faults == 1 && outcome.after.nodes <= 3)
        try outcome.write(to: "\(path)/small.toml")
        let report = try SimulationCommand.run(file: "\(path)/small.toml")
        #expect(report.checks.map(\.name) == [outcome.violated] && !report.valid)
    }

    @Test("shrink: a mutant under twenty drawn faults is found again with at most five, at four nodes")
    func goal() throws {
        var command = ShrinkCommand(source: ScenarioLibrary.root + "smoke/swarm-five.toml")
        command.seed = 1
        command.mutant = .syncNeverOpened
        command.draws = true
        command.overrides = [
            "topology.nodes=8", "run.duration=32s", "run.drain=10s", "workload.0.rate=5/s",
            "swarm.faults={ kinds = \"40%\", strike = \"15%\" }",
        ]
        command.runs = 48
        let outcome = try command.run { _ in }
        #expect(outcome.before.faults >= 15 && outcome.before.nodes == 8)
        #expect(outcome.after.faults <= 5 && outcome.after.nodes <= 4, "\(outcome.after) after \(outcome.runs) runs")
        let small = Simulation(scenario: outcome.scenario, seed: outcome.seed, mutant: .syncNeverOpened).run()
        #expect(small.checks.contains { $0.name == outcome.violated && !$0.valid })
    }

    @Test("shrink: a fault at many nodes stays one at all of them that are kept, and those that it needs are kept first")
    func keeping() throws {
        let faults = """
            [[fault]]
            kind = "clog"
            select = "node:1-8"
            at = "4s"
            [[fault]]
            kind = "crash"
            select = "node:7"
            at = "5s"

            """
        let scenario = try Sample.scenario("topology.nodes=10", adding: faults)
        #expect(Array(scenario.namedNodes.prefix(3)) == [0, 7, 1] && Set(scenario.namedNodes) == Set(0...8))
        let small = try #require(scenario.keeping([0, 1, 4, 7]))
        #expect(small.topology.nodes == 4 && small.faults.count == 3)
        #expect(small.faults[1].values["select"] == .selector(.nodes(1...3)))
        #expect(small.faults[2].values["select"] == .selector(.nodes(3...3)))
        #expect(scenario.keeping([2, 3])?.faults.count == 1)
    }

    @Test("shrink: what does not fail is refused")
    func holds() throws {
        let path = try directory()
        try FileAccess.write(Array(Sample.text.utf8), to: "\(path)/scenario.toml")
        #expect(throws: ScenarioError.self) { try ShrinkCommand(source: "\(path)/scenario.toml").run { _ in } }
    }

    @Test("shrink: faults that are written out strike when, where and for as long as they did")
    func explicit() throws {
        let scenario = try Scenario.load(path: ScenarioLibrary.root + "smoke/partition-heal.toml")
        let explicit = scenario.explicit(seed: 3)
        let before = FaultPlan(scenario: scenario, random: Random(seed: 3).fork("faults"))
        let after = FaultPlan(scenario: explicit, random: Random(seed: 3).fork("faults"))
        #expect(before.occurrences.count == after.occurrences.count && before.occurrences.count > 3)
        // Faults are written out one after the other, so strikes of the same instant may change places; here none are.
        for (left, right) in zip(before.occurrences, after.occurrences) {
            #expect(left.start == right.start && left.end == right.end)
            switch (left.action, right.action) {
            case (let old as CrashAction, let new as CrashAction): #expect(old.nodes == new.nodes)
            case (let old as PartitionAction, let new as PartitionAction):
                for (from, to) in (0..<400).map({ ($0 / 20, $0 % 20) }) {
                    #expect(old.partition.cuts(from: from, to: to) == new.partition.cuts(from: from, to: to))
                }
            default: Issue.record("another kind of fault")
            }
        }
        #expect(try Scenario.parse(explicit.canonical, file: "explicit.toml").canonical == explicit.canonical)
    }
}

@Suite struct ReplayTests {
    private func run(_ overrides: [String] = []) throws -> String {
        let path = try directory()
        try FileAccess.write(Array(Sample.text.utf8), to: "\(path)/source.toml")
        _ = try SimulationCommand.run(file: "\(path)/source.toml", seed: 4, overrides: overrides, out: "\(path)/run")
        return "\(path)/run"
    }

    @Test("replay: a run is identical to itself")
    func identical() throws {
        let outcome = try ReplayCommand(directory: try run()).run()
        #expect(outcome.isIdentical && outcome.lines[0].hasPrefix("identical"))
    }

    @Test("replay: a run that went otherwise differs at the step where it did")
    func different() throws {
        let path = try run()
        let bytes = try FileAccess.readBytes("\(path)/trace.digests")
        var words = bytes
        // From step 1,000 on, everything is different.
        for index in stride(from: 24 + 999 * 8, to: words.count, by: 8) { words[index] ^= 1 }
        try FileAccess.write(words, to: "\(path)/trace.digests")
        let report = try FileAccess.read("\(path)/report.json")
        let hash = try JSONDocument.parse(report).required("trace_hash").string()
        try FileAccess.write(Array(report.replacing(hash, with: String(repeating: "0", count: 32)).utf8), to: "\(path)/report.json")
        let outcome = try ReplayCommand(directory: path).run()
        #expect(!outcome.isIdentical)
        #expect(outcome.lines.contains { $0.contains("the first 999 steps are the same") && $0.contains("step 1000 at the latest") })
        #expect(outcome.lines.last?.hasPrefix("  step 1000 at ") == true)
    }

    @Test("replay: stops at a time, a step and a fault, and shows the nodes")
    func stops() throws {
        var command = ReplayCommand(directory: try run())
        for (place, word) in [("6s", "6.00"), ("cut.end", "8.000000s"), ("500", "step 500,")] {
            command.until = place
            let lines = try command.run().lines
            #expect(lines[0].contains(word), "\(place): \(lines[0])")
            #expect(lines.count { $0.hasPrefix("node ") } == 3)
        }
        command.node = 2
        #expect(try command.run().lines.count { $0.hasPrefix("node ") } == 1)
        command.node = 3
        #expect(throws: ScenarioError.self) { try command.run() }
        command.node = nil
        for place in ["cot.end", "soon", "-"] {
            command.until = place
            #expect(throws: ScenarioError.self, "\(place)") { try command.run() }
        }
    }

    @Test("replay: a damaged folder is refused")
    func damaged() throws {
        for (file, text) in [("report.json", "{}"), ("scenario.toml", "x = 1"), ("trace.digests", "PATDIG01")] {
            let path = try run()
            try FileAccess.write(Array(text.utf8), to: "\(path)/\(file)")
            #expect(throws: ScenarioError.self, "\(file)") { try ReplayCommand(directory: path).run() }
        }
        let path = try run()
        let other = try FileAccess.read("\(path)/scenario.toml").replacing("nodes = 3", with: "nodes = 4")
        try FileAccess.write(Array(other.utf8), to: "\(path)/scenario.toml")
        #expect(throws: ScenarioError.self) { try ReplayCommand(directory: path).run() }
    }

    @Test("digests: the first difference is found, whatever the strides", arguments: [1_000, 300_000, 700_000])
    func divergence(count: Int) throws {
        var (left, right, other) = (DigestList(), DigestList(), DigestList())
        let place = count * 2 / 3
        for index in 1...count {
            left.append(UInt64(index))
            right.append(UInt64(index) | (index >= place ? 1 << 40 : 0))
            other.append(UInt64(index))
        }
        #expect(left.divergence(from: other) == nil)
        let found = try #require(left.divergence(from: right))
        #expect(found.lowerBound < place && found.upperBound >= place && found.upperBound - found.lowerBound <= left.stride)
        #expect(left.digests.count <= DigestList.capacity)
        #expect(DigestList(bytes: left.bytes) == left)
        #expect(DigestList(bytes: left.bytes.dropLast(8)) == nil)
    }
}

extension DigestList {
    fileprivate init?(bytes: ArraySlice<UInt8>) { self.init(bytes: Array(bytes)) }
}
