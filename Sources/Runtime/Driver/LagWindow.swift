import PatinaProtocol

/// How long other nodes' transactions took to get here, over the last two minutes.
///
/// A histogram in slots of 20 seconds, of which the oldest is dropped as time goes on. Buckets grow by an eighth of a power of
/// two, so that an answer is at most 12.5 % above the truth; the memory is fixed.
struct LagWindow {
    /// How far back lags count.
    static let length = Duration.seconds(120)
    private static let slotLength = Duration.seconds(20)
    private static let slotCount = 7
    /// Microseconds up to about 2^43 (three months) in eighths of a power of two.
    private static let bucketCount = 8 * 41

    private struct Slot {
        var index: Int64 = -1
        var total = 0
        var counts = [UInt32](repeating: 0, count: LagWindow.bucketCount)
    }

    private var slots = [Slot](repeating: Slot(), count: LagWindow.slotCount)

    /// Takes note of one version that was applied `lag` after its transaction. Negative lags (clocks differ) count as zero.
    mutating func record(_ lag: Duration, now: Instant) {
        let index = now.nanoseconds / Self.slotLength.nanoseconds
        let position = Int(index % Int64(Self.slotCount))
        if slots[position].index != index {
            slots[position] = Slot()
            slots[position].index = index
        }
        let bucket = Self.bucket(of: lag)
        slots[position].counts[bucket] &+= 1
        slots[position].total += 1
    }

    /// The lag that 99 of 100 versions did not exceed; nil when no version came within the window.
    func percentile99(now: Instant) -> Duration? {
        let newest = now.nanoseconds / Self.slotLength.nanoseconds
        let oldest = newest - Int64(Self.slotCount) + 1
        let live = slots.filter { $0.index >= oldest && $0.index <= newest && $0.total > 0 }
        let total = live.reduce(0) { $0 + $1.total }
        guard total > 0 else { return nil }
        let rank = (total * 99 + 99) / 100
        var seen = 0
        for bucket in 0..<Self.bucketCount {
            for slot in live { seen += Int(slot.counts[bucket]) }
            if seen >= rank { return .microseconds(Self.upperBound(of: bucket)) }
        }
        preconditionFailure("the buckets of a lag window hold fewer versions than its total")
    }

    /// Bucket 0...7: that many microseconds. From then on eight buckets a power of two.
    private static func bucket(of lag: Duration) -> Int {
        let microseconds = UInt64(max(0, lag.nanoseconds)) / 1_000
        guard microseconds >= 8 else { return Int(microseconds) }
        let power = 63 - microseconds.leadingZeroBitCount
        let eighth = Int(microseconds >> (power - 3)) & 7
        return min(8 * (power - 2) + eighth, bucketCount - 1)
    }

    private static func upperBound(of bucket: Int) -> Int64 {
        guard bucket >= 8 else { return Int64(bucket) + 1 }
        let power = bucket / 8 + 2
        return (Int64(8 + bucket % 8) + 1) << (power - 3)
    }
}

extension LagWindow {
    /// How long each version that `result` completed was on its way: from the commit at its origin, as the chunks'
    /// timestamps tell, to `wall`, nanoseconds since 1970. Versions of which nothing in `chunks` tells are left out, and so
    /// are those whose clock is so far ahead that it would be refused.
    static func lags(of chunks: [Chunk], in result: StoreResult, wall: Int64) -> [Duration] {
        guard case .applied(let changes, _) = result else { return [] }
        var lags: [Duration] = []
        for change in changes {
            guard case .completed(let actor, let versions) = change else { continue }
            // A version completes once, and its chunks follow each other: the last one is what made it whole.
            var last: UInt64?
            for chunk in chunks where chunk.id.actor == actor && versions.contains(chunk.id.version) && chunk.id.version != last {
                last = chunk.id.version
                let lag = Duration.nanoseconds(wall - chunk.timestamp.unixNanoseconds)
                if lag >= .zero - HybridClock().driftLimit { lags.append(max(lag, .zero)) }
            }
        }
        return lags
    }
}
