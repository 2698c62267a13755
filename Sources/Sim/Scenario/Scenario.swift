import Crypto
import PatinaProtocol
import PatinaStore

/// An experiment: a cluster, its network, what is written, what breaks, and what must hold. Read from a TOML file;
/// `docs/scenarios.md` describes the format.
public struct Scenario: Hashable, Sendable {
    public var name: String
    /// What the experiment shows, in a sentence.
    public var about: String
    /// Length of the run in virtual time.
    public var duration: Duration
    /// The time for the cluster to form before anything is asked of it.
    public var warmup: Duration
    /// Every fault that ends at all has ended this long before the run does.
    public var drain: Duration
    /// The seeds that the scenario is meant to be run with; the first one is the default.
    public var seeds: Seeds
    public var topology: Topology
    /// The first rule that matches a pair of nodes holds for it. A last rule for all pairs is always there.
    public var links: [LinkRule]
    public var node: NodeSettings
    /// Later ones are put over earlier ones.
    public var nodeOverrides: [NodeOverride]
    public var schema: [SchemaFile]
    public var workloads: [Workload]
    public var faults: [Fault]
    public var checks: [Check]
    /// What may go unluckily inside of the nodes.
    var chaos = ChaosSettings()
    /// What a swarm varies; a plain run takes no notice of it.
    public var swarm: SwarmSettings
    /// The tables that workloads write, as SQLite describes them.
    public internal(set) var tables: [TableShape]
    /// The file as it was named, for messages. Not part of the hash.
    public var file: String
    /// What is known of the schema from reading it; of no use once `schema` has changed.
    var probe: SchemaProbe?

    public enum Seeds: Hashable, Sendable {
        case range(from: UInt64, count: Int)
        case list([UInt64])

        /// All seeds, in order.
        public var all: [UInt64] {
            switch self {
            case .range(let from, let count): (0..<UInt64(count)).map { from &+ $0 }
            case .list(let seeds): seeds
            }
        }

        /// The seed that is used when none is asked for.
        public var first: UInt64 {
            switch self {
            case .range(let from, _): from
            case .list(let seeds): seeds[0]
            }
        }
    }

    /// Each machine has a disk that can lose data, rather than a database in memory: when a fault breaks disks, or when `[node]` asks.
    var hasDisks: Bool { node.machine.hasDisk || faults.contains { fault in FaultKind.disks.contains { $0.name == fault.kind } } }

    /// SHA-256 of the canonical form, in hexadecimal.
    public var hash: String {
        var hasher = SHA256()
        var text = canonical
        text.withUTF8 { hasher.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        return hexadecimalString(Array(hasher.finalize()))
    }
}

/// What the network does between two groups of nodes.
public struct LinkRule: Hashable, Sendable {
    public var from = Selector.all
    public var to = Selector.all
    /// The rule holds for traffic from `to` to `from` as well.
    public var both = false
    public var latency = LatencyRule.fixed(.constant(.milliseconds(1)))
    /// Everything but the latency, which may depend on the pair.
    public var model = LinkModel()

    public init() {}

    public enum LatencyRule: Hashable, Sendable {
        case fixed(LinkModel.Latency)
        /// The distance at a speed, at least `floor`, and up to `jitterPercent` more.
        case geographic(floor: Duration, kilometresPerMillisecond: Int, jitterPercent: Int)

        /// The longest of the times that the rule is made of.
        var longest: Duration {
            switch self {
            case .fixed(.constant(let duration)): duration
            case .fixed(.uniform(let range)): range.upperBound
            case .fixed(.exponential(let minimum, let mean)): max(minimum, mean)
            case .fixed(.empirical(let points)): points.last?.latency ?? .zero
            case .geographic(let floor, _, _): floor
            }
        }
    }
}

/// Something that is written during the run.
public struct Workload: Hashable, Sendable {
    public var kind: Kind
    public var table: String
    /// Mean time between two transactions; they come at random times (a Poisson process), whether or not the system keeps up.
    public var interval: Duration
    public var keys: Keys
    /// The nodes that are written at; each transaction draws one of them.
    public var at: Selector
    public var from: TimeAnchor
    public var to: TimeAnchor
    /// Rows in one transaction.
    public var rows: Int
    /// Bytes that one row's text and blob columns are filled up to, together.
    public var rowBytes: Int
    /// Which columns an upsert writes.
    public var columns: Columns
    /// The schema-change whose table is written, where it is not that of the beginning. Nodes that do not have it refuse.
    public var schema: String?
    /// Index into the scenario's tables.
    var shape = 0

    /// What its transactions do. A new kind is a case here and a `WorkloadScript`.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        case upsert, delete, counter, service, large, hot
        case schemaGrowth = "schema-growth"
    }

    public enum Columns: String, Hashable, Sendable, CaseIterable {
        case all
        /// One of them, drawn each time.
        case one
    }

    public enum Keys: Hashable, Sendable {
        case uniform(count: Int)
        /// Key number k is drawn in proportion to 1/k^s, with s in thousandths.
        case zipf(count: Int, exponent: Int)
        /// 0, 1, 2…, never twice.
        case sequential
    }
}

/// Something that breaks.
public struct Fault: Hashable, Sendable {
    public var id: String
    /// The name of a `FaultKind`.
    public var kind: String
    /// What the kind's own keys say.
    public var values: FaultValues
    public var timing: Timing
    public var length: Length

    /// Of a partition.
    public enum Direction: String, Hashable, Sendable, CaseIterable {
        case both
        /// What the first side sends does not reach the second.
        case firstToSecond = "a->b"
        case secondToFirst = "b->a"
    }

    public enum Timing: Hashable, Sendable {
        case once(TimeAnchor)
        /// Again and again, with this pause from one start to the next.
        case every(Pause, from: TimeAnchor, to: TimeAnchor)
    }

    public enum Pause: Hashable, Sendable {
        case uniform(ClosedRange<Duration>)
        case exponential(mean: Duration)
    }

    public enum Length: Hashable, Sendable {
        case uniform(ClosedRange<Duration>)
        /// Until the guaranteed heal.
        case untilHeal
        /// It is never repaired.
        case forever
    }
}

/// Something that must hold.
public enum Check: Hashable, Sendable {
    /// Holds at every look, and at the end.
    case always(Invariant)
    /// Becomes true at some look between `after` and `within` later.
    case eventually(Goal, after: TimeAnchor, within: Duration)
    /// Must not happen. `grace`: how long the circumstances must have been fair.
    case never(Occasion, grace: Duration)
    /// Must happen in one of the scenario's seeds, or the scenario proves nothing.
    case sometimes(Occasion)
    /// A number of the report, in thousandths, is within bounds.
    case metric(String, atMost: Int?, atLeast: Int?)
    /// The same for those occurrences, or versions, only of which a condition is true. Of the last three.
    indirect case only(Check, Condition)

    /// What can be true of the cluster at any time.
    public enum Invariant: String, Hashable, Sendable, CaseIterable {
        case noAcknowledgedWriteLost = "no-acked-write-lost"
        case bookkeepingMatchesRows = "bookkeeping-matches-rows"
        case matchesOracle = "matches-oracle"
        case ledgerMatchesStore = "ledger-matches-store"
        case gapsWellFormed = "gaps-well-formed"
        case noVersionFromNowhere = "no-version-from-nowhere"
        case noDuplicateApply = "no-duplicate-apply"
        case incarnationAscends = "incarnation-ascends"
        case noResurrection = "no-resurrection"
        case queuesBounded = "queues-bounded"
        case bytesBounded = "bytes-bounded"
    }

    /// What the cluster must reach.
    public enum Goal: String, Hashable, Sendable, CaseIterable {
        /// All live nodes know the same versions and hold the same rows.
        case converged
        /// All live nodes know every version that any of them knew when the check began.
        case caughtUp = "caught-up"
        /// Every live node's members are the live nodes, and no others.
        case membersAgree = "members-agree"
    }

    /// What can happen.
    public enum Occasion: String, Hashable, Sendable, CaseIterable {
        /// A live node that could be reached was declared down.
        case declaredDown = "declared-down"
        case suspected
        case refuted
        /// A chunk came in answer to a graft.
        case lazyRepair = "lazy-repair"
        /// A sync session brought something.
        case syncRepair = "sync-repair"
        case datagramLost = "datagram-lost"
        /// A bound of `Limits` was reached.
        case limitReached = "limit-reached"
        case malformedInput = "malformed-input"
        case chunkRefused = "chunk-refused"
        case storeFailed = "store-failed"
        /// Two transactions were given one version number of one actor.
        case versionReused = "version-reused"
        /// Something of a later wire version was skipped.
        case laterKindSkipped = "later-kind-skipped"
    }

    /// True when it is about something that must happen in one of the seeds.
    var mustHappen: Bool {
        switch self {
        case .sometimes, .only(.sometimes, _): true
        case .always, .eventually, .never, .metric, .only: false
        }
    }

    /// What the report calls the check.
    public var name: String {
        switch self {
        case .always(let invariant): "always \(invariant.rawValue)"
        case .eventually(let goal, let after, _): "eventually \(goal.rawValue) after \(after.text)"
        case .never(let occasion, _): "never \(occasion.rawValue)"
        case .sometimes(let occasion): "sometimes \(occasion.rawValue)"
        case .metric(let name, _, _): "metric \(name)"
        case .only(let check, let condition): "\(check.name) where \(condition.text)"
        }
    }
}
