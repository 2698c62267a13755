import PatinaProtocol

/// Sums of a node's measurements since it started.
public struct RuntimeCounters: Hashable, Sendable {
    /// Messages and datagrams of one class, and their bytes.
    public struct Traffic: Hashable, Sendable {
        public var messages: UInt64 = 0
        public var bytes: UInt64 = 0

        fileprivate mutating func add(_ size: Int) {
            messages += 1
            bytes += UInt64(size)
        }
    }

    private var sentTraffic = [Traffic](repeating: Traffic(), count: Measurement.MessageClass.allCases.count)
    private var receivedTraffic = [Traffic](repeating: Traffic(), count: Measurement.MessageClass.allCases.count)
    private var drops = [UInt64](repeating: 0, count: Measurement.Bound.allCases.count)
    /// Local transactions that became a version.
    public internal(set) var versionsCommitted: UInt64 = 0
    /// Versions of other nodes that became complete here.
    public internal(set) var versionsApplied: UInt64 = 0
    /// Chunks that were new, and those that were known already.
    public private(set) var delivered: UInt64 = 0
    public private(set) var duplicates: UInt64 = 0
    /// Chunks that peers were told of, that were asked for, and that came in answer.
    public private(set) var announced: UInt64 = 0
    public private(set) var grafted: UInt64 = 0
    public private(set) var repaired: UInt64 = 0
    /// Announced chunks that nobody delivered, and that were left to sync.
    public private(set) var leftToSync: UInt64 = 0
    /// Sync sessions that ended, and the chunks and bytes that they brought.
    public private(set) var syncSessions: UInt64 = 0
    public private(set) var syncChunks: UInt64 = 0
    public private(set) var syncBytes: UInt64 = 0
    /// Sync sessions that a full server turned away.
    public private(set) var syncRefused: UInt64 = 0
    /// Probes that were acknowledged.
    public private(set) var probes: UInt64 = 0
    /// Fields or kinds of a later wire version that were skipped.
    public private(set) var skipped: UInt64 = 0
    /// What arrived from other clusters.
    public private(set) var foreignCluster: UInt64 = 0
    /// Inputs of peers that were not understood.
    public internal(set) var malformed: UInt64 = 0
    /// Chunks that the store refused.
    public internal(set) var chunksRefused: UInt64 = 0

    init() {}

    public func sent(_ kind: Measurement.MessageClass) -> Traffic { sentTraffic[Self.index(of: kind)] }
    public func received(_ kind: Measurement.MessageClass) -> Traffic { receivedTraffic[Self.index(of: kind)] }
    /// How often something was dropped because a bound of `Limits` was reached.
    public func dropped(_ bound: Measurement.Bound) -> UInt64 { drops[Self.index(of: bound)] }

    mutating func add(_ measurement: Measurement) {
        switch measurement {
        case .sent(let kind, let bytes): sentTraffic[Self.index(of: kind)].add(bytes)
        case .received(let kind, let bytes): receivedTraffic[Self.index(of: kind)].add(bytes)
        case .duplicate: duplicates += 1
        case .delivered: delivered += 1
        case .dropped(let bound): drops[Self.index(of: bound)] += 1
        case .probed: probes += 1
        case .synced(_, let chunks, let bytes):
            syncSessions += 1
            syncChunks += UInt64(chunks)
            syncBytes += UInt64(bytes)
        case .skipped: skipped += 1
        case .foreignCluster: foreignCluster += 1
        case .announced(let chunks): announced += UInt64(chunks)
        case .graftSent(let chunks): grafted += UInt64(chunks)
        case .leftToSync(let chunks): leftToSync += UInt64(chunks)
        case .repaired: repaired += 1
        case .syncRefused: syncRefused += 1
        // In simulations only.
        case .chaos: break
        }
    }

    private static func index<Kind: CaseIterable & Equatable>(of kind: Kind) -> Int where Kind.AllCases == [Kind] {
        guard let index = Kind.allCases.firstIndex(of: kind) else { preconditionFailure("a case is not among all cases") }
        return index
    }
}
