import PatinaProtocol

/// Everything that is counted during a run.
struct RunMetrics {
    // Network.
    var deliveredMessages: UInt64 = 0
    var deliveredBytes: UInt64 = 0
    var datagramsLost: UInt64 = 0
    var datagramsDoubled: UInt64 = 0
    var datagramsQueueFull: UInt64 = 0
    var datagramsCut: UInt64 = 0
    var datagramsCorrupted: UInt64 = 0
    /// Datagrams that found the inbox of a machine that stands still, or is slow, full.
    var inboxDrops: UInt64 = 0
    var messagesLost: UInt64 = 0
    var connectionsLost: UInt64 = 0
    /// Attempts to connect that a peer answered with a refusal.
    var handshakesRefused: UInt64 = 0
    var sessions: UInt64 = 0
    var unroutable: UInt64 = 0
    // Workload and faults.
    var transactionsAcknowledged: UInt64 = 0
    var transactionsRefused: UInt64 = 0
    /// Versions whose commit was acknowledged.
    private(set) var versionsAcknowledged: UInt64 = 0
    var faults: UInt64 = 0
    // Protocol.
    private(set) var sent = Classes()
    private(set) var chunksDelivered: UInt64 = 0
    private(set) var chunksDuplicate: UInt64 = 0
    private(set) var hopsMaximum: UInt64 = 0
    private(set) var hopsTotal: UInt64 = 0
    private(set) var chunksAnnounced: UInt64 = 0
    private(set) var chunksGrafted: UInt64 = 0
    private(set) var chunksRepaired: UInt64 = 0
    private(set) var syncSessions: UInt64 = 0
    private(set) var syncChunks: UInt64 = 0
    private(set) var syncBytes: UInt64 = 0
    private(set) var syncRefused: UInt64 = 0
    private(set) var limitDrops: UInt64 = 0
    /// How often chaos struck, by point.
    private var chaos = [UInt64](repeating: 0, count: ChaosPoint.allCases.count)
    var downDeclarations: UInt64 = 0
    // Latencies.
    /// From acknowledgement to visibility, at each other node.
    private(set) var propagation = Histogram()
    /// The same for versions that no fault was active for.
    private(set) var undisturbed = Histogram()
    /// From acknowledgement until the last other node saw it; versions that all nodes have seen.
    private(set) var coverage = Histogram()
    /// From a heal or a restart until every live node knew what any did at that time.
    var catchUp = Histogram()
    var catchUpsUnfinished: UInt64 = 0
    /// From a crash until another node declared the crashed one down.
    private(set) var detection = Histogram()

    private let nodes: Int
    /// For each node, by version, when it was acknowledged, and how many others have applied it. Looked up by key only: numbers may jump.
    private var acknowledgements: [[UInt64: Acknowledged]]
    private var crashedAt: [Instant?]

    private struct Acknowledged {
        var at: Instant
        var applications: UInt32 = 0
    }

    struct Classes {
        var messages = [UInt64](repeating: 0, count: Measurement.MessageClass.allCases.count)
        var bytes = [UInt64](repeating: 0, count: Measurement.MessageClass.allCases.count)
    }

    init(nodes: Int) {
        self.nodes = nodes
        acknowledgements = Array(repeating: [:], count: nodes)
        crashedAt = Array(repeating: nil, count: nodes)
    }

    mutating func delivered(bytes: Int) {
        deliveredMessages += 1
        deliveredBytes += UInt64(bytes)
    }

    mutating func record(_ measurement: Measurement) {
        switch measurement {
        case .sent(let kind, let bytes):
            sent.messages[Int(kind.rawValue)] += 1
            sent.bytes[Int(kind.rawValue)] += UInt64(bytes)
        case .delivered(_, let hops):
            chunksDelivered += 1
            hopsMaximum = max(hopsMaximum, hops)
            hopsTotal += hops
        case .duplicate: chunksDuplicate += 1
        case .announced(let chunks): chunksAnnounced += UInt64(chunks)
        case .graftSent(let chunks): chunksGrafted += UInt64(chunks)
        case .repaired: chunksRepaired += 1
        case .synced(_, let chunks, let bytes):
            syncSessions += 1
            syncChunks += UInt64(chunks)
            syncBytes += UInt64(bytes)
        case .syncRefused: syncRefused += 1
        case .dropped: limitDrops += 1
        case .chaos(let number):
            if let point = ChaosPoint(rawValue: number) { struck(point) }
        case .received, .probed, .skipped, .foreignCluster, .leftToSync: break
        }
    }

    mutating func struck(_ point: ChaosPoint) { chaos[Int(point.rawValue)] += 1 }
    func strikes(of point: ChaosPoint) -> UInt64 { chaos[Int(point.rawValue)] }

    mutating func acknowledged(version: UInt64, by node: Int, at now: Instant) {
        acknowledgements[node][version] = Acknowledged(at: now)
        versionsAcknowledged += 1
    }

    /// A version of `origin` became visible at another node. `quietSince`: since when no fault has been active; nil while one is.
    /// Returns how long that took; nil when nobody was told that the version is committed.
    mutating func applied(version: UInt64, of origin: Int, at now: Instant, quietSince: Instant?) -> Duration? {
        guard let start = acknowledgements[origin][version]?.at else { return nil }
        let latency = now - start
        propagation.record(latency)
        if let quietSince, quietSince < start { undisturbed.record(latency) }
        acknowledgements[origin][version]?.applications += 1
        if acknowledgements[origin][version]?.applications == UInt32(nodes - 1) { coverage.record(latency) }
        return latency
    }

    mutating func crashed(_ node: Int, at now: Instant) { crashedAt[node] = now }

    /// Some node declared a node down that is down indeed.
    mutating func detected(_ node: Int, at now: Instant) {
        if let start = crashedAt[node] { detection.record(now - start) }
    }
}

/// The numbers of a report by name, in the order in which it lists them.
enum ReportMetrics {
    static let names = all.map(\.name)

    static let all: [(name: String, value: @Sendable (RunMetrics) -> Double)] =
        latencies + broadcast + classes + sync + network + workload

    private static let latencies: [(name: String, value: @Sendable (RunMetrics) -> Double)] = [
        ("propagation.count", { Double($0.propagation.count) }),
        ("propagation.p50_ms", { $0.propagation.milliseconds(percentile: 500) }),
        ("propagation.p99_ms", { $0.propagation.milliseconds(percentile: 990) }),
        ("propagation.max_ms", { $0.propagation.maximumMilliseconds }),
        ("propagation.undisturbed.count", { Double($0.undisturbed.count) }),
        ("propagation.undisturbed.p50_ms", { $0.undisturbed.milliseconds(percentile: 500) }),
        ("propagation.undisturbed.p99_ms", { $0.undisturbed.milliseconds(percentile: 990) }),
        ("propagation.undisturbed.max_ms", { $0.undisturbed.maximumMilliseconds }),
        ("coverage.count", { Double($0.coverage.count) }),
        ("coverage.p50_ms", { $0.coverage.milliseconds(percentile: 500) }),
        ("coverage.p99_ms", { $0.coverage.milliseconds(percentile: 990) }),
        ("catch_up.count", { Double($0.catchUp.count) }),
        ("catch_up.p50_ms", { $0.catchUp.milliseconds(percentile: 500) }),
        ("catch_up.max_ms", { $0.catchUp.maximumMilliseconds }),
        ("catch_up.unfinished", { Double($0.catchUpsUnfinished) }),
        ("membership.detection.count", { Double($0.detection.count) }),
        ("membership.detection.p50_ms", { $0.detection.milliseconds(percentile: 500) }),
        ("membership.detection.p99_ms", { $0.detection.milliseconds(percentile: 990) }),
        ("membership.down_declarations", { Double($0.downDeclarations) }),
    ]

    private static let broadcast: [(name: String, value: @Sendable (RunMetrics) -> Double)] = [
        ("broadcast.chunks_delivered", { Double($0.chunksDelivered) }),
        ("broadcast.chunks_duplicate", { Double($0.chunksDuplicate) }),
        // Relative message redundancy (Plumtree): payloads that came in vain for each that did not.
        ("broadcast.rmr", { $0.chunksDelivered == 0 ? 0 : rounded(Double($0.chunksDuplicate) / Double($0.chunksDelivered)) }),
        ("broadcast.hops_max", { Double($0.hopsMaximum) }),
        ("broadcast.hops_mean", { $0.chunksDelivered == 0 ? 0 : rounded(Double($0.hopsTotal) / Double($0.chunksDelivered)) }),
        ("broadcast.chunks_announced", { Double($0.chunksAnnounced) }),
        ("broadcast.chunks_grafted", { Double($0.chunksGrafted) }),
        ("broadcast.chunks_repaired", { Double($0.chunksRepaired) }),
    ]

    private static let classes: [(name: String, value: @Sendable (RunMetrics) -> Double)] =
        sent("membership", .membership) + sent("broadcast", .broadcast) + sent("sync", .sync)

    private static func sent(
        _ name: String, _ kind: Measurement.MessageClass
    ) -> [(name: String, value: @Sendable (RunMetrics) -> Double)] {
        let index = Int(kind.rawValue)
        return [
            ("\(name).messages_sent", { Double($0.sent.messages[index]) }),
            ("\(name).bytes_sent", { Double($0.sent.bytes[index]) }),
        ]
    }

    private static let sync: [(name: String, value: @Sendable (RunMetrics) -> Double)] = [
        ("sync.sessions", { Double($0.syncSessions) }),
        ("sync.chunks", { Double($0.syncChunks) }),
        ("sync.bytes", { Double($0.syncBytes) }),
        ("sync.refused", { Double($0.syncRefused) }),
    ]

    private static let network: [(name: String, value: @Sendable (RunMetrics) -> Double)] = [
        ("network.datagrams_lost", { Double($0.datagramsLost) }),
        ("network.datagrams_doubled", { Double($0.datagramsDoubled) }),
        ("network.datagrams_queue_full", { Double($0.datagramsQueueFull) }),
        ("network.datagrams_cut", { Double($0.datagramsCut) }),
        ("network.datagrams_corrupted", { Double($0.datagramsCorrupted) }),
        ("network.inbox_drops", { Double($0.inboxDrops) }),
        ("network.messages_lost", { Double($0.messagesLost) }),
        ("network.connections_lost", { Double($0.connectionsLost) }),
        ("network.handshakes_refused", { Double($0.handshakesRefused) }),
        ("network.sessions", { Double($0.sessions) }),
        ("network.unroutable", { Double($0.unroutable) }),
        ("limits.drops", { Double($0.limitDrops) }),
    ]

    private static let workload: [(name: String, value: @Sendable (RunMetrics) -> Double)] = [
        ("transactions.acknowledged", { Double($0.transactionsAcknowledged) }),
        ("transactions.refused", { Double($0.transactionsRefused) }),
        ("faults", { Double($0.faults) }),
    ]

    /// Three decimals.
    private static func rounded(_ number: Double) -> Double { (number * 1_000).rounded() / 1_000 }
}
