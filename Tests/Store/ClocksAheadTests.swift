import PatinaProtocol
import Testing

@testable import PatinaStore

/// Goal: clocks that are read together, before the events that need them, make the versions that reading one by one makes.
/// Method: the same statements in one transaction, where clocks are read together, and with tables taking turns in small ones, where they
/// are not; numbers of rows around the sizes of the statements; rows whose clocks wait in memory, rows that are touched twice, rows that
/// have no clock.
@Suite("ClocksAhead")
struct ClocksAheadTests {
    private static let schema = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b);
        CREATE TABLE n (id INTEGER PRIMARY KEY, a, b);
        CREATE TABLE w (id TEXT NOT NULL PRIMARY KEY, a, b) WITHOUT ROWID
        """
    private static let counts = [2, 3, 7, 8, 9, 31, 32, 33, 40, 41, 70]

    private func key(_ table: String, _ row: Int) -> String { table == "n" ? "\(row)" : "'k\(row)'" }

    private func cells(_ store: Store) throws -> Set<String> {
        Set(try store.clockedCells().map { "\($0.table) \($0.key) \($0.column) \($0.columnVersion)" })
    }

    @Test("clocks ahead: column versions are those of one statement at a time", arguments: counts)
    func versions(count: Int) throws {
        let harness = StoreHarness("clocks-ahead-\(count)")
        let (together, single) = (try harness.store(1, schema: Self.schema), try harness.store(2, schema: Self.schema))
        defer { for each in [together, single] { each.close() } }
        for table in ["t", "n", "w"] {
            let inserts = (0..<count).map { "INSERT INTO \(table) VALUES (\(key(table, $0)), 1, 2)" }
            for store in [together, single] {
                _ = try store.transact(inserts.map { Statement($0) })
                try store.foldClocks()
                // Every fifth waits in memory with a newer clock than the table has.
                for row in stride(from: 0, to: count, by: 5) {
                    try store.run("UPDATE \(table) SET a = 9 WHERE id = \(key(table, row))")
                }
            }
            var statements = (0..<count).map { "UPDATE \(table) SET b = 3 WHERE id = \(key(table, $0))" }
            statements += (0..<count).filter { $0 % 3 == 0 }.map { "UPDATE \(table) SET a = 4 WHERE id = \(key(table, $0))" }
            statements += (0..<count).filter { $0 % 7 == 0 }.map { "DELETE FROM \(table) WHERE id = \(key(table, $0))" }
            _ = try together.transact(statements.map { Statement($0) })
            for statement in statements { try single.run(statement) }
            for store in [together, single] { try store.expectSound() }
        }
        #expect(try cells(together) == cells(single))
        for table in ["t", "n", "w"] {
            #expect(try together.text("SELECT * FROM \(table) ORDER BY id") == single.text("SELECT * FROM \(table) ORDER BY id"))
        }
    }

    @Test("clocks ahead: tables that take turns get their own clocks")
    func turns() throws {
        let store = try StoreHarness("clocks-ahead-turns").store(schema: Self.schema)
        defer { store.close() }
        let tables = ["t", "n", "w"]
        _ = try store.transact((0..<60).map { Statement("INSERT INTO \(tables[$0 % 3]) VALUES (\(key(tables[$0 % 3], $0)), 1, 2)") })
        try store.foldClocks()
        _ = try store.transact((0..<60).map { Statement("UPDATE \(tables[$0 % 3]) SET a = 5 WHERE id = \(key(tables[$0 % 3], $0))") })
        try store.expectSound()
        let versions = try store.clockedCells().filter { $0.column == "a" }.map(\.columnVersion)
        #expect(versions == Array(repeating: 2, count: 60))
    }

    @Test("clocks ahead: a record of another row is noticed")
    func foreign() throws {
        let store = try StoreHarness("clocks-ahead-foreign").store(schema: Self.schema)
        defer { store.close() }
        _ = try store.transact((0..<10).map { Statement("INSERT INTO t VALUES ('k\($0)', 1, 2)") })
        try store.foldClocks()
        try store.connection.execute("UPDATE t__patina_clock SET clock = (SELECT clock FROM t__patina_clock WHERE key = 1) WHERE key = 6")
        #expect(throws: StoreError.self) {
            _ = try store.transact((0..<10).map { Statement("UPDATE t SET a = 5 WHERE id = 'k\($0)'") })
        }
        #expect(try store.text("SELECT count(*) FROM t WHERE a = 5") == ["0"])
    }

    @Test("clocks ahead: rows without a clock count as inserted once")
    func clockless() throws {
        let store = try StoreHarness("clocks-ahead-clockless").store(schema: Self.schema)
        defer { store.close() }
        _ = try store.transact((0..<10).map { Statement("INSERT INTO t VALUES ('k\($0)', 1, 2)") })
        try store.foldClocks()
        try store.connection.execute("DELETE FROM t__patina_clock WHERE key > 4")
        let outcome = try store.transact((0..<10).map { Statement("UPDATE t SET a = 5 WHERE id = 'k\($0)'") })
        #expect(outcome.version != nil)
        let versions = try store.clockedCells().filter { $0.column == "a" }.map(\.columnVersion).sorted()
        #expect(versions == [1, 1, 1, 1, 1, 1, 2, 2, 2, 2])
    }
}
