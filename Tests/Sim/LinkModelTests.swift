import PatinaProtocol
import Testing

@testable import PatinaSim

/// The statistics of the link, with bounds that a correct model misses less than once in a billion runs; the seeds are fixed anyway.
@Suite struct LinkModelTests {
    private static let draws = 100_000

    private func send(_ model: LinkModel, every gap: Duration = .milliseconds(10), bytes: Int = 1_000, seed: UInt64 = 1) -> [DatagramFate] {
        var state = LinkState(random: Random(seed: seed))
        return (0..<Self.draws).map { model.sendDatagram(bytes, at: .zero + gap * $0, over: &state) }
    }

    private func latencies(_ fates: [DatagramFate], every gap: Duration = .milliseconds(10)) -> [Int64] {
        fates.enumerated().compactMap { index, fate in
            if case .delivered(let at) = fate { (at - (.zero + gap * index)).nanoseconds } else { nil }
        }
    }

    @Test("link: a constant latency is exact, and nothing else happens")
    func constant() {
        var model = LinkModel()
        model.latency = .constant(.milliseconds(7))
        #expect(latencies(send(model)) == Array(repeating: 7_000_000, count: Self.draws))
    }

    @Test("link: a uniform latency stays in its range and fills it evenly")
    func uniform() {
        var model = LinkModel()
        model.latency = .uniform(.milliseconds(10)...(.milliseconds(20)))
        let drawn = latencies(send(model))
        #expect(drawn.count == Self.draws)
        #expect(drawn.allSatisfy { (10_000_000...20_000_000).contains($0) })
        var tenths = [Int](repeating: 0, count: 10)
        for latency in drawn { tenths[min(9, Int((latency - 10_000_000) / 1_000_000))] += 1 }
        #expect(tenths.allSatisfy { (9_300...10_700).contains($0) })
    }

    @Test("link: an exponential latency has its minimum, its mean and its median")
    func exponential() {
        var model = LinkModel()
        model.latency = .exponential(minimum: .milliseconds(2), mean: .milliseconds(10))
        let excess = latencies(send(model)).map { $0 - 2_000_000 }.sorted()
        #expect(excess[0] >= 0)
        let mean = excess.reduce(0, +) / Int64(excess.count)
        #expect((9_800_000...10_200_000).contains(mean))
        // The median of the exponential distribution is ln 2 times the mean.
        #expect((6_750_000...7_110_000).contains(excess[excess.count / 2]))
        // One in a thousand is above ln 1000 = 6.9 means.
        #expect((60_000_000...80_000_000).contains(excess[excess.count * 999 / 1_000]))
    }

    @Test("link: loss, doubling and overtaking happen as often as asked", arguments: [1_000 as UInt32, 50_000, 300_000])
    func shares(share: UInt32) {
        var lossy = LinkModel()
        lossy.loss = share
        var doubling = LinkModel()
        doubling.duplicate = share
        var overtaking = LinkModel()
        overtaking.reorder = share
        let lost = send(lossy).count(where: { $0 == .lost })
        let doubled = send(doubling).count(where: { if case .deliveredTwice = $0 { true } else { false } })
        let late = latencies(send(overtaking)).count(where: { $0 > 1_000_000 })
        let expected = Self.draws * Int(share) / 1_000_000
        let slack = max(60, expected / 10)
        for count in [lost, doubled, late] { #expect((expected - slack...expected + slack).contains(count)) }
    }

    @Test("link: a full queue drops at its tail and drains at the bandwidth")
    func queue() {
        var model = LinkModel()
        model.latency = .constant(.zero)
        model.bandwidth = 8_000_000  // A megabyte a second: a datagram of 1,000 bytes takes a millisecond.
        model.queueBytes = 10_000
        var state = LinkState(random: Random(seed: 1))
        let fates = (0..<15).map { _ in model.sendDatagram(1_000, at: .zero, over: &state) }
        let arrivals = (1...10).map { DatagramFate.delivered(at: .zero + .milliseconds($0)) }
        #expect(fates == arrivals + Array(repeating: .queueFull, count: 5))
        // Three milliseconds later there is room for three more.
        let later = (0..<4).map { _ in model.sendDatagram(1_000, at: .zero + .milliseconds(3), over: &state) }
        #expect(later == (11...13).map { .delivered(at: .zero + .milliseconds($0)) } + [.queueFull])
    }

    @Test("link: a large transfer takes its time, and leaves half of the queue to datagrams")
    func transferSharesTheWire() throws {
        var model = LinkModel()
        model.latency = .constant(.milliseconds(5))
        model.bandwidth = 8_000_000
        model.queueBytes = 10_000
        var state = LinkState(random: Random(seed: 1))
        #expect(model.transfer(1_000_000, at: .zero, over: &state) == .zero + .milliseconds(1_005))
        // The datagram waits behind half a queue of the transfer: 5 ms, then takes its own millisecond.
        #expect(model.sendDatagram(1_000, at: .zero, over: &state) == .delivered(at: .zero + .milliseconds(11)))
    }

    @Test("link: loss delays a transfer by retransmission timeouts, and never loses it")
    func transferUnderLoss() {
        var model = LinkModel()
        model.latency = .constant(.milliseconds(10))
        model.loss = 100_000
        var state = LinkState(random: Random(seed: 3))
        var delays: [Int64: Int] = [:]
        for index in 0..<Self.draws {
            let now = Instant.zero + .seconds(index)
            guard let arrival = model.transfer(100, at: now, over: &state) else {
                Issue.record("a tenth of loss should not stop a transfer of one packet")
                return
            }
            delays[(arrival - now).nanoseconds, default: 0] += 1
        }
        let timeout = model.retransmissionTimeout.nanoseconds
        #expect((89_500...90_500).contains(delays[10_000_000] ?? 0))
        #expect((8_700...9_300).contains(delays[10_000_000 + timeout] ?? 0))
        #expect((800...1_000).contains(delays[10_000_000 + 3 * timeout] ?? 0))
    }

    @Test("link: a transfer over a link that loses everything is handed back")
    func hopelessTransfer() {
        var model = LinkModel()
        model.loss = 1_000_000
        var state = LinkState(random: Random(seed: 3))
        #expect(model.transfer(100, at: .zero, over: &state) == nil)
    }

    @Test("link: equal seeds give equal fates, other seeds others")
    func determinism() {
        var model = LinkModel()
        model.latency = .exponential(minimum: .milliseconds(1), mean: .milliseconds(3))
        model.loss = 50_000
        model.duplicate = 20_000
        #expect(send(model, seed: 5) == send(model, seed: 5))
        #expect(send(model, seed: 5) != send(model, seed: 6))
    }
}

@Suite struct FixedPointTests {
    @Test("fixed point: logarithms of powers of two are exact, others near the library's")
    func logarithm() {
        for exponent in 0..<64 { #expect(FixedPoint.binaryLogarithm(1 << UInt64(exponent)) == UInt64(exponent) << 32) }
        // log2(10) = 3.321928094887362
        #expect(abs(Double(FixedPoint.binaryLogarithm(10)) / 4_294_967_296 - 3.321928094887362) < 1e-8)
        #expect(abs(Double(FixedPoint.binaryLogarithm(.max)) / 4_294_967_296 - 64) < 1e-8)
    }

    @Test("fixed point: powers of one half")
    func power() {
        for exponent in 0..<62 { #expect(FixedPoint.powerOfHalf(UInt64(exponent) << 32) == 1 << UInt64(62 - exponent)) }
        // 2^-0.5 = 0.7071067811865476
        #expect(abs(Double(FixedPoint.powerOfHalf(1 << 31)) / Double(UInt64(1) << 62) - 0.7071067811865476) < 1e-9)
        #expect(FixedPoint.powerOfHalf(100 << 32) == 0)
    }

    @Test("geography: distances between cities are those of an atlas")
    func distances() {
        func region(_ latitude: Int, _ longitude: Int) -> Topology.Region {
            Topology.Region(name: "", latitude: latitude, longitude: longitude, weight: 1)
        }
        let london = region(51_507, -128)
        let sydney = region(-33_868, 151_209)
        #expect((16_980...17_010).contains(Geography.kilometres(from: london, to: sydney)))
        #expect(Geography.kilometres(from: sydney, to: london) == Geography.kilometres(from: london, to: sydney))
        #expect(Geography.kilometres(from: london, to: london) == 0)
        // Half around the globe.
        #expect((20_013...20_016).contains(Geography.kilometres(from: region(0, 0), to: region(0, 180_000))))
    }
}
