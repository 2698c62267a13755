/// The header of a log: what its node was made of.
extension ByteWriter {
    mutating func write(_ header: EventLogHeader) {
        writeString(String(header.build.prefix(EventLog.buildBytes / 4)))
        writeSignedVarint(header.wall)
        writeSignedVarint(header.start.nanoseconds)
        write(header.detail.rawValue)
        write(header.configuration)
        write(header.ledger)
        writeList(header.members) { $0.write($1) }
    }

    private mutating func write(_ configuration: NodeConfiguration) {
        write(configuration.actor)
        write(configuration.address)
        writeVarint(configuration.generation)
        write(configuration.cluster)
        writeList(configuration.bootstrap) { $0.write($1) }
        write(configuration.settings)
        write(configuration.seed)
        writeInteger(configuration.applyOperations)
        write(configuration.memberSaveDelay)
        write(configuration.maintenanceInterval)
        write(configuration.chaos.points)
        writeVarint(UInt64(configuration.chaos.fire))
    }

    mutating func write(_ settings: ProtocolSettings) {
        write(settings.membership)
        write(settings.broadcast)
        write(settings.sync)
        for path in Limits.integers { writeInteger(settings.limits[keyPath: path]) }
    }

    private mutating func write(_ membership: MembershipConfiguration) {
        for path in MembershipConfiguration.durations { write(membership[keyPath: path]) }
        for path in MembershipConfiguration.integers { writeInteger(membership[keyPath: path]) }
        write(membership.mutants.rawValue)
    }

    private mutating func write(_ broadcast: BroadcastConfiguration) {
        write(broadcast.kind.rawValue)
        for path in BroadcastConfiguration.durations { write(broadcast[keyPath: path]) }
        for path in BroadcastConfiguration.integers { writeInteger(broadcast[keyPath: path]) }
        writeVarint(broadcast.hopLimit)
    }

    private mutating func write(_ sync: SyncConfiguration) {
        for path in SyncConfiguration.durations { write(sync[keyPath: path]) }
        for path in SyncConfiguration.integers { writeInteger(sync[keyPath: path]) }
        writeVarint(sync.rangeVersions)
    }

    private mutating func write(_ ledger: VersionLedger) {
        writeList(ledger.actors) { writer, actor in
            guard let entry = ledger[actor] else { preconditionFailure("an actor of the ledger has an entry") }
            writer.write(actor)
            writer.writeIntervals(entry.complete)
            writer.writeVarint(UInt64(entry.partials.count))
            for (version, partial) in entry.partials {
                writer.writeVarint(version)
                writer.writeVarint(partial.lastSequence)
                writer.writeIntervals(partial.received)
            }
        }
    }
}

extension ByteReader {
    mutating func readHeader() throws(MalformedInput) -> EventLogHeader {
        let build = try readBytes()
        guard build.count <= EventLog.buildBytes, let name = String(validating: build, as: UTF8.self) else {
            throw MalformedInput("the name of the build is too long, or not UTF-8")
        }
        let wall = try readSignedVarint()
        let start = Instant(nanoseconds: try readSignedVarint())
        let detail: EventLogHeader.EffectDetail = try readCase("detail of the effects")
        let configuration = try readConfiguration()
        let ledger = try readLedger()
        return EventLogHeader(
            build: name, wall: wall, start: start, detail: detail, configuration: configuration, ledger: ledger, members: try readMembers())
    }

    private mutating func readConfiguration() throws(MalformedInput) -> NodeConfiguration {
        let actor = try readActor()
        let address = try readAddress()
        let generation = try readVarint()
        let cluster = try readUInt16()
        let bootstrap = try readAddresses()
        let settings = try readProtocolSettings()
        var configuration = NodeConfiguration(
            actor: actor, address: address, generation: generation, cluster: cluster, bootstrap: bootstrap, membership: settings.membership,
            broadcast: settings.broadcast, sync: settings.sync, limits: settings.limits, seed: try readUInt64())
        configuration.applyOperations = try readSetting()
        configuration.memberSaveDelay = try readDurationSetting()
        configuration.maintenanceInterval = try readDurationSetting()
        let points = try readUInt64()
        let fire = UInt32(clamping: try readVarint())
        configuration.chaos = ChaosConfiguration(bits: points, fire: fire)
        return configuration
    }

    mutating func readProtocolSettings() throws(MalformedInput) -> ProtocolSettings {
        var settings = ProtocolSettings()
        settings.membership = try readMembership()
        settings.broadcast = try readBroadcast()
        settings.sync = try readSync()
        for path in Limits.integers { settings.limits[keyPath: path] = try readSetting() }
        return settings
    }

    private mutating func readMembership() throws(MalformedInput) -> MembershipConfiguration {
        var membership = MembershipConfiguration()
        for path in MembershipConfiguration.durations { membership[keyPath: path] = try readDurationSetting() }
        for path in MembershipConfiguration.integers { membership[keyPath: path] = try readSetting() }
        membership.mutants = MembershipMutants(rawValue: try readByte())
        return membership
    }

    private mutating func readBroadcast() throws(MalformedInput) -> BroadcastConfiguration {
        var broadcast = BroadcastConfiguration()
        broadcast.kind = try readCase("kind of broadcast")
        for path in BroadcastConfiguration.durations { broadcast[keyPath: path] = try readDurationSetting() }
        for path in BroadcastConfiguration.integers { broadcast[keyPath: path] = try readSetting() }
        broadcast.hopLimit = try readVarint()
        return broadcast
    }

    private mutating func readSync() throws(MalformedInput) -> SyncConfiguration {
        var sync = SyncConfiguration()
        for path in SyncConfiguration.durations { sync[keyPath: path] = try readDurationSetting() }
        for path in SyncConfiguration.integers { sync[keyPath: path] = try readSetting() }
        sync.rangeVersions = try readVarint()
        return sync
    }

    /// A number or a duration of a configuration. No machine computes with numbers of this size, so none overflows because of a log.
    private mutating func readSetting() throws(MalformedInput) -> Int {
        let value = try readInteger()
        guard value.magnitude < 1 << 48 else { throw MalformedInput("a setting of \(value) is out of all bounds") }
        return value
    }

    private mutating func readDurationSetting() throws(MalformedInput) -> Duration {
        let value = try readDuration()
        guard value.components.seconds.magnitude < 1 << 32 else { throw MalformedInput("a setting of \(value) is out of all bounds") }
        return value
    }

    private mutating func readLedger() throws(MalformedInput) -> VersionLedger {
        var ledger = VersionLedger()
        for _ in 0..<(try readListCount(of: "actors", least: 18, limit: .max)) {
            let actor = try readActor()
            guard ledger[actor] == nil else { throw MalformedInput("a ledger has an actor twice") }
            for range in try readIntervals(limit: .max).ranges { ledger.apply(.completed(actor, versions: range)) }
            for _ in 0..<(try readListCount(of: "partial versions", least: 3, limit: .max)) {
                let version = try readVarint()
                let lastSequence = try readVarint()
                for range in try readIntervals(limit: .max).ranges {
                    guard let id = ChunkID(actor: actor, version: version, sequences: range, lastSequence: lastSequence) else {
                        throw MalformedInput("a partial version has more than it has")
                    }
                    ledger.apply(.buffered(id))
                }
            }
        }
        return ledger
    }
}

// The settings in the order in which they stand in a log. A test compares their number with that of the stored properties.

extension MembershipConfiguration {
    fileprivate static var durations: [WritableKeyPath<Self, Duration>] {
        [
            \.probePeriod, \.probeTimeoutFloor, \.probeTimeoutCap, \.suspicionFloor, \.suspicionCap, \.stallTolerance, \.gossipPeriod,
            \.exchangePeriod, \.announceFloor, \.announceCap, \.joinRetryFloor, \.joinRetryCap, \.forgetDownAfter, \.forgetLeftAfter,
        ]
    }
    fileprivate static var integers: [WritableKeyPath<Self, Int>] {
        [\.indirectProbes, \.healthCap, \.confirmations, \.transmissionFactor, \.gossipFanout, \.joinFanout, \.listMessageBytes]
    }
}

extension BroadcastConfiguration {
    fileprivate static var durations: [WritableKeyPath<Self, Duration>] {
        [\.announceInterval, \.graftDelay, \.graftTimeout, \.cacheLifetime]
    }
    fileprivate static var integers: [WritableKeyPath<Self, Int>] { [\.fanout, \.graftAttempts, \.messageBytes] }
}

extension SyncConfiguration {
    fileprivate static var durations: [WritableKeyPath<Self, Duration>] {
        [
            \.minimumInterval, \.maximumInterval, \.settleTime, \.graceTime, \.sessionTimeout, \.sessionLimit, \.retryAfter,
        ]
    }
    fileprivate static var integers: [WritableKeyPath<Self, Int>] { [\.jitterPercent, \.resumeBelowChunks, \.stateFrameBytes] }
}

extension Limits {
    fileprivate static var integers: [WritableKeyPath<Self, Int>] {
        [
            \.datagramBytes, \.chunkBytes, \.messageBytes, \.valueBytes, \.members, \.savedMembers, \.relayedProbes, \.pendingChunks,
            \.pendingBytes, \.cachedChunks, \.cachedBytes, \.announcedChunks, \.missingChunks, \.servedSessions, \.ownSessions,
            \.syncRequestBytes, \.syncRequestRanges, \.waitingVersions, \.waitingBytes, \.applyBatchChunks,
        ]
    }
}
