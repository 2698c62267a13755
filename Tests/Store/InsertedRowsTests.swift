import PatinaProtocol
import Testing

@testable import PatinaStore

/// Versions of inserted rows are merged from the bytes of their chunks: with the same outcome as row by row.
@Suite("Inserted rows")
struct InsertedRowsTests {
    private static let schemas = [
        "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a INTEGER, b TEXT, c)",
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, a REAL, b TEXT, c BLOB)",
        "CREATE TABLE t (id INTEGER NOT NULL, name TEXT NOT NULL, a, b, c DEFAULT 7, PRIMARY KEY (name, id)) WITHOUT ROWID",
    ]

    private func insert(_ keys: some Sequence<Int>, _ schema: Int) -> [Statement] {
        keys.map { key in
            let id = ["'key \(key)'", "\(key * 1_000 - 5)", "\(key), 'name \(key)'"][schema]
            let columns = schema == 2 ? "id, name, a, b, c" : "id, a, b, c"
            let values = ["NULL, '', 2.5", "\(key), 'text \(key)', x'00FF'", "\(-key), x'', 'ü'", "2.0, NULL, 0"][key % 4]
            return Statement("INSERT INTO t (\(columns)) VALUES (\(id), \(values))")
        }
    }

    private func delete(_ key: Int, _ schema: Int) -> [Statement] {
        let id = ["id = 'key \(key)'", "id = \(key * 1_000 - 5)", "id = \(key)"][schema]
        return [Statement("DELETE FROM t WHERE \(id)")]
    }

    @Test("inserted rows: meet rows and tombstones as any others do", arguments: schemas.indices)
    func meetsRows(schema: Int) throws {
        let harness = StoreHarness("inserted-\(schema)")
        let writer = try harness.store(1, schema: Self.schemas[schema], chunkBytes: 200)
        let other = try harness.store(2, schema: Self.schemas[schema])
        let (whole, pieces) = (try harness.store(3, schema: Self.schemas[schema]), try harness.store(4, schema: Self.schemas[schema]))
        defer { for store in [writer, other, whole, pieces] { store.close() } }
        // The other writer has some of the same keys, and has deleted one of them.
        let earlier = [try other.transact(insert([25, 26, 38], schema)), try other.transact(delete(26, schema))]
        for store in [whole, pieces] { for outcome in earlier { store.take(outcome.chunks) } }
        for keys in [0..<20, 20..<30, 30..<40, 40..<41] {
            let chunks = try writer.transact(insert(keys, schema)).chunks
            #expect(InsertedRows(chunks[...], catalog: whole.catalog)?.rows.count == keys.count)
            whole.take(chunks)
            // One by one they are buffered, and decoded in the end.
            for chunk in chunks.reversed() { pieces.take([chunk]) }
        }
        #expect(try whole.clockedCells() == pieces.clockedCells())
        #expect(try whole.contentFingerprint() == pieces.contentFingerprint())
        #expect(whole.ledger.fingerprint == pieces.ledger.fingerprint)
        // The deletion of a row that both had inserted is final for both.
        #expect(try whole.rows("SELECT id FROM t").count == 40)
        try whole.expectSound()
    }

    @Test("inserted rows: whatever else a version does goes the ordinary way")
    func others() throws {
        let harness = StoreHarness("inserted-others")
        let schema = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b); CREATE TABLE u (id INTEGER PRIMARY KEY, v)"
        let store = try harness.store(1, schema: schema)
        let narrow = try harness.store(2, schema: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, b, a)")
        defer { for store in [store, narrow] { store.close() } }
        let plain = try store.run("INSERT INTO t VALUES ('a', 1, 2), ('b', 3, 4)").chunks
        #expect(InsertedRows(plain[...], catalog: store.catalog)?.rows.count == 2)
        // Columns in another order.
        #expect(InsertedRows(plain[...], catalog: narrow.catalog) == nil)
        for statements in [
            ["UPDATE t SET a = 5"], ["DELETE FROM t WHERE id = 'a'"], ["INSERT INTO t VALUES ('a', 1, 2)"],
            ["INSERT INTO t VALUES ('c', 1, 2)", "INSERT INTO u VALUES (1, 2)"],
            ["INSERT INTO t VALUES ('d', 1, 2)", "UPDATE t SET b = 9"],
        ] {
            let chunks = try store.transact(statements.map { Statement($0) }).chunks
            #expect(InsertedRows(chunks[...], catalog: store.catalog) == nil, "\(statements)")
        }
    }

    @Test("inserted rows: no bytes end the process, and what is taken is what the codec reads")
    func damaged() throws {
        let harness = StoreHarness("inserted-damaged")
        let store = try harness.store(1, schema: Self.schemas[0])
        defer { store.close() }
        let chunk = try #require(try store.transact(insert(0..<4, 0)).chunks.first)
        var bodies = chunk.body.indices.map { Array(chunk.body[..<$0]) }
        for index in chunk.body.indices {
            for change: UInt8 in [1, 0x08, 0x80, 0xFF] {
                bodies.append(chunk.body)
                bodies[bodies.count - 1][index] ^= change
            }
        }
        var taken = 0
        for body in bodies {
            let damaged = Chunk(id: chunk.id, timestamp: chunk.timestamp, body: body)
            guard let rows = InsertedRows([damaged], catalog: store.catalog) else { continue }
            taken += 1
            let changeset = try ChangesetCodec.decode(body)
            #expect(changeset.rows.map(\.key) == rows.rows.map { Array(body[$0.key]) })
            #expect(changeset.rows.map { $0.cells.map(\.sequence) } == rows.rows.map { row in (0..<3).map { row.sequence + $0 } })
            for row in changeset.rows { _ = try PackedKey.decode(row.key) }
        }
        #expect(taken > 20 && taken < bodies.count / 2)
    }
}
