/// A set of unsigned numbers, kept as sorted, disjoint, non-adjacent closed ranges.
///
/// Versions and sequence numbers are nearly always contiguous, so a set of a million is one range. Every
/// operation costs the logarithm of the number of ranges plus the ranges it touches. (The standard library's
/// `RangeSet` has half-open ranges, which cannot hold the largest number, and no gaps.)
public struct IntervalSet: Hashable, Sendable, CustomStringConvertible {
    public private(set) var ranges: [ClosedRange<UInt64>] = []

    public init() {}
    public init(_ range: ClosedRange<UInt64>) { ranges = [range] }

    public var isEmpty: Bool { ranges.isEmpty }
    public var min: UInt64? { ranges.first?.lowerBound }
    public var max: UInt64? { ranges.last?.upperBound }

    /// How many numbers are in the set, saturating at `UInt64.max`.
    public var count: UInt64 {
        var total: UInt64 = 0
        for range in ranges {
            let (sum, overflow) = total.addingReportingOverflow(range.upperBound - range.lowerBound)
            let (next, carry) = sum.addingReportingOverflow(1)
            if overflow || carry { return .max }
            total = next
        }
        return total
    }

    public func contains(_ number: UInt64) -> Bool {
        let index = firstIndex(endingAtOrAfter: number)
        return index < ranges.count && ranges[index].lowerBound <= number
    }

    /// True when every number of `range` is in the set.
    public func contains(_ range: ClosedRange<UInt64>) -> Bool {
        let index = firstIndex(endingAtOrAfter: range.lowerBound)
        return index < ranges.count && ranges[index].lowerBound <= range.lowerBound && ranges[index].upperBound >= range.upperBound
    }

    public mutating func insert(_ number: UInt64) { insert(number...number) }

    public mutating func insert(_ range: ClosedRange<UInt64>) {
        // Appending in order is by far the most common case.
        if let last = ranges.last, last.lowerBound <= range.lowerBound, last.upperBound != .max, range.lowerBound <= last.upperBound + 1 {
            ranges[ranges.count - 1] = last.lowerBound...Swift.max(last.upperBound, range.upperBound)
            return
        }
        let start = firstIndex(endingAtOrAfter: range.lowerBound == 0 ? 0 : range.lowerBound - 1)
        var end = start
        var merged = range
        while end < ranges.count, range.upperBound == .max || ranges[end].lowerBound <= range.upperBound + 1 {
            merged = Swift.min(merged.lowerBound, ranges[end].lowerBound)...Swift.max(merged.upperBound, ranges[end].upperBound)
            end += 1
        }
        ranges.replaceSubrange(start..<end, with: CollectionOfOne(merged))
    }

    public mutating func insert(_ other: IntervalSet) { for range in other.ranges { insert(range) } }

    public mutating func remove(_ range: ClosedRange<UInt64>) {
        let start = firstIndex(endingAtOrAfter: range.lowerBound)
        var end = start
        var kept: [ClosedRange<UInt64>] = []
        while end < ranges.count, ranges[end].lowerBound <= range.upperBound {
            if ranges[end].lowerBound < range.lowerBound { kept.append(ranges[end].lowerBound...(range.lowerBound - 1)) }
            if ranges[end].upperBound > range.upperBound { kept.append((range.upperBound + 1)...ranges[end].upperBound) }
            end += 1
        }
        ranges.replaceSubrange(start..<end, with: kept)
    }

    public mutating func remove(_ other: IntervalSet) { for range in other.ranges { remove(range) } }

    /// The numbers of `range` that are not in the set.
    public func gaps(in range: ClosedRange<UInt64>) -> IntervalSet {
        var result = IntervalSet(range)
        var index = firstIndex(endingAtOrAfter: range.lowerBound)
        while index < ranges.count, ranges[index].lowerBound <= range.upperBound {
            result.remove(ranges[index])
            index += 1
        }
        return result
    }

    public func intersection(_ other: IntervalSet) -> IntervalSet {
        var result = IntervalSet()
        var (left, right) = (0, 0)
        while left < ranges.count, right < other.ranges.count {
            let low = Swift.max(ranges[left].lowerBound, other.ranges[right].lowerBound)
            let high = Swift.min(ranges[left].upperBound, other.ranges[right].upperBound)
            if low <= high { result.ranges.append(low...high) }
            if ranges[left].upperBound < other.ranges[right].upperBound { left += 1 } else { right += 1 }
        }
        return result
    }

    public func subtracting(_ other: IntervalSet) -> IntervalSet {
        var result = self
        result.remove(other)
        return result
    }

    public var description: String {
        let texts = ranges.map { $0.lowerBound == $0.upperBound ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
        return "{" + texts.joined(separator: ",") + "}"
    }

    private func firstIndex(endingAtOrAfter number: UInt64) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < number { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
