/// A point on a node's monotonic clock, in nanoseconds since an origin that the engine chooses.
///
/// The simulator starts at zero; the runtime uses the machine's monotonic clock. Instants of different
/// processes must not be compared.
public struct Instant: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    public static let zero = Instant(nanoseconds: 0)

    public static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }
    /// Saturates: a wait without end leads to the last instant that there is, about 292 years after the origin.
    public static func + (left: Instant, right: Duration) -> Instant {
        let (sum, overflow) = left.nanoseconds.addingReportingOverflow(right.nanoseconds)
        return Instant(nanoseconds: overflow ? (right < .zero ? .min : .max) : sum)
    }
    public static func - (left: Instant, right: Duration) -> Instant {
        let (difference, overflow) = left.nanoseconds.subtractingReportingOverflow(right.nanoseconds)
        return Instant(nanoseconds: overflow ? (right < .zero ? .max : .min) : difference)
    }
    /// The time that passed from `right` to `left`; negative when `right` is later. Saturates.
    public static func - (left: Instant, right: Instant) -> Duration {
        let (difference, overflow) = left.nanoseconds.subtractingReportingOverflow(right.nanoseconds)
        return .nanoseconds(overflow ? (left < right ? .min : .max) : difference)
    }

    /// Seconds with six decimals, for logs.
    public var description: String {
        let microseconds = nanoseconds / 1_000
        let fraction = String(abs(microseconds % 1_000_000))
        let sign = microseconds < 0 ? "-" : ""
        return sign + "\(abs(microseconds / 1_000_000))." + String(repeating: "0", count: 6 - fraction.count) + fraction + "s"
    }
}

extension Duration {
    /// Whole nanoseconds, saturating at about 292 years. Without `components`, whose 128-bit division a simulation notices.
    public var nanoseconds: Int64 {
        let (high, low) = (Int64(truncatingIfNeeded: attoseconds >> 64), UInt64(truncatingIfNeeded: attoseconds))
        if high == 0 { return Int64(low / 1_000_000_000) }
        if high > 0 {
            guard high < 1_000_000_000 else { return .max }
            return Int64(clamping: (1_000_000_000 as UInt64).dividingFullWidth((UInt64(high), low)).quotient)
        }
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carry) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflow || carry ? .min : sum
    }

    /// As the standard library's, without a call for each 128-bit multiplication; this cannot overflow.
    public static func nanoseconds(_ count: Int64) -> Duration { Duration(attoseconds: Int128(count) &* 1_000_000_000) }

    /// Whole milliseconds, rounded towards zero.
    public var milliseconds: Int64 { nanoseconds / 1_000_000 }
}
