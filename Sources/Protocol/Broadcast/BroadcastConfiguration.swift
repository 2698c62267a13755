/// How changes are pushed through the cluster.
public struct BroadcastConfiguration: Hashable, Sendable {
    /// The way in which the receivers of a chunk are chosen. All nodes of a cluster should use the same one; mixing them
    /// costs duplicates, never a lost change.
    public var kind: Kind = .trees
    /// Trees: children of a node in each of the two trees, at least 2. Flood: random members that a new chunk is pushed to.
    public var fanout = 8
    /// How long announcements are collected before they are sent.
    public var announceInterval: Duration = .milliseconds(50)
    /// How long a node that heard of a chunk waits for the chunk itself before it asks an announcer for it. Shorter repairs
    /// sooner; shorter than the spread of the paths' latencies asks for chunks that are on their way.
    public var graftDelay: Duration = .milliseconds(200)
    /// How long an answer to a graft is waited for before the next announcer is asked.
    public var graftTimeout: Duration = .milliseconds(500)
    /// How many announcers are asked for a chunk before it is left to sync.
    public var graftAttempts = 3
    /// How long a chunk is kept to answer grafts, unless the bounds of the cache take it sooner.
    public var cacheLifetime: Duration = .seconds(15)
    /// Bytes at which a message of several chunks is cut. A larger chunk travels alone.
    public var messageBytes = 256 * 1_024
    /// Hops after which a chunk is not forwarded any more: a guard against circles while views of the membership differ.
    public var hopLimit: UInt64 = 32

    public init() {}

    /// The configuration with every value raised to the nearest that the machine can work with.
    var sane: BroadcastConfiguration {
        var result = self
        // A chain would be longer than the hop limit.
        result.fanout = max(fanout, kind == .trees ? 2 : 1)
        result.announceInterval = max(announceInterval, .zero)
        result.graftDelay = max(graftDelay, .zero)
        result.graftTimeout = max(graftTimeout, .milliseconds(1))
        return result
    }

    public enum Kind: UInt8, Hashable, Sendable, CaseIterable {
        /// Payload down one tree for each origin, announcements down a second one; see `Tree`.
        case trees
        /// The baseline: push what is new to random members, once ("infect and die"; Demers et al., 1987).
        case flood
    }
}
