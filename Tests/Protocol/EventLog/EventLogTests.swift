// Goal: what was written is what is read, whatever it was; what was not written is never taken for it, and no bytes crash the reader.
// Method: one sample of every case there is; logs that are cut at every byte, and have every byte flipped; bodies that are mutated
// behind checks that fit them.

import Foundation
import Testing

@testable import PatinaProtocol

@Suite struct EventLogTests {
    private static let now = Instant.at(milliseconds: 78)

    private static func log(_ header: EventLogHeader = EventLogSamples.header, end: EventLogRecord.End? = .shutdown) throws -> [UInt8] {
        var writer = try #require(EventLogWriter(header))
        for (index, event) in EventLogSamples.events.enumerated() {
            let effects = index == 0 ? EventLogSamples.effects : Array(EventLogSamples.effects.prefix(index % 3))
            writer.expect(event, now: Instant(nanoseconds: now.nanoseconds + Int64(index)), effects: effects)
        }
        if let end { writer.finish(end) }
        return writer.take()
    }

    /// A short one.
    private static func shortLog() throws -> [UInt8] {
        var writer = try #require(EventLogWriter(EventLogSamples.header))
        writer.expect(.started, now: now, effects: [.measure(.foreignCluster), .notify(.left)])
        writer.expect(.commanded(.leave), now: now, effects: [])
        writer.finish(.limitReached)
        return writer.take()
    }

    private static func records(_ bytes: [UInt8]) throws(EventLogError) -> (records: [EventLogRecord], unread: Int) {
        var reader = EventLogReader()
        reader.feed(bytes)
        var records: [EventLogRecord] = []
        while let record = try reader.next() { records.append(record) }
        return (records, reader.unread)
    }

    @Test("event log: there is a sample of every event and effect")
    func samples() {
        #expect(Set(EventLogSamples.events.map(EventLogSamples.number)) == Set(0..<32))
        #expect(Set(EventLogSamples.effects.map(EventLogSamples.number)) == Set(0..<49))
    }

    @Test("event log: every field of a configuration is in the header")
    func settings() {
        // A field that comes or goes belongs into HeaderCodec.swift, its new number here, and EventLog.format is raised.
        #expect(Mirror(reflecting: EventLogSamples.header.configuration).children.count == 14)
        #expect(Mirror(reflecting: MembershipConfiguration()).children.count == 14 + 7 + 1)
        #expect(Mirror(reflecting: BroadcastConfiguration()).children.count == 1 + 4 + 3 + 1)
        #expect(Mirror(reflecting: SyncConfiguration()).children.count == 7 + 3 + 1)
        #expect(Mirror(reflecting: Limits()).children.count == 20)
    }

    @Test("event log: what is written is read", arguments: EventLogHeader.EffectDetail.allCases)
    func roundTrip(detail: EventLogHeader.EffectDetail) throws {
        var header = EventLogSamples.header
        header.detail = detail
        let (records, unread) = try Self.records(try Self.log(header))
        #expect(unread == 0)
        #expect(records.count == EventLogSamples.events.count + 2)
        #expect(records.first == .header(header))
        #expect(records.last == .end(.shutdown))
        for (index, event) in EventLogSamples.events.enumerated() {
            guard case .step(let step) = records[index + 1] else {
                Issue.record("record \(index + 1) is no step")
                return
            }
            #expect(step.event == event)
            #expect(step.now.nanoseconds == Self.now.nanoseconds + Int64(index))
            let effects = index == 0 ? EventLogSamples.effects : Array(EventLogSamples.effects.prefix(index % 3))
            #expect(step.effects.count == effects.count)
            #expect(step.effects.matches(effects, now: step.now))
            if detail == .whole { #expect(step.effects == .whole(effects)) }
        }
    }

    @Test("event log: one effect that is another one is noticed", arguments: EventLogHeader.EffectDetail.allCases)
    func otherEffect(detail: EventLogHeader.EffectDetail) throws {
        var header = EventLogSamples.header
        header.detail = detail
        guard case .step(let step) = try Self.records(try Self.log(header)).records[1] else {
            Issue.record("no step")
            return
        }
        for index in EventLogSamples.effects.indices {
            var effects = EventLogSamples.effects
            effects[index] = .measure(.announced(chunks: 77))
            #expect(!step.effects.matches(effects, now: step.now))
            effects.remove(at: index)
            #expect(!step.effects.matches(effects, now: step.now))
        }
    }

    @Test("event log: settings that are not the defaults come back, one by one")
    func otherSettings() throws {
        // Every number of the header's configuration is changed in turn: the ones that the codec mixed up would not come back.
        for index in 0..<20 {
            var header = EventLogSamples.header
            header.configuration.limits.applyBatchChunks += index
            header.configuration.limits.datagramBytes += 2 * index
            header.configuration.sync.retryAfter += .seconds(index)
            header.configuration.sync.stateFrameBytes += index
            header.configuration.broadcast.cacheLifetime += .milliseconds(index)
            header.configuration.broadcast.messageBytes -= index
            header.configuration.membership.forgetLeftAfter += .nanoseconds(index)
            header.configuration.membership.listMessageBytes += index
            header.configuration.maintenanceInterval += .seconds(index)
            var writer = try #require(EventLogWriter(header))
            let bytes = writer.take()
            #expect(try Self.records(bytes).records == [.header(header)])
        }
    }

    @Test("event log: the pieces that it comes in do not matter")
    func pieces() throws {
        let bytes = try Self.log()
        let whole = try Self.records(bytes).records
        var random = Random(seed: 5)
        for _ in 0..<20 {
            var reader = EventLogReader()
            var records: [EventLogRecord] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = rest.prefix(1 + random.below(400))
                rest = rest.dropFirst(piece.count)
                reader.feed(piece)
                while let record = try reader.next() { records.append(record) }
            }
            #expect(records == whole)
            #expect(reader.unread == 0 && reader.consumed == bytes.count)
        }
    }

    @Test("event log: one that is cut anywhere is read to its last whole record")
    func cut() throws {
        let bytes = try Self.shortLog()
        let whole = try Self.records(bytes).records
        #expect(whole.count == 4)
        var boundaries = 0
        for count in bytes.indices {
            let (records, unread) = try Self.records(Array(bytes.prefix(count)))
            #expect(records == Array(whole.prefix(records.count)) && records.count < whole.count)
            if unread == 0, count > 0 { boundaries += 1 }
        }
        // Behind the first nine bytes, the header, and each step.
        #expect(boundaries == 4)
    }

    @Test("event log: a flipped bit is found wherever it is")
    func flipped() throws {
        let bytes = try Self.shortLog()
        let whole = try Self.records(bytes).records
        for position in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[position] ^= 1 << UInt8(bit)
                var reader = EventLogReader()
                reader.feed(changed)
                var records: [EventLogRecord] = []
                var error: EventLogError?
                do {
                    while let record = try reader.next() { records.append(record) }
                } catch let thrown {
                    error = thrown
                }
                #expect(records == Array(whole.prefix(records.count)) && records.count < whole.count)
                switch position {
                case ..<EventLog.magic.count: #expect(error == .notALog)
                case EventLog.magic.count: #expect(error == .otherFormat(changed[position]))
                default:
                    guard case .damaged(let at, _)? = error else {
                        Issue.record("\(position): \(String(describing: error))")
                        return
                    }
                    #expect(at <= position)
                }
                // It stays with its verdict.
                #expect(throws: try #require(error)) { _ = try reader.next() }
            }
        }
    }

    @Test("event log: a record that is missing, doubled, or behind the end is found")
    func order() throws {
        var writer = try #require(EventLogWriter(EventLogSamples.header))
        let header = writer.take()
        writer.expect(.started, now: Self.now, effects: [])
        let first = writer.take()
        writer.expect(.started, now: Self.now, effects: [])
        let second = writer.take()
        writer.finish(.shutdown)
        let end = writer.take()
        writer.finish(.limitReached)
        #expect(writer.count == 0, "a log ends once")
        writer.expect(.started, now: Self.now, effects: [], isWritten: false)
        #expect(try Self.records(header + first + second + end).records.count == 4)
        for wrong in [header + second, header + first + first, header + second + first, header + first + second + end + end] {
            #expect(throws: EventLogError.self) { try Self.records(wrong) }
        }
        #expect(throws: EventLogError.notALog) { try Self.records(Array("SQLite format 3".utf8)) }
        #expect(try Self.records([]).records == [])
    }

    @Test("event log: an event that is too large ends the log, and the log says so")
    func tooLarge() throws {
        var writer = try #require(EventLogWriter(EventLogSamples.header, recordBytes: 4_096))
        writer.expect(.messageReceived(from: Sample.address(1), bytes: Array(repeating: 1, count: 4_000)), now: .zero, effects: [])
        writer.expect(
            .messageReceived(from: Sample.address(1), bytes: Array(repeating: 1, count: 4_096)), now: .zero, effects: [], isWritten: false)
        #expect(writer.end == .recordTooLarge)
        let records = try Self.records(writer.take()).records
        #expect(records.count == 3 && records.last == .end(.recordTooLarge))
        #expect(EventLogWriter(EventLogSamples.header, recordBytes: 100) == nil)
    }

    @Test("event log: one with a limit never exceeds it, and has room for its end")
    func limit() throws {
        var unlimited = try #require(EventLogWriter(EventLogSamples.header))
        let headerBytes = unlimited.count
        var ended = 0
        for limit in headerBytes..<(headerBytes + 200) {
            guard var writer = EventLogWriter(EventLogSamples.header, limitBytes: limit) else { continue }
            var steps = 0
            while writer.append(.peerLost(Sample.address(1)), now: Self.now, effects: []) { steps += 1 }
            #expect(writer.end == .limitReached && writer.count <= limit)
            let bytes = writer.take()
            let records = try Self.records(bytes).records
            #expect(records.count == steps + 2 && records.last == .end(.limitReached))
            ended += 1
        }
        #expect(ended > 150 && ended < 200, "the smallest limits have no room for the header and the end")
        unlimited.finish(.shutdown)
        #expect(unlimited.end == .shutdown)
    }

    @Test("event log: files are numbered, and other names are none")
    func names() {
        for number in [1, 42, 999_999, 1_000_000] { #expect(EventLog.number(ofFile: EventLog.fileName(number)) == number) }
        #expect(EventLog.fileName(42) == "events-000042.log")
        for name in ["events-42.log", "events-000000.log", "events-.log", "events--00001.log", "report.json", "events-000042.log.gz"] {
            #expect(EventLog.number(ofFile: name) == nil)
        }
    }

    @Test("event log: bytes that are sent to several peers stand there once")
    func repeated() throws {
        let bytes = Array(repeating: UInt8(3), count: 1_000)
        var writer = try #require(EventLogWriter(EventLogSamples.header))
        _ = writer.take()
        writer.expect(.started, now: .zero, effects: (0..<8).map { .sendMessage(to: Sample.address($0), bytes: bytes) })
        #expect(writer.count < 1_200)
    }

    /// A log whose record behind the header has this body, with checks that fit it.
    private static func forged(_ body: [UInt8]) throws -> [UInt8] {
        var header = try #require(EventLogWriter(EventLogSamples.header))
        var writer = ByteWriter()
        writer.write(contentsOf: header.take())
        writer.write(forged: body, number: 1)
        return writer.bytes
    }

    @Test("event log: mutated records behind checks that fit are refused or read, and never more", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) throws {
        var mutator = Mutator(seed: seed)
        var accepted = 0
        var bodies: [[UInt8]] = []
        for (index, event) in EventLogSamples.events.enumerated() {
            var writer = ByteWriter()
            writer.write(EventLog.Kind.step.rawValue)
            writer.writeSignedVarint(5)
            writer.write(event)
            let start = index * 3 % EventLogSamples.effects.count
            writer.writeEffects(Array(EventLogSamples.effects[start...].prefix(4)), now: .zero)
            bodies.append(writer.bytes)
        }
        for body in bodies { #expect(try Self.records(try Self.forged(body)).records.count == 2) }
        for round in 0..<1_500 {
            let body = round % 10 == 0 ? mutator.noise() : mutator.mutate(bodies[mutator.below(bodies.count)])
            if (try? Self.records(try Self.forged(body))) != nil { accepted += 1 }
        }
        #expect(accepted > 0, "some mutants make sense")
    }

    @Test("event log: mutated headers behind checks that fit are refused or read, and never more", arguments: 0..<4 as Range<UInt64>)
    func fuzzHeader(seed: UInt64) throws {
        var body = ByteWriter()
        body.write(EventLog.Kind.header.rawValue)
        body.write(EventLogSamples.header)
        var mutator = Mutator(seed: seed)
        for round in 0..<1_000 {
            var writer = ByteWriter()
            writer.write(contentsOf: EventLog.magic)
            writer.write(EventLog.format)
            writer.write(forged: round == 0 ? body.bytes : mutator.mutate(body.bytes), number: 0)
            let records = try? Self.records(writer.bytes).records
            if round == 0 { #expect(records == [.header(EventLogSamples.header)]) }
        }
    }

    // MARK: The document

    private static let document: [String: [UInt8]] = {
        let root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent().appending(path: "../../..")
        guard let text = try? String(contentsOf: root.appending(path: "docs/event-log.md"), encoding: .utf8) else { return [:] }
        return WireFormatTests.blocks(text)
    }()

    private static func written() throws -> [String: [UInt8]] {
        let configuration = NodeConfiguration(actor: Sample.actor(1), address: Sample.address(1), generation: 3, cluster: 7, seed: 1)
        let header = EventLogHeader(
            build: "patina 0.1.0", wall: 1_767_225_600_000_000_000, start: Instant(nanoseconds: 1_000), detail: .whole,
            configuration: configuration, ledger: VersionLedger(), members: [])
        var writer = try #require(EventLogWriter(header))
        let beginning = writer.take()
        writer.expect(
            .deadlinePassed(.broadcast(.announce)), now: Instant(nanoseconds: 3_000),
            effects: [
                .sendMessage(to: Sample.address(2), bytes: [0xAA, 0xBB]), .sendMessage(to: Sample.address(3), bytes: [0xAA, 0xBB]),
                .schedule(.broadcast(.announce), at: Instant(nanoseconds: 3_064)), .measure(.announced(chunks: 1)),
            ])
        let step = writer.take()
        writer.finish(.shutdown)
        return ["header": beginning, "step": step, "end": writer.take()]
    }

    @Test("event log: every example of the document is what the code writes")
    func examples() throws {
        let written = try Self.written()
        for name in written.keys.sorted() {
            #expect(hexadecimalString(Self.document[name] ?? []) == hexadecimalString(written[name] ?? []), "\(name)")
        }
        #expect(Self.document.keys.sorted() == written.keys.sorted())
    }

    @Test("event log: a layout that changed has a new format")
    func layout() throws {
        // When this fails and nothing else does, the layout has changed: raise EventLog.format and put the new digest here.
        var hasher = Fingerprint.Hasher(seed: UInt64(EventLog.format))
        hasher.combine(try Self.log())
        #expect("\(hasher.finish())" == "934e13315484c27c94dbe7c12400d048")
    }
}

extension ByteWriter {
    fileprivate mutating func write(forged body: [UInt8], number: UInt64) {
        let check = EventLogCheck(number: number, length: body.count)
        write(UInt32(body.count))
        write(check.ofLength)
        write(body.withUnsafeBytes { check.sum(of: $0) })
        write(contentsOf: body)
    }
}

extension EventLogWriter {
    fileprivate mutating func expect(_ event: Event, now: Instant, effects: [Effect], isWritten: Bool = true) {
        let result = append(event, now: now, effects: effects)
        #expect(result == isWritten)
    }
}
