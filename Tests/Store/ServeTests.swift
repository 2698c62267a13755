import PatinaProtocol
import Testing

@testable import PatinaStore

@Suite("Serve")
struct ServeTests {
    private static let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)"

    @Test("serve: highest version first, overwritten versions as empty ranges")
    func order() throws {
        let harness = StoreHarness("serve-order")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        try store.run("INSERT INTO t VALUES (1, 0, 0)")
        for number in 2...6 { try store.run("UPDATE t SET v = \(number)") }
        try store.run("INSERT INTO t VALUES (2, 0, 0)")
        let answer = try store.serve([.versions(store.actor, 1...100)])
        #expect(answer.chunks.map(\.id.version) == [7, 6, 1])
        #expect(answer.empties == [EmptyVersions(actor: store.actor, versions: 2...5)])
        #expect(answer.remaining.isEmpty)
        let first = try ChangesetCodec.decode(answer.chunks[2].body)
        #expect(first.tables == [.init(name: "t", columns: ["w"])])
        // Nobody known, nothing asked, versions beyond the head: nothing.
        let nothing = try store.serve([
            .versions(harness.actor(8), 1...9), .versions(store.actor, 50...60), .sequences(store.actor, version: 99, IntervalSet(0...5)),
        ])
        #expect(nothing.chunks.isEmpty && nothing.empties.isEmpty && nothing.remaining.isEmpty)
        // An overwritten version by its sequence numbers.
        #expect(
            try store.serve([.sequences(store.actor, version: 3, IntervalSet(0...0))]).empties == [
                EmptyVersions(actor: store.actor, versions: 3...3)
            ])
    }

    @Test("serve: the byte limit leaves a remainder that serves the rest", arguments: [1, 90, 200, 1_000])
    func byteLimit(limit: Int) throws {
        let harness = StoreHarness("serve-limit-\(limit)")
        let (store, other) = (try harness.store(1, schema: Self.schema, chunkBytes: 64), try harness.store(2, schema: Self.schema))
        defer { store.close() }
        defer { other.close() }
        for version in 1...6 {
            try store.run(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6) "
                    + "INSERT INTO t SELECT \(version) * 10 + i, 'some text', i FROM n"
            )
        }
        try store.run("UPDATE t SET w = 0 WHERE id % 10 = 3", "DELETE FROM t WHERE id > 60", "UPDATE t SET v = 'again' WHERE id % 10 = 3")
        var wants: [ReadRequest.Want] = [.versions(store.actor, 1...7)]
        var rounds = 0
        while !wants.isEmpty {
            let answer = try store.serve(wants, byteLimit: limit)
            let bytes = answer.chunks.reduce(0) { $0 + $1.body.count }
            #expect(answer.chunks.count == 1 || bytes <= limit)
            other.take(answer.chunks, answer.empties)
            wants = answer.remaining
            rounds += 1
            try #require(rounds < 200)
        }
        #expect(rounds > (limit == 1_000 ? 1 : 4))
        #expect(other.ledger == store.ledger)
        #expect(try other.clockedCells() == store.clockedCells())
        try other.expectSound()
    }

    @Test("serve: some sequence numbers of a version, covered without a gap")
    func sequences() throws {
        let harness = StoreHarness("serve-sequences")
        let store = try harness.store(schema: Self.schema, chunkBytes: 64)
        defer { store.close() }
        try store.run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) INSERT INTO t SELECT i, 'some text', i FROM n")
        var wanted = IntervalSet(3...9)
        wanted.insert(20...33)
        wanted.insert(39...50)
        let answer = try store.serve([.sequences(store.actor, version: 1, wanted)])
        var covered = IntervalSet()
        for chunk in answer.chunks {
            covered.insert(chunk.id.sequences)
            #expect(chunk.id.lastSequence == 39)
            for row in try ChangesetCodec.decode(chunk.body).rows {
                #expect(row.cells.allSatisfy { chunk.id.sequences.contains($0.sequence) })
            }
        }
        #expect(covered.description == "{3-9,20-33,39}")
    }

    @Test("serve: rows written alternately are cut into pieces in order")
    func interleaved() throws {
        let harness = StoreHarness("serve-interleaved")
        let schema = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b, c) WITHOUT ROWID"
        let (store, other, third) = (
            try harness.store(1, schema: schema, chunkBytes: 40), try harness.store(2, schema: schema, chunkBytes: 40),
            try harness.store(3, schema: schema)
        )
        defer { for store in [store, other, third] { store.close() } }
        let outcome = try store.run(
            "INSERT INTO t VALUES ('x', 'aaaaaaaa', 'bbbbbbbb', 'cccccccc'), ('y', 'aaaaaaaa', 'bbbbbbbb', 'cccccccc')",
            "UPDATE t SET a = 'second'",
            "UPDATE t SET c = zeroblob(200) WHERE id = 'x'", "UPDATE t SET b = 'third' WHERE id = 'y'")
        #expect(outcome.chunks.count > 3)
        other.take(outcome.chunks.reversed())
        third.take(try other.serve([.versions(store.actor, 1...1)]).chunks)
        for replica in [other, third] {
            #expect(try replica.clockedCells() == store.clockedCells())
            try replica.expectSound()
        }
    }

    @Test("serve: a reader serves what the writer has committed, new tables and actors included")
    func reader() throws {
        let harness = StoreHarness("serve-reader")
        let (store, other) = (try harness.store(1), try harness.store(2, schema: Self.schema))
        defer { store.close() }
        defer { other.close() }
        let reader = try store.makeReader()
        defer { reader.close() }
        #expect(
            reader.read(ReadRequest(wants: [.versions(other.actor, 1...9)], byteLimit: .max))
                == .read(chunks: [], empties: [], remaining: []))
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
        let chunks = try other.run("INSERT INTO t VALUES (1, 2, 3)").chunks
        store.take(chunks)
        #expect(
            reader.read(ReadRequest(wants: [.versions(other.actor, 1...9)], byteLimit: .max))
                == .read(chunks: chunks, empties: [], remaining: []))
        #expect(
            store.perform(.read(ReadRequest(wants: [.versions(other.actor, 1...9)], byteLimit: 0)))
                == .read(chunks: chunks, empties: [], remaining: []))
    }
}
