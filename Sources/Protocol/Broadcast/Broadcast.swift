/// Pushes changes through the cluster and repairs what a link or a dead node lost.
///
/// A new chunk goes down the eager tree of its origin, as it came; its name is collected and goes down the lazy tree
/// (`DisseminationTree`). Whoever hears a name and does not see the chunk soon asks for it (`MissingChunks`), and is
/// answered from the `PayloadCache`. What is still missing then is the business of sync.
///
/// A chunk is passed on at first sight, before the store has answered, and even when the queue before the store is full:
/// one slow disk must not cut off everybody below it in the tree. But only the store's answer makes a chunk *known*, so
/// whatever the store refused, failed to write or never saw is taken again from the next copy that comes.
public struct Broadcast: ~Copyable {
    /// The deadlines of broadcast.
    public enum Timer: Hashable, Sendable {
        /// Collected announcements are due.
        case announce
        /// A missing chunk has been waited for long enough.
        case graft
    }

    enum Event {
        /// A local transaction committed.
        case committed([Chunk])
        /// The body of a broadcast message.
        case received(ByteReader, from: Address)
        case deadlinePassed(Timer)
    }

    enum Output {
        /// `bytes` include the envelope.
        case sendMessage(to: Address, bytes: [UInt8])
        /// A chunk that the store may not have seen.
        case arrived(Chunk, hops: UInt64, isGraft: Bool)
        case schedule(Timer, at: Instant)
        case notify(Notice)
        case measure(Measurement)
    }

    private struct Payload {
        var bytes: ArraySlice<UInt8>
        /// Links travelled so far.
        var hops: UInt64
    }

    private let actor: ActorID
    private let address: Address
    private let envelope: Envelope
    private let configuration: BroadcastConfiguration
    private let limits: Limits
    private var random: Random
    var chaos: Chaos
    private(set) var cache: PayloadCache
    private(set) var missing: MissingChunks
    /// Names for the next announcement. `toAll`: to the children in both trees, because the chunk was not pushed.
    private var announcing: [(id: ChunkID, toAll: Bool)] = []
    /// When the outstanding timers fire; nil when there is none.
    private var announceAt: Instant?
    private var graftAt: Instant?

    init(configuration: NodeConfiguration, random: Random) {
        actor = configuration.actor
        address = configuration.address
        envelope = Envelope(cluster: configuration.cluster, kind: .broadcast)
        self.configuration = configuration.broadcast.sane
        limits = configuration.limits
        self.random = random
        chaos = Chaos(configuration.chaos, random: random)
        cache = PayloadCache(
            chunkLimit: limits.cachedChunks, byteLimit: limits.cachedBytes, lifetime: configuration.broadcast.cacheLifetime)
        missing = MissingChunks(configuration: configuration.broadcast.sane, limit: limits.missingChunks)
    }

    mutating func handle(_ event: Event, now: Instant, context: NodeContext, into outputs: inout [Output]) {
        switch event {
        case .committed(let chunks): commit(chunks, now: now, members: context.members, into: &outputs)
        case .received(let reader, let sender): receive(reader, from: sender, now: now, context: context, into: &outputs)
        case .deadlinePassed(.announce):
            announceAt = nil
            if chaos.point(.announcementLate) { return scheduleAnnouncement(now: now, into: &outputs) }
            announce(members: context.members, into: &outputs)
        case .deadlinePassed(.graft):
            if let due = graftAt, due <= now { graftAt = nil }
            graft(now: now, context: context, into: &outputs)
            scheduleGraft(into: &outputs)
        }
    }

    func checkInvariants() {
        cache.checkInvariants()
        missing.checkInvariants()
        precondition(announcing.isEmpty || announceAt != nil, "collected announcements have a timer")
        precondition(missing.count == 0 || graftAt != nil, "missing chunks have a timer")
    }

    // MARK: What is new

    private mutating func commit(_ chunks: [Chunk], now: Instant, members: MemberTable, into outputs: inout [Output]) {
        var payloads: [Payload] = []
        payloads.reserveCapacity(chunks.count)
        for chunk in chunks {
            let encoded = EncodedChunk(chunk)
            remember(encoded, hops: 0, isPushed: true, now: now, into: &outputs)
            payloads.append(Payload(bytes: encoded.bytes, hops: 0))
        }
        push(payloads, of: actor, members: members, into: &outputs)
        for chunk in chunks { enqueueAnnouncement(of: chunk.id, toAll: false, now: now, members: members, into: &outputs) }
    }

    private mutating func receive(
        _ message: ByteReader, from sender: Address, now: Instant, context: NodeContext, into outputs: inout [Output]
    ) {
        var reader = message
        // What is to be pushed on, in runs of one origin: nearly always the whole message is one run.
        var run: [Payload] = []
        var runOrigin = actor
        var served = 0
        do throws(MalformedInput) {
            while !reader.isAtEnd {
                switch try BroadcastRecord.read(from: &reader) {
                case .payload(let encoded, let hops, let isGraft):
                    guard take(encoded, hops: hops, isGraft: isGraft, now: now, context: context, into: &outputs) else { continue }
                    if encoded.id.actor != runOrigin {
                        push(run, of: runOrigin, members: context.members, into: &outputs)
                        run.removeAll()
                        runOrigin = encoded.id.actor
                    }
                    run.append(Payload(bytes: encoded.bytes, hops: hops))
                case .announcement(let list): heard(list, now: now, context: context, into: &outputs)
                case .graft(let list): served += serve(list, limit: limits.announcedChunks - served, into: &outputs)
                case nil: outputs.append(.measure(.skipped(.broadcast)))
                }
            }
        } catch {
            outputs.append(.notify(.malformed(from: sender, reason: "a broadcast message: \(error)")))
        }
        push(run, of: runOrigin, members: context.members, into: &outputs)
    }

    /// Takes one payload; returns true when it is to be pushed to the eager children.
    private mutating func take(
        _ encoded: EncodedChunk, hops: UInt64, isGraft: Bool, now: Instant, context: NodeContext, into outputs: inout [Output]
    ) -> Bool {
        let id = encoded.id
        missing.resolve(id)
        let isKnown = context.isKnown(id)
        let isPushed = cache[id]?.isPushed
        if isKnown {
            outputs.append(.measure(.duplicate(id)))
        } else {
            outputs.append(.arrived(encoded.chunk, hops: hops, isGraft: isGraft))
        }
        switch (isPushed, isGraft) {
        case (nil, false):
            // In the trees others depend on us even if sync brought us the chunk first.
            guard !isKnown || configuration.kind == .trees else { return false }
            remember(encoded, hops: hops, isPushed: true, now: now, into: &outputs)
            enqueueAnnouncement(of: id, toAll: false, now: now, members: context.members, into: &outputs)
            return true
        case (nil, true):
            guard !isKnown else { return false }
            // Those below us miss it too and are asking for it themselves by now: telling them costs less than pushing.
            remember(encoded, hops: hops, isPushed: false, now: now, into: &outputs)
            enqueueAnnouncement(of: id, toAll: true, now: now, members: context.members, into: &outputs)
            return false
        case (false?, false):
            cache.markPushed(id)
            return true
        case (true?, _), (false?, true):
            return false
        }
    }

    private mutating func remember(_ encoded: EncodedChunk, hops: UInt64, isPushed: Bool, now: Instant, into outputs: inout [Output]) {
        let isShort = chaos.point(.cacheShort) && cache.dropOldest()
        let evicted = cache.insert(encoded.id, bytes: encoded.bytes, hops: hops, isPushed: isPushed, now: now)
        if evicted > 0 || isShort { outputs.append(.measure(.dropped(.cachedChunks))) }
    }

    // MARK: Pushing

    private mutating func push(_ payloads: [Payload], of origin: ActorID, members: MemberTable, into outputs: inout [Output]) {
        // A node that has left is not among the members any more.
        guard !payloads.isEmpty, let own = members.memberIndex(of: actor) else { return }
        switch configuration.kind {
        case .trees:
            let tree = DisseminationTree(members: members, own: own, origin: origin, fanout: configuration.fanout)
            guard !tree.eagerPositions.isEmpty else { return }
            // Every child gets the same bytes: one array, shared.
            let messages = pack(payloads, as: .eager)
            for position in tree.eagerPositions where !chaos.point(.pushSkipped) {
                for message in messages { send(message, to: tree.eagerChild(position).address, into: &outputs) }
            }
        case .flood:
            let messages = pack(payloads, as: .eager)
            guard !messages.isEmpty else { return }
            for target in floodTargets(members: members, own: own, origin: origin) where !chaos.point(.pushSkipped) {
                for message in messages { send(message, to: members[target].address, into: &outputs) }
            }
        }
    }

    /// Distinct indices of random members other than this node and the origin.
    private mutating func floodTargets(members: MemberTable, own: Int, origin: ActorID) -> [Int] {
        var targets: [Int] = []
        // Drawing again instead of shuffling keeps the cost independent of the members; the bound is for tiny clusters.
        var draws = 0
        while targets.count < configuration.fanout, draws < 4 * configuration.fanout {
            draws += 1
            let index = random.below(members.count)
            if index != own, members[index].actor != origin, !targets.contains(index) { targets.append(index) }
        }
        return targets
    }

    private mutating func pack(_ payloads: [Payload], as kind: BroadcastRecord.Kind) -> [[UInt8]] {
        var messages: [[UInt8]] = []
        var writer = envelope.writer(capacity: payloads.count == 1 ? payloads[0].bytes.count + 16 : 0)
        for payload in payloads where payload.hops < configuration.hopLimit {
            let isFull = writer.count + payload.bytes.count > configuration.messageBytes
            if writer.count > Envelope.overhead, isFull || chaos.point(.messageSplit) {
                messages.append(writer.bytes)
                writer = envelope.writer()
            }
            writer.write(kind, hops: payload.hops + 1, chunk: payload.bytes)
        }
        if writer.count > Envelope.overhead { messages.append(writer.bytes) }
        return messages
    }

    private func send(_ message: [UInt8], to address: Address, into outputs: inout [Output]) {
        outputs.append(.sendMessage(to: address, bytes: message))
        outputs.append(.measure(.sent(.broadcast, bytes: message.count)))
    }

    // MARK: Announcing

    private mutating func enqueueAnnouncement(
        of id: ChunkID, toAll: Bool, now: Instant, members: MemberTable, into outputs: inout [Output]
    ) {
        guard configuration.kind == .trees, let own = members.memberIndex(of: actor) else { return }
        let tree = DisseminationTree(members: members, own: own, origin: id.actor, fanout: configuration.fanout)
        guard !tree.lazyPositions.isEmpty || (toAll && !tree.eagerPositions.isEmpty) else { return }
        guard announcing.count < limits.cachedChunks else {
            // More than can be served from the cache need not be offered.
            outputs.append(.measure(.dropped(.announcedChunks)))
            return
        }
        announcing.append((id, toAll))
        if announceAt == nil { scheduleAnnouncement(now: now, into: &outputs) }
    }

    private mutating func scheduleAnnouncement(now: Instant, into outputs: inout [Output]) {
        announceAt = now + configuration.announceInterval
        outputs.append(.schedule(.announce, at: now + configuration.announceInterval))
    }

    private mutating func announce(members: MemberTable, into outputs: inout [Output]) {
        var queued = announcing
        announcing.removeAll(keepingCapacity: announcing.capacity <= 256)
        guard let own = members.memberIndex(of: actor) else { return }
        queued.sort { $0.id < $1.id }
        var rest = queued[...]
        while let origin = rest.first?.id.actor {
            let run = rest.prefix { $0.id.actor == origin }
            rest = rest.dropFirst(run.count)
            let tree = DisseminationTree(members: members, own: own, origin: origin, fanout: configuration.fanout)
            let lazy = tree.lazyPositions.map { tree.lazyChild($0).address }
            let eager = tree.eagerPositions.map { tree.eagerChild($0).address }
            announce(run.map(\.id), to: lazy, into: &outputs)
            announce(run.filter(\.toAll).map(\.id), to: eager, into: &outputs)
        }
    }

    private func announce(_ ids: [ChunkID], to targets: [Address], into outputs: inout [Output]) {
        guard !targets.isEmpty else { return }
        for list in lists(of: ids) {
            var writer = envelope.writer(capacity: 32 + 8 * list.ids.count)
            writer.write(.announcement, list)
            for target in targets {
                send(writer.bytes, to: target, into: &outputs)
                outputs.append(.measure(.announced(chunks: list.ids.count)))
            }
        }
    }

    /// Cuts names of one actor into lists within the bound.
    private func lists(of ids: [ChunkID]) -> [ChunkList] {
        let step = max(1, limits.announcedChunks)
        return stride(from: 0, to: ids.count, by: step).map { start in
            ChunkList(sender: address, ids: ids[start..<min(start + step, ids.count)])
        }
    }

    // MARK: Repairing

    private mutating func heard(_ list: ChunkList, now: Instant, context: NodeContext, into outputs: inout [Output]) {
        for id in list.ids where !context.isKnown(id) && cache[id] == nil {
            let isFull = chaos.point(.missingFull) || !missing.announced(id, by: list.sender, now: now)
            if isFull { outputs.append(.measure(.dropped(.missingChunks))) }
        }
        scheduleGraft(into: &outputs)
    }

    private mutating func scheduleGraft(into outputs: inout [Output]) {
        guard let next = missing.nextDeadline, graftAt.map({ next < $0 }) ?? true else { return }
        graftAt = next
        outputs.append(.schedule(.graft, at: next))
    }

    private mutating func graft(now: Instant, context: NodeContext, into outputs: inout [Output]) {
        let due = missing.due(now: now) { context.isKnown($0) }
        if due.abandoned > 0 { outputs.append(.measure(.leftToSync(chunks: due.abandoned))) }
        var rest = due.grafts.sorted { ($0.0, $0.1) < ($1.0, $1.1) }[...]
        while let (announcer, first) = rest.first {
            let run = rest.prefix { $0.0 == announcer && $0.1.actor == first.actor }
            rest = rest.dropFirst(run.count)
            for list in lists(of: run.map(\.1)) {
                var writer = envelope.writer()
                writer.write(.graft, list)
                send(writer.bytes, to: announcer, into: &outputs)
                outputs.append(.measure(.graftSent(chunks: list.ids.count)))
            }
        }
    }

    /// Answers a graft with what the cache has. Returns how many chunks were sent.
    private mutating func serve(_ list: ChunkList, limit: Int, into outputs: inout [Output]) -> Int {
        if chaos.point(.graftUnanswered) { return 0 }
        // A peer that asks for more at once than any announcement holds does not get to make us send gigabytes.
        if list.ids.count > max(0, limit) { outputs.append(.measure(.dropped(.announcedChunks))) }
        let payloads = list.ids.prefix(max(0, limit)).compactMap { id in cache[id].map { Payload(bytes: $0.bytes, hops: $0.hops) } }
        for message in pack(payloads, as: .grafted) { send(message, to: list.sender, into: &outputs) }
        return payloads.count
    }
}
