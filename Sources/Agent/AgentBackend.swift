import PatinaProtocol
import PatinaStore

/// What the HTTP server and the admin socket need of a node: a `NodeRuntime`, or something small in a test.
public protocol AgentBackend: Sendable {
    /// The identity of the node's database.
    var actor: ActorID { get }

    /// Runs the statements in one transaction and returns once it is committed.
    func transact(_ statements: [Statement], timeout: Duration?) async throws(StoreError) -> TransactionOutcome

    /// Starts a query. Its rows are read while they are taken, never far ahead.
    func query(_ statement: Statement, timeout: Duration?) async throws(StoreError) -> RowBatches

    /// Every member that the node remembers, itself included.
    func members() async -> [Member]

    /// Nil once the node was shut down.
    func status() async -> AgentStatus?

    /// - Parameter allowDestructive: also what loses data on this node.
    func reloadSchema(_ files: [SchemaFile], allowDestructive: Bool) async throws(StoreError) -> SchemaReport

    /// Joins the cluster again under a new generation.
    func rejoin() async

    /// Closes the connections to all other nodes; new ones are made when they are wanted.
    func closeConnections() async
}

/// The rows of a query, in batches, pulled by the consumer: the query rests while nobody asks.
public struct RowBatches: Sendable {
    public let columns: [String]
    private let pull: @Sendable () async throws(StoreError) -> [[Value]]?

    /// - Parameters:
    ///   - columns: the names of the columns.
    ///   - pull: gives the next rows, at least one; nil after the last. Never called concurrently.
    public init(columns: [String], pull: @escaping @Sendable () async throws(StoreError) -> [[Value]]?) {
        self.columns = columns
        self.pull = pull
    }

    /// The next rows; nil after the last.
    public func next() async throws(StoreError) -> [[Value]]? { try await pull() }
}

/// A node at one moment, as far as health checks and the admin socket tell of it.
public struct AgentStatus: Hashable, Sendable {
    public var actor: ActorID
    /// Members that are alive or suspected, this node included.
    public var aliveMembers: Int
    /// Versions that are known to exist and are not here.
    public var gaps: UInt64
    /// Chunks of other nodes that wait for the store.
    public var queueLength: Int
    /// Versions that wait for a table or column that is not in the schema here yet.
    public var waitingVersions: Int
    /// How long the versions of other nodes took to be applied here: what 99 of 100 of the last two minutes did not
    /// exceed. Nil when there were none.
    public var lag99: Duration?
    /// What is known of every actor's versions, in ascending order of actor.
    public var progress: [Progress]

    /// What is known of one actor's versions.
    public struct Progress: Hashable, Sendable {
        public var actor: ActorID
        /// The highest version of which anything is known.
        public var head: UInt64
        /// Versions of which nothing is here.
        public var needs: IntervalSet
        /// Versions that are here in part, in ascending order.
        public var partials: [UInt64]

        public init(actor: ActorID, head: UInt64, needs: IntervalSet, partials: [UInt64]) {
            self.actor = actor
            self.head = head
            self.needs = needs
            self.partials = partials
        }
    }

    public init(
        actor: ActorID, aliveMembers: Int = 1, gaps: UInt64 = 0, queueLength: Int = 0, waitingVersions: Int = 0, lag99: Duration? = nil,
        progress: [Progress] = []
    ) {
        self.actor = actor
        self.aliveMembers = aliveMembers
        self.gaps = gaps
        self.queueLength = queueLength
        self.waitingVersions = waitingVersions
        self.lag99 = lag99
        self.progress = progress
    }
}
