/// The smoothed round-trip time to a member and how much it varies.
///
/// Source: Jacobson's estimator as in RFC 6298, section 2, in whole microseconds: eight bytes for each member that a node knows.
struct RoundTripEstimate: Hashable, Sendable {
    /// Zero before the first sample.
    private var mean: UInt32 = 0
    private var deviation: UInt32 = 0

    init() {}

    /// Nil before the first sample.
    var smoothed: Duration? { mean > 0 ? .microseconds(Int64(mean)) : nil }

    /// How long to wait for an answer; nil before the first sample.
    var patience: Duration? { mean > 0 ? .microseconds(Int64(mean) + 4 * Int64(deviation)) : nil }

    /// Takes note of one measured round trip. Longer ones than an hour, and none at all, count as such.
    mutating func observe(_ roundTrip: Duration) {
        let sample = min(max(1, roundTrip.nanoseconds / 1_000), 3_600_000_000)
        guard mean > 0 else {
            mean = UInt32(sample)
            deviation = UInt32(sample / 2)
            return
        }
        let (oldMean, oldDeviation) = (Int64(mean), Int64(deviation))
        deviation = UInt32(oldDeviation + (abs(oldMean - sample) - oldDeviation) / 4)
        mean = UInt32(max(1, oldMean + (sample - oldMean) / 8))
    }
}
