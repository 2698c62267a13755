/// The smoothed round-trip time to a member and how much it varies.
///
/// Source: Jacobson's estimator as in RFC 6298, section 2, in whole nanoseconds.
struct RoundTripEstimate: Hashable, Sendable {
    /// Zero before the first sample.
    private var mean: Int64 = 0
    private var deviation: Int64 = 0

    init() {}

    /// Nil before the first sample.
    var smoothed: Duration? { mean > 0 ? .nanoseconds(mean) : nil }

    /// How long to wait for an answer; nil before the first sample.
    var patience: Duration? { mean > 0 ? .nanoseconds(mean + 4 * deviation) : nil }

    /// Takes note of one measured round trip. Longer ones than an hour, and none at all, count as such.
    mutating func observe(_ roundTrip: Duration) {
        let sample = min(max(1, roundTrip.nanoseconds), 3_600_000_000_000)
        guard mean > 0 else {
            mean = sample
            deviation = sample / 2
            return
        }
        deviation += (abs(mean - sample) - deviation) / 4
        mean = max(1, mean + (sample - mean) / 8)
    }
}
