/// Compares what nodes know and fetches what this node lacks, whatever the reason: a lost message, a store that failed, a
/// partition, a long absence.
///
/// Digests that ride on probes tell which peers may have something (`DigestBook`). With one of those at a time a session is
/// opened: the client greets with digests of buckets of actors, the server answers with its state of the actors in buckets
/// that differ, the client asks for what it lacks in bounded requests, newest first (`SyncNeeds`), and hands what comes to
/// the queue before the store like any other chunk. A session that breaks loses nothing: what was applied is known, what was
/// not will be asked for again.
///
/// Source: anti-entropy after Demers et al., 1987; heads and gaps as in Corrosion; digests by bucket instead of a full vector
/// are our deviation, because the cost should follow what differs.
public struct Sync: ~Copyable {
    /// The deadlines of sync.
    public enum Timer: Hashable, Sendable {
        /// The next round is due.
        case period
        /// It is time to see whether a session still makes progress.
        case session(SessionID)
        /// A session has waited long enough before its first request.
        case request(SessionID)
    }

    enum Event {
        case started
        case digestHeard(Fingerprint, from: ActorID)
        case memberUp(ActorID)
        /// Our own ledger changed; the context has the new one.
        case ledgerChanged
        /// The store could not write what it was given.
        case storeFailed
        /// The queue before the store has been told of everything so far, and may have room.
        case intakeChanged
        case sessionOpened(SessionID, from: Address)
        case sessionReceived(SessionID, bytes: [UInt8])
        case sessionFinished(SessionID)
        case sessionLost(SessionID)
        /// The store answered `Output.read`.
        case read(StoreResult, for: SessionID)
        case deadlinePassed(Timer)
    }

    enum Output {
        case openSession(SessionID, to: Address)
        case write(SessionID, bytes: [UInt8])
        case finish(SessionID)
        case reset(SessionID)
        case read(ReadRequest, for: SessionID)
        /// For the queue before the store.
        case arrived(Chunk)
        case empty(EmptyVersions)
        case schedule(Timer, at: Instant)
        case notify(Notice)
        case measure(Measurement)
    }

    /// Versions that were received and wait for the store, until it has answered for so many chunks.
    struct Landing: Sendable {
        var wants: [ReadRequest.Want]
        var taken: UInt64
    }

    let actor: ActorID
    let envelope: Envelope
    let configuration: SyncConfiguration
    let limits: Limits
    var random: Random
    var chaos: Chaos
    var book: DigestBook
    var own: [ClientSession] = []
    var served: [ServedSession] = []
    var landing: [Landing] = []
    private var nextNumber: UInt64 = 0
    private var round: Round
    /// Peers that are left alone for a while: they were full, or a session with them broke.
    private var restUntil: [(peer: ActorID, until: Instant)] = []

    /// When sessions are opened.
    private struct Round: Sendable {
        /// The next round; earlier timers are stale.
        var next: Instant?
        /// The last session that was opened, and what we knew then.
        var lastOpened: Instant?
        var lastFingerprint: Fingerprint?
        /// True when a session since then had something to ask for.
        var hasAsked = false
        var pause: Duration
        /// A member that came up and whose digest is not known yet.
        var newcomer: ActorID?
    }

    init(configuration: NodeConfiguration, fingerprint: Fingerprint, random: Random) {
        actor = configuration.actor
        envelope = Envelope(cluster: configuration.cluster, kind: .sync)
        self.configuration = configuration.sync.sane
        limits = configuration.limits
        self.random = random
        chaos = Chaos(configuration.chaos, random: random)
        book = DigestBook(own: fingerprint)
        round = Round(pause: configuration.sync.sane.minimumInterval)
    }

    mutating func handle(_ event: Event, now: Instant, context: NodeContext, into outputs: inout [Output]) {
        switch event {
        case .started:
            plan(at: now + jittered(configuration.minimumInterval), into: &outputs)
        case .digestHeard(let digest, let peer):
            heard(digest, from: peer, now: now, into: &outputs)
        case .memberUp(let peer):
            memberUp(peer, now: now, into: &outputs)
        case .ledgerChanged:
            book.cover(context.ledger.fingerprint)
            shortenPause(now: now, into: &outputs)
        case .storeFailed:
            storeFailed(now: now, into: &outputs)
        case .intakeChanged:
            askOn(now: now, context: context, into: &outputs)
        case .sessionOpened(let id, let client):
            opened(id, from: client, now: now, into: &outputs)
        case .sessionReceived(let id, let bytes):
            received(id, bytes, now: now, context: context, into: &outputs)
        case .sessionFinished(let id):
            finished(id, now: now, into: &outputs)
        case .sessionLost(let id):
            lost(id, now: now, into: &outputs)
        case .read(let result, let id):
            read(result, for: id, now: now, into: &outputs)
        case .deadlinePassed(.period):
            guard let next = round.next, next <= now else { return }
            runRound(now: now, context: context, into: &outputs)
        case .deadlinePassed(.session(let id)):
            checkProgress(of: id, now: now, into: &outputs)
        case .deadlinePassed(.request):
            // The node lets every session ask on that may, at the end of each event.
            break
        }
    }

    func checkInvariants() {
        precondition(own.count <= limits.ownSessions, "own sessions are within their bound")
        precondition(served.count <= limits.servedSessions, "served sessions are within their bound")
        precondition(book.differences.count <= DigestBook.differencesLimit, "remembered differences are within their bound")
        for (index, session) in own.enumerated() {
            for other in own[(index + 1)...] {
                precondition(session.asked.restricting(other.asked).isEmpty, "no version is asked from two servers at once")
            }
        }
    }

    // MARK: Rounds

    /// No round before this: the pause after the last session.
    private var earliestRound: Instant { round.lastOpened.map { $0 + round.pause } ?? Instant.zero }

    private mutating func jittered(_ duration: Duration) -> Duration {
        duration + random.duration(in: .zero...(duration * max(0, configuration.jitterPercent) / 100))
    }

    /// Brings the next round forward to `instant`; a later one is not wanted.
    func isSooner(_ instant: Instant) -> Bool { round.next.map { instant < $0 } ?? true }

    mutating func plan(at instant: Instant, into outputs: inout [Output]) {
        guard isSooner(instant) else { return }
        round.next = instant
        outputs.append(.schedule(.period, at: instant))
    }

    mutating func memberUp(_ peer: ActorID, now: Instant, into outputs: inout [Output]) {
        round.newcomer = peer
        plan(at: max(now + configuration.settleTime, earliestRound), into: &outputs)
    }

    mutating func heard(_ digest: Fingerprint, from peer: ActorID, now: Instant, into outputs: inout [Output]) {
        if round.newcomer == peer { round.newcomer = nil }
        guard let difference = book.heard(digest, from: peer, now: now) else { return }
        let due = max(difference.since + configuration.settleTime, earliestRound, now)
        // The jitter is only drawn when it counts: a round that is due anyway stays where it is.
        if isSooner(due) { plan(at: due + random.duration(in: .zero...(configuration.settleTime / 4)), into: &outputs) }
    }

    /// Something new is on disk, so the pauses that fruitless sessions made long are over.
    private mutating func shortenPause(now: Instant, into outputs: inout [Output]) {
        guard round.pause > configuration.minimumInterval else { return }
        round.pause = configuration.minimumInterval
        if !book.differences.isEmpty { plan(at: max(now + jittered(configuration.settleTime), earliestRound), into: &outputs) }
    }

    private mutating func runRound(now: Instant, context: NodeContext, into outputs: inout [Output]) {
        round.next = nil
        book.prune(members: context.members)
        restUntil.removeAll { $0.until <= now }
        if own.count < limits.ownSessions, now >= earliestRound, !chaos.point(.roundSkipped),
            let server = chooseServer(now: now, members: context.members)
        {
            // A session that asked and changed nothing is repeated after ever longer pauses, or a peer with something that our
            // store refuses would be asked for it every second.
            let isFruitless = round.hasAsked && round.lastFingerprint == context.ledger.fingerprint
            round.hasAsked = false
            round.pause = isFruitless ? min(round.pause * 2, configuration.maximumInterval) : configuration.minimumInterval
            round.lastFingerprint = context.ledger.fingerprint
            round.lastOpened = now
            open(server, now: now, ledger: context.ledger, into: &outputs)
        }
        let isDifferent = !book.differences.isEmpty || round.newcomer != nil
        let pause = isDifferent ? round.pause : configuration.maximumInterval
        plan(at: max(now + jittered(pause), earliestRound), into: &outputs)
    }

    /// A peer that has had something else than we for a while; else a member that just came up; else, if no session was
    /// opened for long, anybody: digests are heard by chance, and a small cluster should not depend on it.
    private mutating func chooseServer(now: Instant, members: MemberTable) -> MemberRecord? {
        func isAvailable(_ peer: ActorID) -> Bool {
            peer != actor && !restUntil.contains { $0.peer == peer } && !own.contains { $0.server.actor == peer }
        }
        let ripe = book.differences.filter { $0.since + configuration.settleTime <= now && isAvailable($0.actor) }
        if let choice = random.element(of: ripe) { return members.member(choice.actor) }
        if let newcomer = round.newcomer {
            round.newcomer = nil
            if isAvailable(newcomer), let member = members.member(newcomer) { return member }
        }
        guard round.lastOpened.map({ now - $0 >= configuration.maximumInterval }) ?? true else { return nil }
        guard let member = random.element(of: members), isAvailable(member.actor) else { return nil }
        return member
    }

    private mutating func open(_ server: MemberRecord, now: Instant, ledger: VersionLedger, into outputs: inout [Output]) {
        let id = SessionID(.node, nextNumber)
        nextNumber += 1
        let decoder = FrameDecoder(cluster: envelope.cluster, limit: limits.messageBytes)
        own.append(ClientSession(id: id, server: server, openedAt: now, heardAt: now, decoder: decoder))
        outputs.append(.openSession(id, to: server.address))
        let buckets = ledger.bucketDigests(bits: ledger.suitableBucketBits)
        var writer = envelope.writer(capacity: 48 + 8 * buckets.count)
        SyncFrame.greeting(.init(actor: actor, fingerprint: ledger.fingerprint, buckets: buckets)).write(to: &writer)
        write(writer, to: id, into: &outputs)
        outputs.append(.schedule(.session(id), at: now + configuration.sessionTimeout))
    }

    /// Leaves a peer alone for a while.
    mutating func rest(_ peer: ActorID, until instant: Instant) {
        restUntil.removeAll { $0.peer == peer }
        restUntil.append((peer, instant))
    }

    func write(_ writer: ByteWriter, to id: SessionID, into outputs: inout [Output]) {
        outputs.append(.write(id, bytes: writer.bytes))
        outputs.append(.measure(.sent(.sync, bytes: writer.count)))
    }

    // MARK: Ends of sessions

    private mutating func finished(_ id: SessionID, now: Instant, into outputs: inout [Output]) {
        if let index = served.firstIndex(where: { $0.id == id }) {
            served.remove(at: index)
            outputs.append(.finish(id))
        } else if let index = own.firstIndex(where: { $0.id == id }) {
            let session = own.remove(at: index)
            guard session.isActive else { return }
            // The server stopped in the middle, for reasons of its own.
            outputs.append(.finish(id))
            end(session, restFor: configuration.retryAfter, now: now, into: &outputs)
        }
    }

    private mutating func lost(_ id: SessionID, now: Instant, into outputs: inout [Output]) {
        served.removeAll { $0.id == id }
        guard let index = own.firstIndex(where: { $0.id == id }) else { return }
        let session = own.remove(at: index)
        if session.isActive { end(session, restFor: configuration.retryAfter, now: now, into: &outputs) }
    }

    /// Drops a session in both directions at once.
    mutating func reset(_ id: SessionID, now: Instant, into outputs: inout [Output]) {
        outputs.append(.reset(id))
        lost(id, now: now, into: &outputs)
    }

    /// Accounts for an own session that is over, and looks for another server soon.
    mutating func end(_ session: ClientSession, restFor rest: Duration, now: Instant, into outputs: inout [Output]) {
        outputs.append(.measure(.synced(with: session.server.actor, chunks: session.chunks, bytes: session.bytes)))
        if session.hasAsked { round.hasAsked = true }
        if rest > .zero { self.rest(session.server.actor, until: now + rest) }
        if !book.differences.isEmpty { plan(at: max(now + jittered(configuration.settleTime), earliestRound), into: &outputs) }
    }

    private mutating func checkProgress(of id: SessionID, now: Instant, into outputs: inout [Output]) {
        guard
            let heardAt = own.first(where: { $0.id == id })?.heardAt ?? served.first(where: { $0.id == id })?.heardAt
        else { return }
        let deadline = heardAt + configuration.sessionTimeout
        if deadline <= now {
            reset(id, now: now, into: &outputs)
        } else {
            outputs.append(.schedule(.session(id), at: deadline))
        }
    }

    private mutating func received(_ id: SessionID, _ bytes: [UInt8], now: Instant, context: NodeContext, into outputs: inout [Output]) {
        outputs.append(.measure(.received(.sync, bytes: bytes.count)))
        if let index = own.firstIndex(where: { $0.id == id }) {
            if own[index].isActive, chaos.point(.sessionAbandoned) { return reset(id, now: now, into: &outputs) }
            own[index].heardAt = now
            own[index].decoder.append(bytes)
            read(own[index].server.address, id, now: now, into: &outputs) { sync, outputs throws(MalformedInput) in
                // An earlier frame may have ended the session.
                guard let index = sync.own.firstIndex(where: { $0.id == id }) else { return false }
                guard let frame = try sync.own[index].decoder.next() else { return false }
                try sync.clientReceived(frame, at: index, now: now, context: context, into: &outputs)
                return true
            }
        } else if let index = served.firstIndex(where: { $0.id == id }) {
            served[index].heardAt = now
            served[index].decoder.append(bytes)
            read(served[index].client, id, now: now, into: &outputs) { sync, outputs throws(MalformedInput) in
                guard let index = sync.served.firstIndex(where: { $0.id == id }) else { return false }
                guard let frame = try sync.served[index].decoder.next() else { return false }
                try sync.serverReceived(frame, at: index, now: now, context: context, into: &outputs)
                return true
            }
        }
    }

    /// Takes frames until `next` says that there is none; drops the session when one is malformed.
    private mutating func read(
        _ peer: Address, _ id: SessionID, now: Instant, into outputs: inout [Output],
        next: (inout Sync, inout [Output]) throws(MalformedInput) -> Bool
    ) {
        do throws(MalformedInput) {
            while try next(&self, &outputs) {}
        } catch {
            outputs.append(.notify(.malformed(from: peer, reason: "a sync session: \(error)")))
            reset(id, now: now, into: &outputs)
        }
    }
}
