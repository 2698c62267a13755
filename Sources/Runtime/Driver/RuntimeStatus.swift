import PatinaProtocol

/// A node at one moment, for health checks and the admin socket.
public struct RuntimeStatus: Sendable {
    public var actor: ActorID
    /// The node's generation in the cluster; higher than the store's after a rejoin.
    public var generation: UInt64
    public var address: Address
    /// Members that are remembered, this node and those that are down or left included.
    public var rememberedMembers: Int
    /// Versions that are known to exist and of which nothing is here.
    public var gaps: UInt64
    /// Versions that are here in part.
    public var partialVersions: Int
    /// Versions that wait for a table or column that is not here yet (`docs/crdt.md`, "Schemas that differ").
    public var waitingVersions: Int
    /// Local transactions that wait for the writer.
    public var waitingTransactions: Int
    /// How long the versions that other nodes committed took to be applied here, from commit to commit: what 99 of 100
    /// of the last two minutes did not exceed. Nil when there were none.
    public var lag99: Duration?
    /// The protocol core: what waits for the store, what is cached, which sessions are open, the digest of what is known.
    public var node: NodeStatus
    /// What is known of every actor, in ascending order.
    public var actors: [ActorProgress]
    public var counters: RuntimeCounters
    public var transport: QUICCounters

    /// Members that are alive or suspected, this node included.
    public var aliveMembers: Int { node.aliveMembers }
    /// Chunks of other nodes that wait for the store or are in its hands.
    public var pendingChunks: Int { node.pendingChunks }
    /// Digest of everything that is known: equal on nodes that have the same.
    public var digest: Fingerprint { node.digest }

    /// What is known of one actor's versions.
    public struct ActorProgress: Hashable, Sendable {
        public var actor: ActorID
        /// The highest version of which anything is known.
        public var head: UInt64
        /// Versions below the head of which nothing is known.
        public var needs: IntervalSet
        /// Versions that are here in part, in ascending order.
        public var partials: [UInt64]
    }
}
