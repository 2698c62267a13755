/// A primary key as one byte string, equal exactly when the keys are equal. The format is that of cr-sqlite's
/// `crsql_pack_columns`: a byte with the number of columns, then for each column, in the order of the PRIMARY KEY clause,
/// a byte `length << 3 | type` and its payload.
///
/// | type | payload |
/// |---|---|
/// | 1 INTEGER | `length` bytes, big endian, of the unsigned bit pattern: none for 0, eight for a negative number |
/// | 2 REAL | eight bytes, IEEE 754, big endian; `length` is 0 |
/// | 3 TEXT, 4 BLOB | `length` bytes with the number of bytes, big endian, none for 0; then the bytes |
/// | 5 NULL | none |
public enum PackedKey {
    /// The bytes of a key. At most 255 columns.
    public static func encode(_ values: [Value]) -> [UInt8] {
        precondition(values.count <= 255, "a key of more than 255 columns cannot be packed")
        var bytes: [UInt8] = [UInt8(values.count)]
        for value in values {
            switch value {
            case .null: bytes.append(KeyType.null.rawValue)
            case .integer(let number): append(integer: number, to: &bytes)
            case .real(let number): append(real: number, to: &bytes)
            case .text(let text): text.withUnsafeBytes { append(.text, $0, to: &bytes) }
            case .blob(let blob): blob.withUnsafeBytes { append(.blob, $0, to: &bytes) }
            }
        }
        return bytes
    }

    /// The low three bits of a column's first byte.
    public enum KeyType: UInt8, Sendable {
        case integer = 1
        case real
        case text
        case blob
        case null
    }

    @inlinable
    public static func append(integer: Int64, to bytes: inout [UInt8]) {
        let pattern = UInt64(bitPattern: integer)
        let count = (71 - pattern.leadingZeroBitCount) / 8
        bytes.append(UInt8(count) << 3 | KeyType.integer.rawValue)
        appendBigEndian(pattern, count: count, to: &bytes)
    }

    @inlinable
    public static func append(real: Double, to bytes: inout [UInt8]) {
        bytes.append(KeyType.real.rawValue)
        appendBigEndian(real.bitPattern, count: 8, to: &bytes)
    }

    /// `type` must be text or blob.
    @inlinable
    public static func append(_ type: KeyType, _ content: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        let length = UInt64(content.count)
        let count = (71 - length.leadingZeroBitCount) / 8
        bytes.append(UInt8(count) << 3 | type.rawValue)
        appendBigEndian(length, count: count, to: &bytes)
        bytes.append(contentsOf: content)
    }

    @inlinable
    static func appendBigEndian(_ value: UInt64, count: Int, to bytes: inout [UInt8]) {
        var shift = UInt64(count) * 8
        while shift > 0 {
            shift -= 8
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    /// The values of a key. Only the shortest form of each number is accepted, so that equal keys have equal bytes.
    public static func decode(_ bytes: [UInt8]) throws(MalformedInput) -> [Value] {
        var reader = ByteReader(bytes)
        let count = Int(try reader.readByte())
        var values: [Value] = []
        values.reserveCapacity(count)
        for _ in 0..<count {
            let head = try reader.readByte()
            let length = Int(head >> 3)
            guard length <= 8 else { throw MalformedInput("a packed key has a number of \(length) bytes") }
            guard let type = KeyType(rawValue: head & 7) else { throw MalformedInput("a packed key has a column of type \(head & 7)") }
            switch type {
            case .null:
                guard length == 0 else { throw MalformedInput("a packed key has a NULL with a length") }
                values.append(.null)
            case .integer:
                values.append(.integer(Int64(bitPattern: try readNumber(length, &reader))))
            case .real:
                guard length == 0 else { throw MalformedInput("a packed key has a REAL with a length") }
                let pattern = try reader.read(count: 8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                let number = Double(bitPattern: pattern)
                guard !number.isNaN else { throw MalformedInput("a packed key has a REAL that is not a number") }
                values.append(.real(number))
            case .text, .blob:
                let size = try readNumber(length, &reader)
                guard size <= UInt64(reader.remaining) else { throw MalformedInput("a packed key is truncated") }
                let content = Array(try reader.read(count: Int(size)))
                values.append(type == .text ? .text(content) : .blob(content))
            }
        }
        guard reader.isAtEnd else { throw MalformedInput("a packed key has \(reader.remaining) bytes too many") }
        return values
    }

    private static func readNumber(_ length: Int, _ reader: inout ByteReader) throws(MalformedInput) -> UInt64 {
        let slice = try reader.read(count: length)
        guard slice.first != 0 else { throw MalformedInput("a packed key has a number that is not in its shortest form") }
        return slice.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }
}
