import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct NetworkTests {
    private func network(_ links: String, topology: String = "nodes = 6") throws -> Network {
        let text = """
            format = 1
            name = "network"
            about = "Only the links are looked at."
            [run]
            duration = "10s"
            [topology]
            \(topology)
            [[check]]
            always = "no-acked-write-lost"

            """
        return Network(scenario: try Scenario.parse(text + links, file: "network.toml"), random: Random(seed: 1))
    }

    private func latency(_ network: inout Network, _ from: Int, _ to: Int) -> Int64? {
        if case .delivered(let at) = network.sendDatagram(100, from: from, to: to, at: .zero) { at.nanoseconds / 1_000 } else { nil }
    }

    @Test("network: the first rule that matches holds, in its direction, and the rest has the default")
    func rules() throws {
        var network = try network(
            """
            [[link]]
            from = "node:0"
            to = "node:1"
            latency = "5ms"
            [[link]]
            from = "node:0-2"
            to = "node:3"
            direction = "both"
            latency = "7ms"
            [[link]]
            from = "node:0"
            latency = "9ms"
            """)
        #expect(latency(&network, 0, 1) == 5_000)
        #expect(latency(&network, 1, 0) == 1_000)
        #expect(latency(&network, 2, 3) == 7_000)
        #expect(latency(&network, 3, 2) == 7_000)
        #expect(latency(&network, 0, 4) == 9_000)
        #expect(latency(&network, 4, 5) == 1_000)
    }

    @Test("network: geographic latency grows with the distance, stays above the floor, and jitters upwards only")
    func geography() throws {
        var network = try network(
            "[[link]]\nlatency = { model = \"geo\", floor = \"2ms\", km_per_ms = 100, jitter = \"10%\" }\n",
            topology: """
                nodes = 4
                regions = [
                    { name = "lhr", lat = 51.507, lon = -0.128, weight = 1 },
                    { name = "syd", lat = -33.868, lon = 151.209, weight = 1 },
                ]
                """)
        for _ in 0..<200 {
            let far = try #require(latency(&network, 0, 3))
            #expect((169_800...187_100).contains(far))
            let near = try #require(latency(&network, 0, 1))
            #expect((2_000...2_200).contains(near))
        }
    }

    @Test("network: links draw from streams of their own")
    func streams() throws {
        let rule = "[[link]]\nlatency = \"1ms..50ms\"\n"
        var quiet = try network(rule)
        var busy = try network(rule)
        for _ in 0..<100 { _ = latency(&busy, 2, 3) }
        let left = (0..<20).map { _ in latency(&quiet, 0, 1) }
        let right = (0..<20).map { _ in latency(&busy, 0, 1) }
        #expect(left == right)
        #expect(left != (0..<20).map { _ in latency(&quiet, 1, 0) })
    }

    @Test("network: a cut holds from its start to its heal, and is remembered for a while")
    func cuts() throws {
        var network = try network("")
        #expect(!network.isCut(from: 0, to: 1))
        network.cut(Partition(shape: .sides([0, 1, 255, 255, 255, 255], .firstToSecond)), occurrence: 4)
        #expect(network.isCut(from: 0, to: 1) && !network.isCut(from: 1, to: 0) && network.isCut(between: 1, and: 0))
        #expect(!network.wasWhole(between: 0, and: 1, since: .zero + .seconds(5)))
        #expect(network.wasWhole(between: 0, and: 2, since: .zero))
        network.heal(occurrence: 4, at: .zero + .seconds(9))
        #expect(!network.isCut(from: 0, to: 1))
        #expect(!network.wasWhole(between: 0, and: 1, since: .zero + .seconds(5)))
        #expect(network.wasWhole(between: 0, and: 1, since: .zero + .seconds(9)))
    }
}

@Suite struct TransportTests {
    /// The sample without its own fault, at a rate at which some connection always has something to say.
    private func run(_ fault: String, _ overrides: [String] = []) throws -> SimulationReport {
        let text =
            Sample.text.split(separator: "[[fault]]")[0] + "[[check]]\nalways = \"no-acked-write-lost\"\n"
            + "[[check]]\neventually = \"converged\"\nafter = \"heal\"\nwithin = \"4s\"\n"
        return Simulation(scenario: try Scenario.parse(text + fault, file: "a.toml", overrides: overrides), seed: 1).run()
    }

    private let cut = "[[fault]]\nid = \"cut\"\nkind = \"partition\"\nsides = [[\"node:0\"], [\"rest\"]]\nat = \"5s\"\nfor = \"5s\"\n"

    @Test("transport: without faults no connection is lost")
    func calm() throws {
        let report = try run("")
        #expect(report.valid, "\(report.failures)")
        #expect(report.metric("network.connections_lost") == 0 && report.metric("network.messages_lost") == 0)
    }

    @Test("transport: a cut shorter than the idle timeout makes messages wait, a longer one loses the connections")
    func idleTimeout() throws {
        let patient = try run(cut, ["node.transport.idle_timeout=30s"])
        #expect(patient.valid, "\(patient.failures)")
        #expect(patient.metric("network.connections_lost") == 0)
        let impatient = try run(cut, ["node.transport.idle_timeout=2s"])
        #expect(impatient.valid, "\(impatient.failures)")
        #expect(impatient.metric("network.connections_lost") ?? 0 >= 2)
        #expect(impatient.metric("network.messages_lost") ?? 0 > 0)
    }

    @Test("transport: a restarted process breaks the connections of the one before it")
    func restart() throws {
        let report = try run("[[fault]]\nid = \"crash\"\nkind = \"crash\"\nselect = \"node:1\"\nat = \"6s\"\nfor = \"1s\"\n")
        #expect(report.valid, "\(report.failures)")
        #expect(report.metric("network.connections_lost") ?? 0 >= 2)
        #expect(report.metric("transactions.refused") ?? 0 > 0)
    }

    @Test("transport: a one-way cut stops reliable traffic both ways, and all is well after it")
    func oneWay() throws {
        let report = try run(cut.split(separator: "at = ").joined(separator: "direction = \"a->b\"\nat = "))
        #expect(report.valid, "\(report.failures)")
        #expect(report.metric("network.datagrams_cut") ?? 0 > 0)
        #expect(report.metric("catch_up.count") == 1)
    }

    @Test("transport: transport.time comes on top of every link")
    func transportTime() throws {
        let plain = try run("")
        let slower = try run("", ["node.transport.time=40ms"])
        #expect(slower.valid, "\(slower.failures)")
        let (before, after) = (plain.metric("propagation.p50_ms") ?? 0, slower.metric("propagation.p50_ms") ?? 0)
        #expect(before > 0 && after > before + 39)
        // Nothing is drawn where it is nothing.
        #expect(try run("", ["node.transport.time=0s"]).traceHash == plain.traceHash)
    }
}
