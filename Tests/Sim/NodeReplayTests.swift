// Goal: a node does again what its log says it did; one that does not is caught, and no log crashes the one who replays it.
// Method: every node of a simulated run is recorded, crashes and restarts among them, and replayed. Then effects, events and the
// node's settings are changed behind checks that fit, and the replay has to object.

import Foundation
import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct NodeReplayTests {
    private static let crash = """
        [[fault]]
        id = "crash"
        kind = "crash"
        select = "node:1"
        at = "8s"
        for = "2s"
        """

    private static func logs(mutant: Mutant? = nil) throws -> [(host: Int, bytes: [UInt8])] {
        let simulation = Simulation(scenario: try Sample.scenario(adding: crash), seed: 3, mutant: mutant)
        simulation.nodeLogs = NodeLogs()
        _ = simulation.run()
        var logs = try #require(simulation.nodeLogs)
        return logs.take()
    }

    /// The log of a node that is started twice, its second life.
    private static func log() throws -> [UInt8] { try #require(logs().last { $0.host == 1 }).bytes }

    /// What differs, and how the replay ends.
    private static func replay(_ bytes: [UInt8]) throws(NodeReplayError) -> (
        steps: UInt64, differences: [NodeReplay.Step], ending: NodeReplay.Ending?
    ) {
        var replay = try NodeReplay(bytes)
        var differences: [NodeReplay.Step] = []
        while let step = try replay.next() {
            if !step.isEqual { differences.append(step) }
        }
        return (replay.steps, differences, replay.ending)
    }

    /// The log, written again with some of it changed.
    private static func rewritten(
        _ bytes: [UInt8], detail: EventLogHeader.EffectDetail = .whole, header change: (inout EventLogHeader) -> Void = { _ in },
        step: (Int, inout EventLogRecord.Step) -> Void = { _, _ in }
    ) throws -> [UInt8] {
        var reader = EventLogReader()
        reader.feed(bytes)
        guard case .header(var header)? = try reader.next() else { throw NodeReplayError.noHeader }
        header.detail = detail
        change(&header)
        var writer = try #require(EventLogWriter(header))
        var index = 0
        while case .step(var record)? = try reader.next() {
            step(index, &record)
            index += 1
            guard case .whole(let effects) = record.effects else { throw NodeReplayError.noHeader }
            _ = writer.append(record.event, now: record.now, effects: effects)
        }
        writer.finish(.shutdown)
        return writer.take()
    }

    @Test("node replay: every node of a simulated run does again what it did")
    func simulated() throws {
        let logs = try Self.logs()
        #expect(logs.count == 4, "three nodes, one of them twice")
        for log in logs {
            let (steps, differences, ending) = try Self.replay(log.bytes)
            #expect(steps > 100)
            #expect(differences.map(\.number) == [])
            #expect(ending == .finished(.shutdown))
        }
    }

    @Test("node replay: recording changes nothing in a run")
    func harmless() throws {
        let scenario = try Sample.scenario(adding: Self.crash)
        let simulation = Simulation(scenario: scenario, seed: 3)
        simulation.nodeLogs = NodeLogs()
        #expect(simulation.run().traceHash == Simulation(scenario: scenario, seed: 3).run().traceHash)
    }

    @Test("node replay: digests find what whole effects find, in fewer bytes")
    func digests() throws {
        let log = try Self.log()
        let short = try Self.rewritten(log, detail: .digest)
        #expect(short.count < log.count)
        #expect(try Self.replay(short).differences.isEmpty)
        let wrong = try Self.rewritten(
            log, detail: .digest,
            step: { index, step in
                if index == 50 { step.effects = .whole([.measure(.foreignCluster)]) }
            })
        #expect(try Self.replay(wrong).differences.map(\.number) == [51])
    }

    @Test("node replay: one effect that was changed is found where it is")
    func changedEffect() throws {
        let wrong = try Self.rewritten(
            try Self.log(),
            step: { index, step in
                guard index == 40, case .whole(let effects) = step.effects else { return }
                step.effects = .whole(effects + [.measure(.announced(chunks: 1))])
            })
        let (_, differences, ending) = try Self.replay(wrong)
        #expect(differences.map(\.number) == [41])
        #expect(ending == .finished(.shutdown), "the node itself is what it was")
        let step = try #require(differences.first)
        #expect(step.recorded == .whole(step.replayed + [.measure(.announced(chunks: 1))]))
    }

    @Test("node replay: a node with another seed, and one with other settings, is caught")
    func otherNode() throws {
        let log = try Self.log()
        for change: (inout EventLogHeader) -> Void in [
            { $0.configuration.seed ^= 1 }, { $0.configuration.membership.probePeriod += .nanoseconds(1) }, { $0.ledger = VersionLedger() },
        ] {
            let wrong = try Self.rewritten(log, header: change)
            do throws(NodeReplayError) {
                #expect(try !Self.replay(wrong).differences.isEmpty)
            } catch {
                // A node that wants other things of its store may get answers that it did not ask for, but not at once.
                guard case .impossible(let step, _, _) = error else { throw error }
                #expect(step > 2)
            }
        }
    }

    @Test("node replay: an answer that the node did not ask for, and another actor's transaction, are refused")
    func brokenContract() throws {
        let log = try Self.log()
        var reader = EventLogReader()
        reader.feed(log)
        guard case .header(let header)? = try reader.next() else {
            Issue.record("no header")
            return
        }
        let other = try #require(
            ChunkID(actor: ActorID(high: 1, low: 1), version: 1, sequences: 0...0, lastSequence: 0))
        for event: Event in [
            .stored(StoreToken(77_777), .savedMembers), .transactionCommitted([Chunk(id: other, timestamp: .zero, body: [])]),
        ] {
            var writer = try #require(EventLogWriter(header))
            _ = writer.append(.started, now: header.start, effects: [])
            _ = writer.append(event, now: header.start, effects: [])
            let bytes = writer.take()
            #expect(throws: NodeReplayError.self) { try Self.replay(bytes) }
        }
    }

    @Test("node replay: a log that was cut is replayed to its last whole record")
    func cut() throws {
        let log = try Self.log()
        let all = try Self.replay(log).steps
        var open = 0
        for count in stride(from: log.count - 1, to: log.count - 2_000, by: -37) {
            let (steps, differences, ending) = try Self.replay(Array(log.prefix(count)))
            #expect(steps <= all && steps > all - 100 && differences.isEmpty)
            switch ending {
            case .open: open += 1
            case .cut(let at, let bytes): #expect(at + bytes == count)
            case .finished, nil: Issue.record("\(String(describing: ending))")
            }
        }
        #expect(throws: NodeReplayError.self) { try Self.replay(Array(log.prefix(50))) }
        #expect(throws: NodeReplayError.self) { try Self.replay([]) }
    }

    @Test("node replay: a flipped byte is reported", arguments: [0.0001, 0.3, 0.7, 0.999])
    func flipped(place: Double) throws {
        var log = try Self.log()
        log[Int(Double(log.count) * place)] ^= 0x10
        #expect(throws: NodeReplayError.self) { try Self.replay(log) }
    }

    @Test("node replay: events in another order, or with other contents, crash nothing", arguments: 0..<6 as Range<UInt64>)
    func shuffled(seed: UInt64) throws {
        let log = try Self.log()
        var random = Random(seed: seed)
        var held: Event?
        func change(_ index: Int, _ step: inout EventLogRecord.Step) {
            switch random.below(60) {
            case 0:
                let event = held ?? step.event
                held = step.event
                step.event = event
            case 1:
                if case .datagramReceived(let from, var bytes) = step.event, !bytes.isEmpty {
                    bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
                    step.event = .datagramReceived(from: from, bytes: bytes)
                }
            case 2: step.now = Instant(nanoseconds: step.now.nanoseconds &+ Int64(bitPattern: random.next()) >> 20)
            default: break
            }
        }
        let wrong = try Self.rewritten(log, step: change)
        // Whatever comes of it: it is no crash.
        _ = try? Self.replay(wrong)
    }

    @Test("node replay: a file is read like memory, and one that is not there is no crash")
    func file() throws {
        let log = try Self.log()
        let directory = FileManager.default.temporaryDirectory.appending(path: "patina-replay-\(UInt64.random(in: 0...UInt64.max))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = directory.appending(path: "log").path
        try Data(log).write(to: URL(fileURLWithPath: file))
        var replay = try NodeReplay(file: file)
        while let step = try replay.next() { #expect(step.isEqual) }
        #expect(replay.bytes == log.count && replay.ending == .finished(.shutdown))
        #expect(throws: NodeReplayError.self) { _ = try NodeReplay(file: file + "-") }
        #expect(throws: NodeReplayError.self) { _ = try NodeReplay(file: directory.path) }
    }
}
