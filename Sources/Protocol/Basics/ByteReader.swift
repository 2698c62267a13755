/// Why bytes from a peer or a file were refused.
public struct MalformedInput: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was being read, and what was wrong with it.
    public let reason: String
    public init(_ reason: String) { self.reason = reason }
    public var description: String { reason }
}

/// Reads the primitive encodings of `docs/wire-format.md`. Never reads past the end and never traps, whatever the bytes.
public struct ByteReader: Sendable {
    private let bytes: ArraySlice<UInt8>
    private var position: Int

    public init(_ bytes: [UInt8]) { self.init(bytes[...]) }

    public init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    public var remaining: Int { bytes.endIndex - position }
    public var isAtEnd: Bool { remaining == 0 }
    /// What has not been read yet, without a copy.
    public var rest: ArraySlice<UInt8> { bytes[position...] }

    public mutating func readByte() throws(MalformedInput) -> UInt8 {
        guard position < bytes.endIndex else { throw MalformedInput("truncated: a byte is missing") }
        defer { position += 1 }
        return bytes[position]
    }

    public mutating func readUInt16() throws(MalformedInput) -> UInt16 {
        let slice = try read(count: 2)
        return UInt16(slice[slice.startIndex]) | UInt16(slice[slice.startIndex + 1]) << 8
    }

    public mutating func readUInt32() throws(MalformedInput) -> UInt32 {
        try UInt32(littleEndian: read(count: 4).withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) })
    }

    public mutating func readUInt64() throws(MalformedInput) -> UInt64 {
        try UInt64(littleEndian: read(count: 8).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
    }

    public mutating func readVarint() throws(MalformedInput) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try readByte()
            if shift == 63, byte > 1 { throw MalformedInput("a varint exceeds 64 bits") }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
    }

    public mutating func readSignedVarint() throws(MalformedInput) -> Int64 {
        let value = try readVarint()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    /// A varint that must lie in `0...limit`: a count, an index, a length.
    public mutating func readCount(limit: Int, of what: StaticString) throws(MalformedInput) -> Int {
        let value = try readVarint()
        guard value <= UInt64(limit) else { throw MalformedInput("\(what): \(value) is over the limit of \(limit)") }
        return Int(value)
    }

    /// A slice of the input, without a copy.
    public mutating func read(count: Int) throws(MalformedInput) -> ArraySlice<UInt8> {
        guard count >= 0, count <= remaining else { throw MalformedInput("truncated: \(count) bytes wanted, \(remaining) left") }
        defer { position += count }
        return bytes[position..<(position + count)]
    }

    /// Passes over `count` of the remaining bytes.
    mutating func skip(_ count: Int) {
        precondition((0...remaining).contains(count), "only what is there is passed over")
        position += count
    }

    /// Bytes behind a varint length.
    public mutating func readBytes() throws(MalformedInput) -> ArraySlice<UInt8> {
        let count = try readVarint()
        guard count <= UInt64(remaining) else { throw MalformedInput("truncated: \(count) bytes wanted, \(remaining) left") }
        return try read(count: Int(count))
    }

    /// UTF-8 behind a varint length. Invalid UTF-8 is refused.
    public mutating func readString() throws(MalformedInput) -> String {
        guard let text = String(validating: try readBytes(), as: UTF8.self) else { throw MalformedInput("a name is not UTF-8") }
        return text
    }

    public mutating func readActor() throws(MalformedInput) -> ActorID {
        let slice = try read(count: 16)
        return slice.withUnsafeBytes {
            ActorID(
                high: UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        }
    }

    public mutating func readFingerprint() throws(MalformedInput) -> Fingerprint {
        let actor = try readActor()
        return Fingerprint(high: actor.high, low: actor.low)
    }

    public mutating func readAddress() throws(MalformedInput) -> Address {
        let family = try readByte()
        switch family {
        case 4:
            let slice = try read(count: 4)
            let ipv4 = slice.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            return Address(ipv4: ipv4, port: try readPort())
        case 6:
            let host = try readActor()
            return Address(high: host.high, low: host.low, port: try readPort())
        default:
            throw MalformedInput("address family \(family) is neither 4 nor 6")
        }
    }

    /// The body of a record. Bytes that its reader leaves are fields from a later version: they are skipped.
    public mutating func readRecord() throws(MalformedInput) -> ByteReader { ByteReader(try readBytes()) }

    private mutating func readPort() throws(MalformedInput) -> UInt16 {
        let slice = try read(count: 2)
        return UInt16(slice[slice.startIndex]) << 8 | UInt16(slice[slice.startIndex + 1])
    }
}
