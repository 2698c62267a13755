/// A 128-bit digest that is equal in every process: of traces, of tables, of what a node knows.
///
/// Fingerprints of a set are the wrapping sum of their elements' fingerprints, so they can be kept up to date
/// element by element. Not a cryptographic hash: peers are authenticated, and a collision costs one skipped sync.
public struct Fingerprint: Hashable, Sendable, CustomStringConvertible {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public static let zero = Fingerprint(high: 0, low: 0)

    /// Adds an element of a set.
    public static func += (left: inout Fingerprint, right: Fingerprint) {
        let (low, carry) = left.low.addingReportingOverflow(right.low)
        left.low = low
        left.high = left.high &+ right.high &+ (carry ? 1 : 0)
    }

    /// Takes an element of a set away.
    public static func -= (left: inout Fingerprint, right: Fingerprint) {
        let (low, borrow) = left.low.subtractingReportingOverflow(right.low)
        left.low = low
        left.high = left.high &- right.high &- (borrow ? 1 : 0)
    }

    /// 32 hexadecimal digits.
    public var description: String { ActorID(high: high, low: low).hexadecimal }

    /// An incremental hash over words and bytes: two lanes of multiply and rotate, mixed at the end.
    public struct Hasher: Sendable {
        @usableFromInline var first: UInt64
        @usableFromInline var second: UInt64
        @usableFromInline var length: UInt64 = 0

        public init(seed: UInt64 = 0) {
            first = seed ^ 0x6A09_E667_F3BC_C908
            second = seed.rotated(by: 29) ^ 0xBB67_AE85_84CA_A73B
        }

        @inlinable
        public mutating func combine(_ word: UInt64) { absorb(word) }

        @inlinable @inline(__always)
        mutating func absorb(_ word: UInt64) {
            first = (first ^ word).rotated(by: 27) &* 0x9E37_79B9_7F4A_7C15 &+ second
            second = (second &+ word).rotated(by: 33) &* 0xC2B2_AE3D_27D4_EB4F ^ first
            length &+= 1
        }

        /// Bytes, together with their number, so that `[1],[2]` and `[1,2]` differ.
        public mutating func combine(_ bytes: [UInt8]) {
            bytes.withUnsafeBytes { combine($0) }
        }

        public mutating func combine(_ bytes: UnsafeRawBufferPointer) {
            absorb(UInt64(bytes.count))
            var offset = 0
            while offset + 8 <= bytes.count {
                absorb(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
                offset += 8
            }
            guard offset < bytes.count else { return }
            var tail: UInt64 = 0
            for index in offset..<bytes.count { tail = tail << 8 | UInt64(bytes[index]) }
            absorb(tail)
        }

        public mutating func combine(_ text: String) { combine(Array(text.utf8)) }

        public mutating func combine(_ actor: ActorID) {
            absorb(actor.high)
            absorb(actor.low)
        }

        /// The digest so far; more may be combined afterwards.
        public func finish() -> Fingerprint {
            let left = mixed(first ^ length)
            let right = mixed(second &+ left)
            return Fingerprint(high: mixed(left &+ right.rotated(by: 17)), low: right)
        }
    }
}
