import PatinaProtocol

extension HookValue {
    /// The bytes of a text or blob; 0 for anything else.
    var contentBytes: Int {
        switch self {
        case .null, .integer, .real: 0
        case .text(let content), .blob(let content): content.count
        }
    }

    /// The value is at most so long as `ValueCodec` encodes it.
    var encodedLimit: Int { 1 + Self.longestVarint + contentBytes }
    fileprivate static let longestVarint = 10
}

/// Writes values into memory that has room for them, in the form of `ValueCodec`: an array would be asked for room at each byte.
struct EncodedValues {
    private let memory: UnsafeMutableRawBufferPointer
    private var count = 0

    /// - Parameter memory: as long as the sum of the values' `encodedLimit`.
    init(_ memory: UnsafeMutableRawBufferPointer) { self.memory = memory }

    var written: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

    mutating func append(_ value: HookValue) {
        switch value {
        case .null: append(ValueCodec.Tag.null.rawValue)
        case .integer(let number):
            append(ValueCodec.Tag.integer.rawValue)
            appendVarint(UInt64(bitPattern: number << 1 ^ number >> 63))
        case .real(let number):
            append(ValueCodec.Tag.real.rawValue)
            withUnsafeBytes(of: number.bitPattern.littleEndian) { append($0) }
        case .text(let content):
            append(ValueCodec.Tag.text.rawValue)
            appendVarint(UInt64(content.count))
            append(content)
        case .blob(let content):
            append(ValueCodec.Tag.blob.rawValue)
            appendVarint(UInt64(content.count))
            append(content)
        }
    }

    @inline(__always)
    private mutating func append(_ byte: UInt8) {
        memory[count] = byte
        count += 1
    }

    @inline(__always)
    private mutating func appendVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }

    @inline(__always)
    private mutating func append(_ content: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: content)
        count += content.count
    }
}
