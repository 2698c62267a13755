import PatinaProtocol

/// Makes of what this build writes what a later one might: fields behind the known ones of every record, and records, items and frames
/// of kinds that this build does not know. Written from `docs/wire-format.md`, not with the code that reads it.
///
/// Whatever does not look as the document says is left as it is: it is not for this type to find that out.
struct LaterWire {
    /// Kinds that no build of today knows.
    static let messageKind: UInt8 = 9
    private static let recordKind: UInt8 = 99
    private static let frameKind: UInt8 = 99
    private static let itemKind: UInt8 = 9
    private static let memberState: UInt8 = 9
    /// What stands behind the fields that are known.
    private static let field: [UInt8] = [0xEE, 0x01, 0x7F]
    /// A field of a chunk's rows: a number and its content.
    private static let rowField: [UInt8] = [0xC8, 0x01, 0x02, 0xEE, 0xEE]

    /// Bytes that a datagram may have.
    let datagramBytes: Int
    /// Bytes that a message or frame may have.
    let messageBytes: Int

    // MARK: Datagrams and messages

    /// An envelope and a body.
    func grown(_ bytes: [UInt8], isDatagram: Bool) -> [UInt8] {
        let limit = isDatagram ? datagramBytes : messageBytes
        guard bytes.count > Envelope.overhead else { return bytes }
        var reader = ByteReader(bytes[Envelope.overhead...])
        var writer = ByteWriter(capacity: bytes.count + 64)
        writer.write(contentsOf: bytes.prefix(Envelope.overhead))
        do throws(MalformedInput) {
            switch MessageKind(rawValue: bytes[3]) {
            case .membership: try membership(&reader, &writer, limit: limit)
            case .broadcast: try broadcast(&reader, &writer, limit: limit)
            case .sync, nil: return bytes
            }
        } catch {
            return bytes
        }
        return writer.bytes.count <= limit ? writer.bytes : bytes
    }

    /// A message, or datagram, of a kind that nobody knows, in the cluster of another one.
    static func unknownMessage(like bytes: [UInt8]) -> [UInt8] { Array(bytes.prefix(3)) + [messageKind, 1, 2, 3] }

    private func membership(_ reader: inout ByteReader, _ writer: inout ByteWriter, limit: Int) throws(MalformedInput) {
        writer.write(try reader.readByte())
        writer.writeBytes(try reader.readBytes() + Self.field)
        writer.writeBytes(try reader.readBytes() + Self.field)
        writer.writeBytes([Self.itemKind] + Self.field)
        // A claim with a state that nobody knows: too short to be anything else.
        writer.writeBytes([1, Self.memberState])
        while !reader.isAtEnd {
            let item = try reader.readBytes()
            let hasRoom = writer.bytes.count + item.count + reader.remaining + Self.field.count + 4 <= limit
            writer.writeBytes(hasRoom ? Array(item) + Self.field : Array(item))
        }
    }

    private func broadcast(_ reader: inout ByteReader, _ writer: inout ByteWriter, limit: Int) throws(MalformedInput) {
        while !reader.isAtEnd {
            let kind = try reader.readByte()
            let record = try reader.readBytes()
            writer.write(Self.recordKind)
            writer.writeBytes(Self.field)
            writer.write(kind)
            writer.writeBytes(try kind <= 2 ? payload(record) + Self.field : record + Self.field)
        }
    }

    /// Hops and a chunk, whose header grows where it starts its way: what comes from others is forwarded as it came.
    private func payload(_ record: ArraySlice<UInt8>) throws(MalformedInput) -> ArraySlice<UInt8> {
        var reader = ByteReader(record)
        let hops = try reader.readVarint()
        guard hops == 1 else { return record }
        var writer = ByteWriter()
        writer.writeVarint(hops)
        writer.writeBytes(try reader.readBytes() + Self.field)
        writer.write(contentsOf: reader.rest)
        return writer.bytes[...]
    }

    // MARK: Sessions

    /// What a process writes to a session at once: perhaps an envelope, then whole frames.
    func grownSession(_ bytes: [UInt8]) -> [UInt8] {
        let start = Self.startsWithEnvelope(bytes) ? Envelope.overhead : 0
        var reader = ByteReader(bytes[start...])
        var writer = ByteWriter(capacity: bytes.count + 64)
        writer.write(contentsOf: bytes.prefix(start))
        do throws(MalformedInput) {
            while !reader.isAtEnd {
                let frame = try reader.readBytes()
                guard let kind = frame.first else { return bytes }
                writer.writeBytes([Self.frameKind] + Self.field)
                let body = frame.dropFirst()
                var grown = [kind]
                switch kind {
                case 4: grown += try state(body)
                case 6: grown += try chunk(body)
                default: grown += body
                }
                grown += Self.field
                writer.writeBytes(grown.count <= messageBytes ? grown : Array(frame))
            }
        } catch {
            return bytes
        }
        return writer.bytes
    }

    /// True for the beginning of a direction of a session: a frame that is one byte long, and of kind 1, cannot be.
    static func startsWithEnvelope(_ bytes: [UInt8]) -> Bool {
        bytes.count >= Envelope.overhead && bytes[0] == Envelope.wireVersion && bytes[1] == 1 && bytes[2] == 0
            && bytes[3] == MessageKind.sync.rawValue
    }

    private func state(_ body: ArraySlice<UInt8>) throws(MalformedInput) -> [UInt8] {
        var reader = ByteReader(body)
        var writer = ByteWriter()
        writer.write(contentsOf: try reader.read(count: 17))
        let actors = try reader.readVarint()
        writer.writeVarint(actors)
        for _ in 0..<min(actors, UInt64(reader.remaining)) {
            writer.write(contentsOf: try reader.read(count: 16))
            writer.writeBytes(try reader.readBytes() + Self.field)
        }
        writer.write(contentsOf: reader.rest)
        return writer.bytes
    }

    private func chunk(_ body: ArraySlice<UInt8>) throws(MalformedInput) -> [UInt8] {
        var reader = ByteReader(body)
        var writer = ByteWriter()
        writer.writeBytes(try reader.readBytes() + Self.field)
        writer.write(contentsOf: reader.rest)
        return writer.bytes
    }

    // MARK: Rows

    /// A chunk whose rows carry a field that nobody knows.
    static func grown(_ chunk: Chunk) -> Chunk { Chunk(id: chunk.id, timestamp: chunk.timestamp, body: chunk.body + rowField) }
}
