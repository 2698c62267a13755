/// Everything that a node wants from the world. Plain values, imperative.
public enum Effect: Hashable, Sendable {
    /// Send an unreliable datagram of at most `Limits.datagramBytes`.
    case sendDatagram(to: Address, bytes: [UInt8])
    /// Send a whole message, apart from all others. Delivered whole or not at all; order between messages is free.
    case sendMessage(to: Address, bytes: [UInt8])
    case openSession(SessionID, to: Address)
    case writeSession(SessionID, bytes: [UInt8])
    /// Nothing more will be written; the peer may still write.
    case finishSession(SessionID)
    /// Drop the session in both directions at once.
    case resetSession(SessionID)
    case store(StoreOperation, StoreToken)
    /// Deliver `Event.deadlinePassed(timer)` at the given time. Timers are never cancelled; a stale one is ignored.
    case schedule(Timer, at: Instant)
    case notify(Notice)
    case measure(Measurement)
}

/// A buffer for effects that is reused from event to event, so that the hot path does not allocate.
public struct Effects: Sendable {
    public private(set) var items: [Effect] = []

    public init() {}

    public var isEmpty: Bool { items.isEmpty }
    public mutating func append(_ effect: Effect) { items.append(effect) }

    /// Hands the effects over in order and empties the buffer, keeping its memory.
    public mutating func drain(_ body: (Effect) throws -> Void) rethrows {
        defer { items.removeAll(keepingCapacity: true) }
        for effect in items { try body(effect) }
    }
}

/// What the world may want to know of a node: for logs, the admin socket, checkers and tests.
public enum Notice: Hashable, Sendable {
    case memberUp(MemberRecord)
    case memberSuspected(MemberRecord)
    case memberDown(MemberRecord)
    case memberLeft(MemberRecord)
    /// We were declared down, or suspected, and said otherwise.
    case refuted(incarnation: UInt64)
    /// The farewell of `Command.leave` is on its way; the engine may close.
    case left
    /// A version of another actor became complete here.
    case versionApplied(ActorID, version: UInt64)
    /// Input from a peer was not understood and was dropped.
    case malformed(from: Address, reason: String)
    case chunkRefused(ChunkID, reason: String)
    case storeFailed(reason: String)
}

/// Numbers for dashboards and reports. The same schema in simulation and in production.
public enum Measurement: Hashable, Sendable {
    case sent(MessageClass, bytes: Int)
    case received(MessageClass, bytes: Int)
    /// A chunk arrived that was known, or already waiting for the store.
    case duplicate(ChunkID)
    /// A chunk arrived that was new, after this many hops (1 = from its origin).
    case delivered(ChunkID, hops: UInt64)
    /// A bound of `Limits` was reached and something was dropped.
    case dropped(Bound)
    /// A probe was acknowledged after this long.
    case probed(ActorID, roundTrip: Duration)
    /// A sync session ended, having brought this many versions or pieces of versions.
    case synced(with: ActorID, chunks: Int, bytes: Int)
    /// A field or kind of a later wire version was skipped.
    case skipped(MessageClass)
    /// Something of another cluster arrived and was ignored.
    case foreignCluster
    /// Peers were told of this many chunks by announcement.
    case announced(chunks: Int)
    /// An announcer was asked for this many chunks that the tree had not brought in time.
    case graftSent(chunks: Int)
    /// Nobody who announced these chunks delivered them; sync will.
    case leftToSync(chunks: Int)
    /// A chunk that was new came in answer to a graft.
    case repaired(ChunkID)
    /// A server was full and told us to come back later.
    case syncRefused(by: ActorID)
    /// Chaos struck at the point with this number; in simulations only.
    case chaos(point: UInt8)

    /// What a message is for. `unknown` is a kind of a later build.
    public enum MessageClass: UInt8, Hashable, Sendable, CaseIterable { case membership, broadcast, sync, unknown }

    /// Which bound of `Limits` was reached.
    public enum Bound: UInt8, Hashable, Sendable, CaseIterable {
        case members, pendingChunks, pendingBytes, cachedChunks, announcedChunks, missingChunks, servedSessions, messageBytes
    }
}

/// A deadline that a node asked for, as a value. Each machine has its own.
public enum Timer: Hashable, Sendable {
    case membership(Membership.Timer)
    case broadcast(Broadcast.Timer)
    case sync(Sync.Timer)
    /// The node's own.
    case node(Node.Timer)
}
