// Goal: every transition of the broadcast machine: what is new, known, pending, late, announced, asked for, malformed.
// Method: one machine with a context of our making; messages are taken from a second machine, so the bytes are real.

import Testing

@testable import PatinaProtocol

@Suite struct BroadcastTests {
    /// What a machine wanted done, sorted by kind.
    struct Wanted {
        var sent: [(to: Address, bytes: [UInt8])] = []
        var arrived: [(chunk: Chunk, hops: UInt64, isGraft: Bool)] = []
        var scheduled: [(Broadcast.Timer, Instant)] = []
        var measured: [Measurement] = []
        var notices: [Notice] = []

        init(_ outputs: [Broadcast.Output]) {
            for output in outputs {
                switch output {
                case .sendMessage(let address, let bytes): sent.append((address, bytes))
                case .arrived(let chunk, let hops, let isGraft): arrived.append((chunk, hops, isGraft))
                case .schedule(let timer, let instant): scheduled.append((timer, instant))
                case .notify(let notice): notices.append(notice)
                case .measure(let measurement): measured.append(measurement)
                }
            }
        }

        var targets: [Int] { sent.map { Int($0.to.low & 0xFFFF) } }
    }

    private func machine(_ number: Int, _ change: (inout NodeConfiguration) -> Void = { _ in }) -> Broadcast {
        var configuration = Sample.configuration(number)
        configuration.broadcast.fanout = 2
        change(&configuration)
        return Broadcast(configuration: configuration, random: Random(seed: 1))
    }

    private func handle(
        _ machine: inout Broadcast, _ event: Broadcast.Event, at milliseconds: Int64 = 0, _ context: NodeContext = Sample.context(7)
    ) -> Wanted {
        var outputs: [Broadcast.Output] = []
        machine.handle(event, now: .at(milliseconds: milliseconds), context: context, into: &outputs)
        machine.checkInvariants()
        return Wanted(outputs)
    }

    private func receive(
        _ machine: inout Broadcast, _ message: [UInt8], at milliseconds: Int64 = 0, _ context: NodeContext = Sample.context(7)
    ) -> Wanted {
        handle(&machine, .received(ByteReader(message.dropFirst(Envelope.overhead)), from: Sample.address(99)), at: milliseconds, context)
    }

    /// A message with chunks, as a member would send it.
    private func message(_ kind: BroadcastRecord.Kind, _ chunks: [Chunk], hops: UInt64 = 1) -> [UInt8] {
        var writer = Envelope(cluster: 7, kind: .broadcast).writer()
        for chunk in chunks { writer.write(kind, hops: hops, chunk: EncodedChunk(chunk).bytes) }
        return writer.bytes
    }

    private func list(_ kind: BroadcastRecord.Kind, _ ids: [ChunkID], from sender: Int) -> [UInt8] {
        var writer = Envelope(cluster: 7, kind: .broadcast).writer()
        writer.write(kind, ChunkList(sender: Sample.address(sender), ids: ids[...]))
        return writer.bytes
    }

    // MARK: Pushing

    @Test("broadcast: a local transaction goes to the eager children at once, and its name to the lazy ones a little later")
    func committed() throws {
        var origin = machine(0)
        let chunk = Sample.chunk(0, 1)
        let pushed = handle(&origin, .committed([chunk]))
        #expect(pushed.targets == [1, 2])
        #expect(pushed.arrived.isEmpty)
        #expect(pushed.scheduled.map(\.1) == [.at(milliseconds: 50)])
        let announced = handle(&origin, .deadlinePassed(.announce), at: 50)
        #expect(announced.targets == [6, 5])
        #expect(announced.measured.contains(.announced(chunks: 1)))
        // Nothing is said twice.
        #expect(handle(&origin, .deadlinePassed(.announce), at: 100).sent.isEmpty)
    }

    @Test("broadcast: a new chunk is handed over with its hops and pushed on byte for byte, one hop further")
    func forwarded() throws {
        var origin = machine(0)
        var inner = machine(1)
        let chunk = Sample.chunk(0, 1, body: Array(0..<200))
        let first = handle(&origin, .committed([chunk])).sent[0].bytes
        let wanted = receive(&inner, first)
        #expect(wanted.arrived.map(\.chunk) == [chunk])
        #expect(wanted.arrived.map(\.hops) == [1])
        #expect(wanted.targets == [3, 4])
        #expect(wanted.sent.allSatisfy { $0.bytes == message(.eager, [chunk], hops: 2) })
        // An inner node of the eager tree is a leaf of the lazy one.
        #expect(wanted.scheduled.isEmpty)
    }

    @Test("broadcast: a field that a later build put into a chunk's header travels on")
    func laterFields() throws {
        var inner = machine(1)
        let chunk = Sample.chunk(0, 1)
        var plain = ByteReader(EncodedChunk(chunk).bytes)
        var encoded = ByteWriter()
        encoded.writeBytes(Array(try plain.readRecord().rest) + [0xDE, 0xAD])
        encoded.write(contentsOf: plain.rest)
        var writer = Envelope(cluster: 7, kind: .broadcast).writer()
        writer.write(.eager, hops: 1, chunk: encoded.bytes[...])
        let wanted = receive(&inner, writer.bytes)
        #expect(wanted.arrived.map(\.chunk) == [chunk])
        #expect(wanted.sent.first?.bytes.count == writer.count)
        #expect(wanted.sent.first.map { hexadecimalString($0.bytes).contains("dead") } == true)
    }

    @Test("broadcast: chunks of a large transaction share messages up to the bound")
    func batching() {
        var origin = machine(0) { $0.broadcast.messageBytes = 1_000 }
        let wanted = handle(&origin, .committed(Sample.pieces(0, 1, count: 30, bytes: 100)))
        #expect(wanted.targets.filter { $0 == 1 }.count == 5)
        #expect(wanted.sent.allSatisfy { $0.bytes.count <= 1_000 })
        var leaf = machine(6)
        let arrived = wanted.sent.filter { $0.to == Sample.address(2) }.flatMap { receive(&leaf, $0.bytes).arrived }
        #expect(arrived.map(\.chunk.id.sequences.lowerBound) == Array(0..<30))
    }

    @Test("broadcast: chunks of several origins in one message go their own ways")
    func severalOrigins() {
        var node = machine(3)
        let wanted = receive(&node, message(.eager, [Sample.chunk(2, 1), Sample.chunk(2, 2), Sample.chunk(1, 1)]))
        #expect(wanted.arrived.count == 3)
        // Position 1 of origin 2 has the members at positions 3 and 4; position 2 of origin 1 those at 5 and 6.
        #expect(wanted.targets == [5, 6, 6, 0])
    }

    @Test("broadcast: a known chunk is counted, and a pending one too")
    func duplicates() {
        let chunk = Sample.chunk(0, 1)
        var ledger = VersionLedger()
        ledger.apply(.completed(Sample.actor(0), versions: 1...1))
        var intake = Intake(limits: Limits())
        _ = intake.offer(chunk)
        for context in [Sample.context(7, ledger: ledger), Sample.context(7, intake: intake)] {
            var leaf = machine(6)
            let wanted = receive(&leaf, message(.eager, [chunk]), context)
            #expect(wanted.arrived.isEmpty)
            #expect(wanted.measured.contains(.duplicate(chunk.id)))
        }
    }

    @Test("broadcast: a second copy of a chunk that the store does not have is handed over again, but not pushed again")
    func neverHidden() {
        var inner = machine(1)
        let bytes = message(.eager, [Sample.chunk(0, 1)])
        #expect(receive(&inner, bytes).sent.count == 2)
        // The store refused it, failed, or its queue was full: the ledger does not have it, and nothing is pending.
        let again = receive(&inner, bytes)
        #expect(again.arrived.count == 1)
        #expect(again.sent.isEmpty)
    }

    @Test("broadcast: a chunk that sync brought first is still pushed on when its eager copy comes")
    func knownFromSync() {
        var ledger = VersionLedger()
        ledger.apply(.completed(Sample.actor(0), versions: 1...1))
        var inner = machine(1)
        let bytes = message(.eager, [Sample.chunk(0, 1)])
        let wanted = receive(&inner, bytes, Sample.context(7, ledger: ledger))
        #expect(wanted.arrived.isEmpty)
        #expect(wanted.targets == [3, 4])
        #expect(receive(&inner, bytes, Sample.context(7, ledger: ledger)).sent.isEmpty)
    }

    @Test("broadcast: a chunk that has come too far is kept but not pushed on")
    func hopLimit() {
        var inner = machine(1) { $0.broadcast.hopLimit = 5 }
        #expect(receive(&inner, message(.eager, [Sample.chunk(0, 1)], hops: 4)).sent.count == 2)
        let wanted = receive(&inner, message(.eager, [Sample.chunk(0, 2)], hops: 5))
        #expect(wanted.arrived.count == 1)
        #expect(wanted.sent.isEmpty)
    }

    @Test("broadcast: a node that is alone, or has left, sends nothing")
    func alone() {
        var origin = machine(0)
        #expect(handle(&origin, .committed([Sample.chunk(0, 1)]), Sample.context(1)).sent.isEmpty)
        var context = Sample.context(7)
        context.members = MemberTable(Array(Sample.members(context.members.count).dropFirst()))
        #expect(handle(&origin, .committed([Sample.chunk(0, 2)]), context).sent.isEmpty)
    }

    // MARK: Announcing and repairing

    @Test("broadcast: announcements are cut at the bound")
    func longAnnouncement() {
        var origin = machine(0) { $0.limits.announcedChunks = 10 }
        _ = handle(&origin, .committed(Sample.pieces(0, 1, count: 25)))
        let announced = handle(&origin, .deadlinePassed(.announce), at: 50)
        #expect(announced.targets == [6, 5, 6, 5, 6, 5])
    }

    @Test("broadcast: a chunk that was announced and does not come is asked for, and answered")
    func graft() throws {
        var announcer = machine(5)
        var leaf = machine(1)
        let chunk = Sample.chunk(0, 1)
        _ = receive(&announcer, message(.eager, [chunk], hops: 3))
        let heard = receive(&leaf, list(.announcement, [chunk.id], from: 5), at: 10)
        #expect(heard.arrived.isEmpty)
        #expect(heard.scheduled.map(\.1) == [.at(milliseconds: 210)])
        let asked = handle(&leaf, .deadlinePassed(.graft), at: 210)
        #expect(asked.targets == [5])
        #expect(asked.measured.contains(.graftSent(chunks: 1)))
        #expect(asked.scheduled.map(\.1) == [.at(milliseconds: 710)])
        let answer = receive(&announcer, asked.sent[0].bytes, at: 220)
        #expect(answer.targets == [1])
        let repaired = receive(&leaf, answer.sent[0].bytes, at: 230)
        #expect(repaired.arrived.map(\.chunk) == [chunk])
        #expect(repaired.arrived.map(\.isGraft) == [true])
        #expect(repaired.arrived.map(\.hops) == [4])
        #expect(handle(&leaf, .deadlinePassed(.graft), at: 710).sent.isEmpty)
    }

    @Test("broadcast: a chunk that came by graft is announced to the children in both trees, and a late eager copy is pushed once")
    func announcedAfterGraft() {
        var inner = machine(1)
        let chunk = Sample.chunk(0, 1)
        let repaired = receive(&inner, message(.grafted, [chunk], hops: 2))
        #expect(repaired.arrived.count == 1)
        #expect(repaired.sent.isEmpty)
        #expect(handle(&inner, .deadlinePassed(.announce), at: 50).targets == [3, 4])
        var intake = Intake(limits: Limits())
        _ = intake.offer(chunk)
        let context = Sample.context(7, intake: intake)
        #expect(receive(&inner, message(.eager, [chunk]), at: 60, context).targets == [3, 4])
        #expect(receive(&inner, message(.eager, [chunk]), at: 70, context).sent.isEmpty)
    }

    @Test("broadcast: announcements of what is known, pending or cached are ignored")
    func announcedAndKnown() {
        let (known, pending, cached) = (Sample.chunk(0, 1), Sample.chunk(0, 2), Sample.chunk(0, 3))
        var ledger = VersionLedger()
        ledger.apply(.completed(Sample.actor(0), versions: 1...1))
        var intake = Intake(limits: Limits())
        _ = intake.offer(pending)
        var leaf = machine(6)
        _ = receive(&leaf, message(.eager, [cached]))
        let context = Sample.context(7, ledger: ledger, intake: intake)
        let wanted = receive(&leaf, list(.announcement, [known.id, pending.id, cached.id], from: 5), context)
        #expect(wanted.scheduled.isEmpty)
        #expect(leaf.missing.count == 0)
    }

    @Test("broadcast: a graft is answered with what is still cached, up to the bound")
    func graftBound() {
        var node = machine(5) { $0.limits.announcedChunks = 4 }
        let chunks = Sample.pieces(0, 1, count: 10)
        _ = receive(&node, message(.eager, chunks))
        let wanted = receive(&node, list(.graft, [Sample.id(0, 9)] + chunks.map(\.id), from: 2))
        #expect(wanted.measured.contains(.dropped(.announcedChunks)))
        var other = machine(2)
        // The first of the four names is not cached.
        #expect(wanted.sent.flatMap { receive(&other, $0.bytes).arrived }.count == 3)
    }

    @Test("broadcast: what nobody delivers is left to sync")
    func leftToSync() {
        var leaf = machine(1)
        _ = receive(&leaf, list(.announcement, [Sample.id(0, 1)], from: 5))
        _ = handle(&leaf, .deadlinePassed(.graft), at: 200)
        let wanted = handle(&leaf, .deadlinePassed(.graft), at: 700)
        #expect(wanted.measured == [.leftToSync(chunks: 1)])
    }

    // MARK: Flood

    @Test("flood: a new chunk goes to as many distinct random members as configured, once")
    func flood() {
        var node = machine(3) {
            $0.broadcast.kind = .flood
            $0.broadcast.fanout = 4
        }
        let bytes = message(.eager, [Sample.chunk(0, 1)])
        let wanted = receive(&node, bytes, Sample.context(50))
        #expect(Set(wanted.targets).count == 4)
        #expect(!wanted.targets.contains(3) && !wanted.targets.contains(0))
        #expect(wanted.scheduled.isEmpty)
        #expect(receive(&node, bytes, Sample.context(50)).sent.isEmpty)
    }

    @Test("flood: a small cluster gets what it has")
    func smallFlood() {
        var node = machine(0) {
            $0.broadcast.kind = .flood
            $0.broadcast.fanout = 8
        }
        #expect(Set(handle(&node, .committed([Sample.chunk(0, 1)]), Sample.context(3)).targets) == [1, 2])
    }

    // MARK: Bad input

    @Test("broadcast: a record of a later build is skipped and counted, what follows is taken")
    func unknownRecord() {
        var leaf = machine(6)
        var writer = Envelope(cluster: 7, kind: .broadcast).writer()
        writer.write(UInt8(77))
        writer.writeBytes([1, 2, 3])
        writer.write(contentsOf: message(.eager, [Sample.chunk(0, 1)]).dropFirst(Envelope.overhead))
        let wanted = receive(&leaf, writer.bytes)
        #expect(wanted.measured.contains(.skipped(.broadcast)))
        #expect(wanted.arrived.count == 1)
    }

    @Test("broadcast: what stands before the malformed part counts, and the rest is named")
    func malformed() {
        var leaf = machine(6)
        let wanted = receive(&leaf, message(.eager, [Sample.chunk(0, 1)]) + [1, 200, 1])
        #expect(wanted.arrived.count == 1)
        #expect(wanted.notices.count == 1)
    }

    @Test(
        "broadcast: impossible chunks are refused",
        arguments: [
            [0, 0, 0, 0], [1, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0],
            [1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1],
        ] as [[UInt8]])
    func impossible(piece: [UInt8]) {
        #expect(throws: MalformedInput.self) {
            var reader = ByteReader(piece)
            _ = try reader.readPiece(of: Sample.actor(1))
        }
    }

    @Test("broadcast: mutated messages never trap and never break the machine (seed)", arguments: [1, 2, 3] as [UInt64])
    func fuzz(seed: UInt64) {
        var mutator = Mutator(seed: seed)
        let seeds = [
            message(.eager, [Sample.chunk(0, 1), Sample.chunk(2, 2)]), message(.grafted, Sample.pieces(0, 1, count: 5)),
            list(.announcement, (1...20).map { Sample.id(0, $0) }, from: 5), list(.graft, (1...20).map { Sample.id(0, $0) }, from: 5),
        ]
        var node = machine(1) {
            $0.limits.missingChunks = 50
            $0.limits.cachedChunks = 20
        }
        for step in 0..<3_000 {
            let bytes = mutator.below(10) == 0 ? mutator.noise() : mutator.mutate(seeds[mutator.below(seeds.count)])
            _ = receive(&node, bytes, at: Int64(step))
            if step % 50 == 0 {
                _ = handle(&node, .deadlinePassed(.graft), at: Int64(step))
                _ = handle(&node, .deadlinePassed(.announce), at: Int64(step))
            }
        }
    }
}
