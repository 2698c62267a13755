import PatinaProtocol

/// Logarithms and powers in integers.
///
/// Latencies and key distributions are decisions of a run, so they must come out the same on every machine and in
/// every build; the functions of the C library promise neither. Numbers are unsigned with 32 fractional bits.
enum FixedPoint {
    static let fractionalBits: UInt64 = 32
    static let one: UInt64 = 1 << 32
    /// The natural logarithm of 2.
    static let naturalLogarithmOfTwo: UInt64 = 2_977_044_472

    /// The binary logarithm of a positive integer, exact to about 2^-28: squaring the mantissa yields one bit at a time.
    static func binaryLogarithm(_ number: UInt64) -> UInt64 {
        precondition(number > 0, "zero has no logarithm")
        let exponent = UInt64(63 - number.leadingZeroBitCount)
        var mantissa = number << UInt64(number.leadingZeroBitCount)  // In [1, 2), scaled by 2^63.
        var fraction: UInt64 = 0
        for _ in 0..<30 {
            let square = mantissa.multipliedFullWidth(by: mantissa).high  // In [1, 4), scaled by 2^62.
            fraction <<= 1
            if square >> 63 == 1 {
                fraction |= 1
                mantissa = square
            } else {
                mantissa = square << 1
            }
        }
        return exponent << fractionalBits | fraction << 2
    }

    /// 2 to the power of `-exponent`, scaled by 2^62.
    static func powerOfHalf(_ exponent: UInt64) -> UInt64 {
        let whole = exponent >> fractionalBits
        guard whole < 62 else { return 0 }
        var result: UInt64 = 1 << 62
        for bit in 0..<32 where exponent >> UInt64(31 - bit) & 1 == 1 {
            // `roots[bit]` is 2^-(2^-(bit + 1)), scaled by 2^63.
            result = result.multipliedFullWidth(by: roots[bit]).high << 1
        }
        return result >> whole
    }

    /// The repeated square roots of one half, scaled by 2^63.
    private static let roots: [UInt64] = {
        var roots: [UInt64] = []
        var last: UInt64 = 1 << 62
        for _ in 0..<32 {
            last = squareRootOfScaled(last)
            roots.append(last)
        }
        return roots
    }()

    /// The square root of `value / 2^63`, scaled by 2^63, by bisection on the full product.
    private static func squareRootOfScaled(_ value: UInt64) -> UInt64 {
        var (low, high) = (UInt64(0), UInt64(1) << 63)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            let product = middle.multipliedFullWidth(by: middle)
            // middle^2 <= value * 2^63
            let target = value.multipliedFullWidth(by: 1 << 63)
            if product.high < target.high || (product.high == target.high && product.low <= target.low) {
                low = middle
            } else {
                high = middle
            }
        }
        return low
    }
}

extension Random {
    /// A draw from the exponential distribution with the given mean, in whole nanoseconds; at most 44 times the mean.
    mutating func exponential(mean: Duration) -> Duration {
        let draw = next() | 1
        // -log2(draw / 2^64), never negative.
        let bits = (UInt64(64) << FixedPoint.fractionalBits) - FixedPoint.binaryLogarithm(draw)
        let natural = bits.multipliedFullWidth(by: FixedPoint.naturalLogarithmOfTwo)
        let factor = natural.high << 32 | natural.low >> 32
        let scaled = factor.multipliedFullWidth(by: UInt64(max(0, mean.nanoseconds)))
        guard scaled.high >> 31 == 0 else { return .nanoseconds(Int64.max) }
        return .nanoseconds(Int64(scaled.high << 32 | scaled.low >> 32))
    }
}
