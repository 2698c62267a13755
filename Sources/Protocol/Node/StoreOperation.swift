/// Storage work that a node asks for. The answer comes as `Event.stored` with the same token.
public enum StoreOperation: Hashable, Sendable {
    /// Merge or buffer chunks from peers, and note versions as empty, in one transaction.
    case apply(chunks: [Chunk], empties: [EmptyVersions])
    /// Read versions for a peer that syncs.
    case read(ReadRequest)
    /// Replace the persisted member list, from which a restarted node finds its peers.
    case saveMembers([MemberRecord])
}

/// Matches a `StoreResult` to its operation. Never reused within a node's run.
public struct StoreToken: Hashable, Sendable, Comparable {
    public let number: UInt64
    public init(_ number: UInt64) { self.number = number }
    public static func < (left: StoreToken, right: StoreToken) -> Bool { left.number < right.number }
}

/// Which versions a peer lacks, and how much of them may be sent at once.
public struct ReadRequest: Hashable, Sendable {
    public var wants: [Want]
    /// Stop before the chunk that would exceed this many body bytes, but send at least one.
    public var byteLimit: Int

    public init(wants: [Want], byteLimit: Int) {
        self.wants = wants
        self.byteLimit = byteLimit
    }

    /// In the order in which they are to be served; within a want the highest version comes first.
    public enum Want: Hashable, Sendable {
        case versions(ActorID, ClosedRange<UInt64>)
        case sequences(ActorID, version: UInt64, IntervalSet)
    }
}

/// A persisted member.
public struct MemberRecord: Hashable, Sendable {
    public var actor: ActorID
    public var generation: UInt64
    // Last, because what stands behind a record in a table uses the rest of its last word.
    public var address: Address

    public init(actor: ActorID, address: Address, generation: UInt64) {
        self.actor = actor
        self.address = address
        self.generation = generation
    }
}

/// What became of a `StoreOperation`.
public enum StoreResult: Hashable, Sendable {
    /// The transaction committed. `changes` holds for the node's copy of the ledger; `refused` names chunks that were
    /// malformed or do not fit the schema: they are not known, and may be offered again.
    case applied(changes: [LedgerChange], refused: [RefusedChunk])
    /// Chunks and empty versions for the peer; `remaining` is what the byte limit left over.
    case read(chunks: [Chunk], empties: [EmptyVersions], remaining: [ReadRequest.Want])
    case savedMembers
    /// Nothing happened. The node may try again.
    case failed(reason: String)
}

public struct RefusedChunk: Hashable, Sendable {
    public var id: ChunkID
    public var reason: String
    public init(id: ChunkID, reason: String) {
        self.id = id
        self.reason = reason
    }
}
