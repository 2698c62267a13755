/// The records that a broadcast message is made of; `docs/wire-format.md`, "Broadcast".
enum BroadcastRecord {
    enum Kind: UInt8 {
        /// A chunk down the eager tree, or pushed at random.
        case eager = 1
        /// A chunk in answer to a graft.
        case grafted = 2
        /// Chunks that the sender can give.
        case announcement = 3
        /// Chunks that the sender wants.
        case graft = 4
    }

    case payload(EncodedChunk, hops: UInt64, isGraft: Bool)
    case announcement(ChunkList)
    case graft(ChunkList)

    /// The next record; nil for a kind of a later build, which is skipped.
    static func read(from reader: inout ByteReader) throws(MalformedInput) -> BroadcastRecord? {
        let kind = Kind(rawValue: try reader.readByte())
        var record = try reader.readRecord()
        switch kind {
        case .eager, .grafted:
            let hops = try record.readVarint()
            return .payload(try EncodedChunk(from: &record), hops: hops, isGraft: kind == .grafted)
        case .announcement: return .announcement(try ChunkList(from: &record))
        case .graft: return .graft(try ChunkList(from: &record))
        case nil: return nil
        }
    }
}

/// Names of chunks of one actor, and the address that an answer goes to.
struct ChunkList: Hashable, Sendable {
    /// More names than this in one record are refused, whatever our own limit is for writing.
    static let readLimit = 65_536

    var sender: Address
    /// All of one actor.
    var ids: ArraySlice<ChunkID>

    init(sender: Address, ids: ArraySlice<ChunkID>) {
        self.sender = sender
        self.ids = ids
    }

    init(from reader: inout ByteReader) throws(MalformedInput) {
        sender = try reader.readAddress()
        let actor = try reader.readActor()
        let count = try reader.readCount(limit: Self.readLimit, of: "chunks in a list")
        // A name takes at least four bytes: checked before memory is taken for what a peer merely claims.
        guard count <= reader.remaining / 4 else {
            throw MalformedInput("truncated: a list of \(count) chunks in \(reader.remaining) bytes")
        }
        var names: [ChunkID] = []
        names.reserveCapacity(count)
        for _ in 0..<count { names.append(try reader.readPiece(of: actor)) }
        ids = names[...]
    }
}

extension ByteWriter {
    mutating func write(_ kind: BroadcastRecord.Kind, _ list: ChunkList) {
        guard let actor = list.ids.first?.actor else { preconditionFailure("a list of chunks names at least one") }
        write(kind.rawValue)
        writeRecord { record in
            record.write(list.sender)
            record.write(actor)
            record.writeVarint(UInt64(list.ids.count))
            for id in list.ids { record.writePiece(id) }
        }
    }

    /// `chunk` is an encoded chunk.
    mutating func write(_ kind: BroadcastRecord.Kind, hops: UInt64, chunk: ArraySlice<UInt8>) {
        write(kind.rawValue)
        writeVarint(UInt64(varintLength(hops) + chunk.count))
        writeVarint(hops)
        write(contentsOf: chunk)
    }
}

/// Bytes that `writeVarint` appends.
func varintLength(_ value: UInt64) -> Int { max(1, (64 - value.leadingZeroBitCount + 6) / 7) }
