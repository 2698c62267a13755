import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct ScenarioErrorTests {
    private func failure(of text: String, overrides: [String] = []) -> ScenarioError? {
        do {
            _ = try Scenario.parse(text, file: "sample.toml", overrides: overrides)
            return nil
        } catch {
            return error
        }
    }

    struct Mistake: Sendable, CustomTestStringConvertible {
        /// What is replaced in the sample, and by what.
        let from: String
        let to: String
        let says: String
        var suggests: String?
        var testDescription: String { to }
    }

    static let mistakes = [
        Mistake(from: "duration =", to: "duratoin =", says: "unknown key \"duratoin\" in [run]", suggests: "duration"),
        Mistake(from: "[topology]", to: "[topolgy]", says: "unknown key \"topolgy\" at the top of the file", suggests: "topology"),
        Mistake(from: "loss =", to: "los =", says: "unknown key \"los\" in [link[0]]", suggests: "loss"),
        Mistake(from: "loss = \"0%\"", to: "loss = \"5\"", says: "expected something like \"0.1%\""),
        Mistake(from: "loss = \"0%\"", to: "loss = 0.05", says: "needs a quantity with its unit"),
        Mistake(from: "loss = \"0%\"", to: "loss = \"101%\"", says: "not understood"),
        Mistake(from: "duration = \"20s\"", to: "duration = 20", says: "needs a quantity with its unit"),
        Mistake(from: "duration = \"20s\"", to: "duration = \"20 sec\"", says: "not understood"),
        Mistake(from: "duration = \"20s\"", to: "duration = \"1001h\"", says: "not understood"),
        Mistake(from: "latency = \"1ms..2ms\"", to: "latency = \"1ms..2h\"", says: "at most 3600s"),
        Mistake(from: "rate = \"20/s\"", to: "every = \"1s\"\nrows = 100000\nrow = \"1MiB\"", says: "at most 256MiB"),
        Mistake(from: "drain = \"4s\"", to: "drain = \"19s\"", says: "leave nothing of the run"),
        Mistake(from: "nodes = 3", to: "nodes = 0", says: "from 1 to 10000"),
        Mistake(from: "nodes = 3", to: "nodes = \"3\"", says: "whole number"),
        Mistake(from: "latency = \"1ms..2ms\"", to: "latency = \"2ms..1ms\"", says: "not understood"),
        Mistake(from: "latency = \"1ms..2ms\"", to: "latency = { model = \"gea\" }", says: "none of", suggests: "geo"),
        Mistake(from: "latency = \"1ms..2ms\"", to: "latency = { model = \"geo\" }", says: "needs topology.regions"),
        Mistake(
            from: "latency = \"1ms..2ms\"", to: "latency = { model = \"exp\", mean = \"1ms\", jitter = \"5%\" }", says: "has no jitter"),
        Mistake(from: "latency = \"1ms..2ms\"", to: "from = \"2 random\"", says: "random selection is not possible"),
        Mistake(from: "latency = \"1ms..2ms\"", to: "from = \"region:ams\"", says: "no region \"ams\""),
        Mistake(from: "kind = \"upsert\"", to: "kind = \"upset\"", says: "none of", suggests: "upsert"),
        Mistake(from: "table = \"items\"", to: "table = \"itmes\"", says: "no table \"itmes\"", suggests: "items"),
        Mistake(from: "rate = \"20/s\"", to: "rate = \"20\"", says: "expected something like \"200/s\""),
        Mistake(from: "rate = \"20/s\"", to: "rows = 5", says: "needs either rate"),
        Mistake(from: "kind = \"partition\"", to: "kind = \"partiton\"", says: "none of", suggests: "partition"),
        Mistake(from: "sides = [[\"node:0\"], [\"rest\"]]", to: "sides = [[\"node:0\"]]", says: "2 to 16 sides"),
        Mistake(from: "sides = [[\"node:0\"], [\"rest\"]]", to: "sides = [[\"node:7\"], [\"rest\"]]", says: "numbered from 0 to 2"),
        Mistake(from: "at = \"5s\"", to: "at = \"25s\"", says: "outside of the run"),
        Mistake(from: "at = \"5s\"", to: "at = \"cut.end\"", says: "stands earlier in the file"),
        Mistake(from: "at = \"5s\"", to: "at = \"cot.end\"", says: "no fault \"cot\"", suggests: "cut"),
        Mistake(from: "at = \"5s\"", to: "at = \"soon\"", says: "no point in time"),
        Mistake(from: "at = \"5s\"", to: "every = \"1ms\"", says: "at least 10ms"),
        Mistake(from: "for = \"3s\"", to: "for = \"forevr\"", says: "not understood"),
        Mistake(from: "always =", to: "allways =", says: "unknown key \"allways\"", suggests: "always"),
        Mistake(from: "no-acked-write-lost", to: "no-acked-writes-lost", says: "none of", suggests: "no-acked-write-lost"),
        Mistake(
            from: "always = \"no-acked-write-lost\"", to: "metric = \"propagation.p50\"\nat_most = 5", says: "no metric",
            suggests: "propagation.p50_ms"),
        Mistake(from: "always = \"no-acked-write-lost\"", to: "never = \"suspected\"\nwithin = \"5s\"", says: "never has no within"),
    ]

    @Test("scenario errors: a mistake names its line, and what was meant where that is near", arguments: mistakes)
    func mistake(_ mistake: Mistake) throws {
        let text = Sample.text.split(separator: mistake.from, maxSplits: 1).joined(separator: mistake.to)
        try #require(text != Sample.text)
        let error = try #require(failure(of: text))
        #expect(error.message.contains(mistake.says), "\(error)")
        #expect(error.suggestion == mistake.suggests)
        #expect(error.file == "sample.toml")
        // Some messages are about a table in which something is missing; they name its header.
        let line = try #require(error.line)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let written = mistake.to.split(separator: "\n").map(String.init)
        let isThere = (0..<written.count).contains { lines[line - 1].contains(written[$0]) }
        #expect(isThere || lines[line - 1].hasPrefix("[["), "line \(line): \(lines[line - 1])")
        #expect(error.description.hasPrefix("sample.toml:\(line): "))
    }

    @Test("scenario errors: a group and a key of [node]")
    func nodeKeys() throws {
        let unknownGroup = try #require(failure(of: Sample.text + "[node]\nswin.period = \"1s\"\n"))
        #expect(unknownGroup.message.contains("unknown key \"swin\" in [node]") && unknownGroup.suggestion == "swim")
        let unknownKey = try #require(failure(of: Sample.text + "[node]\nswim.perod = \"1s\"\n"))
        #expect(unknownKey.message.contains("unknown key \"swim.perod\" in [node]") && unknownKey.suggestion == "swim.period")
        let badValue = try #require(failure(of: Sample.text + "[node.broadcast]\nkind = \"trees\"\nfanout = 0\n"))
        #expect(badValue.message.contains("broadcast.fanout must be a whole number from 1 to 1000"))
        #expect(badValue.line == Sample.line(of: "fanout", in: Sample.text + "[node.broadcast]\nkind = \"trees\"\nfanout = 0\n"))
    }

    @Test(
        "scenario errors: what must be there is asked for",
        arguments: ["format = 1\n", "about = \"Three nodes for tests.\"\n", "nodes = 3\n"])
    func required(line: String) throws {
        let error = try #require(failure(of: Sample.text.split(separator: line, maxSplits: 1).joined()))
        #expect(error.message.contains("required"))
    }

    @Test("scenario errors: text that is no TOML names its line")
    func syntax() throws {
        let error = try #require(failure(of: "format = 1\nname = \"a\nabout = \"b\"\n"))
        #expect(error.line == 2)
        #expect(error.message.contains("not valid TOML"))
        #expect(failure(of: "format = 1\0")?.line == 1)
        #expect(
            failure(of: Sample.text + "\n[node]\nat = 2026-11-22\n")?.line == Sample.text.split(
                separator: "\n", omittingEmptySubsequences: false
            ).count + 2)
        #expect(failure(of: "")?.message.contains("format = 1 is required") == true)
        #expect(
            failure(of: Sample.text.split(separator: "format = 1").joined(separator: "format = 2") + "")?.message.contains("format") == true
        )
    }

    /// Texts on which toml++ ends the process: a header without a key, and times that are cut off.
    static let poison = ["[=]", "[.]", "a = 10:2", "a = 2026-11-22T1", "a = 2026-11-2", "[[]]", "a = 0x", "a = \"\\u\""]

    @Test("scenario errors: malformed texts name their line", arguments: poison)
    func malformed(text: String) throws {
        let error = try #require(failure(of: "format = 1\n" + text + "\nname = \"a\"\n"))
        #expect(error.line == 2 && error.message.contains("not valid TOML"), "\(error)")
        // As the value of an override the same text is a string, which no number accepts.
        #expect(failure(of: Sample.text, overrides: ["topology.nodes=" + text])?.message.contains("whole number") == true)
    }

    @Test("scenario errors: a mistake in an override names the override")
    func overrides() throws {
        let typo = try #require(failure(of: Sample.text, overrides: ["run.duratoin=5s"]))
        #expect(typo.description.hasPrefix("--set run.duratoin=5s: unknown key \"duratoin\""))
        #expect(typo.suggestion == "duration")
        #expect(failure(of: Sample.text, overrides: ["run.duration"])?.message == "expected path=value")
        #expect(failure(of: Sample.text, overrides: ["link.5.loss=1%"])?.message.contains("no element \"5\"") == true)
        #expect(failure(of: Sample.text, overrides: ["fault.cat.for=1s"])?.suggestion == "cut")
        #expect(failure(of: Sample.text, overrides: ["name.first=x"])?.message.contains("nothing inside") == true)
    }

    @Test("scenario errors: random damage is refused or read, and never traps (400 seeds)")
    func damage() {
        let bytes = Array(Sample.text.utf8)
        var read = 0
        for seed in 0..<400 {
            var random = Random(seed: UInt64(seed))
            var damaged = bytes
            for _ in 0...random.below(3) {
                let place = random.below(damaged.count)
                switch random.below(3) {
                case 0: damaged[place] = UInt8(32 + random.below(95))
                case 1: damaged.remove(at: place)
                default:
                    damaged.insert(
                        contentsOf: damaged[place..<min(damaged.count, place + random.below(30))], at: random.below(damaged.count))
                }
            }
            if failure(of: String(decoding: damaged, as: UTF8.self)) == nil { read += 1 }
        }
        // Some damage falls on what does not matter, such as the sentence.
        #expect(read > 0 && read < 400)
    }

    @Test("scenario errors: a file that is not there is named")
    func missingFile() throws {
        #expect(throws: ScenarioError.self) { try Scenario.load(path: "/nowhere/a.toml") }
        do {
            _ = try Scenario.load(path: "/nowhere/a.toml")
        } catch {
            #expect(error.description.hasPrefix("/nowhere/a.toml: the scenario cannot be read: "))
        }
    }
}
