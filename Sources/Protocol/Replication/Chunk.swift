/// A piece of one transaction as it travels: the cells with sequence numbers `sequences` of version `version` of `actor`.
///
/// A transaction that fits a message is one chunk with `sequences == 0...lastSequence`. The body is the encoding of
/// `RowChange`s by `ChangesetCodec`; only the store opens it, everything else forwards it as it came. A chunk may hold
/// fewer cells than its range says, even none: cells that later versions have overwritten need not travel any more.
public struct Chunk: Hashable, Sendable {
    public var id: ChunkID
    public var timestamp: HybridTimestamp
    public var body: [UInt8]

    public init(id: ChunkID, timestamp: HybridTimestamp, body: [UInt8]) {
        self.id = id
        self.timestamp = timestamp
        self.body = body
    }
}

/// What a chunk is a piece of. Versions count from 1 for each actor, sequence numbers from 0 for each version.
public struct ChunkID: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let actor: ActorID
    public let version: UInt64
    public let sequences: ClosedRange<UInt64>
    /// The last sequence number of the whole version, so that a receiver knows when it is complete.
    public let lastSequence: UInt64

    /// Nil unless `version >= 1` and `sequences` ends at or before `lastSequence`.
    public init?(actor: ActorID, version: UInt64, sequences: ClosedRange<UInt64>, lastSequence: UInt64) {
        guard version >= 1, sequences.upperBound <= lastSequence else { return nil }
        self.actor = actor
        self.version = version
        self.sequences = sequences
        self.lastSequence = lastSequence
    }

    /// True when the chunk is the whole version.
    public var isComplete: Bool { sequences == 0...lastSequence }

    public static func < (left: ChunkID, right: ChunkID) -> Bool {
        if left.actor != right.actor { return left.actor < right.actor }
        return (left.version, left.sequences.lowerBound, left.sequences.upperBound, left.lastSequence)
            < (right.version, right.sequences.lowerBound, right.sequences.upperBound, right.lastSequence)
    }

    public var description: String { "\(actor)/\(version)[\(sequences.lowerBound)-\(sequences.upperBound) of \(lastSequence)]" }
}

/// Versions of which nothing is left: every cell was overwritten by a later version, or nothing was ever written.
public struct EmptyVersions: Hashable, Sendable {
    public var actor: ActorID
    public var versions: ClosedRange<UInt64>

    public init(actor: ActorID, versions: ClosedRange<UInt64>) {
        self.actor = actor
        self.versions = versions
    }
}
