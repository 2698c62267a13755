import Testing

@testable import PatinaProtocol

/// `Instant`, `Duration`, `HybridTimestamp` and `HybridClock`.
@Suite struct TimeTests {
    @Test("instant: arithmetic and text")
    func instant() {
        let start = Instant(nanoseconds: 1_500_000_000)
        #expect(start + .milliseconds(250) == Instant(nanoseconds: 1_750_000_000))
        #expect(start - .seconds(2) == Instant(nanoseconds: -500_000_000))
        #expect(start - Instant.zero == .milliseconds(1_500))
        #expect(Instant.zero - start == .milliseconds(-1_500))
        #expect(start.description == "1.500000s")
        #expect((start - .seconds(2)).description == "-0.500000s")
        #expect(Instant(nanoseconds: -1_000_001_999).description == "-1.000001s")
        #expect(Instant.zero < start)
    }

    @Test("instant: saturates instead of overflowing")
    func saturation() {
        let last = Instant(nanoseconds: .max)
        #expect(last + .seconds(1) == last)
        #expect(Instant.zero + .seconds(Int64.max) == last)
        #expect(Instant(nanoseconds: .min) - .nanoseconds(1) == Instant(nanoseconds: .min))
        #expect(Instant.zero - .seconds(Int64.min) == last)
        #expect(last - Instant(nanoseconds: -1) == .nanoseconds(Int64.max))
        #expect(Instant(nanoseconds: .min) - last == .nanoseconds(Int64.min))
    }

    @Test("duration: nanoseconds are those of its components, at every size and sign")
    func nanosecondsOfComponents() {
        var random = Random(seed: 4)
        for _ in 0..<2_000 {
            let seconds = Int64(bitPattern: random.next()) >> Int64(random.below(64))
            let attoseconds = Int64(random.below(1_000_000_000_000_000_000)) * (seconds < 0 ? -1 : 1)
            let duration = Duration(secondsComponent: seconds, attosecondsComponent: attoseconds)
            let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
            let (sum, carry) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
            #expect(duration.nanoseconds == (overflow || carry ? (seconds < 0 ? .min : .max) : sum))
            #expect(Duration.nanoseconds(seconds) == .seconds(seconds / 1_000_000_000) + .nanoseconds(Int(seconds % 1_000_000_000)))
            #expect(Duration.nanoseconds(seconds).nanoseconds == seconds)
        }
    }

    @Test("duration: whole nanoseconds, saturating")
    func nanoseconds() {
        #expect(Duration.milliseconds(3).nanoseconds == 3_000_000)
        #expect(Duration.nanoseconds(Int64.max).nanoseconds == .max)
        #expect(Duration.nanoseconds(Int64.min).nanoseconds == .min)
        #expect((Duration.nanoseconds(Int64.max) + .nanoseconds(1)).nanoseconds == .max)
        #expect(Duration.seconds(Int64.max).nanoseconds == .max)
        #expect(Duration.seconds(Int64.min).nanoseconds == .min)
        #expect(Duration.milliseconds(-500).nanoseconds == -500_000_000)
        #expect(Duration.nanoseconds(1_999_999).milliseconds == 1)
        #expect(Duration.nanoseconds(-1_999_999).milliseconds == -1)
    }

    @Test("timestamp: nanoseconds come back within one, and the order is kept (random)")
    func timestamp() {
        var random = Random(seed: 1)
        var last: (Int64, HybridTimestamp) = (0, .zero)
        for _ in 0..<2_000 {
            let nanoseconds = Int64(random.below(4_000_000_000 * 1_000_000_000 as UInt64))
            let timestamp = HybridTimestamp(unixNanoseconds: nanoseconds)
            #expect((0...1).contains(nanoseconds - timestamp.unixNanoseconds))
            if nanoseconds != last.0 { #expect((nanoseconds < last.0) == (timestamp < last.1)) }
            last = (nanoseconds, timestamp)
        }
        #expect(HybridTimestamp(unixNanoseconds: 1_500_000_000).ntp64 == 1 << 32 | 1 << 31)
        #expect(HybridTimestamp(unixNanoseconds: -5) == .zero)
        #expect(HybridTimestamp(unixNanoseconds: .max).ntp64 >> 32 == UInt64(UInt32.max))
        #expect(HybridTimestamp(ntp64: .max).unixNanoseconds > 0)
    }

    @Test("clock: ticks grow strictly, whatever the wall clock does")
    func ticks() {
        var clock = HybridClock()
        var random = Random(seed: 2)
        var last = HybridTimestamp.zero
        for _ in 0..<2_000 {
            let next = clock.tick(wall: Int64(random.below(1_000)) * 1_000_000 - 100_000_000)
            #expect(next > last)
            last = next
        }
        let wall: Int64 = 1_700_000_000_000_000_000
        #expect(clock.tick(wall: wall) == HybridTimestamp(unixNanoseconds: wall))
        #expect(clock.tick(wall: wall).ntp64 == HybridTimestamp(unixNanoseconds: wall).ntp64 + 1)
    }

    @Test("clock: never falls behind what it observed, unless that runs too far ahead")
    func observe() {
        let wall: Int64 = 1_700_000_000_000_000_000
        var clock = HybridClock(driftLimit: .milliseconds(300))
        func observe(_ remote: HybridTimestamp, wall: Int64) -> Bool { clock.observe(remote, wall: wall) }
        let ahead = HybridTimestamp(unixNanoseconds: wall + 299_000_000)
        #expect(observe(ahead, wall: wall))
        #expect(clock.tick(wall: wall) > ahead)
        let last = clock.last
        #expect(!observe(HybridTimestamp(unixNanoseconds: wall + 301_000_000), wall: wall))
        #expect(!observe(HybridTimestamp(ntp64: .max), wall: wall))
        #expect(clock.last == last)
        #expect(observe(HybridTimestamp(unixNanoseconds: wall - 5_000_000_000), wall: wall))
        #expect(clock.last == last)
        #expect(!observe(HybridTimestamp(ntp64: .max), wall: .min))
    }
}
