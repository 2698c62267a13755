import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct ScenarioFormatTests {
    @Test(
        "scenario format: durations",
        arguments: [
            ("1ns", 1 as Int64), ("1us", 1_000), ("2.5ms", 2_500_000), ("1s", 1_000_000_000), ("1.5m", 90_000_000_000),
            ("2h", 7_200_000_000_000),
            ("0s", 0), ("10 s", 10_000_000_000),
        ])
    func durations(text: String, nanoseconds: Int64) {
        #expect(Quantity.duration(text)?.nanoseconds == nanoseconds)
        #expect(Quantity.duration(Quantity.print(.nanoseconds(nanoseconds)))?.nanoseconds == nanoseconds)
    }

    @Test(
        "scenario format: what is no duration",
        arguments: ["", "s", "1", "1 sec", "-1s", "1.2.3s", ".5s", "1e3s", "0.1ns", "99999999999999h", "1s2"])
    func noDurations(text: String) { #expect(Quantity.duration(text) == nil) }

    @Test("scenario format: shares, sizes, bandwidths, rates")
    func quantities() {
        #expect(Quantity.share("0.1%") == 1_000 && Quantity.share("100%") == 1_000_000 && Quantity.share("0.0001%") == 1)
        #expect(Quantity.share("100.1%") == nil && Quantity.share("1") == nil && Quantity.share("0.00001%") == nil)
        #expect(Quantity.print(share: 1_000) == "0.1%" && Quantity.print(share: 12_345) == "1.2345%" && Quantity.print(share: 0) == "0%")
        #expect(Quantity.bytes("256KiB") == 262_144 && Quantity.bytes("5MB") == 5_000_000 && Quantity.bytes("100B") == 100)
        #expect(Quantity.bytes("100") == nil && Quantity.bytes("0.3B") == nil)
        #expect(Quantity.bandwidth("1Gbit/s") == 1_000_000_000 && Quantity.bandwidth("0bit/s") == nil)
        #expect(Quantity.interval(rate: "200/s") == .milliseconds(5) && Quantity.interval(rate: "12/m") == .seconds(5))
        #expect(Quantity.interval(rate: "0/s") == nil)
        #expect(Quantity.durationRange("5s..30s") == .seconds(5)...(.seconds(30)) && Quantity.durationRange("3s..2s") == nil)
    }

    @Test(
        "scenario format: selectors and anchors print as they are read",
        arguments: [
            "*", "node:3", "node:3-7", "region:iad", "2 random", "10%", "rest",
        ])
    func selectors(text: String) { #expect(Selector.parse(text)?.text == text) }

    @Test("scenario format: what is no selector", arguments: ["", "node:", "node:x", "node:5-3", "region:", "0", "many", "3 rnd"])
    func noSelectors(text: String) { #expect(Selector.parse(text) == nil) }

    @Test(
        "scenario format: anchors print as they are read",
        arguments: [
            "30s", "-30s", "warmup", "heal", "end", "cut.start", "cut.end", "cut.end + 5s", "heal - 1500ms", "warmup + 1s",
        ])
    func anchors(text: String) { #expect(TimeAnchor.parse(text)?.text == text) }

    @Test("scenario format: the line of a key is found, whatever form it is written in")
    func locator() {
        let text = """
            # comment with a = 1
            a = 1
            [b]
            "c" = [  # not d = 2
              "x",
              "e = 3",
            ]
            f.g = \"""
            h = 4
            \"""
            [[i]]
            j = { k = 1, l = 'm = 2' }
            [[i]]
            j = 2
            [i.n]
            o = 3
            """
        let locator = KeyLocator(text)
        func line(_ steps: PathStep...) -> Int? { locator.line(of: steps) }
        #expect(line(.key("a")) == 2)
        #expect(line(.key("b"), .key("c")) == 4)
        #expect(line(.key("b"), .key("c"), .index(1)) == 4)
        #expect(line(.key("b"), .key("f"), .key("g")) == 8)
        #expect(line(.key("i"), .index(0), .key("j"), .key("k")) == 12)
        #expect(line(.key("i"), .index(1)) == 13)
        #expect(line(.key("i"), .index(1), .key("j")) == 14)
        #expect(line(.key("i"), .index(1), .key("n"), .key("o")) == 16)
        #expect(line(.key("h")) == nil)
    }

    @Test(
        "scenario format: the canonical form reads back to itself", arguments: ScenarioLibrary.positive + ScenarioLibrary.negative.map(\.0))
    func canonical(path: String) throws {
        let scenario = try Scenario.load(path: ScenarioLibrary.root + path)
        #expect(!scenario.about.isEmpty)
        let again = try Scenario.parse(scenario.canonical, file: "canonical.toml")
        #expect(again.canonical == scenario.canonical)
        #expect(again.hash == scenario.hash)
        #expect(scenario.hash.utf8.count == 64)
    }

    @Test("scenario format: spelling and comments do not change the hash, values do")
    func hash() throws {
        let plain = try Sample.scenario()
        let respelt = try Scenario.parse(
            "# a comment\n" + Sample.text.split(separator: "\"20s\"").joined(separator: "\"20000ms\""), file: "elsewhere.toml")
        #expect(respelt.hash == plain.hash)
        #expect(try Sample.scenario("run.duration=21s").hash != plain.hash)
        #expect(try Sample.scenario("node.swim.period=2s").hash != plain.hash)
    }

    @Test("scenario format: overrides replace, add, and reach elements by index, id and star")
    func overrides() throws {
        let scenario = try Sample.scenario(
            "run.duration=30s", "link.*.loss=2%", "fault.cut.for=\"4s\"", "workload.0.rows=7", "node.sync.minimum_interval=9s",
            "run.seeds=[4, 5]")
        #expect(scenario.duration == .seconds(30))
        #expect(scenario.links[0].model.loss == 20_000)
        #expect(scenario.faults[0].length == .uniform(.seconds(4)...(.seconds(4))))
        #expect(scenario.workloads[0].rows == 7)
        #expect(scenario.node.sync.minimumInterval == .seconds(9))
        #expect(scenario.seeds.all == [4, 5])
    }

    @Test("scenario format: nodes are placed by weight, and every node somewhere")
    func placement() {
        var topology = Topology(nodes: 10)
        topology.regions = [("a", 1), ("b", 1), ("c", 1)].map { Topology.Region(name: $0.0, latitude: 0, longitude: 0, weight: $0.1) }
        #expect(topology.populations == [4, 3, 3])
        #expect(topology.placement == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
        #expect(topology.region(of: 9)?.name == "c")
    }
}
