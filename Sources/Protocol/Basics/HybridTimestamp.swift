/// A hybrid logical clock reading in NTP64 form: 32 bits of seconds since 1970, 32 bits of fraction.
///
/// Timestamps order transactions for people and for tombstone collection. They take no part in conflict
/// resolution. Source: Kulkarni et al., "Logical Physical Clocks", 2014; the NTP64 packing is that of
/// Corrosion's `uhlc`, so that tools that read timestamps keep working.
public struct HybridTimestamp: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let ntp64: UInt64

    public init(ntp64: UInt64) { self.ntp64 = ntp64 }

    /// From nanoseconds since 1970. Negative times count as zero, and those after February 2106 as its last second: 32 bits
    /// hold no more.
    public init(unixNanoseconds: Int64) {
        let nanoseconds = UInt64(max(0, unixNanoseconds))
        let seconds = min(nanoseconds / 1_000_000_000, UInt64(UInt32.max))
        let fraction = ((nanoseconds % 1_000_000_000) << 32) / 1_000_000_000
        self.init(ntp64: seconds << 32 | fraction)
    }

    /// Nanoseconds since 1970, rounded down to the fraction's precision (about 0.23 ns).
    public var unixNanoseconds: Int64 {
        Int64(ntp64 >> 32) * 1_000_000_000 + Int64(((ntp64 & 0xFFFF_FFFF) * 1_000_000_000) >> 32)
    }

    public static let zero = HybridTimestamp(ntp64: 0)
    public static func < (left: HybridTimestamp, right: HybridTimestamp) -> Bool { left.ntp64 < right.ntp64 }
    public var description: String { "\(ntp64)" }
}

/// Hands out timestamps that grow strictly and never fall behind what was observed from other nodes.
public struct HybridClock: Sendable {
    /// How far a remote timestamp may run ahead of the local wall clock before it is refused.
    public let driftLimit: Duration
    public private(set) var last: HybridTimestamp = .zero

    public init(driftLimit: Duration = .milliseconds(300)) { self.driftLimit = driftLimit }

    /// A timestamp later than every earlier one, close to `wall` (nanoseconds since 1970).
    public mutating func tick(wall: Int64) -> HybridTimestamp {
        precondition(last.ntp64 < .max, "the hybrid clock has handed out its last timestamp")
        last = max(HybridTimestamp(unixNanoseconds: wall), HybridTimestamp(ntp64: last.ntp64 + 1))
        return last
    }

    /// Takes note of a timestamp from another node. Returns false, and forgets it, when it is further ahead of
    /// `wall` than the drift limit: one bad clock must not drag the others along.
    @discardableResult
    public mutating func observe(_ remote: HybridTimestamp, wall: Int64) -> Bool {
        guard remote > last else { return true }
        guard remote.unixNanoseconds - max(0, wall) <= driftLimit.nanoseconds else { return false }
        last = remote
        return true
    }
}
