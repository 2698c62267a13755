@testable import PatinaProtocol

/// At least one of every event and every effect that there is.
enum EventLogSamples {
    private static let address = Sample.address(3)
    private static let distant = Address(high: 0x2001_0DB8 << 32, low: 9, port: 65_535)
    private static let own = SessionID(.node, 300)
    private static let served = SessionID(.peer, .max)
    private static let far: UInt64 = .max
    private static let pieces: IntervalSet = {
        var set = IntervalSet(0...4)
        set.insert(9...10)
        set.insert(UInt64.max...UInt64.max)
        return set
    }()
    private static let wants: [ReadRequest.Want] = [.versions(Sample.actor(1), 5...far), .sequences(Sample.actor(2), version: 400, pieces)]
    private static let empties = [EmptyVersions(actor: Sample.actor(4), versions: 0...far)]

    static let timers: [Timer] = [
        .membership(.probe(life: 1)), .membership(.probeTimeout(sequence: far)), .membership(.relayTimeout(sequence: 3)),
        .membership(.suspicion(Sample.actor(4))), .membership(.gossip(life: 5)), .membership(.exchange(life: 6)),
        .membership(.announce(life: 7)), .membership(.forget(life: 8)), .broadcast(.announce), .broadcast(.graft), .sync(.period),
        .sync(.session(own)), .sync(.request(served)), .node(.saveMembers), .node(.maintenance),
    ]

    static let results: [StoreResult] = [
        .applied(
            changes: [.completed(Sample.actor(1), versions: 0...far), .buffered(Sample.id(1, 5, 0...1, of: far))],
            refused: [RefusedChunk(id: Sample.id(2, 6), reason: "no such table: ü")]),
        .read(chunks: Sample.pieces(1, 9, count: 3), empties: empties, remaining: wants), .savedMembers, .failed(reason: ""),
    ]

    static let events: [Event] =
        [
            .started, .datagramReceived(from: address, bytes: []), .messageReceived(from: distant, bytes: [1, 2, 3]),
            .sessionOpened(served, from: address), .sessionReceived(own, bytes: Array(repeating: 7, count: 300)), .sessionFinished(own),
            .sessionLost(served), .peerLost(distant), .bootstrapResolved([]), .bootstrapResolved([address, distant]),
            .transactionCommitted([]), .transactionCommitted(Sample.pieces(1, 5, count: 2)),
            .storeChanged([.buffered(Sample.id(3, 7)), .completed(Sample.actor(3), versions: 1...1)]), .commanded(.leave),
            .commanded(.rejoin),
        ] + timers.map { .deadlinePassed($0) } + results.map { .stored(StoreToken(far), $0) }

    static let notices: [Notice] = [
        .memberUp(Sample.record(1)), .memberSuspected(Sample.record(2)), .memberDown(Sample.record(3)),
        .memberLeft(MemberRecord(actor: Sample.actor(4), address: distant, generation: far)), .refuted(incarnation: far), .left,
        .versionApplied(Sample.actor(5), version: far), .malformed(from: address, reason: "a message of 3 bytes"),
        .chunkRefused(Sample.id(6, 1), reason: "no"), .storeFailed(reason: "the disk is full"),
    ]

    static let measurements: [Measurement] =
        Measurement.MessageClass.allCases.flatMap { [.sent($0, bytes: 1), .received($0, bytes: .max), .skipped($0)] as [Measurement] }
        + Measurement.Bound.allCases.map { .dropped($0) }
        + [
            .duplicate(Sample.id(1, 2)), .delivered(Sample.id(1, 3), hops: far),
            .probed(Sample.actor(2), roundTrip: .nanoseconds(1_234_567_891)), .probed(Sample.actor(2), roundTrip: .seconds(-1)),
            .synced(with: Sample.actor(3), chunks: -1, bytes: .min), .foreignCluster, .announced(chunks: 0), .graftSent(chunks: 1),
            .leftToSync(chunks: 2), .repaired(Sample.id(4, 5)), .syncRefused(by: Sample.actor(6)),
            .chaos(point: 3),
        ]

    static let effects: [Effect] =
        [
            .sendDatagram(to: address, bytes: [9]), .sendMessage(to: address, bytes: [1, 2]), .sendMessage(to: distant, bytes: [1, 2]),
            .sendMessage(to: address, bytes: [1, 2, 3]), .sendMessage(to: address, bytes: [1, 2]), .openSession(own, to: address),
            .writeSession(own, bytes: [4]), .finishSession(own), .resetSession(served),
            .store(.apply(chunks: [Sample.chunk(1, 2), Sample.chunk(1, 3, body: [])], empties: empties), StoreToken(0)),
            .store(.read(ReadRequest(wants: wants, byteLimit: 1 << 20)), StoreToken(far)),
            .store(.saveMembers(Sample.members(3)), StoreToken(7)),
        ] + timers.map { .schedule($0, at: .at(milliseconds: 7)) }
        + [Int64.min, -1, 0, .max].map { .schedule(.sync(.period), at: Instant(nanoseconds: $0)) } + notices.map { .notify($0) }
        + measurements.map { .measure($0) }

    static let header: EventLogHeader = {
        var configuration = Sample.configuration(1, seed: .max)
        configuration.bootstrap = [address, distant]
        configuration.applyOperations = 3
        configuration.memberSaveDelay = .microseconds(1_500_001)
        configuration.membership.probePeriod = Duration(secondsComponent: 1, attosecondsComponent: 1)
        configuration.membership.mutants = [.suspicionNotWaited]
        configuration.broadcast.kind = .flood
        configuration.broadcast.hopLimit = far
        configuration.sync.rangeVersions = far
        configuration.limits.pendingChunks = 0
        var ledger = VersionLedger()
        ledger.apply(.completed(Sample.actor(1), versions: 1...400))
        ledger.apply(.completed(Sample.actor(1), versions: 500...far))
        ledger.apply(.buffered(Sample.id(1, 450, 2...3, of: 9)))
        ledger.apply(.buffered(Sample.id(1, 450, 7...7, of: 9)))
        ledger.apply(.buffered(Sample.id(2, 1, 0...0, of: far)))
        return EventLogHeader(
            build: "patina 0.1.0", wall: 1_767_225_600_000_000_000, start: .at(milliseconds: 77), detail: .whole,
            configuration: configuration, ledger: ledger, members: Sample.members(2))
    }()

    // The compiler objects below when a case is added, and the test until there is a sample of it.

    static func number(_ event: Event) -> Int {
        switch event {
        case .started: 0
        case .datagramReceived: 1
        case .messageReceived: 2
        case .sessionOpened: 3
        case .sessionReceived: 4
        case .sessionFinished: 5
        case .sessionLost: 6
        case .peerLost: 7
        case .bootstrapResolved: 8
        case .transactionCommitted: 9
        case .storeChanged: 10
        case .commanded(.leave): 11
        case .commanded(.rejoin): 12
        case .stored(_, .applied): 13
        case .stored(_, .read): 14
        case .stored(_, .savedMembers): 15
        case .stored(_, .failed): 16
        case .deadlinePassed(let timer): 17 + number(timer)
        }
    }

    static func number(_ timer: Timer) -> Int {
        switch timer {
        case .membership(.probe): 0
        case .membership(.probeTimeout): 1
        case .membership(.relayTimeout): 2
        case .membership(.suspicion): 3
        case .membership(.gossip): 4
        case .membership(.exchange): 5
        case .membership(.announce): 6
        case .membership(.forget): 7
        case .broadcast(.announce): 8
        case .broadcast(.graft): 9
        case .sync(.period): 10
        case .sync(.session): 11
        case .sync(.request): 12
        case .node(.saveMembers): 13
        case .node(.maintenance): 14
        }
    }

    static func number(_ effect: Effect) -> Int {
        switch effect {
        case .sendDatagram: 0
        case .sendMessage: 1
        case .openSession: 2
        case .writeSession: 3
        case .finishSession: 4
        case .resetSession: 5
        case .store(.apply, _): 6
        case .store(.read, _): 7
        case .store(.saveMembers, _): 8
        case .schedule(let timer, _): 9 + number(timer)
        case .notify(let notice): 24 + number(notice)
        case .measure(let measurement): 34 + number(measurement)
        }
    }

    static func number(_ notice: Notice) -> Int {
        switch notice {
        case .memberUp: 0
        case .memberSuspected: 1
        case .memberDown: 2
        case .memberLeft: 3
        case .refuted: 4
        case .left: 5
        case .versionApplied: 6
        case .malformed: 7
        case .chunkRefused: 8
        case .storeFailed: 9
        }
    }

    static func number(_ measurement: Measurement) -> Int {
        switch measurement {
        case .sent: 0
        case .received: 1
        case .duplicate: 2
        case .delivered: 3
        case .dropped: 4
        case .probed: 5
        case .synced: 6
        case .skipped: 7
        case .foreignCluster: 8
        case .announced: 9
        case .graftSent: 10
        case .leftToSync: 11
        case .repaired: 12
        case .syncRefused: 13
        case .chaos: 14
        }
    }
}
