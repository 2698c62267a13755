/// A seeded random stream: xoshiro256** (Blackman and Vigna, 2018), seeded through SplitMix64.
///
/// Every purpose draws from a stream of its own, forked by name, so that a new consumer does not reshuffle the
/// others. The bounded draws are our own, because those of the standard library may change between releases.
public struct Random: RandomNumberGenerator, Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    public init(seed: UInt64) {
        var mixer = seed
        state = (splitMix(&mixer), splitMix(&mixer), splitMix(&mixer), splitMix(&mixer))
    }

    /// An independent stream, a function of this stream's present state and of `name` alone. Does not advance this one.
    public func fork(_ name: String) -> Random {
        var hash = Fingerprint.Hasher(seed: state.0 ^ state.2.rotated(by: 32))
        hash.combine(state.1)
        hash.combine(state.3)
        hash.combine(Array(name.utf8))
        return Random(seed: hash.finish().low)
    }

    /// As `fork(_:)`, for the `index`-th of several like streams.
    public func fork(_ name: String, _ index: UInt64) -> Random { fork("\(name)#\(index)") }

    public mutating func next() -> UInt64 {
        let result = (state.1 &* 5).rotated(by: 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = state.3.rotated(by: 45)
        return result
    }

    /// Uniform in `0..<bound` (Lemire's method with rejection). `bound` must be positive.
    public mutating func below(_ bound: UInt64) -> UInt64 {
        precondition(bound > 0, "a draw needs a positive bound")
        var product = next().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
        }
        return product.high
    }

    /// Uniform in `0..<bound`.
    public mutating func below(_ bound: Int) -> Int { Int(below(UInt64(bound))) }

    /// Uniform in `range`, to the nanosecond.
    public mutating func duration(in range: ClosedRange<Duration>) -> Duration {
        let low = range.lowerBound.nanoseconds
        let width = UInt64(range.upperBound.nanoseconds - low)
        return .nanoseconds(low + Int64(below(width + 1)))
    }

    /// True in `partsPerMillion` of a million draws.
    public mutating func chance(partsPerMillion: UInt32) -> Bool { below(1_000_000) < UInt64(partsPerMillion) }

    /// An element drawn uniformly; nil when empty.
    public mutating func element<C: RandomAccessCollection>(of collection: C) -> C.Element? {
        collection.isEmpty ? nil : collection[collection.index(collection.startIndex, offsetBy: below(collection.count))]
    }

    /// Fisher-Yates.
    public mutating func shuffle<T>(_ array: inout [T]) {
        guard array.count > 1 else { return }
        for index in stride(from: array.count - 1, to: 0, by: -1) { array.swapAt(index, below(index + 1)) }
    }
}

private func splitMix(_ state: inout UInt64) -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return mixed(state)
}

/// The finaliser of SplitMix64: a bijection of 64-bit words in which every input bit affects every output bit.
@inlinable
func mixed(_ word: UInt64) -> UInt64 {
    var value = word
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
}

extension UInt64 {
    /// - Parameter bits: 1 to 63.
    @inlinable @inline(__always)
    func rotated(by bits: UInt64) -> UInt64 { self &<< bits | self &>> (64 &- bits) }
}
