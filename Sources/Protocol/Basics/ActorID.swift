/// The identity of a node's database: 16 random bytes, chosen when the database is created and never changed.
///
/// Ordered as unsigned bytes, because the merge rule breaks ties by comparing site ids with `memcmp`
/// (cr-sqlite's rule; see `docs/crdt.md`).
public struct ActorID: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The first eight bytes, big endian.
    public let high: UInt64
    /// The last eight bytes, big endian.
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Sixteen bytes in network order; nil when `bytes` has another length.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for (index, byte) in bytes.enumerated() {
            if index < 8 { high = high << 8 | UInt64(byte) } else { low = low << 8 | UInt64(byte) }
        }
        self.init(high: high, low: low)
    }

    /// Parses 32 hexadecimal digits, bare or with the hyphens of a UUID in their places; nil for anything else.
    public init?(_ text: String) {
        let characters = Array(text.utf8)
        guard characters.count == 32 || characters.count == 36 else { return nil }
        var digits: [UInt8] = []
        digits.reserveCapacity(32)
        for (index, character) in characters.enumerated() {
            if characters.count == 36, [8, 13, 18, 23].contains(index) {
                guard character == UInt8(ascii: "-") else { return nil }
            } else {
                guard let digit = hexadecimalValue(character) else { return nil }
                digits.append(digit)
            }
        }
        self.init(bytes: (0..<16).map { digits[2 * $0] << 4 | digits[2 * $0 + 1] })
    }

    /// A new identity that is a valid version 4 UUID, drawn from `random`.
    public static func random(using random: inout Random) -> ActorID {
        let high = (random.next() & 0xFFFF_FFFF_FFFF_0FFF) | 0x0000_0000_0000_4000
        let low = (random.next() & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000
        return ActorID(high: high, low: low)
    }

    /// The sixteen bytes in network order.
    public var bytes: [UInt8] {
        Array(unsafeUninitializedCapacity: 16) { buffer, count in
            for (word, start) in [(high, 0), (low, 8)] {
                for offset in 0..<8 { buffer[start + offset] = UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * offset)) }
            }
            count = 16
        }
    }

    /// 32 lower-case hexadecimal digits, as HTTP answers carry it.
    public var hexadecimal: String { hexadecimalString(bytes) }

    /// The hyphenated form of a UUID.
    public var description: String {
        let digits = Array(hexadecimal.utf8)
        let groups = [digits[0..<8], digits[8..<12], digits[12..<16], digits[16..<20], digits[20..<32]]
        return groups.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "-")
    }

    public static func < (left: ActorID, right: ActorID) -> Bool {
        left.high != right.high ? left.high < right.high : left.low < right.low
    }
}
