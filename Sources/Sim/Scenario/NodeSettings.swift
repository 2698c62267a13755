import PatinaProtocol
import PatinaStore
import PatinaTOML

/// What a scenario says of its nodes: the protocol's own configuration, and what the simulated machine is like.
public struct NodeSettings: Hashable, Sendable {
    public var membership = MembershipConfiguration()
    public var broadcast = BroadcastConfiguration()
    public var sync = SyncConfiguration()
    public var limits = Limits()
    public var machine = Machine()

    public init() {}

    /// Those that are the protocol's own.
    package var protocolSettings: ProtocolSettings {
        var settings = ProtocolSettings()
        settings.membership = membership
        settings.broadcast = broadcast
        settings.sync = sync
        settings.limits = limits
        return settings
    }

    /// The parts of a simulated machine that are not its network.
    public struct Machine: Hashable, Sendable {
        /// How long the writer is busy with one operation.
        public var diskWrite: ClosedRange<Duration> = .microseconds(300)...(.microseconds(900))
        /// How long a read takes; reads do not wait for each other.
        public var diskRead: ClosedRange<Duration> = .microseconds(100)...(.microseconds(400))
        /// How durable a store makes an acknowledged transaction. Matters where disks can lose data.
        public var synchronous = Synchronous.normal
        /// The machine has a disk that can lose data although no fault breaks it.
        public var hasDisk = false
        /// How far a wall clock may be off in either direction. Each machine draws its own error.
        public var clockSkew: Duration = .zero
        /// How fast a wall clock may gain or lose, in millionths, either way. Each machine draws its own rate.
        public var clockDrift = 0
        /// How long a process is busy with one event.
        public var eventTime: Duration = .zero
        /// How long a datagram or a message takes besides its link, at both ends together: encryption, system calls, waiting for a
        /// processor.
        public var transportTime: ClosedRange<Duration> = .zero...(.zero)
        /// How long a connection over which nothing comes back is kept.
        public var idleTimeout: Duration = .seconds(30)
        /// How long a connection that was never made is tried.
        public var connectTimeout: Duration = .seconds(5)

        public init() {}
    }
}

extension Scenario {
    /// The settings of each node: those of `[node]`, and what `[[node.where]]` puts over them.
    ///
    /// - Parameter random: draws the nodes of each override.
    package func nodeSettings(_ random: Random) -> [NodeSettings] {
        var settings = Array(repeating: node, count: topology.nodes)
        let nobody = [Bool](repeating: false, count: topology.nodes)
        for (index, override) in nodeOverrides.enumerated() {
            var own = random.fork("override", UInt64(index))
            for node in override.select.choose(from: topology, taken: nobody, using: &own) { override.apply(to: &settings[node]) }
        }
        return settings
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
        duration("swim.period", \.membership.probePeriod),
        duration("swim.probe_timeout_floor", \.membership.probeTimeoutFloor),
        duration("swim.probe_timeout_cap", \.membership.probeTimeoutCap),
        integer("swim.indirect_probes", \.membership.indirectProbes, 0...100),
        integer("swim.health_cap", \.membership.healthCap, 0...100),
        duration("swim.suspicion_floor", \.membership.suspicionFloor),
        duration("swim.suspicion_cap", \.membership.suspicionCap),
        integer("swim.confirmations", \.membership.confirmations, 0...3),
        integer("swim.transmission_factor", \.membership.transmissionFactor, 1...100),
        duration("swim.gossip_period", \.membership.gossipPeriod),
        integer("swim.gossip_fanout", \.membership.gossipFanout, 1...100),
        duration("swim.exchange_period", \.membership.exchangePeriod),
        duration("swim.announce_floor", \.membership.announceFloor),
        duration("swim.announce_cap", \.membership.announceCap),
        duration("swim.join_retry_floor", \.membership.joinRetryFloor),
        duration("swim.join_retry_cap", \.membership.joinRetryCap),
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
        integer("broadcast.fanout", \.broadcast.fanout, 1...1_000),
        duration("broadcast.announce_interval", \.broadcast.announceInterval),
        duration("broadcast.graft_delay", \.broadcast.graftDelay),
        duration("broadcast.graft_timeout", \.broadcast.graftTimeout),
        integer("broadcast.graft_attempts", \.broadcast.graftAttempts, 0...100),
        duration("broadcast.cache_lifetime", \.broadcast.cacheLifetime),
        bytes("broadcast.message_bytes", \.broadcast.messageBytes, 1...16_777_216),
        integer("broadcast.hop_limit", \.broadcast.hopLimit, 1...1_000),
    ]

    private static let sync: [NodeKey] = [
        duration("sync.minimum_interval", \.sync.minimumInterval),
        duration("sync.maximum_interval", \.sync.maximumInterval),
        integer("sync.jitter_percent", \.sync.jitterPercent, 0...100),
        duration("sync.settle_time", \.sync.settleTime),
        duration("sync.session_timeout", \.sync.sessionTimeout),
        duration("sync.session_limit", \.sync.sessionLimit),
        duration("sync.retry_after", \.sync.retryAfter),
    ]

    private static let limits: [NodeKey] = [
        bytes("limits.chunk_bytes", \.limits.chunkBytes, 64...1_048_576),
        integer("limits.pending_chunks", \.limits.pendingChunks, 1...1_000_000),
        bytes("limits.pending_bytes", \.limits.pendingBytes, 1...1_073_741_824),
        integer("limits.cached_chunks", \.limits.cachedChunks, 0...1_000_000),
        bytes("limits.cached_bytes", \.limits.cachedBytes, 0...1_073_741_824),
        integer("limits.missing_chunks", \.limits.missingChunks, 0...1_000_000),
        integer("limits.served_sessions", \.limits.servedSessions, 1...1_000),
        integer("limits.own_sessions", \.limits.ownSessions, 1...1_000),
    ]

    private static let machine: [NodeKey] = [
        durations("disk.write", \.machine.diskWrite),
        durations("disk.read", \.machine.diskRead),
        NodeKey(name: "disk.synchronous", example: "\"normal\" or \"full\"") { value, settings in
            guard case .string(let text) = value, let synchronous = Synchronous(rawValue: text) else { return false }
            settings.machine.synchronous = synchronous
            return true
        } text: {
            "\"\($0.machine.synchronous.rawValue)\""
        },
        NodeKey(name: "disk.simulated", example: "true or false") { value, settings in
            guard case .boolean(let simulated) = value else { return false }
            settings.machine.hasDisk = simulated
            return true
        } text: {
            "\($0.machine.hasDisk)"
        },
        duration("clock.skew", \.machine.clockSkew),
        NodeKey(name: "clock.drift", example: "a rate up to \"100000ppm\"") { value, settings in
            guard case .string(let text) = value, let parts = Quantity.partsPerMillion(text) else { return false }
            settings.machine.clockDrift = parts
            return true
        } text: {
            "\"\($0.machine.clockDrift)ppm\""
        },
        duration("cpu.event", \.machine.eventTime),
        durations("transport.time", \.machine.transportTime),
        duration("transport.idle_timeout", \.machine.idleTimeout),
        duration("transport.connect_timeout", \.machine.connectTimeout),
    ]

    private typealias Path<Setting> = WritableKeyPath<NodeSettings, Setting> & Sendable

    private static func duration(_ name: String, _ path: Path<Duration>) -> NodeKey {
        NodeKey(name: name, example: "\"1s\"") { value, settings in
            guard case .string(let text) = value, let duration = Quantity.duration(text) else { return false }
            settings[keyPath: path] = duration
            return true
        } text: {
            "\"\(Quantity.print($0[keyPath: path]))\""
        }
    }

    private static func durations(_ name: String, _ path: Path<ClosedRange<Duration>>) -> NodeKey {
        NodeKey(name: name, example: "a time up to an hour, like \"300us\" or \"300us..900us\"") { value, settings in
            guard case .string(let text) = value, let range = Quantity.durationRange(text), range.upperBound <= .seconds(3_600)
            else { return false }
            settings[keyPath: path] = range
            return true
        } text: {
            "\"\(Quantity.print($0[keyPath: path]))\""
        }
    }

    private static func bytes(_ name: String, _ path: Path<Int>, _ range: ClosedRange<Int>) -> NodeKey {
        NodeKey(name: name, example: "a size from \(Quantity.print(bytes: range.lowerBound)) to \(Quantity.print(bytes: range.upperBound))")
        {
            value, settings in
            guard case .string(let text) = value, let bytes = Quantity.bytes(text), range.contains(bytes) else { return false }
            settings[keyPath: path] = bytes
            return true
        } text: {
            "\"\(Quantity.print(bytes: $0[keyPath: path]))\""
        }
    }

    private static func integer<Number: FixedWidthInteger & Sendable>(
        _ name: String, _ path: Path<Number>, _ range: ClosedRange<Int>
    ) -> NodeKey {
        NodeKey(name: name, example: "a whole number from \(range.lowerBound) to \(range.upperBound)") { value, settings in
            guard case .integer(let number) = value, range.contains(number) else { return false }
            settings[keyPath: path] = Number(number)
            return true
        } text: {
            "\($0[keyPath: path])"
        }
    }

    /// Reads `[node]`: nested tables are keys with points between them.
    static func read(_ value: DocumentValue, at path: [PathStep], in source: DocumentSource) throws(ScenarioError) -> NodeSettings {
        var settings = NodeSettings()
        var written: [NodeOverride.Setting] = []
        var value = value
        // Tables of their own; see `ScenarioReader.readNodeOverrides`.
        if case .table(let entries) = value { value = .table(entries.filter { $0.key != "where" }) }
        try read(value, at: path, prefix: "", in: source, into: &settings, written: &written)
        return settings
    }

    static func read(
        _ value: DocumentValue, at path: [PathStep], prefix: String, in source: DocumentSource, into settings: inout NodeSettings,
        written: inout [NodeOverride.Setting]
    ) throws(ScenarioError) {
        guard case .table(let entries) = value else {
            throw source.error(at: path, "\(PathStep.text(path)) must be a table, not \(value.kind)")
        }
        for entry in entries {
            let name = prefix + entry.key
            let inner = path + [.key(entry.key)]
            if let key = all.first(where: { $0.name == name }) {
                guard key.set(entry.value, &settings) else { throw source.error(at: inner, "\(name) must be \(key.example)") }
                written.append(NodeOverride.Setting(key: name, value: key.text(settings)))
            } else if all.contains(where: { $0.name.hasPrefix(name + ".") }) {
                try read(entry.value, at: inner, prefix: name + ".", in: source, into: &settings, written: &written)
            } else {
                // A key of a nested table is compared with its neighbours, a group with the groups.
                let groups = ["swim", "broadcast", "sync", "limits", "disk", "clock", "cpu", "transport", "where"]
                let near = Spelling.nearest(to: name, among: all.map(\.name) + (prefix.isEmpty ? groups : []))
                throw source.error(at: inner, "unknown key \"\(name)\" in [node]", suggestion: near)
            }
        }
    }
}
