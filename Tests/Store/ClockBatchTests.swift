import PatinaProtocol
import Testing

@testable import PatinaStore

/// Goal: clocks that reach their table many in a statement are those that would have reached it one by one.
/// Method: numbers of clocks around the sizes of the statements, for each way to find a clock; clocks that are there although they are said
/// to be new; clocks about which the overlay has an opinion.
@Suite("ClockBatch")
struct ClockBatchTests {
    private static let schema = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b);
        CREATE TABLE n (id INTEGER PRIMARY KEY, a, b);
        CREATE TABLE w (id TEXT NOT NULL PRIMARY KEY, a, b) WITHOUT ROWID
        """
    private static let counts = [1, 3, 4, 5, 31, 32, 33, 36, 37, 70]

    /// Puts records of so many rows, as they are `made`, into the table of clocks.
    private func put(
        _ store: Store, _ table: Table, rows: Int, isNew: (Int) -> Bool, _ made: (Int) -> [UInt8],
        writes: Bool = false
    ) throws {
        try store.write { () throws(StoreError) in
            store.context.setCapturing(false)
            var batch = ClockBatch(store.clocks)
            for row in 0..<rows {
                try PackedKey.encode([.text(Array("k\(row)".utf8))]).withBytes { (key) throws(StoreError) in
                    try made(row).withBytes { (record) throws(StoreError) in
                        if writes {
                            try batch.write(table, rowid: Int64(row), key: key, record: record, isNew: isNew(row))
                        } else {
                            try batch.put(table, rowid: Int64(row), key: key, record: record, isNew: isNew(row))
                        }
                    }
                }
            }
            try batch.finish()
            store.context.setCapturing(true)
        }
    }

    private func stored(_ store: Store, _ table: Table) throws -> Set<[UInt8]> {
        Set(
            try store.rows("SELECT clock FROM \(table.clockTable)").compactMap { row in
                guard case .blob(let bytes) = row[0] else { return nil }
                return bytes
            })
    }

    @Test("clock batch: every record arrives, whether it is new or not", arguments: counts)
    func records(count: Int) throws {
        let store = try StoreHarness("clock-batch-\(count)").store(schema: Self.schema)
        defer { store.close() }
        for table in store.catalog.tables {
            try put(store, table, rows: count, isNew: { _ in true }, { [1, UInt8($0)] })
            #expect(try stored(store, table) == Set((0..<count).map { [1, UInt8($0)] }))
            // All of them are there, and the half of them is not expected to be.
            try put(store, table, rows: count, isNew: { $0 % 2 == 0 }, { [2, UInt8($0)] })
            #expect(try stored(store, table) == Set((0..<count).map { [2, UInt8($0)] }))
            // None is expected to be, and some are.
            try put(store, table, rows: count + 3, isNew: { _ in true }, { [3, UInt8($0)] })
            #expect(try stored(store, table) == Set((0..<(count + 3)).map { [3, UInt8($0)] }))
            // All are expected to be, and some are not.
            try put(store, table, rows: count + 9, isNew: { _ in false }, { [4, UInt8($0)] })
            #expect(try stored(store, table) == Set((0..<(count + 9)).map { [4, UInt8($0)] }))
        }
    }

    @Test("clock batch: tables that take turns keep their clocks apart")
    func turns() throws {
        let store = try StoreHarness("clock-batch-turns").store(schema: Self.schema)
        defer { store.close() }
        try store.write { () throws(StoreError) in
            store.context.setCapturing(false)
            var batch = ClockBatch(store.clocks)
            for row in 0..<40 {
                let table = store.catalog.tables[row % 3 == 0 ? 0 : 1]
                try [UInt8(row)].withBytes { (record) throws(StoreError) in
                    try batch.put(table, rowid: Int64(row), key: record, record: record, isNew: true)
                }
            }
            try batch.finish()
            store.context.setCapturing(true)
        }
        let counts = try store.catalog.tables.map { try stored(store, $0).count }
        #expect(counts == [14, 26, 0])
    }

    @Test("clock batch: what the overlay holds of a row is folded before, not after")
    func overlay() throws {
        let store = try StoreHarness("clock-batch-overlay").store(schema: Self.schema)
        defer { store.close() }
        let table = try #require(store.catalog.table(named: "n"))
        for row in 0..<5 { try store.run("INSERT INTO n VALUES (\(row), 1, 2)") }
        #expect(try stored(store, table) == [])
        try put(store, table, rows: 8, isNew: { _ in true }, { [9, UInt8($0)] }, writes: true)
        #expect(try stored(store, table) == Set((0..<8).map { [9, UInt8($0)] }))
        #expect(store.overlay.entries.isEmpty)
    }

    @Test("clock batch: rows inserted, changed, folded and merged have the clocks that one at a time gives", arguments: counts)
    func transactions(count: Int) throws {
        let harness = StoreHarness("clock-batch-whole-\(count)")
        let (store, single) = (try harness.store(1, schema: Self.schema), try harness.store(2, schema: Self.schema))
        defer { for each in [store, single] { each.close() } }
        for table in ["t", "n", "w"] {
            let keys = (0..<count).map { table == "n" ? "\($0)" : "'k\($0)'" }
            let inserted = try store.transact(keys.map { Statement("INSERT INTO \(table) VALUES (\($0), 1, 2)") })
            try store.expectSound()
            try store.foldClocks()
            let updated = try store.transact(
                keys.filter { $0.utf8.count % 2 == 0 }.map { Statement("UPDATE \(table) SET a = 7 WHERE id = \($0)") })
            try store.foldClocks()
            try store.expectSound()
            // The row is there already, so that this version goes the long way.
            try single.run("INSERT INTO \(table) VALUES (\(keys[count / 2]), 0, 0)")
            for chunks in [inserted.chunks, updated.chunks] { single.take(chunks) }
            try single.expectSound()
        }
        let own = try single.clockedCells().filter { $0.site != single.actor.description }
        let theirs = Set(
            try store.clockedCells().map { "\($0.table) \($0.key) \($0.column) \($0.columnVersion) \($0.version) \($0.sequence)" })
        #expect(own.allSatisfy { theirs.contains("\($0.table) \($0.key) \($0.column) \($0.columnVersion) \($0.version) \($0.sequence)") })
        #expect(try store.contentFingerprint() == single.contentFingerprint())
    }
}
