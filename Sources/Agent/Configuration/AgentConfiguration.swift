import PatinaProtocol
import PatinaStore

/// What an agent is told: the file, the environment over it, and defaults. Read once, at start.
public struct AgentConfiguration: Hashable, Sendable {
    public var database: Database
    public var api: API
    public var gossip: Gossip
    public var admin = Admin()
    public var log = Log()
    /// From the command line only: what is recorded holds user data, so nobody records by an oversight in a file.
    public var recording: Recording?
    /// For experiments only, and no key of the file: eight bytes that say by how many nanoseconds the wall clock is off, little-endian.
    /// They are read whenever the time is asked for.
    public var clockOffsetFile: String?
    /// For experiments only, and no key of the file: other settings of the protocol than the default ones, as `ProtocolSettings.bytes`.
    public var protocolSettingsFile: String?
    /// What was found and does nothing: misspelled keys, and keys of Corrosion's that have no effect here. One sentence each.
    public var warnings: [String] = []

    public init(database: Database, api: API, gossip: Gossip) {
        self.database = database
        self.api = api
        self.gossip = gossip
    }

    /// `[db]`
    public struct Database: Hashable, Sendable {
        public var path: String
        /// Schema files, or directories of which every `.sql` file is taken.
        public var schemaPaths: [String] = []
        /// Whether schema files may drop columns and tables, and change columns, at the start and at every reload.
        public var allowDestructiveSchema = false
        /// Bound of the writing connection's page cache.
        public var cacheKiB = 1_048_576
        public var synchronous: Synchronous = .normal
        /// How old a deletion must be before its tombstone is removed; nil: never. The same on all nodes.
        public var tombstoneRetention: Duration?
        /// `perf.wal_threshold_mb`: the size that the write-ahead log's file is cut to when it begins anew.
        public var logBytes: Int64 = 64 << 20

        public init(path: String) { self.path = path }
    }

    /// `[api]`
    public struct API: Hashable, Sendable {
        public var bind: [Address]
        /// When a request names another endpoint than this one, it came to the wrong agent.
        public var endpointName: String?
        /// Demanded of every request when set.
        public var bearerToken: String?
        /// Bytes of one request body.
        public var maximumBodyBytes = 64 * 1_024 * 1_024

        public init(bind: [Address]) { self.bind = bind }
    }

    /// `[gossip]`
    public struct Gossip: Hashable, Sendable {
        public var bind: Address
        /// The address that other nodes reach this one at, when it is not the bound one.
        public var external: Address?
        /// `host:port`, `address:port` or either without the port (4001).
        public var bootstrap: [String] = []
        public var security: Security
        /// Agents of different clusters ignore each other.
        public var cluster: UInt16 = 0
        public var idleTimeout: Duration = .seconds(30)
        /// Bytes of a UDP payload, fixed; nil: found out.
        public var maximumMTU: Int?
        public var disableSegmentationOffload = false

        public init(bind: Address, security: Security) {
            self.bind = bind
            self.security = security
        }
    }

    /// Who may join, by the rules of `[gossip.tls]`. Values are paths.
    public enum Security: Hashable, Sendable {
        /// Encrypted, and nobody is verified.
        case plaintext
        /// Both sides prove who they are. `client` replaces the certificate in the client's role.
        case mutual(server: KeyPair, authority: String, client: KeyPair)
        /// Only servers prove who they are; without an authority nobody checks it.
        case server(KeyPair, authority: String?)
    }

    /// The paths of a certificate and its key.
    public struct KeyPair: Hashable, Sendable {
        public var certificate: String
        public var key: String

        public init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// `[admin]`
    public struct Admin: Hashable, Sendable {
        public static let defaultSocketPath = "/var/run/corrosion/admin.sock"
        public var socketPath = Admin.defaultSocketPath

        public init() {}
    }

    /// `--record`: everything that the node handles and wants; see docs/event-log.md.
    public struct Recording: Hashable, Sendable {
        public var directory: String
        /// The program and its version, for people who read the log.
        public var build: String
        /// Bytes that the log of one start may have; nil: the runtime's default.
        public var limitBytes: Int?
        /// Only digests of the effects, which takes fewer bytes.
        public var keepsDigestsOnly = false

        public init(directory: String, build: String) {
            self.directory = directory
            self.build = build
        }
    }

    /// `[log]`
    public struct Log: Hashable, Sendable {
        public enum Format: String, Hashable, Sendable, CaseIterable { case plaintext, json }

        public var format: Format = .plaintext
        public var colors = true

        public init() {}
    }
}
