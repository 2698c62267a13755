// Goal: what the node itself does: envelopes, routing, what the store's answers become, and bad input of every kind.
// Method: one node, event by event; the effects are compared.

import Testing

@testable import PatinaProtocol

@Suite struct NodeTests {
    /// A node that has members 1 and 2 beside it, as a class, because a node is not copyable.
    private final class Box {
        var node: Node
        var now = Instant.zero

        init(_ configure: (inout NodeConfiguration) -> Void = { _ in }) {
            var configuration = Sample.configuration(0)
            configure(&configuration)
            node = Node(configuration: configuration, ledger: VersionLedger(), members: [])
        }

        @discardableResult
        func handle(_ event: Event) -> [Effect] {
            var effects = Effects()
            node.handle(event, now: now, into: &effects)
            node.checkInvariants()
            return effects.items
        }

        func receive(_ bytes: [UInt8]) -> [Effect] { handle(.messageReceived(from: Sample.address(9), bytes: bytes)) }
    }

    private func message(_ chunks: [Chunk], cluster: UInt16 = 7) -> [UInt8] {
        var writer = Envelope(cluster: cluster, kind: .broadcast).writer()
        for chunk in chunks { writer.write(.eager, hops: 1, chunk: EncodedChunk(chunk).bytes) }
        return writer.bytes
    }

    private func applied(_ effects: [Effect]) -> (chunks: [Chunk], token: StoreToken)? {
        for case .store(.apply(let chunks, _), let token) in effects { return (chunks, token) }
        return nil
    }

    // MARK: The store

    @Test("node: chunks go to the store one batch at a time, and what comes meanwhile makes the next")
    func batches() throws {
        let box = Box()
        let first = try #require(applied(box.receive(message([Sample.chunk(1, 1)]))))
        #expect(first.chunks == [Sample.chunk(1, 1)])
        #expect(applied(box.receive(message([Sample.chunk(1, 2)]))) == nil)
        #expect(applied(box.receive(message([Sample.chunk(1, 3)]))) == nil)
        let answer = StoreResult.applied(changes: [.completed(Sample.actor(1), versions: 1...1)], refused: [])
        let effects = box.handle(.stored(first.token, answer))
        #expect(applied(effects)?.chunks == [Sample.chunk(1, 2), Sample.chunk(1, 3)])
        #expect(effects.contains(.notify(.versionApplied(Sample.actor(1), version: 1))))
        #expect(box.node.ledger.isComplete(Sample.actor(1), 1))
        #expect(box.node.digest == box.node.membership.digest)
        #expect(box.node.status.pendingChunks == 2)
    }

    @Test("node: more than one operation at a time when so configured")
    func twoOperations() {
        let box = Box { $0.applyOperations = 2 }
        #expect(applied(box.receive(message([Sample.chunk(1, 1)]))) != nil)
        #expect(applied(box.receive(message([Sample.chunk(1, 2)]))) != nil)
        #expect(applied(box.receive(message([Sample.chunk(1, 3)]))) == nil)
        #expect(box.node.status.storeOperations == 2)
    }

    @Test("node: a chunk that the store refused, or failed to write, is taken again from the next copy")
    func notHidden() throws {
        let chunk = Sample.chunk(1, 1)
        let answers: [StoreResult] = [
            .failed(reason: "the disk is full"), .applied(changes: [], refused: [RefusedChunk(id: chunk.id, reason: "no such table")]),
        ]
        for answer in answers {
            let box = Box()
            let first = try #require(applied(box.receive(message([chunk]))))
            // While it is pending, a copy is only counted.
            #expect(box.receive(message([chunk])).contains(.measure(.duplicate(chunk.id))))
            let effects = box.handle(.stored(first.token, answer))
            #expect(
                effects.contains {
                    if case .notify(.storeFailed) = $0 { true } else if case .notify(.chunkRefused) = $0 { true } else { false }
                })
            #expect(box.node.ledger.actors.isEmpty)
            #expect(applied(box.receive(message([chunk])))?.chunks == [chunk])
        }
    }

    @Test("node: a version of several chunks is announced as applied once")
    func appliedOnce() throws {
        let box = Box()
        let chunks = Sample.pieces(1, 1, count: 3)
        let first = try #require(applied(box.receive(message([chunks[0]]))))
        _ = box.receive(message([chunks[1], chunks[2]]))
        let partial = box.handle(.stored(first.token, .applied(changes: [.buffered(chunks[0].id)], refused: [])))
        #expect(!partial.contains { if case .notify(.versionApplied) = $0 { true } else { false } })
        let second = try #require(applied(partial))
        let whole = box.handle(.stored(second.token, .applied(changes: [.completed(Sample.actor(1), versions: 1...1)], refused: [])))
        #expect(whole.filter { $0 == .notify(.versionApplied(Sample.actor(1), version: 1)) }.count == 1)
    }

    @Test("node: a local transaction is known at once and needs no store operation")
    func localTransaction() {
        let box = Box()
        let effects = box.handle(.transactionCommitted(Sample.pieces(0, 1, count: 2)))
        #expect(box.node.ledger.isComplete(Sample.actor(0), 1))
        #expect(applied(effects) == nil)
        #expect(box.handle(.transactionCommitted([])).isEmpty)
    }

    @Test("node: its own writes come back to it when it has lost them")
    func ownWrites() throws {
        let box = Box()
        #expect(applied(box.receive(message([Sample.chunk(0, 1)])))?.chunks == [Sample.chunk(0, 1)])
    }

    @Test("node: what was delivered is measured with its hops, a full queue is measured and drops")
    func measured() {
        let box = Box { $0.limits.pendingChunks = 1 }
        #expect(box.receive(message([Sample.chunk(1, 1)])).contains(.measure(.delivered(Sample.id(1, 1), hops: 1))))
        let effects = box.receive(message([Sample.chunk(1, 2)]))
        #expect(effects.contains(.measure(.dropped(.pendingChunks))))
        #expect(!effects.contains(.measure(.delivered(Sample.id(1, 2), hops: 1))))
    }

    @Test("node: an engine that breaks its side of the contract is stopped, not served")
    func brokenEngine() async {
        await #expect(processExitsWith: .failure) {
            var node = Node(configuration: Sample.configuration(0), ledger: VersionLedger(), members: [])
            var effects = Effects()
            node.handle(.stored(StoreToken(77), .savedMembers), now: .zero, into: &effects)
        }
        await #expect(processExitsWith: .failure) {
            var node = Node(configuration: Sample.configuration(0), ledger: VersionLedger(), members: [])
            var effects = Effects()
            node.handle(.transactionCommitted([Sample.chunk(1, 1)]), now: .zero, into: &effects)
        }
    }

    // MARK: Envelopes

    @Test("node: an empty or foreign message changes nothing and is named")
    func strangers() {
        let box = Box()
        func isMalformed(_ bytes: [UInt8]) -> Bool {
            box.receive(bytes).contains { if case .notify(.malformed(from: Sample.address(9), _)) = $0 { true } else { false } }
        }
        #expect(isMalformed([]))
        #expect(isMalformed([1, 7]))
        #expect(isMalformed([2, 7, 0, 2]))
        #expect(isMalformed([1, 7, 0, 3]))
        #expect(box.receive(message([Sample.chunk(1, 1)], cluster: 8)) == [.measure(.foreignCluster)])
        #expect(box.receive([1, 7, 0, 200, 1, 2]).contains(.measure(.skipped(.unknown))))
        #expect(box.node.status.pendingChunks == 0)
    }

    @Test("node: a message beyond the bound is refused unread")
    func tooLong() {
        let box = Box { $0.limits.messageBytes = 100 }
        #expect(applied(box.receive(message([Sample.chunk(1, 1, body: Array(repeating: 1, count: 200))]))) == nil)
    }

    @Test("envelope: four bytes, and back")
    func envelope() throws {
        let bytes = Envelope(cluster: 0x1234, kind: .sync).wrap([9, 8])
        #expect(bytes == [1, 0x34, 0x12, 3, 9, 8])
        var reader = ByteReader(bytes)
        #expect(try Envelope.read(from: &reader) == Envelope(cluster: 0x1234, kind: .sync))
        #expect(Array(reader.rest) == [9, 8])
    }

    // MARK: Members

    @Test("node: members are persisted once after a wave of changes, again after a failure, and not when nothing changed")
    func memberList() throws {
        var list = MemberList(saved: [Sample.record(0)])
        #expect(list.next([Sample.record(0)]) == nil)
        #expect(list.next(Sample.members(3)) == Sample.members(3))
        #expect(list.next(Sample.members(4)) == nil, "one write at a time")
        list.failed()
        #expect(list.next(Sample.members(3)) == Sample.members(3))
        list.saved(Sample.members(3))
        #expect(list.next(Sample.members(3)) == nil)

        let box = Box()
        box.handle(.started)
        let effects = box.handle(.deadlinePassed(.node(.maintenance)))
        #expect(effects.contains(.schedule(.node(.maintenance), at: .at(milliseconds: 30_000))))
        #expect(effects.contains { if case .store(.saveMembers([Sample.record(0)]), _) = $0 { true } else { false } })
    }

    // MARK: Hostile input

    /// Real messages, datagrams and session bytes, taken from a cluster at work.
    private func traffic() -> (datagrams: [[UInt8]], messages: [[UInt8]], sessions: [[UInt8]]) {
        let cluster = TestCluster(4) { $0.broadcast.fanout = 2 }
        var (datagrams, messages, sessions): ([[UInt8]], [[UInt8]], [[UInt8]]) = ([], [], [])
        cluster.filter = { _, effect in
            switch effect {
            case .sendDatagram(_, let bytes): datagrams.append(bytes)
            case .sendMessage(_, let bytes): messages.append(bytes)
            case .writeSession(_, let bytes): sessions.append(bytes)
            default: break
            }
            return true
        }
        cluster.run(for: .seconds(8))
        cluster.lossPartsPerMillion = 300_000
        for round in 0..<30 {
            cluster.transact(round % 4, chunks: UInt64(1 + round % 3))
            cluster.run(for: .milliseconds(200))
        }
        cluster.run(for: .seconds(10))
        return (datagrams, messages, sessions)
    }

    @Test("node: mutated datagrams, messages and sessions never trap, and the node goes on (seed)", arguments: [1, 2, 3] as [UInt64])
    func fuzz(seed: UInt64) throws {
        let (datagrams, messages, sessions) = traffic()
        #expect(datagrams.count > 50 && messages.count > 50 && sessions.count > 20)
        var mutator = Mutator(seed: seed)
        let box = Box {
            $0.limits.pendingChunks = 50
            $0.limits.cachedChunks = 20
            $0.limits.missingChunks = 20
        }
        box.handle(.started)
        var tokens: [(StoreToken, StoreOperation)] = []
        var open: [SessionID] = []
        var store = FakeStore()
        for step in 0..<5_000 {
            box.now = box.now + .milliseconds(5)
            let event: Event
            switch mutator.below(10) {
            case 0...2: event = .datagramReceived(from: Sample.address(2), bytes: mutator.mutate(datagrams[mutator.below(datagrams.count)]))
            case 3...5: event = .messageReceived(from: Sample.address(2), bytes: mutator.mutate(messages[mutator.below(messages.count)]))
            case 6: event = .sessionOpened(SessionID(.peer, UInt64(step)), from: Sample.address(2))
            case 7 where !open.isEmpty:
                let bytes = sessions[mutator.below(sessions.count)]
                event = .sessionReceived(open[mutator.below(open.count)], bytes: mutator.below(3) == 0 ? mutator.mutate(bytes) : bytes)
            case 8 where !open.isEmpty:
                let id = open[mutator.below(open.count)]
                event = mutator.below(2) == 0 ? .sessionFinished(id) : .sessionLost(id)
            default:
                let timers: [Timer] = [.sync(.period), .broadcast(.graft), .broadcast(.announce)]
                event = .deadlinePassed(timers[mutator.below(3)])
            }
            if case .sessionOpened(let id, _) = event { open.append(id) }
            for effect in box.handle(event) {
                if case .store(let operation, let token) = effect { tokens.append((token, operation)) }
                if case .openSession(let id, _) = effect { open.append(id) }
            }
            if mutator.below(3) == 0, !tokens.isEmpty {
                let (token, operation) = tokens.remove(at: mutator.below(tokens.count))
                for effect in box.handle(.stored(token, mutator.below(5) == 0 ? .failed(reason: "no luck") : store.perform(operation))) {
                    if case .store(let operation, let token) = effect { tokens.append((token, operation)) }
                }
            }
            if open.count > 20 { open.removeFirst(10) }
        }
        box.node.checkThoroughly()
        // After all of that it still does its work.
        let before = box.node.ledger.head(of: Sample.actor(0))
        box.handle(.transactionCommitted([Sample.chunk(0, before + 1)]))
        #expect(box.node.ledger.isComplete(Sample.actor(0), before + 1))
    }
}
