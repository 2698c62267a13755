// Goal: docs/wire-format.md says what the code does.
// Method: every block that is fenced as `hex NAME` is compared with what the code writes for that name, and read back by it. A
// block without code, and code without a block, is reported.

import Foundation
import Testing

@testable import PatinaProtocol

@Suite struct WireFormatTests {
    /// The blocks of the document by name; `#` starts a comment.
    static func blocks(_ text: String) -> [String: [UInt8]] {
        var blocks: [String: [UInt8]] = [:]
        var name: String?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("```") {
                name = line.hasPrefix("```hex ") ? String(line.dropFirst(7)) : nil
                if let name { blocks[name] = [] }
            } else if let name {
                let digits = line.prefix { $0 != "#" }.utf8.compactMap(hexadecimalValue)
                for index in stride(from: 0, to: digits.count - 1, by: 2) { blocks[name]?.append(digits[index] << 4 | digits[index + 1]) }
            }
        }
        return blocks
    }

    static let document: [String: [UInt8]] = {
        let root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent().appending(path: "../../..")
        guard let text = try? String(contentsOf: root.appending(path: "docs/wire-format.md"), encoding: .utf8) else { return [:] }
        return blocks(text)
    }()

    private static let actor = Sample.actor(1)
    private static let piece = Chunk(
        id: Sample.id(1, 5, 0...1, of: 3), timestamp: HybridTimestamp(ntp64: 5 << 32), body: Array("abc".utf8))
    private static let broadcast = Envelope(cluster: 7, kind: .broadcast)

    private static func list(_ kind: BroadcastRecord.Kind, _ ids: [ChunkID]) -> [UInt8] {
        var writer = broadcast.writer()
        writer.write(kind, ChunkList(sender: Address(ipv4: 0x0A00_0009, port: 4_001), ids: ids[...]))
        return writer.bytes
    }

    private static func frame(_ frame: SyncFrame, _ start: ByteWriter = ByteWriter()) -> [UInt8] {
        var writer = start
        frame.write(to: &writer)
        return writer.bytes
    }

    private static let state: SyncFrame = {
        var gaps = IntervalSet(3...4)
        gaps.insert(11...11)
        var missing = IntervalSet(0...4)
        missing.insert(9...10)
        let partial = PartialState(version: 400, lastSequence: 32, missing: missing)
        let entry = ActorState(actor: actor, head: 400, gaps: gaps, partials: [partial])
        return .state(.init(fingerprint: Fingerprint(high: 1, low: 2), isLast: true, state: PeerState(actors: [entry])))
    }()

    private static let rows = Changeset(
        tables: [Changeset.Table(name: "t", columns: ["name", "state"])],
        rows: [
            RowChange(
                table: 0, key: PackedKey.encode([.integer(7)]), causalLength: 1, sentinel: nil,
                cells: [
                    CellChange(column: 0, columnVersion: 1, sequence: 0, value: .text("a")),
                    CellChange(column: 1, columnVersion: 1, sequence: 1, value: .integer(-2)),
                ]),
            RowChange(
                table: 0, key: PackedKey.encode([.integer(8)]), causalLength: 2, sentinel: .init(columnVersion: 2, sequence: 2), cells: []),
        ])

    private static let ping: MembershipPacket = {
        let suspect = ActorID(high: 0x1112_1314_1516_4718, low: 0x991A_1B1C_1D1E_1F20)
        let sender = MemberRecord(
            actor: ActorID(high: 0x0102_0304_0506_4708, low: 0x890A_0B0C_0D0E_0F10), address: Address(ipv4: 0x0A00_0001, port: 4_001),
            generation: 3)
        let record = MemberRecord(actor: suspect, address: Address(ipv4: 0x0A00_0002, port: 4_001), generation: 2)
        let digest = Fingerprint(high: 0xA0A1_A2A3_A4A5_A6A7, low: 0xA8A9_AAAB_ACAD_AEAF)
        return MembershipPacket(
            sender: sender, incarnation: 1, body: .ping(sequence: 300, target: suspect, digest: digest),
            claims: [MemberClaim(record: record, incarnation: 0, state: .suspect, marks: [0xDDCC_BBAA])])
    }()

    /// What the code writes.
    static let written: [String: [UInt8]] = {
        var chunk = ByteWriter()
        chunk.write(piece)
        var eager = broadcast.writer()
        eager.write(.eager, hops: 1, chunk: chunk.bytes[...])
        let request = ReadRequest(
            wants: [.versions(actor, 5...10), .sequences(actor, version: 400, IntervalSet(0...4))], byteLimit: 1 << 20)
        return [
            "envelope": broadcast.writer().bytes,
            "chunk": chunk.bytes,
            "rows": ChangesetCodec.encode(rows),
            "membership-ping": ping.encoded,
            "broadcast-eager": eager.bytes,
            "broadcast-announcement": list(.announcement, [piece.id, Sample.id(1, 6)]),
            "broadcast-graft": list(.graft, [Sample.id(1, 6)]),
            "sync-greeting": frame(
                .greeting(.init(actor: Sample.actor(2), fingerprint: .zero, buckets: [0, 0])), Envelope(cluster: 7, kind: .sync).writer()),
            "sync-state": frame(state),
            "sync-request": frame(.request(request)),
            "sync-empties": frame(.empties([EmptyVersions(actor: actor, versions: 5...10)])),
            "sync-end": frame(.end(remaining: [])),
            "sync-refusal": frame(.refusal(.init(reason: .busy, retryAfter: .seconds(2)))),
            "sync-equal": frame(.equal),
        ]
    }()

    @Test("wire format: every example of the document is what the code writes", arguments: written.keys.sorted())
    func examples(name: String) throws {
        let example = try #require(Self.document[name], "docs/wire-format.md has no example \(name)")
        #expect(hexadecimalString(example) == hexadecimalString(Self.written[name] ?? []))
    }

    @Test("wire format: every example of the document is compared")
    func noStrangers() {
        #expect(Self.document.keys.sorted() == Self.written.keys.sorted())
    }

    @Test("wire format: a changed digit in the document is noticed")
    func negative() {
        let blocks = Self.blocks("text\n```hex one\n01 ab # comment 77\n0c\n```\n01\n```hex two\n```\n```sh\n02\n```\n")
        #expect(blocks == ["one": [0x01, 0xAB, 0x0C], "two": []])
    }

    @Test("wire format: the state example of the document reads as it says, with a field of a later build at its end")
    func laterField() throws {
        var bytes = Self.written["sync-state"] ?? []
        // The record of the actor, and the frame, grow by three bytes.
        bytes[0] += 3
        bytes[36] += 3
        bytes += [0, 0, 0]
        var reader = ByteReader(bytes)
        let read = try SyncFrame.read(from: try reader.readRecord())
        #expect("\(read.map { "\($0)" } ?? "nothing")" == "\(Self.state)")
    }
}
