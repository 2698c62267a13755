import PatinaProtocol
import Testing

@testable import PatinaStore

/// Columns and tables that are dropped or changed: only when allowed, at once to the user, and cleared away in bounded steps.
@Suite("Destructive schema")
struct DestructiveSchemaTests {
    private static let before = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b INTEGER DEFAULT 5, c);
        CREATE INDEX by_b ON t (b);
        CREATE TABLE w (x INTEGER NOT NULL, y TEXT NOT NULL, a, b, PRIMARY KEY (y, x)) WITHOUT ROWID;
        CREATE TABLE i (id INTEGER PRIMARY KEY, a, g AS (a || '!') VIRTUAL)
        """

    private func filled(_ name: String) throws -> Store {
        let store = try StoreHarness("destructive-\(name)").store(schema: Self.before)
        try store.run(
            "INSERT INTO t VALUES ('k1', 'a1', 1, 'c1'), ('k2', 'a2', 2, 'c2')", "INSERT INTO w VALUES (1, 'y', 'a', 'b')",
            "INSERT INTO i VALUES (7, 'x')")
        try store.run("UPDATE t SET c = 'cc' WHERE id = 'k1'")
        try store.finishUpkeep()
        return store
    }

    private func apply(_ store: Store, _ text: String) throws -> SchemaReport {
        try store.applySchema([SchemaFile(path: "s.sql", text: text)], allowDestructive: true)
    }

    @Test("destructive schema: dropped columns leave rows, clocks and later numbers right (rowid, WITHOUT ROWID, INTEGER PRIMARY KEY)")
    func droppedColumns() throws {
        let store = try filled("columns")
        defer { store.close() }
        let report = try apply(
            store,
            """
            CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, b INTEGER DEFAULT 5, c);
            CREATE TABLE w (x INTEGER NOT NULL, y TEXT NOT NULL, b, PRIMARY KEY (y, x)) WITHOUT ROWID;
            CREATE TABLE i (id INTEGER PRIMARY KEY)
            """)
        #expect(report.droppedColumns == ["i.a", "i.g", "t.a", "w.a"] && report.droppedIndexes == ["by_b"])
        #expect(try store.text("SELECT * FROM t ORDER BY id") == ["k1|1|cc", "k2|2|c2"])
        #expect(try store.text("SELECT * FROM w") == ["1|y|b"])
        #expect(try store.text("SELECT * FROM i") == ["7"])
        try store.expectSound()
        let cells = try store.clockedCells().map { "\($0.table) \($0.column) cv\($0.columnVersion) v\($0.version)" }
        #expect(
            cells == [
                "i -1 cv1 v1", "t b cv1 v1", "t c cv2 v2", "t b cv1 v1", "t c cv1 v1", "w b cv1 v1",
            ])
        // Written before, during and after the clean-up.
        try store.run("UPDATE t SET b = 9 WHERE id = 'k2'", "INSERT INTO t VALUES ('k3', 3, 'c3')", "DELETE FROM w")
        try store.finishUpkeep()
        try store.expectSound()
        try store.run("UPDATE t SET c = 'later'", "INSERT INTO w VALUES (1, 'y', 'again')")
        try store.expectSound()
        #expect(try store.text("SELECT * FROM t ORDER BY id") == ["k1|1|later", "k2|9|later", "k3|3|later"])
        #expect(try store.text("SELECT name FROM sqlite_schema WHERE name LIKE '%discarded%'") == [])
        #expect(try store.text("SELECT count(*) FROM __patina_cleanup") == ["0"])
        // A column of the old name is another column.
        _ = try apply(
            store,
            """
            CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, b INTEGER DEFAULT 5, c, a DEFAULT 'new');
            """)
        #expect(try store.text("SELECT a FROM t") == ["new", "new", "new"])
        try store.run("UPDATE t SET a = 'set' WHERE id = 'k1'")
        try store.expectSound()
        #expect(try store.clockedCells().filter { $0.column == "a" }.map(\.columnVersion) == [1])
    }

    @Test("destructive schema: a dropped table goes in bounded steps, and one of the same name starts empty meanwhile")
    func droppedTable() throws {
        let harness = StoreHarness("destructive-table")
        let store = try harness.store(schema: Self.before)
        try store.run(
            "INSERT INTO t (id) WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1800) SELECT 'k' || x FROM n",
            "INSERT INTO w SELECT 1, id, 1, 1 FROM t")
        try store.run("DELETE FROM t WHERE rowid > 1200")
        let text = "DROP TABLE IF EXISTS t;\nDROP TABLE IF EXISTS w; DROP TABLE IF EXISTS never"
        #expect(throws: StoreError.self) { try store.applySchema([SchemaFile(path: "s.sql", text: text)]) }
        let report = try apply(store, text)
        #expect(report.droppedTables == ["t", "w"])
        #expect(try apply(store, text).isEmpty)
        #expect(throws: StoreError.self) { try store.run("SELECT * FROM t") }
        _ = try apply(store, "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, other) WITHOUT ROWID")
        try store.run("INSERT INTO t VALUES ('k1', 'new')")
        var steps = 0
        while store.needsUpkeep {
            steps += 1
            // As if the process had ended in between: nothing depends on what is in memory.
            store.upkeepState = UpkeepState()
            _ = try store.upkeep()
            _ = try store.upkeep()
            if steps % 5 == 0 { try store.run("INSERT INTO t VALUES ('s\(steps)', 1)") }
            try store.expectSound()
            #expect(steps < 100)
            if try store.text("SELECT count(*) FROM __patina_cleanup") == ["0"] { break }
        }
        #expect(steps > 10)
        #expect(try store.text("SELECT other FROM t WHERE id = 'k1'") == ["new"])
        #expect(try store.text("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%discarded%'") == ["0"])
        // The versions can still be read and served: nothing is left of them but that they may lack something.
        let answer = try store.serve([.versions(store.actor, 1...2)])
        #expect(answer.chunks.count == 2)
        let lacking = try answer.chunks.map { try ChangesetCodec.decode($0.body).omittedNames }
        #expect(lacking == [[DroppedName(table: "t")], [DroppedName(table: "t"), DroppedName(table: "w")]])
        store.close()
    }

    @Test("destructive schema: types, defaults and NOT NULL change, where the rows allow it")
    func changedColumns() throws {
        let store = try filled("changed")
        defer { store.close() }
        // A column that was added later: rows without a cell follow its default.
        _ = try apply(store, "CREATE TABLE i (id INTEGER PRIMARY KEY, a, n INTEGER DEFAULT 1, g AS (a || '!') VIRTUAL)")
        try store.run("INSERT INTO i (id, a) VALUES (8, 'y')", "UPDATE i SET n = 3 WHERE id = 8", "INSERT INTO i (id, a) VALUES (9, 'z')")
        let report = try apply(
            store,
            """
            CREATE TABLE i (id INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT '', n INTEGER DEFAULT 2, g AS (a || '?') VIRTUAL);
            CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, c, a, b TEXT DEFAULT 5, new DEFAULT 0);
            """)
        #expect(report.changedColumns == ["i.a", "i.g", "i.n", "t.b"] && report.addedColumns == ["t.new"])
        // Row 7 was there before n: it has no cell. Row 9 has one, which says 1.
        #expect(try store.text("SELECT * FROM i ORDER BY id") == ["7|x|2|x?", "8|y|3|y?", "9|z|1|z?"])
        #expect(try store.rows("SELECT b FROM t WHERE id = 'k1'") == [[.text([UInt8(ascii: "1")])]])
        #expect(try store.text("SELECT * FROM t WHERE id = 'k1'") == ["k1|cc|a1|1|0"])
        try store.expectSound()
        try store.finishUpkeep()
        try store.run("UPDATE t SET a = 'u', b = 'text', new = 1")
        try store.expectSound()
        try store.run("UPDATE t SET c = NULL WHERE id = 'k2'")
        #expect(
            throws: StoreError.schema(
                file: "s.sql", line: 2,
                message: "the rows of table 't' do not fit its new columns (NOT NULL constraint failed: t.c): change the rows first")
        ) {
            try apply(store, "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY,\n c NOT NULL DEFAULT 1, a, b TEXT DEFAULT 5, new DEFAULT 0)")
        }
        #expect(try store.text("SELECT count(*) FROM t") == ["2"])
        try store.expectSound()
        // Keys and kinds never change.
        #expect(throws: StoreError.self) { try apply(store, "CREATE TABLE t (id BLOB NOT NULL PRIMARY KEY, c, a, b TEXT DEFAULT 5, new)") }
        #expect(throws: StoreError.self) { try apply(store, "CREATE TABLE i (id INTEGER PRIMARY KEY, a, n, g)") }
    }

    @Test("destructive schema: DROP TABLE needs IF EXISTS, a name, and no declaration of the same table")
    func statements() throws {
        let store = try filled("statements")
        defer { store.close() }
        for (text, message) in [
            ("DROP TABLE t", "DROP TABLE is only supported as DROP TABLE IF EXISTS"),
            ("DROP TABLE IF EXISTS main.t", "DROP TABLE takes the name of a table, without the name of a database"),
            (
                "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY); DROP TABLE IF EXISTS \"t\"",
                "table 't' is declared by the same schema: remove its CREATE TABLE or this DROP TABLE"
            ),
        ] {
            #expect(throws: StoreError.schema(file: "s.sql", line: 1, message: message)) { try apply(store, text) }
        }
        #expect(
            throws: StoreError.schema(
                file: "s.sql", line: 2,
                message: "won't drop table without the destructive flag set (table: 't'): "
                    + "to lose its data here, reload with --allow-destructive or set db.allow_destructive_schema")
        ) {
            try store.applySchema([SchemaFile(path: "s.sql", text: "\nDROP TABLE IF EXISTS t")])
        }
    }
}
