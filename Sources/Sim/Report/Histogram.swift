import PatinaProtocol

/// Counts durations in buckets that are less than 0.8% wide: exact enough for percentiles, in constant memory.
///
/// The layout is that of HdrHistogram (Tene): below 128 microseconds one bucket each, above that 128 buckets for each doubling.
package struct Histogram {
    private static let bits = 7
    private var counts: [UInt64] = []
    package private(set) var count: UInt64 = 0
    package private(set) var maximum: Duration = .zero
    private var totalMicroseconds: UInt64 = 0

    package init() {}

    package mutating func record(_ duration: Duration) {
        let microseconds = UInt64(max(0, duration.nanoseconds / 1_000))
        let bucket = Histogram.bucket(of: microseconds)
        if bucket >= counts.count { counts += Array(repeating: 0, count: bucket + 1 - counts.count) }
        counts[bucket] += 1
        count += 1
        totalMicroseconds &+= microseconds
        maximum = max(maximum, duration)
    }

    /// The duration that `thousandths` of a thousand stay at or below, in milliseconds; 0 when there is none.
    package func milliseconds(percentile thousandths: UInt64) -> Double {
        guard count > 0 else { return 0 }
        let rank = max(1, (count * thousandths + 999) / 1_000)
        var seen: UInt64 = 0
        for (bucket, number) in counts.enumerated() where number > 0 {
            seen += number
            if seen >= rank { return min(Double(Histogram.upperBound(of: bucket)), Double(maximum.nanoseconds / 1_000)) / 1_000 }
        }
        return maximumMilliseconds
    }

    /// The buckets that something fell into: the largest duration of each in microseconds, and how many.
    var filled: [(upTo: UInt64, count: UInt64)] {
        counts.enumerated().compactMap { bucket, number in number > 0 ? (Histogram.upperBound(of: bucket), number) : nil }
    }

    package var maximumMilliseconds: Double { Double(maximum.nanoseconds / 1_000) / 1_000 }

    private static func bucket(of value: UInt64) -> Int {
        guard value >> UInt64(bits) > 0 else { return Int(value) }
        let shift = 63 - value.leadingZeroBitCount - bits
        return shift << bits + Int(value >> UInt64(shift))
    }

    /// The largest value that falls into the bucket.
    private static func upperBound(of bucket: Int) -> UInt64 {
        let shift = bucket >> bits - 1
        guard shift > 0 else { return UInt64(bucket) }
        let mantissa = UInt64(bucket - shift << bits)
        return (mantissa + 1) << UInt64(shift) - 1
    }
}
