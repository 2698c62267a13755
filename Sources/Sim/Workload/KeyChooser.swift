import PatinaProtocol

/// Draws key numbers with the distribution of a workload.
struct KeyChooser {
    private enum Method {
        case uniform(UInt64)
        /// Running sums of the weights of keys 0, 1, 2…
        case weighted([UInt64])
        case sequential
    }

    private let method: Method
    private var next: UInt64 = 0

    init(_ keys: Workload.Keys) {
        switch keys {
        case .uniform(let count): method = .uniform(UInt64(count))
        case .sequential: method = .sequential
        case .zipf(let count, let exponent):
            var sums: [UInt64] = []
            sums.reserveCapacity(count)
            var sum: UInt64 = 0
            for rank in 1...UInt64(count) {
                // rank^-s = 2^-(s log2 rank), scaled to 2^42: a million of them fit a word with room to spare.
                let power = FixedPoint.binaryLogarithm(rank) / 1_000 * UInt64(exponent)
                sum += max(1, FixedPoint.powerOfHalf(power) >> 20)
                sums.append(sum)
            }
            method = .weighted(sums)
        }
    }

    mutating func choose(using random: inout Random) -> UInt64 {
        switch method {
        case .uniform(let count): return random.below(count)
        case .sequential:
            defer { next += 1 }
            return next
        case .weighted(let sums):
            let draw = random.below(sums[sums.count - 1])
            var (low, high) = (0, sums.count - 1)
            while low < high {
                let middle = (low + high) / 2
                if sums[middle] > draw { high = middle } else { low = middle + 1 }
            }
            return UInt64(low)
        }
    }
}
