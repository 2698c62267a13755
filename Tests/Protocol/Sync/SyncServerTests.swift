// Goal: every transition of a session that a peer opens.
// Method: one machine; the test plays the client, frame by frame, and the store.

import Testing

@testable import PatinaProtocol

@Suite struct SyncServerTests {
    private let id = SessionID(.peer, 0)

    private func ledger(_ actors: Int = 3) -> VersionLedger {
        var ledger = VersionLedger()
        for number in 0..<actors { ledger.apply(.completed(Sample.actor(number), versions: 1...5)) }
        return ledger
    }

    private func greeting(_ ledger: VersionLedger, bits: Int = 0) -> SyncFrame {
        .greeting(.init(actor: Sample.actor(3), fingerprint: ledger.fingerprint, buckets: ledger.bucketDigests(bits: bits)))
    }

    /// A machine that a peer with an empty ledger has greeted.
    private func greeted(_ configure: (inout NodeConfiguration) -> Void = { _ in }) -> SyncHarness {
        let harness = SyncHarness(ledger: ledger(), configure: configure)
        harness.handle(.sessionOpened(id, from: Sample.address(3)))
        harness.receive(id, greeting(VersionLedger()), isFirst: true)
        return harness
    }

    private func request(_ wants: ReadRequest.Want...) -> SyncFrame { .request(ReadRequest(wants: wants, byteLimit: 1_000)) }

    @Test("sync server: a client with the same digest is told so")
    func equal() throws {
        let harness = SyncHarness(ledger: ledger())
        harness.handle(.sessionOpened(id, from: Sample.address(3)))
        harness.receive(id, greeting(ledger()), isFirst: true)
        guard case .equal? = try harness.written(isFirst: true).first else { throw MalformedInput("not equal") }
        harness.handle(.sessionFinished(id))
        #expect(harness.finished == [id])
        #expect(harness.sync.served.isEmpty)
    }

    @Test("sync server: only actors of buckets that differ are told (bits)", arguments: [0, 3, 8])
    func buckets(bits: Int) throws {
        let ours = ledger(200)
        var theirs = ours
        theirs.apply(.completed(Sample.actor(17), versions: 6...6))
        let harness = SyncHarness(ledger: ours)
        harness.handle(.sessionOpened(id, from: Sample.address(3)))
        harness.receive(id, greeting(theirs, bits: bits), isFirst: true)
        guard case .state(let part)? = try harness.written(isFirst: true).first else { throw MalformedInput("no state") }
        let bucket = { VersionLedger.bucket(of: $0) >> (8 - bits) }
        #expect(part.state.actors.map(\.actor) == ours.actors.filter { bucket($0) == bucket(Sample.actor(17)) })
        #expect(part.fingerprint == ours.fingerprint)
        #expect(part.isLast)
    }

    @Test("sync server: a greeting tells that the client may have something for us")
    func hearsDigest() {
        var theirs = ledger()
        theirs.apply(.completed(Sample.actor(3), versions: 1...1))
        let harness = SyncHarness(ledger: ledger())
        harness.handle(.sessionOpened(id, from: Sample.address(3)))
        harness.receive(id, greeting(theirs), isFirst: true)
        #expect(harness.sync.book.differences.map(\.actor) == [Sample.actor(3)])
    }

    @Test("sync server: a request is read from the store and answered")
    func answered() throws {
        let harness = greeted()
        harness.receive(id, request(.versions(Sample.actor(0), 1...5)))
        #expect(harness.reads == [ReadRequest(wants: [.versions(Sample.actor(0), 1...5)], byteLimit: 1_000)])
        let chunk = Sample.chunk(0, 5)
        let empties = [EmptyVersions(actor: Sample.actor(0), versions: 3...4)]
        let remaining: [ReadRequest.Want] = [.versions(Sample.actor(0), 1...2)]
        harness.handle(.read(.read(chunks: [chunk], empties: empties, remaining: remaining), for: id))
        #expect("\(try harness.written(isFirst: false))" == "\([SyncFrame.chunk(chunk), .empties(empties), .end(remaining: remaining)])")
        // And the next one.
        harness.receive(id, request(.versions(Sample.actor(0), 1...2)))
        #expect(harness.reads.count == 1)
    }

    @Test("sync server: a long answer is written in several pieces")
    func longAnswer() throws {
        let harness = greeted()
        harness.receive(id, request(.versions(Sample.actor(0), 1...5)))
        let chunks = (1...5).map { Sample.chunk(0, $0, body: Array(repeating: 1, count: 200_000)) }
        harness.handle(.read(.read(chunks: chunks, empties: [], remaining: []), for: id))
        let writes = harness.outputs.count { if case .write = $0 { true } else { false } }
        #expect(writes == 3)
        #expect(try harness.written(isFirst: false).count == 6)
    }

    @Test("sync server: a request is cut to our bounds, and the rest comes back as left over")
    func bounds() throws {
        let harness = greeted {
            $0.limits.syncRequestRanges = 2
            $0.limits.syncRequestBytes = 500
        }
        harness.receive(
            id,
            request(
                .versions(Sample.actor(0), 1...(.max)), .versions(Sample.actor(9), 1...5), .versions(Sample.actor(1), 6...9),
                .sequences(Sample.actor(1), version: 5, IntervalSet(0...3)), .versions(Sample.actor(2), 2...2)))
        #expect(
            harness.reads == [
                ReadRequest(
                    wants: [.versions(Sample.actor(0), 1...5), .sequences(Sample.actor(1), version: 5, IntervalSet(0...3))], byteLimit: 500)
            ])
        harness.handle(.read(.read(chunks: [], empties: [], remaining: []), for: id))
        guard case .end(let remaining)? = try harness.written(isFirst: false).last else { throw MalformedInput("no end") }
        #expect(remaining == [.versions(Sample.actor(2), 2...2)])
    }

    @Test("sync server: one session more than the bound is refused, with a time to come back")
    func busy() throws {
        let harness = SyncHarness { $0.limits.servedSessions = 2 }
        for number in 0..<3 { harness.handle(.sessionOpened(SessionID(.peer, UInt64(number)), from: Sample.address(3))) }
        guard case .refusal(let refusal)? = try harness.written(isFirst: true).first else { throw MalformedInput("no refusal") }
        #expect(refusal == .init(reason: .busy, retryAfter: .seconds(2)))
        #expect(harness.finished == [SessionID(.peer, 2)])
        #expect(harness.measured.contains(.dropped(.servedSessions)))
        // What the refused client sends is nothing to us; and a place that becomes free is given away.
        harness.receive(SessionID(.peer, 2), greeting(ledger()), isFirst: true)
        #expect(harness.sync.served.count == 2)
        harness.handle(.sessionLost(SessionID(.peer, 0)))
        harness.handle(.sessionOpened(SessionID(.peer, 3), from: Sample.address(3)))
        #expect(harness.finished.isEmpty)
        #expect(harness.sync.served.count == 2)
    }

    @Test("sync server: when the store cannot read, the client is told to come back")
    func storeFailed() throws {
        let harness = greeted()
        harness.receive(id, request(.versions(Sample.actor(0), 1...5)))
        harness.handle(.read(.failed(reason: "the disk is gone"), for: id))
        guard case .refusal(let refusal)? = try harness.written(isFirst: false).first else { throw MalformedInput("no refusal") }
        #expect(refusal.reason == .storeFailed)
        #expect(harness.finished == [id])
        #expect(harness.sync.served.isEmpty)
    }

    @Test("sync server: an answer of the store to a session that is gone is dropped")
    func gone() {
        let harness = greeted()
        harness.receive(id, request(.versions(Sample.actor(0), 1...5)))
        harness.handle(.sessionLost(id))
        harness.handle(.read(.read(chunks: [], empties: [], remaining: []), for: id))
        #expect(harness.outputs.isEmpty)
    }

    @Test("sync server: a client that asks before it was answered is dropped")
    func impatient() {
        let harness = greeted()
        harness.receive(id, request(.versions(Sample.actor(0), 1...5)), request(.versions(Sample.actor(1), 1...5)))
        #expect(harness.resets == [id])
        #expect(harness.sync.served.isEmpty)
    }

    @Test("sync server: a silent client is dropped, and its place becomes free")
    func silent() {
        let harness = greeted()
        harness.advance(.seconds(10))
        harness.handle(.deadlinePassed(.session(id)))
        #expect(harness.resets == [id])
        #expect(harness.sync.served.isEmpty)
    }

    @Test("sync server: a frame that is out of place resets the session", arguments: [false, true])
    func outOfPlace(isGreeted: Bool) {
        for (index, frame) in SyncFrameTests.samples.enumerated() {
            let harness = isGreeted ? greeted() : SyncHarness(ledger: ledger())
            if !isGreeted { harness.handle(.sessionOpened(id, from: Sample.address(3))) }
            harness.receive(id, frame, isFirst: !isGreeted)
            #expect(harness.resets == (index == (isGreeted ? 4 : 0) ? [] : [id]), "\(frame)")
        }
    }

    @Test("sync server: mutated requests never trap and never break the machine (seed)", arguments: [1, 2] as [UInt64])
    func fuzz(seed: UInt64) throws {
        var mutator = Mutator(seed: seed)
        for _ in 0..<600 {
            let harness = SyncHarness(ledger: ledger())
            harness.handle(.sessionOpened(id, from: Sample.address(3)))
            for (index, frame) in [greeting(VersionLedger(), bits: 4), request(.versions(Sample.actor(0), 1...5))].enumerated() {
                let bytes = SyncHarness.bytes([frame], isFirst: index == 0)
                harness.handle(.sessionReceived(id, bytes: mutator.below(2) == 0 ? mutator.mutate(bytes) : bytes))
                guard !harness.reads.isEmpty else { continue }
                harness.handle(.read(.read(chunks: [Sample.chunk(0, 1)], empties: [], remaining: []), for: id))
            }
        }
    }
}
