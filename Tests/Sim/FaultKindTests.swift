// Goal: every kind of fault can be written, does what it says, and ends without a trace.
// Method: one small cluster for each kind; what a kind is about is looked at in numbers of the report or in the simulation itself.

import PatinaProtocol
import Testing

@testable import PatinaSim

/// Sample values for the required keys of each kind. A kind that needs more than `select` must be added here.
enum FaultSamples {
    static func lines(_ kind: FaultKind) -> String {
        var lines = ["kind = \"\(kind.name)\""]
        for key in kind.keys where key.fallback == nil {
            let value: String =
                switch key.form {
                case .selector: "\"node:1-2\""
                case .sides: "[[\"node:0-1\"], [\"rest\"]]"
                case .word(let words): "\"\(words[0])\""
                case .share: "\"20%\""
                case .duration: "\"200ms\""
                case .durations: "\"100ms..300ms\""
                case .count(let range): "\(range.lowerBound)"
                case .bytes(let range): "\"\(range.lowerBound)B\""
                case .bandwidth: "\"200kbit/s\""
                case .partsPerMillion: "\"500ppm\""
                case .statements: "[\"CREATE TABLE extra (id INTEGER PRIMARY KEY NOT NULL)\"]"
                }
            lines.append("\(key.name) = \(value)")
        }
        return lines.joined(separator: "\n")
    }

    static func scenario(_ fault: String, checks: String = "") throws -> Scenario {
        try Scenario.parse(
            """
            format = 1
            name = "fault"
            about = "One fault at a time."
            [run]
            duration = "15s"
            warmup = "2s"
            drain = "6s"
            [topology]
            nodes = 5
            [[link]]
            latency = "2ms..6ms"
            [[workload]]
            kind = "upsert"
            rate = "20/s"
            [[fault]]
            id = "it"
            \(fault)
            [[check]]
            always = "no-acked-write-lost"
            [[check]]
            always = "bookkeeping-matches-rows"
            [[check]]
            eventually = "converged"
            after = "heal"
            within = "5900ms"
            \(checks)
            """, file: "fault.toml")
    }
}

@Suite struct FaultKindTests {
    @Test("faults: a cluster recovers from every kind", arguments: FaultKind.all.map(\.name))
    func recovers(name: String) throws {
        let kind = try #require(FaultKind.named(name))
        let timing = "at = \"3s\"" + (kind.lasts ? "\nfor = \"5s\"" : "")
        let scenario = try FaultSamples.scenario(FaultSamples.lines(kind) + "\n" + timing)
        #expect(try Scenario.parse(scenario.canonical, file: "again.toml").canonical == scenario.canonical)
        let report = Simulation(scenario: scenario, seed: 1).run()
        #expect(report.valid, "\(report.failures)")
        #expect(try #require(report.metric("faults")) >= 1)
        #expect(try #require(report.metric("transactions.acknowledged")) > 50)
    }

    private func metric(_ name: String, _ fault: String) throws -> Double {
        let report = Simulation(scenario: try FaultSamples.scenario(fault + "\nat = \"3s\"\nfor = \"5s\""), seed: 3).run()
        #expect(report.valid, "\(report.failures)")
        return try #require(report.metric(name))
    }

    @Test("faults: what links do is counted")
    func links() throws {
        #expect(try metric("network.datagrams_lost", "kind = \"loss\"\nshare = \"30%\"") > 5)
        #expect(try metric("network.datagrams_lost", "kind = \"burst-loss\"\ngood_to_bad = \"10%\"") > 5)
        #expect(try metric("network.datagrams_doubled", "kind = \"duplicate\"\nshare = \"30%\"") > 5)
        #expect(try metric("network.datagrams_corrupted", "kind = \"corrupt\"\nshare = \"30%\"") > 5)
        #expect(try metric("network.datagrams_cut", "kind = \"partition-ring\"") > 5)
        #expect(try metric("propagation.p99_ms", "kind = \"latency\"\nadded = \"300ms..400ms\"") > 300)
        #expect(try metric("propagation.max_ms", "kind = \"clog\"\nselect = \"node:0\"") > 3_000)
        #expect(try metric("propagation.max_ms", "kind = \"pause\"\nselect = \"node:0\"") > 3_000)
        #expect(try metric("propagation.p99_ms", "kind = \"slow-cpu\"\nselect = \"node:0\"\nevent = \"50ms\"") > 200)
        #expect(try metric("network.connections_lost", "kind = \"flap\"\nselect = \"node:0\"") > 2)
    }

    @Test("faults: a datagram waits in a clog, and comes out at its end")
    func clog() throws {
        let scenario = try FaultSamples.scenario("kind = \"clog\"\nat = \"5s\"\nfor = \"6s\"")
        var network = Network(scenario: scenario, random: Random(seed: 1))
        let end = Instant.zero + .seconds(11)
        network.disturb(
            LinkDisturbance(nodes: [true, false, false, false, false], direction: .out, change: .clog(until: end)), strike: 0)
        guard case .delivered(let late) = network.sendDatagram(100, from: 0, to: 1, at: .zero + .seconds(5)),
            case .delivered(let prompt) = network.sendDatagram(100, from: 1, to: 0, at: .zero + .seconds(5))
        else {
            Issue.record("nothing is lost")
            return
        }
        #expect(late > end && late < end + .milliseconds(10))
        #expect(prompt < .zero + .milliseconds(5_010))
        #expect(network.transfer(100, from: 1, to: 0, at: .zero + .seconds(5)) == nil)
        #expect(!network.wasWhole(between: 1, and: 0, since: .zero))
        network.calm(strike: 0, at: end)
        #expect(network.transfer(100, from: 0, to: 1, at: end) != nil)
        #expect(!network.wasWhole(between: 1, and: 0, since: .zero + .seconds(10)))
        #expect(network.wasWhole(between: 1, and: 0, since: end))
    }

    @Test("faults: wall clocks step, drift and are set right")
    func clocks() {
        let clock = VirtualClock()
        let wall = WallClock(clock: clock, skew: .milliseconds(5))
        func offset() -> Int64 { wall.nanoseconds - VirtualClock.epochNanoseconds - clock.now.nanoseconds }
        #expect(offset() == 5_000_000)
        wall.step(by: .seconds(-2))
        #expect(offset() == -1_995_000_000)
        wall.drift(by: 200, strike: 7)
        clock.now = .zero + .seconds(10)
        #expect(offset() == -1_993_000_000)
        wall.endDrift(strike: 7)
        #expect(offset() == -1_995_000_000)
    }

    @Test("faults: in a ring every node hears a majority, and no two the same one", arguments: 5...12)
    func ring(nodes: Int) throws {
        var planning = FaultPlanning(
            fault: Fault(id: "r", kind: "partition-ring", values: FaultValues([]), timing: .once(TimeAnchor(.beginning)), length: .forever),
            scenario: try Sample.scenario("topology.nodes=\(nodes)", "fault.cut.sides=[[\"node:0\"], [\"rest\"]]"), start: .zero, end: nil,
            random: Random(seed: UInt64(nodes)))
        let strikes = try #require(FaultKind.named("partition-ring")).plan(&planning)
        let partition = try #require(strikes[0].action as? PartitionAction).partition
        let views = (0..<nodes).map { node in (0..<nodes).filter { !partition.cuts(from: $0, to: node) } }
        #expect(views.allSatisfy { $0.count * 2 > nodes })
        #expect(nodes < 5 || Set(views).count == (views[0].count == nodes ? 1 : nodes))
        for node in 0..<nodes { #expect(views[node].contains(node)) }
    }

    @Test("faults: bursts lose packets in runs, and as many as the chain says")
    func bursts() {
        var model = LinkModel()
        model.bursts = LinkModel.Bursts(goodToBad: 10_000, badToGood: 100_000, loss: 1_000_000)
        var state = LinkState(random: Random(seed: 5))
        var (lost, runs, wasLost) = (0, 0, false)
        for _ in 0..<100_000 {
            let isLost = model.sendDatagram(100, at: .zero, over: &state) == .lost
            if isLost { lost += 1 }
            if isLost, !wasLost { runs += 1 }
            wasLost = isLost
        }
        // In the long run 1/11 of the time is bad, in runs of ten.
        #expect((8_000...10_200).contains(lost))
        #expect((8...12).contains(lost / runs))
    }
}
