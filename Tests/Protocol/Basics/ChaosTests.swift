import Testing

@testable import PatinaProtocol

@Suite struct ChaosTests {
    private func strikes(_ configuration: ChaosConfiguration, at point: ChaosPoint, _ count: Int = 10_000) -> [Int] {
        var chaos = Chaos(configuration, random: Random(seed: 7))
        return (0..<count).filter { _ in chaos.point(point) }
    }

    @Test("chaos: nothing is on by itself, and a point that is off never strikes")
    func off() {
        #expect(!NodeConfiguration.quiet.chaos.isOn)
        #expect(strikes(ChaosConfiguration(), at: .answerCut).isEmpty)
        #expect(strikes(ChaosConfiguration(points: [.answerCut], fire: 1_000_000), at: .roundSkipped).isEmpty)
        #expect(strikes(ChaosConfiguration(points: [.answerCut], fire: 0), at: .answerCut).isEmpty)
    }

    @Test("chaos: a point strikes as often as it should, whatever other points are on")
    func streams() {
        let alone = strikes(ChaosConfiguration(points: [.answerCut], fire: 100_000), at: .answerCut)
        #expect((850...1_150).contains(alone.count))
        var among = Chaos(ChaosConfiguration(points: ChaosPoint.allCases, fire: 100_000), random: Random(seed: 7))
        let together = (0..<10_000).filter { _ in
            _ = among.point(.probeSkipped)
            return among.point(.answerCut)
        }
        #expect(together == alone)
        #expect(among.takeStruck().count { $0 == .answerCut } == alone.count && among.takeStruck().isEmpty)
    }
}

extension NodeConfiguration {
    fileprivate static var quiet: NodeConfiguration {
        NodeConfiguration(actor: Sample.actor(1), address: Sample.address(1), generation: 1, seed: 1)
    }
}
