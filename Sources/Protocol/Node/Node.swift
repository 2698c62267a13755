/// One node of the cluster: the same value drives a simulated node and a real agent.
///
/// Composes four machines and the queue before the store. An event is handled in this order, and in no other:
///
/// 1. The event goes to the machine that it is for. What the store answered is taken into the ledger first.
/// 2. Membership's outputs: sends, timers, notices. Digests that it heard and members that came up go to sync.
/// 3. Broadcast's outputs: sends, timers. Chunks that arrived go to the queue before the store.
/// 4. Sync's outputs: the same, and reads.
/// 5. Sync may ask on, now that the queue has been told of everything. Its outputs again.
/// 6. The store is given the next batch, if its hands are free.
///
/// No machine calls another; what one wants of another passes through here, as a value.
public struct Node: ~Copyable {
    /// The node's own deadlines.
    public enum Timer: Hashable, Sendable {
        /// The members changed a moment ago: persist them.
        case saveMembers
        /// Regular upkeep: persist the members if their list differs from what was saved.
        case maintenance
    }

    public let configuration: NodeConfiguration
    /// What is known of every actor's versions; equal to the store's once the store has answered everything.
    public internal(set) var ledger: VersionLedger

    var membership: Membership
    var broadcast: Broadcast
    var sync: Sync
    var intake: Intake
    var operations = StoreOperations()
    var memberList: MemberList
    /// For the points of the node itself.
    var chaos: Chaos

    // Buffers that are reused from event to event, so that the hot path does not allocate.
    private var membershipOutputs: [Membership.Output] = []
    private var broadcastOutputs: [Broadcast.Output] = []
    var syncOutputs: [Sync.Output] = []

    /// - Parameters:
    ///   - ledger: what the store knew when it was opened.
    ///   - members: the members that were persisted, to rejoin through when no bootstrap address answers.
    public init(configuration: NodeConfiguration, ledger: VersionLedger, members: [MemberRecord]) {
        self.configuration = configuration
        self.ledger = ledger
        let random = Random(seed: configuration.seed)
        var membershipLimits = configuration.limits
        membershipLimits.datagramBytes -= Envelope.overhead
        membershipLimits.messageBytes -= Envelope.overhead
        let envelope = Envelope(cluster: configuration.cluster, kind: .membership).writer().bytes
        let identity = MemberRecord(actor: configuration.actor, address: configuration.address, generation: configuration.generation)
        membership = Membership(
            configuration: configuration.membership, identity: identity, cluster: configuration.cluster, bootstrap: configuration.bootstrap,
            known: members, limits: membershipLimits, prefix: envelope,
            random: random.fork("membership"))
        membership.digest = ledger.fingerprint
        membership.chaos = Chaos(configuration.chaos, random: random.fork("membership"))
        broadcast = Broadcast(configuration: configuration, random: random.fork("broadcast"))
        sync = Sync(configuration: configuration, fingerprint: ledger.fingerprint, random: random.fork("sync"))
        intake = Intake(limits: configuration.limits)
        memberList = MemberList(saved: members)
        chaos = Chaos(configuration.chaos, random: random)
    }

    /// Takes one event and appends what the node wants done about it. Never suspends, blocks, reads a clock, or fails
    /// because of a peer's input. Traps when the engine breaks its side of the contract: an answer of the store to a question
    /// that was not asked, or a local transaction of another actor.
    public mutating func handle(_ event: Event, now: Instant, into effects: inout Effects) {
        if configuration.chaos.isOn { tellDigest(now: now) }
        switch event {
        case .started:
            toMembership(.started, now)
            toSync(.started, now)
            effects.append(.schedule(.node(.maintenance), at: now + configuration.maintenanceInterval))
        case .datagramReceived(let sender, let bytes):
            receive(bytes, from: sender, isDatagram: true, now: now, into: &effects)
        case .messageReceived(let sender, let bytes):
            receive(bytes, from: sender, isDatagram: false, now: now, into: &effects)
        case .sessionOpened(let id, let sender): toSync(.sessionOpened(id, from: sender), now)
        case .sessionReceived(let id, let bytes): toSync(.sessionReceived(id, bytes: bytes), now)
        case .sessionFinished(let id): toSync(.sessionFinished(id), now)
        case .sessionLost(let id): toSync(.sessionLost(id), now)
        case .peerLost:
            // Nothing to do: lost messages are repaired by announcements and sync, sessions report their own loss, and whether
            // the peer is alive is for probes to find out.
            break
        case .bootstrapResolved(let addresses): toMembership(.bootstrapResolved(addresses), now)
        case .deadlinePassed(.membership(let timer)): toMembership(.deadlinePassed(timer), now)
        case .deadlinePassed(.broadcast(let timer)): toBroadcast(.deadlinePassed(timer), now)
        case .deadlinePassed(.sync(let timer)): toSync(.deadlinePassed(timer), now)
        case .deadlinePassed(.node(let timer)): passed(timer, now: now, into: &effects)
        case .transactionCommitted(let chunks): committed(chunks, now: now)
        case .stored(let token, let result): stored(token, result, now: now, into: &effects)
        case .storeChanged(let changes): storeChanged(changes, now: now, into: &effects)
        case .commanded(.leave): toMembership(.leaveRequested, now)
        case .commanded(.rejoin): toMembership(.rejoinRequested, now)
        }
        routeMembership(now: now, into: &effects)
        routeBroadcast(into: &effects)
        routeSync(into: &effects)
        if sync.isHolding {
            toSync(.intakeChanged, now)
            routeSync(into: &effects)
        }
        fillStore(into: &effects)
        if configuration.chaos.isOn { reportChaos(into: &effects) }
    }

    // MARK: To the machines

    private mutating func toMembership(_ event: Membership.Event, _ now: Instant) {
        membership.handle(event, now: now, into: &membershipOutputs)
    }

    private mutating func toBroadcast(_ event: Broadcast.Event, _ now: Instant) {
        broadcast.handle(event, now: now, context: context, into: &broadcastOutputs)
    }

    mutating func toSync(_ event: Sync.Event, _ now: Instant) {
        sync.handle(event, now: now, context: context, into: &syncOutputs)
    }

    private var context: NodeContext { NodeContext(members: membership.members, ledger: ledger, intake: intake) }

    private mutating func receive(_ bytes: [UInt8], from sender: Address, isDatagram: Bool, now: Instant, into effects: inout Effects) {
        var reader = ByteReader(bytes)
        let envelope: Envelope
        do throws(MalformedInput) {
            guard bytes.count <= configuration.limits.messageBytes else { throw MalformedInput("a message of \(bytes.count) bytes") }
            envelope = try Envelope.read(from: &reader)
        } catch {
            effects.append(.measure(.received(.unknown, bytes: bytes.count)))
            effects.append(.notify(.malformed(from: sender, reason: "\(isDatagram ? "a datagram" : "a message"): \(error)")))
            return
        }
        guard envelope.cluster == configuration.cluster else {
            effects.append(.measure(.foreignCluster))
            return
        }
        switch MessageKind(rawValue: envelope.kind) {
        case .membership:
            toMembership(isDatagram ? .datagramReceived(reader.rest, from: sender) : .messageReceived(reader.rest, from: sender), now)
        case .broadcast:
            effects.append(.measure(.received(.broadcast, bytes: bytes.count)))
            toBroadcast(.received(reader, from: sender), now)
        case .sync:
            effects.append(.measure(.received(.sync, bytes: bytes.count)))
            effects.append(.notify(.malformed(from: sender, reason: "sync outside a session")))
        case nil:
            effects.append(.measure(.received(.unknown, bytes: bytes.count)))
            effects.append(.measure(.skipped(.unknown)))
        }
    }

    private mutating func committed(_ chunks: [Chunk], now: Instant) {
        guard let first = chunks.first?.id else { return }
        precondition(
            chunks.allSatisfy { $0.id.actor == configuration.actor && $0.id.version == first.version },
            "a local transaction is one version of this node's own actor")
        note([.completed(first.actor, versions: first.version...first.version)], now: now)
        toBroadcast(.committed(chunks), now)
    }

    // MARK: From the machines

    private mutating func routeMembership(now: Instant, into effects: inout Effects) {
        guard !membershipOutputs.isEmpty else { return }
        var outputs = take(&membershipOutputs)
        for output in outputs {
            switch output {
            case .sendDatagram(let address, let bytes): effects.append(.sendDatagram(to: address, bytes: bytes))
            case .sendMessage(let address, let bytes): effects.append(.sendMessage(to: address, bytes: bytes))
            case .schedule(let timer, let instant): effects.append(.schedule(.membership(timer), at: instant))
            case .measure(let measurement): effects.append(.measure(measurement))
            // Rides on every probe and needs nothing of the context, which is not free to make.
            case .digestHeard(let peer, let digest): sync.heard(digest, from: peer, now: now, into: &syncOutputs)
            case .notify(let notice):
                effects.append(.notify(notice))
                membersChanged(notice, now: now, into: &effects)
            }
        }
        giveBack(&outputs, to: &membershipOutputs)
    }

    private mutating func routeBroadcast(into effects: inout Effects) {
        guard !broadcastOutputs.isEmpty else { return }
        var outputs = take(&broadcastOutputs)
        for output in outputs {
            switch output {
            case .sendMessage(let address, let bytes): effects.append(.sendMessage(to: address, bytes: bytes))
            case .arrived(let chunk, let hops, let isGraft):
                guard offer(chunk, into: &effects) else { continue }
                effects.append(.measure(.delivered(chunk.id, hops: hops)))
                if isGraft { effects.append(.measure(.repaired(chunk.id))) }
            case .schedule(let timer, let instant): effects.append(.schedule(.broadcast(timer), at: instant))
            case .notify(let notice): effects.append(.notify(notice))
            case .measure(let measurement): effects.append(.measure(measurement))
            }
        }
        giveBack(&outputs, to: &broadcastOutputs)
    }

    private mutating func routeSync(into effects: inout Effects) {
        guard !syncOutputs.isEmpty else { return }
        var outputs = take(&syncOutputs)
        for output in outputs {
            switch output {
            case .openSession(let id, let address): effects.append(.openSession(id, to: address))
            case .write(let id, let bytes): effects.append(.writeSession(id, bytes: bytes))
            case .finish(let id): effects.append(.finishSession(id))
            case .reset(let id): effects.append(.resetSession(id))
            case .read(let request, let id): effects.append(.store(.read(request), operations.give(.read(id))))
            case .arrived(let chunk):
                // A session brings what broadcast has brought meanwhile, too.
                if ledger.contains(chunk.id) { effects.append(.measure(.duplicate(chunk.id))) } else { _ = offer(chunk, into: &effects) }
            case .empty(let versions):
                if case .full(let bound) = intake.offer(versions) { effects.append(.measure(.dropped(bound))) }
            case .schedule(let timer, let instant): effects.append(.schedule(.sync(timer), at: instant))
            case .notify(let notice): effects.append(.notify(notice))
            case .measure(let measurement): effects.append(.measure(measurement))
            }
        }
        giveBack(&outputs, to: &syncOutputs)
    }

    /// Returns true when the chunk is new to us and now waits for the store.
    private mutating func offer(_ chunk: Chunk, into effects: inout Effects) -> Bool {
        switch chaos.point(.intakeFull) ? .full(.pendingChunks) : intake.offer(chunk) {
        case .taken: return true
        case .pending: effects.append(.measure(.duplicate(chunk.id)))
        case .full(let bound): effects.append(.measure(.dropped(bound)))
        }
        return false
    }
}

extension Node {
    private mutating func reportChaos(into effects: inout Effects) {
        let struck = membership.chaos.takeStruck() + broadcast.chaos.takeStruck() + sync.chaos.takeStruck() + chaos.takeStruck()
        for point in struck { effects.append(.measure(.chaos(point: point.rawValue))) }
    }
}

private func take<Output>(_ outputs: inout [Output]) -> [Output] {
    var taken: [Output] = []
    swap(&taken, &outputs)
    return taken
}

/// Keeps the memory of a handled buffer, unless routing has filled the other one meanwhile.
private func giveBack<Output>(_ handled: inout [Output], to outputs: inout [Output]) {
    handled.removeAll(keepingCapacity: handled.capacity <= 1_024)
    if outputs.isEmpty { swap(&handled, &outputs) }
}
