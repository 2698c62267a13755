import PatinaProtocol

/// What a scenario says of its nodes: the protocol's own configuration, and what the simulated machine is like.
public struct NodeSettings: Hashable, Sendable {
    public var membership = MembershipConfiguration()
    public var broadcast = BroadcastConfiguration()
    public var sync = SyncConfiguration()
    public var limits = Limits()
    public var machine = Machine()

    public init() {}

    /// The parts of a simulated machine that are not its network.
    public struct Machine: Hashable, Sendable {
        /// How long the writer is busy with one operation.
        public var diskWrite: ClosedRange<Duration> = .microseconds(300)...(.microseconds(900))
        /// How long a read takes; reads do not wait for each other.
        public var diskRead: ClosedRange<Duration> = .microseconds(100)...(.microseconds(400))
        /// How far a wall clock may be off in either direction. Each machine draws its own error.
        public var clockSkew: Duration = .zero
        /// How long a connection over which nothing comes back is kept.
        public var idleTimeout: Duration = .seconds(30)
        /// How long a connection that was never made is tried.
        public var connectTimeout: Duration = .seconds(5)

        public init() {}
    }
}

/// One key of `[node]`: how it is read and how the canonical form prints it.
struct NodeKey: Sendable {
    let name: String
    /// A sample value, for messages.
    let example: String
    /// Nil when the value is not understood.
    let set: @Sendable (DocumentValue, inout NodeSettings) -> Bool
    let text: @Sendable (NodeSettings) -> String

    /// All keys, in the order of the canonical form.
    static let all: [NodeKey] = membership + broadcast + sync + limits + machine

    private static let membership: [NodeKey] = [
        duration("swim.period") {
            $0.membership.probePeriod
        } set: {
            $0.membership.probePeriod = $1
        },
        duration("swim.probe_timeout_floor") {
            $0.membership.probeTimeoutFloor
        } set: {
            $0.membership.probeTimeoutFloor = $1
        },
        duration("swim.probe_timeout_cap") {
            $0.membership.probeTimeoutCap
        } set: {
            $0.membership.probeTimeoutCap = $1
        },
        integer("swim.indirect_probes", 0...100) {
            $0.membership.indirectProbes
        } set: {
            $0.membership.indirectProbes = $1
        },
        integer("swim.health_cap", 0...100) {
            $0.membership.healthCap
        } set: {
            $0.membership.healthCap = $1
        },
        duration("swim.suspicion_floor") {
            $0.membership.suspicionFloor
        } set: {
            $0.membership.suspicionFloor = $1
        },
        duration("swim.suspicion_cap") {
            $0.membership.suspicionCap
        } set: {
            $0.membership.suspicionCap = $1
        },
        integer("swim.confirmations", 0...3) {
            $0.membership.confirmations
        } set: {
            $0.membership.confirmations = $1
        },
        integer("swim.transmission_factor", 1...100) {
            $0.membership.transmissionFactor
        } set: {
            $0.membership.transmissionFactor = $1
        },
        duration("swim.gossip_period") {
            $0.membership.gossipPeriod
        } set: {
            $0.membership.gossipPeriod = $1
        },
        integer("swim.gossip_fanout", 1...100) {
            $0.membership.gossipFanout
        } set: {
            $0.membership.gossipFanout = $1
        },
        duration("swim.exchange_period") {
            $0.membership.exchangePeriod
        } set: {
            $0.membership.exchangePeriod = $1
        },
        duration("swim.announce_floor") {
            $0.membership.announceFloor
        } set: {
            $0.membership.announceFloor = $1
        },
        duration("swim.announce_cap") {
            $0.membership.announceCap
        } set: {
            $0.membership.announceCap = $1
        },
        duration("swim.join_retry_floor") {
            $0.membership.joinRetryFloor
        } set: {
            $0.membership.joinRetryFloor = $1
        },
        duration("swim.join_retry_cap") {
            $0.membership.joinRetryCap
        } set: {
            $0.membership.joinRetryCap = $1
        },
    ]

    private static let broadcast: [NodeKey] = [
        NodeKey(
            name: "broadcast.kind", example: BroadcastConfiguration.Kind.allCases.map { "\"\($0)\"" }.joined(separator: " or ")
        ) { value, settings in
            guard case .string(let text) = value, let kind = BroadcastConfiguration.Kind.allCases.first(where: { "\($0)" == text })
            else { return false }
            settings.broadcast.kind = kind
            return true
        } text: {
            "\"\($0.broadcast.kind)\""
        },
        integer("broadcast.fanout", 1...1_000) {
            $0.broadcast.fanout
        } set: {
            $0.broadcast.fanout = $1
        },
        duration("broadcast.announce_interval") {
            $0.broadcast.announceInterval
        } set: {
            $0.broadcast.announceInterval = $1
        },
        duration("broadcast.graft_delay") {
            $0.broadcast.graftDelay
        } set: {
            $0.broadcast.graftDelay = $1
        },
        duration("broadcast.graft_timeout") {
            $0.broadcast.graftTimeout
        } set: {
            $0.broadcast.graftTimeout = $1
        },
        integer("broadcast.graft_attempts", 0...100) {
            $0.broadcast.graftAttempts
        } set: {
            $0.broadcast.graftAttempts = $1
        },
        duration("broadcast.cache_lifetime") { $0.broadcast.cacheLifetime } set: { $0.broadcast.cacheLifetime = $1 },
        bytes("broadcast.message_bytes", 1...16_777_216) {
            $0.broadcast.messageBytes
        } set: {
            $0.broadcast.messageBytes = $1
        },
        integer("broadcast.hop_limit", 1...1_000) {
            Int($0.broadcast.hopLimit)
        } set: {
            $0.broadcast.hopLimit = UInt64($1)
        },
    ]

    private static let sync: [NodeKey] = [
        duration("sync.minimum_interval") {
            $0.sync.minimumInterval
        } set: {
            $0.sync.minimumInterval = $1
        },
        duration("sync.maximum_interval") {
            $0.sync.maximumInterval
        } set: {
            $0.sync.maximumInterval = $1
        },
        integer("sync.jitter_percent", 0...100) {
            $0.sync.jitterPercent
        } set: {
            $0.sync.jitterPercent = $1
        },
        duration("sync.settle_time") {
            $0.sync.settleTime
        } set: {
            $0.sync.settleTime = $1
        },
        duration("sync.session_timeout") {
            $0.sync.sessionTimeout
        } set: {
            $0.sync.sessionTimeout = $1
        },
        duration("sync.session_limit") {
            $0.sync.sessionLimit
        } set: {
            $0.sync.sessionLimit = $1
        },
        duration("sync.retry_after") {
            $0.sync.retryAfter
        } set: {
            $0.sync.retryAfter = $1
        },
    ]

    private static let limits: [NodeKey] = [
        bytes("limits.chunk_bytes", 64...1_048_576) {
            $0.limits.chunkBytes
        } set: {
            $0.limits.chunkBytes = $1
        },
        integer("limits.pending_chunks", 1...1_000_000) {
            $0.limits.pendingChunks
        } set: {
            $0.limits.pendingChunks = $1
        },
        bytes("limits.pending_bytes", 1...1_073_741_824) {
            $0.limits.pendingBytes
        } set: {
            $0.limits.pendingBytes = $1
        },
        integer("limits.cached_chunks", 0...1_000_000) {
            $0.limits.cachedChunks
        } set: {
            $0.limits.cachedChunks = $1
        },
        bytes("limits.cached_bytes", 0...1_073_741_824) {
            $0.limits.cachedBytes
        } set: {
            $0.limits.cachedBytes = $1
        },
        integer("limits.missing_chunks", 0...1_000_000) {
            $0.limits.missingChunks
        } set: {
            $0.limits.missingChunks = $1
        },
        integer("limits.served_sessions", 1...1_000) {
            $0.limits.servedSessions
        } set: {
            $0.limits.servedSessions = $1
        },
        integer("limits.own_sessions", 1...1_000) {
            $0.limits.ownSessions
        } set: {
            $0.limits.ownSessions = $1
        },
    ]

    private static let machine: [NodeKey] = [
        durations("disk.write") {
            $0.machine.diskWrite
        } set: {
            $0.machine.diskWrite = $1
        },
        durations("disk.read") {
            $0.machine.diskRead
        } set: {
            $0.machine.diskRead = $1
        },
        duration("clock.skew") {
            $0.machine.clockSkew
        } set: {
            $0.machine.clockSkew = $1
        },
        duration("transport.idle_timeout") {
            $0.machine.idleTimeout
        } set: {
            $0.machine.idleTimeout = $1
        },
        duration("transport.connect_timeout") {
            $0.machine.connectTimeout
        } set: {
            $0.machine.connectTimeout = $1
        },
    ]

    private static func duration(
        _ name: String, get: @escaping @Sendable (NodeSettings) -> Duration, set: @escaping @Sendable (inout NodeSettings, Duration) -> Void
    ) -> NodeKey {
        NodeKey(name: name, example: "\"1s\"") { value, settings in
            guard case .string(let text) = value, let duration = Quantity.duration(text) else { return false }
            set(&settings, duration)
            return true
        } text: {
            "\"\(Quantity.print(get($0)))\""
        }
    }

    private static func durations(
        _ name: String, get: @escaping @Sendable (NodeSettings) -> ClosedRange<Duration>,
        set: @escaping @Sendable (inout NodeSettings, ClosedRange<Duration>) -> Void
    ) -> NodeKey {
        NodeKey(name: name, example: "a time up to an hour, like \"300us\" or \"300us..900us\"") { value, settings in
            guard case .string(let text) = value, let range = Quantity.durationRange(text), range.upperBound <= .seconds(3_600)
            else { return false }
            set(&settings, range)
            return true
        } text: {
            "\"\(Quantity.print(get($0)))\""
        }
    }

    private static func bytes(
        _ name: String, _ range: ClosedRange<Int>, get: @escaping @Sendable (NodeSettings) -> Int,
        set: @escaping @Sendable (inout NodeSettings, Int) -> Void
    ) -> NodeKey {
        NodeKey(name: name, example: "a size from \(Quantity.print(bytes: range.lowerBound)) to \(Quantity.print(bytes: range.upperBound))")
        {
            value, settings in
            guard case .string(let text) = value, let bytes = Quantity.bytes(text), range.contains(bytes) else { return false }
            set(&settings, bytes)
            return true
        } text: {
            "\"\(Quantity.print(bytes: get($0)))\""
        }
    }

    private static func integer(
        _ name: String, _ range: ClosedRange<Int>, get: @escaping @Sendable (NodeSettings) -> Int,
        set: @escaping @Sendable (inout NodeSettings, Int) -> Void
    ) -> NodeKey {
        NodeKey(name: name, example: "a whole number from \(range.lowerBound) to \(range.upperBound)") { value, settings in
            guard case .integer(let number) = value, range.contains(number) else { return false }
            set(&settings, number)
            return true
        } text: {
            "\(get($0))"
        }
    }

    /// Reads `[node]`: nested tables are keys with points between them.
    static func read(_ value: DocumentValue, at path: [PathStep], in source: DocumentSource) throws(ScenarioError) -> NodeSettings {
        var settings = NodeSettings()
        try read(value, at: path, prefix: "", in: source, into: &settings)
        return settings
    }

    private static func read(
        _ value: DocumentValue, at path: [PathStep], prefix: String, in source: DocumentSource, into settings: inout NodeSettings
    ) throws(ScenarioError) {
        guard case .table(let entries) = value else {
            throw source.error(at: path, "\(PathStep.text(path)) must be a table, not \(value.kind)")
        }
        for entry in entries {
            let name = prefix + entry.key
            let inner = path + [.key(entry.key)]
            if let key = all.first(where: { $0.name == name }) {
                guard key.set(entry.value, &settings) else { throw source.error(at: inner, "\(name) must be \(key.example)") }
            } else if all.contains(where: { $0.name.hasPrefix(name + ".") }) {
                try read(entry.value, at: inner, prefix: name + ".", in: source, into: &settings)
            } else {
                // A key of a nested table is compared with its neighbours, a group with the groups.
                let candidates =
                    all.map(\.name) + (prefix.isEmpty ? ["swim", "broadcast", "sync", "limits", "disk", "clock", "transport"] : [])
                let near = Spelling.nearest(to: name, among: candidates)
                throw source.error(at: inner, "unknown key \"\(name)\" in [node]", suggestion: near)
            }
        }
    }
}
