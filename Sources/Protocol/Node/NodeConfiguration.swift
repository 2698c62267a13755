/// What a node is told about itself before it starts.
public struct NodeConfiguration: Hashable, Sendable {
    public var actor: ActorID
    /// The address that other nodes reach this one at.
    public var address: Address
    /// Counts the starts of this node; the store hands out a higher one each time it is opened.
    public var generation: UInt64
    /// Nodes of different clusters ignore each other.
    public var cluster: UInt16
    /// Where to look for the cluster. May be replaced by `Event.bootstrapResolved`.
    public var bootstrap: [Address]
    public var membership: MembershipConfiguration
    public var broadcast: BroadcastConfiguration
    public var sync: SyncConfiguration
    public var limits: Limits
    /// Seeds every random decision of the node.
    public var seed: UInt64
    /// Apply operations that the store may have in hand at the same time; what arrives meanwhile makes the next batch.
    public var applyOperations = 1
    /// How long after a change of the members they are persisted; further changes meanwhile ride along.
    public var memberSaveDelay: Duration = .seconds(5)
    /// How often the persisted members are compared with the present ones.
    public var maintenanceInterval: Duration = .seconds(30)
    /// Set by the simulator alone.
    package var chaos = ChaosConfiguration()

    public init(
        actor: ActorID, address: Address, generation: UInt64, cluster: UInt16 = 0, bootstrap: [Address] = [],
        membership: MembershipConfiguration = .init(), broadcast: BroadcastConfiguration = .init(),
        sync: SyncConfiguration = .init(), limits: Limits = .init(), seed: UInt64
    ) {
        self.actor = actor
        self.address = address
        self.generation = generation
        self.cluster = cluster
        self.bootstrap = bootstrap
        self.membership = membership
        self.broadcast = broadcast
        self.sync = sync
        self.limits = limits
        self.seed = seed
    }
}
