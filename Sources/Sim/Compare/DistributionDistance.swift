import PatinaProtocol

/// How far two distributions of durations are apart.
struct DistributionDistance: Hashable, Sendable {
    /// Kolmogorov and Smirnov: the largest difference of the cumulative shares, from 0 to 1. Exact to the width of a bucket.
    let ks: Double
    /// Wasserstein's first distance: the area between the two curves, in milliseconds.
    let wassersteinMilliseconds: Double

    /// Nil when one of them is empty.
    init?(_ left: [MetricsDocument.Distribution.Bucket], _ right: [MetricsDocument.Distribution.Bucket]) {
        let leftTotal = Double(left.reduce(0) { $0 + $1.count })
        let rightTotal = Double(right.reduce(0) { $0 + $1.count })
        guard leftTotal > 0, rightTotal > 0 else { return nil }
        var (i, j) = (0, 0)
        var (leftSeen, rightSeen) = (UInt64(0), UInt64(0))
        var largest = 0.0
        var area = 0.0
        var last = 0.0
        while i < left.count || j < right.count {
            let place = min(i < left.count ? left[i].upTo : .max, j < right.count ? right[j].upTo : .max)
            area += abs(Double(leftSeen) / leftTotal - Double(rightSeen) / rightTotal) * (Double(place) - last)
            last = Double(place)
            if i < left.count, left[i].upTo == place {
                leftSeen += left[i].count
                i += 1
            }
            if j < right.count, right[j].upTo == place {
                rightSeen += right[j].count
                j += 1
            }
            largest = max(largest, abs(Double(leftSeen) / leftTotal - Double(rightSeen) / rightTotal))
        }
        ks = largest
        wassersteinMilliseconds = area / 1_000
    }

    /// Several distributions as one.
    static func pool(_ distributions: [[MetricsDocument.Distribution.Bucket]]) -> [MetricsDocument.Distribution.Bucket] {
        let all = distributions.flatMap(\.self).sorted { ($0.upTo, $0.count) < ($1.upTo, $1.count) }
        var pooled: [MetricsDocument.Distribution.Bucket] = []
        for bucket in all {
            if pooled.last?.upTo == bucket.upTo { pooled[pooled.count - 1].count += bucket.count } else { pooled.append(bucket) }
        }
        return pooled
    }
}

/// Confidence by resampling (Efron, 1979). The run is the unit: what happens inside of one hangs together.
struct Bootstrap {
    /// Resamples.
    static let rounds = 1_000
    /// Any number would do; a fixed one gives the same interval each time.
    static let seed: UInt64 = 20_260_101

    /// The middle 95% of what `measure` gives for runs drawn with replacement. Nil when a side has one run only: it says nothing of others.
    static func interval(left: Int, right: Int, _ measure: ([Int], [Int]) -> Double?) -> ClosedRange<Double>? {
        guard left > 1, right > 1 else { return nil }
        var random = Random(seed: seed)
        var values: [Double] = []
        values.reserveCapacity(rounds)
        for _ in 0..<rounds {
            let first = (0..<left).map { _ in random.below(left) }
            let second = (0..<right).map { _ in random.below(right) }
            if let value = measure(first, second) { values.append(value) }
        }
        guard values.count > 1 else { return nil }
        values.sort()
        return values[values.count * 25 / 1_000]...values[min(values.count - 1, values.count * 975 / 1_000)]
    }
}
