/// The running digest of a trace at regular places, so that two runs that end differently can be searched for the first difference.
///
/// Every `stride`-th entry is kept. When the list is full, every second one goes and the stride doubles: a list of any run has a bounded
/// size and covers all of it.
struct DigestList: Hashable, Sendable {
    /// Digests that are kept at most: 2 MiB.
    static let capacity = 262_144

    private(set) var stride: UInt64 = 1
    /// Entries of the trace so far.
    private(set) var count: UInt64 = 0
    /// Digest number i belongs to entry (i + 1) * stride, counted from 1.
    private(set) var digests: [UInt64] = []

    init() {}

    mutating func append(_ digest: UInt64) {
        count += 1
        guard count % stride == 0 else { return }
        if digests.count == Self.capacity {
            digests = Swift.stride(from: 1, to: digests.count, by: 2).map { digests[$0] }
            stride *= 2
            guard count % stride == 0 else { return }
        }
        digests.append(digest)
    }

    /// The digest after entry `number`; nil when it was not kept.
    subscript(number: UInt64) -> UInt64? {
        guard number > 0, number % stride == 0, number / stride <= UInt64(digests.count) else { return nil }
        return digests[Int(number / stride) - 1]
    }

    /// The entries between which two traces part: they agree up to and including `lowerBound` and differ at `upperBound` at the latest.
    /// Nil when they agree wherever both can be compared.
    func divergence(from other: DigestList) -> ClosedRange<UInt64>? {
        let step = max(stride, other.stride)
        let places = min(UInt64(digests.count) * stride, UInt64(other.digests.count) * other.stride) / step
        // Digests are of everything so far, so once they differ they stay different: the first difference is found by halving.
        var equal: UInt64 = 0
        var different = places + 1
        while equal + 1 < different {
            let middle = (equal + different) / 2
            if self[middle * step] == other[middle * step] { equal = middle } else { different = middle }
        }
        if different <= places { return (equal * step)...(different * step) }
        if count != other.count { return (equal * step)...(min(count, other.count) + 1) }
        return nil
    }
}

extension DigestList {
    /// The stored form: eight bytes of magic, then count, stride and the digests, eight bytes each in little endian.
    private static let magic = Array("PATDIG01".utf8)

    var bytes: [UInt8] {
        var bytes = Self.magic
        bytes.reserveCapacity(24 + digests.count * 8)
        for word in [count, stride] + digests {
            withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) }
        }
        return bytes
    }

    /// Nil for bytes that are no digest list.
    init?(bytes: [UInt8]) {
        guard bytes.count >= 24, bytes.count % 8 == 0, Array(bytes[..<8]) == Self.magic else { return nil }
        let words = Swift.stride(from: 8, to: bytes.count, by: 8).map { offset in
            bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        }
        (count, stride, digests) = (words[0], words[1], Array(words[2...]))
        guard stride > 0, stride.nonzeroBitCount == 1, UInt64(digests.count) == count / stride, digests.count <= Self.capacity else {
            return nil
        }
    }
}
