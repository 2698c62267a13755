// Goal: topologies from files, settings of single nodes, measured latencies, bursts and swarms are read, print as they are read, and do
// what they say.

import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct ScenarioPartsTests {
    private func scenario(_ adding: String, _ overrides: String...) throws -> Scenario {
        let scenario = try Scenario.parse(
            Sample.text + adding, file: ScenarioLibrary.root + "smoke/sample.toml", overrides: overrides)
        let again = try Scenario.parse(scenario.canonical, file: "/elsewhere/canonical.toml")
        #expect(again.canonical == scenario.canonical && again.hash == scenario.hash)
        return scenario
    }

    private func message(_ adding: String, _ overrides: String...) -> String {
        do {
            _ = try Scenario.parse(Sample.text + adding, file: ScenarioLibrary.root + "smoke/sample.toml", overrides: overrides)
            return "accepted"
        } catch {
            return "\(error)"
        }
    }

    @Test("scenario topology: fly-19 has 19 regions, and 4,453 nodes of the known numbers")
    func fly() throws {
        let topology = try scenario("", "topology.regions=fly-19", "topology.nodes=4453").topology
        #expect(topology.regions.count == 19)
        #expect(topology.regions.reduce(0) { $0 + $1.weight } == 4_453)
        let weights = topology.regions.map(\.weight)
        #expect(topology.populations == weights)
        for (name, weight) in [("sjc", 682), ("ord", 559), ("dfw", 528), ("iad", 442), ("jnb", 16)] {
            #expect(topology.regions.first { $0.name == name }?.weight == weight)
        }
        #expect(weights.min() == 16)
        #expect(try scenario("", "topology.regions=../../topologies/fly-19.toml").topology.regions == topology.regions)
        #expect(try scenario("", "topology.regions=fly-19", "topology.nodes=19", "topology.place=even").topology.placement == Array(0..<19))
        #expect(message("", "topology.regions=fly-20").contains("there is no topology \"fly-20\""))
        #expect(message("", "topology.place=evn").contains("did you mean \"even\""))
    }

    @Test("scenario nodes: [[node.where]] puts settings over those of all")
    func nodeOverrides() throws {
        let scenario = try scenario(
            """
            [node]
            swim.period = "2s"
            [[node.where]]
            select = "node:1"
            swim.period = "3s"
            cpu.event = "1ms"
            clock = { skew = "200ms", drift = "50ppm" }
            [[node.where]]
            select = "2 random"
            disk.write = "7ms"

            """)
        let simulation = Simulation(scenario: scenario, seed: 1)
        #expect(simulation.hosts.map { $0.settings.membership.probePeriod } == [.seconds(2), .seconds(3), .seconds(2)])
        #expect(simulation.hosts.map(\.eventCost) == [.zero, .milliseconds(1), .zero])
        #expect(simulation.hosts.count { $0.settings.machine.diskWrite == .milliseconds(7)...(.milliseconds(7)) } == 2)
        #expect(simulation.hosts[0].wall.nanoseconds == VirtualClock.epochNanoseconds)
        #expect(simulation.hosts[1].wall.nanoseconds != VirtualClock.epochNanoseconds)
        #expect(message("[[node.where]]\nswim.period = \"1s\"\n").contains("needs select"))
        #expect(message("[[node.where]]\nselect = \"node:0\"\nswim.perod = \"1s\"\n").contains("did you mean \"swim.period\""))
        #expect(message("[[node.where]]\nselect = \"node:9\"\nswim.period = \"1s\"\n").contains("numbered from 0 to 2"))
    }

    @Test("scenario links: a measured distribution is drawn from as it is")
    func empirical() throws {
        let points = "{ model = \"empirical\", points = [\"0% 10ms\", \"50% 20ms\", \"100% 100ms\"] }"
        let scenario = try scenario("", "link.0.latency=\(points)")
        guard case .fixed(let latency) = scenario.links[0].latency else { return #expect(Bool(false), "the latency is a distribution") }
        var random = Random(seed: 1)
        let draws = (0..<10_000).map { _ in latency.sample(&random) }
        #expect(draws.allSatisfy { $0 >= .milliseconds(10) && $0 <= .milliseconds(100) })
        #expect((4_800...5_200).contains(draws.count { $0 < .milliseconds(20) }))
        #expect((2_300...2_700).contains(draws.count { $0 > .milliseconds(60) }))
        #expect(latency.typical == .milliseconds(20))
        #expect(message("", "link.0.latency={ model = \"empirical\", points = [\"0% 10ms\"] }").contains("from 0% to 100%"))
        #expect(message("", "link.0.latency={ model = \"empirical\", points = [\"0% 10ms\", \"100% 9ms\"] }").contains("must ascend"))
        #expect(message("", "link.0.latency={ model = \"empirical\", file = \"none.cdf\" }").contains("none.cdf cannot be read"))
    }

    @Test("scenario links: losses in bursts")
    func gilbert() throws {
        let scenario = try scenario(
            "", "link.0.loss={ model = \"gilbert\", good_to_bad = \"0.2%\", bad_to_good = \"20%\", bad_loss = \"30%\" }")
        #expect(scenario.links[0].model.bursts == LinkModel.Bursts(goodToBad: 2_000, badToGood: 200_000, loss: 300_000))
        #expect(scenario.links[0].model.loss == 0)
        #expect(message("", "link.0.loss={ model = \"gilbert\" }").contains("needs good_to_bad"))
    }

    @Test("scenario swarm: what varies is read, and does not change a run")
    func swarm() throws {
        let varied = try scenario(
            """
            [swarm]
            vary = ["link.*.loss 0%..30%", "link.*.latency x0.1..x10", "fault.*"]
            faults = { kinds = "20%", strike = "1%" }
            chaos = { sites = "10%", fire = "5%" }

            """)
        #expect(varied.swarm.vary.map(\.range) == [.between("0%", "30%"), .scaled(100, 10_000), .any])
        #expect(varied.swarm.vary.map(\.path) == ["link.*.loss", "link.*.latency", "fault.*"])
        #expect(varied.swarm.faults == SwarmSettings.Faults(kinds: 200_000, strike: 10_000))
        #expect(varied.swarm.chaos == SwarmSettings.Chaos(sites: 100_000, fire: 50_000))
        #expect(message("[swarm]\nvary = [\"a b c\"]\n").contains("not understood"))
        #expect(message("[swarm]\nvary = [\"a x2..x1\"]\n").contains("not understood"))
        let plain = Simulation(scenario: try scenario(""), seed: 1).run()
        #expect(Simulation(scenario: varied, seed: 1).run().traceHash == plain.traceHash)
    }
}
