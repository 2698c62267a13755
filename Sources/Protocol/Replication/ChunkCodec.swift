/// How chunks and their names stand in messages and frames; `docs/wire-format.md`, "Chunks".
extension ByteWriter {
    /// A chunk's name without its actor: version, first sequence number, how many follow it in the chunk, and how many
    /// follow the chunk in the version.
    mutating func writePiece(_ id: ChunkID) {
        writeVarint(id.version)
        writeVarint(id.sequences.lowerBound)
        writeVarint(id.sequences.upperBound - id.sequences.lowerBound)
        writeVarint(id.lastSequence - id.sequences.upperBound)
    }

    /// The header record, then the body behind its length.
    mutating func write(_ chunk: Chunk) {
        writeRecord { header in
            header.write(chunk.id.actor)
            header.writePiece(chunk.id)
            header.write(chunk.timestamp.ntp64)
        }
        writeBytes(chunk.body)
    }
}

extension ByteReader {
    mutating func readPiece(of actor: ActorID) throws(MalformedInput) -> ChunkID {
        let version = try readVarint()
        let first = try readVarint()
        let (last, overflow) = first.addingReportingOverflow(try readVarint())
        let (end, carry) = last.addingReportingOverflow(try readVarint())
        guard version > 0 else { throw MalformedInput("a chunk of version 0: versions count from 1") }
        guard !overflow, !carry, let id = ChunkID(actor: actor, version: version, sequences: first...last, lastSequence: end) else {
            throw MalformedInput("a chunk's sequence numbers exceed 64 bits")
        }
        return id
    }

    mutating func readChunk() throws(MalformedInput) -> Chunk { try EncodedChunk(from: &self).chunk }
}

/// A chunk as it came, so that it is forwarded byte for byte: fields of later builds reach those who know them.
///
/// Slices of the message that brought it: until somebody asks for the `chunk`, nothing is copied.
struct EncodedChunk: Hashable, Sendable {
    let id: ChunkID
    let timestamp: HybridTimestamp
    /// The whole encoding.
    let bytes: ArraySlice<UInt8>
    private let body: ArraySlice<UInt8>

    init(from reader: inout ByteReader) throws(MalformedInput) {
        let start = reader.rest
        var header = try reader.readRecord()
        let actor = try header.readActor()
        id = try header.readPiece(of: actor)
        timestamp = HybridTimestamp(ntp64: try header.readUInt64())
        body = try reader.readBytes()
        bytes = start.prefix(start.count - reader.remaining)
    }

    init(_ chunk: Chunk) {
        var writer = ByteWriter(capacity: chunk.body.count + 48)
        writer.write(chunk)
        id = chunk.id
        timestamp = chunk.timestamp
        bytes = writer.bytes[...]
        body = bytes.suffix(chunk.body.count)
    }

    /// The chunk with a body of its own.
    var chunk: Chunk { Chunk(id: id, timestamp: timestamp, body: Array(body)) }
}
