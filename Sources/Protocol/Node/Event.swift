/// Everything that can happen to a node. Plain values, past tense: they are logged, replayed and diffed.
public enum Event: Hashable, Sendable {
    /// The first event of a node's life.
    case started
    /// An unreliable datagram arrived. `from` is the transport's remote address: a hint for logs, not an identity.
    case datagramReceived(from: Address, bytes: [UInt8])
    /// A whole message arrived.
    case messageReceived(from: Address, bytes: [UInt8])
    /// A peer opened a sync session with us.
    case sessionOpened(SessionID, from: Address)
    /// Bytes of a session, in order, cut anywhere.
    case sessionReceived(SessionID, bytes: [UInt8])
    /// The peer has sent all that it will send.
    case sessionFinished(SessionID)
    /// The session is over, and what was not delivered never will be: reset, refused, or its connection was lost.
    case sessionLost(SessionID)
    /// The transport gave up on the connection to a peer. Messages in flight are lost.
    case peerLost(Address)
    /// The bootstrap names resolved to these addresses.
    case bootstrapResolved([Address])
    case deadlinePassed(Timer)
    /// A local transaction committed; these chunks are the whole of one version.
    case transactionCommitted([Chunk])
    case stored(StoreToken, StoreResult)
    /// The store did something by itself (`Store.upkeep`), such as merging versions that waited for a schema.
    case storeChanged([LedgerChange])
    case commanded(Command)
}

/// A bidirectional stream. The node numbers the ones that it opens upwards from zero with `initiator == .node`;
/// the engine numbers those that peers open, with `initiator == .peer`.
public struct SessionID: Hashable, Sendable, Comparable {
    public enum Initiator: UInt8, Hashable, Sendable { case node, peer }
    public let initiator: Initiator
    public let number: UInt64

    public init(_ initiator: Initiator, _ number: UInt64) {
        self.initiator = initiator
        self.number = number
    }

    public static func < (left: SessionID, right: SessionID) -> Bool {
        (left.initiator.rawValue, left.number) < (right.initiator.rawValue, right.number)
    }
}

/// What an operator, or the process that is about to end, asks of a node.
public enum Command: Hashable, Sendable {
    /// Tell the cluster goodbye. The node answers with `Notice.left` once the farewell is sent.
    case leave
    /// Take a new generation and join again through the bootstrap addresses.
    case rejoin
}
