/// The encoding of one value in a changeset: a tag, then the payload (`docs/wire-format.md`).
public enum ValueCodec {
    public enum Tag: UInt8, Sendable {
        case null, integer, real, text, blob
    }

    @inlinable
    public static func appendNull(to bytes: inout [UInt8]) { bytes.append(Tag.null.rawValue) }

    /// ZigZag, then LEB128.
    @inlinable
    public static func append(integer: Int64, to bytes: inout [UInt8]) {
        bytes.append(Tag.integer.rawValue)
        appendVarint(UInt64(bitPattern: integer << 1 ^ integer >> 63), to: &bytes)
    }

    /// Eight bytes, IEEE 754, little endian.
    @inlinable
    public static func append(real: Double, to bytes: inout [UInt8]) {
        bytes.append(Tag.real.rawValue)
        withUnsafeBytes(of: real.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// A varint length, then the bytes. `tag` must be text or blob.
    @inlinable
    public static func append(_ tag: Tag, _ content: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        bytes.append(tag.rawValue)
        appendVarint(UInt64(content.count), to: &bytes)
        bytes.append(contentsOf: content)
    }

    public static func append(_ value: Value, to bytes: inout [UInt8]) {
        switch value {
        case .null: appendNull(to: &bytes)
        case .integer(let number): append(integer: number, to: &bytes)
        case .real(let number): append(real: number, to: &bytes)
        case .text(let text): text.withUnsafeBytes { append(.text, $0, to: &bytes) }
        case .blob(let blob): blob.withUnsafeBytes { append(.blob, $0, to: &bytes) }
        }
    }

    public static func read(from reader: inout ByteReader) throws(MalformedInput) -> Value {
        let byte = try reader.readByte()
        guard let tag = Tag(rawValue: byte) else { throw MalformedInput("a value has the unknown tag \(byte)") }
        switch tag {
        case .null: return .null
        case .integer: return .integer(try reader.readSignedVarint())
        case .real:
            let number = Double(bitPattern: try reader.readUInt64())
            guard !number.isNaN else { throw MalformedInput("a REAL is not a number") }
            return .real(number)
        case .text: return .text(Array(try reader.readBytes()))
        case .blob: return .blob(Array(try reader.readBytes()))
        }
    }
}
