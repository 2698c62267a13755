import NIOCore

/// A token bucket: `burst` at once, then `perSecond`. For answers to strangers and for log lines that strangers can cause.
struct RateLimit {
    private let burst: Int64
    private let perSecond: Int64
    private var credit: Int64
    private var last: NIODeadline
    private var suppressed = 0

    init(burst: Int64, perSecond: Int64, now: NIODeadline) {
        self.burst = burst
        self.perSecond = perSecond
        credit = burst * 1_000_000_000
        last = now
    }

    /// Whether one more may happen now: how many could not since the last one that did, or nil when this one must not either.
    mutating func take(now: NIODeadline) -> Int? {
        let passed = min(max(0, (now - last).nanoseconds), 60_000_000_000)
        last = now
        credit = min(burst * 1_000_000_000, credit + passed * perSecond)
        guard credit >= 1_000_000_000 else {
            suppressed += 1
            return nil
        }
        credit -= 1_000_000_000
        defer { suppressed = 0 }
        return suppressed
    }
}
