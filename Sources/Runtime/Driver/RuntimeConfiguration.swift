import NIOCore
import NIOPosix
import PatinaProtocol
import PatinaStore

/// Everything that a `NodeRuntime` is told when it starts.
public struct RuntimeConfiguration: Sendable {
    /// The database.
    public var location: StoreLocation
    /// How durable an acknowledged transaction is.
    public var synchronous: Synchronous = .normal
    /// How old a deletion must be before its tombstone is removed; nil: never. The same on all nodes; see `StoreOptions`.
    public var tombstoneRetention: Duration?
    /// Bytes that the write-ahead log's file is cut to when it begins anew.
    public var logBytes: Int64 = 64 << 20
    public var maintenance = MaintenanceConfiguration()
    /// Bound of the writing connection's page cache.
    public var cacheKiB = 1_048_576
    /// Applied before the node starts.
    public var schema: [SchemaFile] = []
    /// Whether that may drop columns and tables, and change columns.
    public var allowDestructiveSchema = false
    /// The socket, who is trusted, and the bounds of the transport. Its `limits` are replaced by `limits` below.
    public var quic: QUICConfiguration
    /// The address that other nodes reach this one at. Port 0: the one that was bound. Nil: the bound address, or, when
    /// that is a wildcard, an address of one of the machine's interfaces.
    public var advertised: Address?
    /// Where to look for the cluster: `host:port`, `address:port`, `[address]:port`; the port may be left out (4001).
    /// Names are resolved again and again.
    public var bootstrap: [String] = []
    /// Nodes of different clusters ignore each other.
    public var cluster: UInt16 = 0
    public var membership = MembershipConfiguration()
    public var broadcast = BroadcastConfiguration()
    public var sync = SyncConfiguration()
    public var limits = Limits()
    /// How often bootstrap names are resolved, and how often while this node is alone.
    public var resolvePeriod = Duration.seconds(60)
    public var resolvePeriodAlone = Duration.seconds(5)
    /// Read-only connections, at least 2; one or two of them are kept for what other nodes ask for.
    public var readers = min(20, max(4, 4 * System.coreCount))
    /// Local transactions that may wait for the writer; the next one gets `StoreError.busy`.
    public var waitingTransactions = 1_024
    /// Queries that may wait for a reader; the next one gets `StoreError.busy`.
    public var waitingQueries = 1_024
    /// A query whose consumer takes no rows for so long is ended.
    public var consumerPatience = Duration.seconds(300)
    /// Seeds the node's random decisions; nil draws one from the system.
    public var seed: UInt64?
    /// The loop that drives the node is one of these. Nil: a thread of its own, so that nothing else delays the protocol.
    public var group: (any EventLoopGroup)?
    /// Where to record everything that the node handles and wants; nil: nowhere.
    public var recording: RecordingConfiguration?
    /// Nanoseconds since 1970: what time stamps are made of.
    public var wallClock: @Sendable () -> Int64 = systemWallClock
    /// Receives everything that the node tells of itself, on the event loop. Must not block.
    public var observe: (@Sendable (Notice) -> Void)?

    /// - Parameters:
    ///   - location: the database.
    ///   - quic: the socket and who is trusted.
    public init(location: StoreLocation, quic: QUICConfiguration) {
        self.location = location
        self.quic = quic
    }
}

/// Why a runtime did not start, when neither the store nor the transport says it better.
public enum RuntimeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A bootstrap entry cannot be understood.
    case bootstrap(entry: String, reason: String)
    /// A value of the configuration is out of its bounds.
    case configuration(String)
    /// What the node does cannot be recorded there.
    case recording(directory: String, reason: String)

    public var description: String {
        switch self {
        case .bootstrap(let entry, let reason): "bootstrap entry \"\(entry)\": \(reason)"
        case .configuration(let reason): reason
        case .recording(let directory, let reason): "cannot record to \(directory): \(reason)"
        }
    }
}
