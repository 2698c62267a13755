/// Appends the primitive encodings of `docs/wire-format.md` to a byte array.
public struct ByteWriter: Sendable {
    public private(set) var bytes: [UInt8]

    public init(capacity: Int = 0) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    public var count: Int { bytes.count }

    @inlinable
    public mutating func write(_ byte: UInt8) { append(byte) }

    @usableFromInline
    mutating func append(_ byte: UInt8) { bytes.append(byte) }

    /// Little endian, two bytes.
    public mutating func write(_ value: UInt16) {
        bytes.append(UInt8(truncatingIfNeeded: value))
        bytes.append(UInt8(truncatingIfNeeded: value >> 8))
    }

    /// Little endian, four bytes.
    public mutating func write(_ value: UInt32) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Little endian, eight bytes.
    public mutating func write(_ value: UInt64) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// LEB128: seven bits a byte, low bits first; 1 to 10 bytes.
    public mutating func writeVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// ZigZag, then LEB128.
    public mutating func writeSignedVarint(_ value: Int64) { writeVarint(UInt64(bitPattern: value << 1 ^ value >> 63)) }

    public mutating func write(contentsOf other: some Collection<UInt8>) { bytes.append(contentsOf: other) }

    /// A varint length, then the bytes.
    public mutating func writeBytes(_ value: some Collection<UInt8>) {
        writeVarint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    /// UTF-8 with a varint length.
    public mutating func writeString(_ value: String) { writeBytes(value.utf8) }

    /// Sixteen bytes in network order.
    public mutating func write(_ actor: ActorID) {
        withUnsafeBytes(of: actor.high.bigEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: actor.low.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// Sixteen bytes in network order.
    public mutating func write(_ fingerprint: Fingerprint) { write(ActorID(high: fingerprint.high, low: fingerprint.low)) }

    /// 4 or 6, then the 4 or 16 bytes of the address, then the port, all in network order.
    public mutating func write(_ address: Address) {
        if let ipv4 = address.ipv4 {
            bytes.append(4)
            withUnsafeBytes(of: ipv4.bigEndian) { bytes.append(contentsOf: $0) }
        } else {
            bytes.append(6)
            write(ActorID(high: address.high, low: address.low))
        }
        withUnsafeBytes(of: address.port.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// A record: a varint length, then what `body` writes. Readers skip what they do not know at its end.
    public mutating func writeRecord(_ body: (inout ByteWriter) -> Void) {
        // Written in place, behind room for a length of one byte; a longer one is rare and moves the body.
        let start = bytes.count
        bytes.append(0)
        body(&self)
        let length = bytes.count - start - 1
        guard length >= 0x80 else {
            bytes[start] = UInt8(truncatingIfNeeded: length)
            return
        }
        var prefix = ByteWriter()
        prefix.writeVarint(UInt64(length))
        bytes.replaceSubrange(start...start, with: prefix.bytes)
    }

    /// Replaces a byte that was written before.
    mutating func replace(at index: Int, with byte: UInt8) { bytes[index] = byte }

    /// Takes back what was written behind the first `count` bytes.
    mutating func truncate(to count: Int) { bytes.removeSubrange(count...) }

    /// Appends what `body` puts at the beginning of a piece of memory of `capacity` bytes; it returns how much that is.
    mutating func write(capacity: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 8) { buffer in
            let count = body(buffer)
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}
