// Goal: every transition of a session that a node opens, and when it opens one.
// Method: one machine; the test plays the server, frame by frame.

import Testing

@testable import PatinaProtocol

@Suite struct SyncClientTests {
    private let theirs = Fingerprint(high: 5, low: 5)

    private func state(_ actors: [ActorState], isLast: Bool = true) -> SyncFrame {
        .state(.init(fingerprint: theirs, isLast: isLast, state: PeerState(actors: actors)))
    }

    /// A session in which the server has told that it has versions 1 to `head` of actor 9.
    private func requesting(
        _ harness: SyncHarness, head: UInt64 = 10, peer: Int = 1, digest: Fingerprint? = nil
    ) throws -> SessionID {
        let id = try #require(harness.openSession(with: peer, digest: digest ?? theirs))
        harness.receive(id, state([ActorState(actor: Sample.actor(9), head: head)]), isFirst: true)
        harness.askOn()
        return id
    }

    // MARK: Rounds

    @Test("sync: a peer with another digest is greeted once the difference has lasted, with our digests")
    func greeting() throws {
        var ledger = VersionLedger()
        for number in 0..<20 { ledger.apply(.completed(Sample.actor(number), versions: 1...3)) }
        let harness = SyncHarness(ledger: ledger)
        harness.handle(.digestHeard(theirs, from: Sample.actor(2)))
        let due = try #require(harness.scheduled.first?.at)
        #expect(due >= .at(milliseconds: 500) && due <= .at(milliseconds: 625))
        harness.now = due
        harness.handle(.deadlinePassed(.period))
        #expect(harness.opened.map(\.to) == [Sample.address(2)])
        guard case .greeting(let greeting)? = try harness.written(isFirst: true).first else { throw MalformedInput("no greeting") }
        #expect(greeting.actor == Sample.actor(0))
        #expect(greeting.fingerprint == ledger.fingerprint)
        #expect(greeting.buckets == ledger.bucketDigests(bits: 3))
    }

    @Test("sync: a peer that is merely behind us is left alone")
    func behind() {
        let harness = SyncHarness()
        harness.context.ledger.apply(.completed(Sample.actor(0), versions: 1...1))
        let older = harness.context.ledger.fingerprint
        harness.handle(.ledgerChanged)
        harness.context.ledger.apply(.completed(Sample.actor(0), versions: 2...2))
        harness.handle(.ledgerChanged)
        harness.handle(.digestHeard(older, from: Sample.actor(1)))
        #expect(harness.scheduled.isEmpty)
        #expect(harness.sync.book.differences.isEmpty)
    }

    @Test("sync: a difference that broadcast makes good in time opens no session")
    func madeGood() {
        let harness = SyncHarness()
        let first = harness.openSession()
        harness.handle(.sessionLost(first ?? SessionID(.node, 0)))
        harness.advance(.seconds(2))
        var ahead = harness.context.ledger
        ahead.apply(.completed(Sample.actor(1), versions: 1...1))
        harness.handle(.digestHeard(ahead.fingerprint, from: Sample.actor(1)))
        harness.context.ledger = ahead
        harness.handle(.ledgerChanged)
        let id = harness.openSession(within: .seconds(5))
        #expect(id == nil)
    }

    @Test("sync: without any news a session is opened in every long interval, to be safe")
    func safetyNet() throws {
        let harness = SyncHarness()
        _ = try #require(harness.openSession())
        harness.handle(.sessionLost(SessionID(.node, 0)))
        let first = harness.now
        _ = try #require(harness.openSession(within: .seconds(60)))
        #expect(harness.now - first >= .seconds(12))
    }

    @Test("sync: a member that came up is greeted soon")
    func newcomer() throws {
        let harness = SyncHarness()
        _ = try #require(harness.openSession())
        harness.handle(.sessionLost(SessionID(.node, 0)))
        harness.advance(.seconds(5))
        harness.handle(.memberUp(Sample.actor(3)))
        #expect(harness.scheduled.map(\.at) == [harness.now + .milliseconds(500)])
        harness.advance(.milliseconds(500))
        harness.handle(.deadlinePassed(.period))
        #expect(harness.opened.map(\.to) == [Sample.address(3)])
    }

    @Test("sync: a stale timer opens nothing")
    func staleTimer() {
        let harness = SyncHarness()
        harness.handle(.deadlinePassed(.period))
        #expect(harness.outputs.isEmpty)
    }

    @Test("sync: sessions that change nothing are opened at ever longer pauses")
    func fruitless() throws {
        let harness = SyncHarness()
        var openedAt: [Instant] = []
        for _ in 0..<7 {
            let id = try #require(harness.openSession(with: 1, digest: theirs))
            openedAt.append(harness.now)
            harness.receive(id, state([ActorState(actor: Sample.actor(9), head: 1)]), isFirst: true)
            harness.askOn()
            harness.receive(id, .end(remaining: []))
            harness.askOn()
            #expect(harness.finished == [id])
            harness.handle(.sessionFinished(id))
        }
        let pauses = zip(openedAt.dropFirst(), openedAt).map { ($0 - $1).milliseconds }
        #expect(zip(pauses, [1_000, 2_000, 4_000, 8_000, 12_000, 12_000]).allSatisfy { $0 >= $1 && $0 <= $1 * 2 })
    }

    // MARK: A session

    @Test("sync: an equal server ends it")
    func equal() throws {
        let harness = SyncHarness()
        let id = try #require(harness.openSession(with: 1, digest: theirs))
        harness.receive(id, .equal, isFirst: true)
        #expect(harness.finished == [id])
        #expect(harness.sync.book.differences.isEmpty)
        harness.handle(.sessionFinished(id))
        #expect(harness.sync.own.isEmpty)
    }

    @Test("sync: a server with nothing for us ends it, and its digest is remembered")
    func nothingForUs() throws {
        var ledger = VersionLedger()
        ledger.apply(.completed(Sample.actor(9), versions: 1...9))
        let harness = SyncHarness(ledger: ledger)
        let id = try #require(harness.openSession(with: 1, digest: theirs))
        harness.receive(id, state([ActorState(actor: Sample.actor(9), head: 5)]), isFirst: true)
        harness.askOn()
        #expect(harness.finished == [id])
        harness.handle(.digestHeard(theirs, from: Sample.actor(2)))
        #expect(harness.sync.book.differences.isEmpty)
    }

    @Test("sync: what the server has is asked for, after all of its state is there")
    func request() throws {
        let harness = SyncHarness()
        let id = try #require(harness.openSession(with: 1, digest: theirs))
        harness.receive(id, state([ActorState(actor: Sample.actor(8), head: 2)], isLast: false), isFirst: true)
        harness.askOn()
        #expect(try harness.requested == nil)
        harness.receive(id, state([ActorState(actor: Sample.actor(9), head: 3)]))
        harness.askOn()
        #expect(try harness.requested == [.versions(Sample.actor(8), 1...2), .versions(Sample.actor(9), 1...3)])
    }

    @Test("sync: chunks go to the queue; the rest is asked for when the queue has room, then the session ends")
    func backPressure() throws {
        let harness = SyncHarness { $0.sync.resumeBelowChunks = 2 }
        let id = try requesting(harness)
        let chunks = (1...10).map { Sample.chunk(9, UInt64($0)) }
        harness.receive(id, .chunk(chunks[9]), .chunk(chunks[8]), .chunk(chunks[7]), .end(remaining: [.versions(Sample.actor(9), 1...7)]))
        #expect(harness.arrived == chunks[7...9].reversed())
        for chunk in harness.arrived { _ = harness.context.intake.offer(chunk) }
        harness.askOn()
        #expect(try harness.requested == nil)
        _ = harness.context.intake.nextOperation(token: StoreToken(0))
        _ = harness.context.intake.answered(StoreToken(0))
        harness.outputs = []
        harness.askOn()
        #expect(try harness.requested == [.versions(Sample.actor(9), 1...7)])
        harness.receive(id, .empties([EmptyVersions(actor: Sample.actor(9), versions: 1...(.max))]), .end(remaining: []))
        #expect(harness.empties == [EmptyVersions(actor: Sample.actor(9), versions: 1...7)])
        harness.askOn()
        #expect(harness.finished == [id])
        #expect(harness.measured.contains(.synced(with: Sample.actor(1), chunks: 3, bytes: 9)))
    }

    @Test("sync: a few versions may still be on their way, so they are asked for a little later, and only if they did not come")
    func grace() throws {
        let harness = SyncHarness { $0.sync.graceTime = .milliseconds(250) }
        let id = try requesting(harness)
        #expect(try harness.requested == nil)
        #expect(harness.scheduled.map(\.at) == [harness.now + .milliseconds(250)])
        harness.context.ledger.apply(.completed(Sample.actor(9), versions: 1...8))
        harness.advance(.milliseconds(250))
        harness.handle(.deadlinePassed(.request(id)))
        harness.askOn()
        #expect(try harness.requested == [.versions(Sample.actor(9), 9...10)])
        // Many versions are no accident of timing.
        let behind = SyncHarness { $0.sync.graceTime = .milliseconds(250) }
        _ = try requesting(behind, head: 65)
        #expect(try behind.requested != nil)
    }

    @Test("sync: after long agreement a difference is looked into at once, however many sessions found nothing before")
    func noPauseAfterAgreement() throws {
        let harness = SyncHarness()
        for _ in 0..<5 {
            let id = try #require(harness.openSession(within: .seconds(60)))
            harness.receive(id, .equal, isFirst: true)
            harness.handle(.sessionFinished(id))
        }
        harness.advance(.seconds(1))
        let heard = harness.now
        _ = try #require(harness.openSession(with: 1, digest: theirs))
        #expect(harness.now - heard <= .milliseconds(700))
    }

    @Test("sync: two sessions never ask for the same, and what waits for the store is not asked for again")
    func twoServers() throws {
        let harness = SyncHarness {
            $0.sync.rangeVersions = 4
            $0.limits.syncRequestRanges = 1
        }
        let first = try requesting(harness, peer: 1)
        #expect(try harness.requested == [.versions(Sample.actor(9), 7...10)])
        harness.advance(.seconds(2))
        let second = try requesting(harness, peer: 2, digest: Fingerprint(high: 6, low: 6))
        #expect(second != first)
        #expect(try harness.requested == [.versions(Sample.actor(9), 3...6)])
        // The first one's answer arrives and waits for the store.
        harness.receive(
            first, .chunk(Sample.chunk(9, 10)), .chunk(Sample.chunk(9, 9)), .end(remaining: [.versions(Sample.actor(9), 7...8)]))
        for chunk in harness.arrived { _ = harness.context.intake.offer(chunk) }
        harness.askOn()
        #expect(try harness.requested == [.versions(Sample.actor(9), 7...8)])
        harness.receive(second, .chunk(Sample.chunk(9, 6)), .end(remaining: []))
        for chunk in harness.arrived { _ = harness.context.intake.offer(chunk) }
        harness.askOn()
        #expect(try harness.requested == [.versions(Sample.actor(9), 1...2)])
    }

    @Test("sync: what a lost session had asked for is asked of the next server")
    func lostSession() throws {
        let harness = SyncHarness()
        let first = try requesting(harness, peer: 1)
        harness.handle(.sessionLost(first))
        #expect(harness.sync.own.isEmpty)
        harness.advance(.seconds(1))
        _ = try requesting(harness, peer: 2)
        #expect(try harness.requested == [.versions(Sample.actor(9), 1...10)])
    }

    @Test("sync: a full server is left alone until the time it named, another one is asked meanwhile")
    func refusal() throws {
        let harness = SyncHarness()
        let id = try #require(harness.openSession(with: 1, digest: theirs))
        harness.receive(id, .refusal(.init(reason: .busy, retryAfter: .seconds(9))), isFirst: true)
        #expect(harness.finished == [id])
        #expect(harness.measured.contains(.syncRefused(by: Sample.actor(1))))
        harness.handle(.sessionFinished(id))
        let refusedAt = harness.now
        harness.handle(.digestHeard(theirs, from: Sample.actor(2)))
        let next = try #require(harness.openSession())
        #expect(harness.opened.map(\.to) == [Sample.address(2)])
        #expect(harness.now - refusedAt < .seconds(4))
        harness.handle(.sessionLost(next))
        harness.context.members = Sample.table(2)
        _ = try #require(harness.openSession())
        #expect(harness.now - refusedAt >= .seconds(9))
    }

    @Test("sync: when the store fails, sessions end at once")
    func storeFailed() throws {
        let harness = SyncHarness()
        let id = try requesting(harness)
        harness.handle(.storeFailed)
        #expect(harness.resets == [id])
        #expect(harness.sync.own.isEmpty)
    }

    @Test("sync: a silent server is given up after the timeout, one that still sends is not")
    func timeout() throws {
        let harness = SyncHarness()
        let id = try requesting(harness)
        harness.advance(.seconds(8))
        harness.receive(id, .chunk(Sample.chunk(9, 10)))
        harness.advance(.seconds(2))
        harness.handle(.deadlinePassed(.session(id)))
        #expect(harness.resets.isEmpty)
        #expect(harness.scheduled.map(\.at) == [harness.now + .seconds(8)])
        harness.advance(.seconds(8))
        harness.handle(.deadlinePassed(.session(id)))
        #expect(harness.resets == [id])
        harness.handle(.deadlinePassed(.session(id)))
        #expect(harness.outputs.isEmpty)
    }

    @Test("sync: a session that takes very long ends after the answer that is on its way")
    func overdue() throws {
        let harness = SyncHarness()
        let id = try requesting(harness)
        harness.advance(.seconds(61))
        harness.receive(id, .chunk(Sample.chunk(9, 10)), .end(remaining: [.versions(Sample.actor(9), 1...9)]))
        harness.askOn()
        #expect(harness.finished == [id])
        #expect(try harness.requested == nil)
    }

    @Test("sync: a server that stops in the middle is finished, too")
    func serverStops() throws {
        let harness = SyncHarness()
        let id = try requesting(harness)
        harness.handle(.sessionFinished(id))
        #expect(harness.finished == [id])
        #expect(harness.sync.own.isEmpty)
    }

    @Test("sync: what was not asked for, more than was asked for, and an empty answer with a remainder are refused")
    func misbehaviour() throws {
        let large = Sample.chunk(9, 9, body: Array(repeating: 1, count: 700))
        let answers: [[SyncFrame]] = [
            [.chunk(Sample.chunk(8, 1))], [.chunk(Sample.chunk(9, 11))], [.end(remaining: [.versions(Sample.actor(9), 1...9)])],
            [.chunk(large), .chunk(large), .chunk(large), .chunk(large)],
            [.chunk(large), .end(remaining: (1...9).map { .versions(Sample.actor(9), $0...$0) })],
        ]
        for answer in answers {
            let harness = SyncHarness {
                $0.limits.syncRequestBytes = 1_000
                $0.limits.messageBytes = 1_000
            }
            let id = try requesting(harness)
            harness.handle(.sessionReceived(id, bytes: SyncHarness.bytes(answer, isFirst: false)))
            #expect(harness.resets == [id])
            #expect(harness.notices.count == 1)
            #expect(harness.sync.own.isEmpty)
        }
    }

    @Test("sync: a frame that is out of place resets the session (state)", arguments: ["greeting", "learning", "requesting"])
    func outOfPlace(state name: String) throws {
        for (index, frame) in SyncFrameTests.samples.enumerated() {
            let harness = SyncHarness()
            let isAllowed: Bool
            let id: SessionID
            switch name {
            case "greeting":
                id = try #require(harness.openSession(with: 1, digest: theirs))
                isAllowed = [1, 2, 3].contains(index)
            case "learning":
                id = try #require(harness.openSession(with: 1, digest: theirs))
                harness.receive(id, state([ActorState(actor: Sample.actor(9), head: 1)], isLast: false), isFirst: true)
                isAllowed = [2, 3].contains(index)
            default:
                id = try requesting(harness)
                // The sample's chunk, empties and remainder are of other actors, and the last end has no answer to it.
                isAllowed = [2, 6, 8].contains(index)
            }
            harness.receive(id, frame, isFirst: name == "greeting")
            #expect(harness.resets == (isAllowed ? [] : [id]), "\(name): \(frame)")
        }
    }

    @Test("sync: mutated answers never trap and never break the machine (seed)", arguments: [1, 2] as [UInt64])
    func fuzz(seed: UInt64) throws {
        var mutator = Mutator(seed: seed)
        for round in 0..<600 {
            let harness = SyncHarness()
            let id = try #require(harness.openSession(with: 1, digest: theirs))
            let frames: [SyncFrame] = [
                state([ActorState(actor: Sample.actor(9), head: 10, gaps: IntervalSet(2...3))]), .chunk(Sample.chunk(9, 10)),
                .empties([EmptyVersions(actor: Sample.actor(9), versions: 4...9)]), .end(remaining: [.versions(Sample.actor(9), 1...1)]),
                .chunk(Sample.chunk(9, 1)), .end(remaining: []),
            ]
            var isFirst = true
            for frame in frames {
                let bytes = SyncHarness.bytes([frame], isFirst: isFirst)
                isFirst = false
                harness.handle(.sessionReceived(id, bytes: mutator.below(3) == 0 ? mutator.mutate(bytes) : bytes))
                for chunk in harness.arrived { _ = harness.context.intake.offer(chunk) }
                harness.askOn()
            }
            if round % 3 == 0 { harness.handle(.sessionFinished(id)) }
        }
    }
}
