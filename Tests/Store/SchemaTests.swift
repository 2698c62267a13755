import PatinaProtocol
import Testing

@testable import PatinaStore

@Suite("Schema")
struct SchemaTests {
    private func apply(_ store: Store, _ text: String, path: String = "schema.sql") throws -> SchemaReport {
        try store.applySchema([SchemaFile(path: path, text: text)])
    }

    @Test("schema: tables, indexes and columns are created, and nothing happens the second time")
    func growth() throws {
        let store = try StoreHarness("schema-growth").store()
        defer { store.close() }
        let first = "-- users\nCREATE TABLE users (id TEXT NOT NULL PRIMARY KEY, name TEXT);\nCREATE INDEX by_name ON users (name);"
        let created = try apply(store, first)
        #expect(created.createdTables == ["users"] && created.createdIndexes == ["by_name"])
        #expect(try apply(store, first).isEmpty)
        try store.run("INSERT INTO users VALUES ('u', 'n')")
        let second = """
            CREATE TABLE users (id TEXT NOT NULL PRIMARY KEY, name TEXT, "e mail" TEXT DEFAULT 'a,b(c',
                age INTEGER NOT NULL DEFAULT (1 + 1) /* , */,
                upper AS (name || '!'));
            CREATE INDEX by_name ON users (name, age);
            CREATE TABLE more (id INTEGER PRIMARY KEY)
            """
        // A parenthesised default cannot be added to a table that has rows: SQLite's own rule, reported with the column's line.
        #expect(throws: StoreError.schema(file: "b.sql", line: 2, message: "Cannot add a column with non-constant default")) {
            try apply(store, second, path: "b.sql")
        }
        #expect(store.catalog.tables.count == 1)
        let report = try apply(store, second.split(separator: "(1 + 1)").joined(separator: "2"))
        #expect(report.createdTables == ["more"] && report.addedColumns == ["users.age", "users.e mail", "users.upper"])
        #expect(report.droppedIndexes == ["by_name"] && report.createdIndexes == ["by_name"])
        #expect(try store.text("SELECT * FROM users") == ["u|n|a,b(c|2|n!"])
        #expect(store.ledger.head(of: store.actor) == 1)
        let third = try apply(
            store,
            "CREATE TABLE users (id TEXT NOT NULL PRIMARY KEY, name TEXT, \"e mail\" TEXT DEFAULT 'a,b(c', "
                + "age INTEGER NOT NULL DEFAULT 2, upper AS (name || '!')); DROP INDEX IF EXISTS by_name"
        )
        #expect(third.droppedIndexes == ["by_name"])
        try store.expectSound()
    }

    @Test(
        "schema: what cannot be replicated is refused with file and line",
        arguments: [
            ("CREATE TABLE t (id TEXT PRIMARY KEY)", 1, "primary key column 'id' of table 't' must be NOT NULL"),
            ("\n\nCREATE TABLE t (a,\n b)", 3, "table 't' has no primary key: rows are told apart by it on all nodes"),
            (
                "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY,\n  v TEXT UNIQUE)", 1,
                "table 't' has a UNIQUE constraint beside its primary key: two nodes could write equal values at once"
            ),
            (
                "CREATE TABLE t (id INTEGER PRIMARY KEY, v);\n\nCREATE UNIQUE INDEX u ON t (v)", 3,
                "unique indexes are not supported: two nodes could write equal values at once"
            ),
            (
                "CREATE TABLE p (id INTEGER PRIMARY KEY);\nCREATE TABLE t (id INTEGER PRIMARY KEY, p REFERENCES p(id))", 2,
                "table 't' has a foreign key: rows arrive in any order, so that it cannot be enforced"
            ),
            (
                "CREATE TABLE t (\n  id INTEGER PRIMARY KEY,\n  v TEXT NOT NULL\n)", 3,
                "column 'v' of table 't' is NOT NULL and has no DEFAULT: a row may arrive before this column does"
            ),
            (
                "CREATE TABLE t (id TEXT NOT NULL COLLATE NOCASE PRIMARY KEY)", 1,
                "the primary key of table 't' has the collation NOCASE: only BINARY tells equal keys from others"
            ),
            (
                "CREATE TABLE t (a TEXT NOT NULL, id TEXT NOT NULL COLLATE RTRIM, PRIMARY KEY (a, id)) WITHOUT ROWID", 1,
                "the primary key of table 't' has the collation RTRIM: only BINARY tells equal keys from others"
            ),
            ("CREATE TEMP TABLE t (id INTEGER PRIMARY KEY)", 1, "temporary tables are not supported in schema files"),
            ("CREATE TABLE temp.t (id INTEGER PRIMARY KEY)", 1, "temporary tables are not supported in schema files"),
            ("CREATE TABLE t AS SELECT 1 AS id", 1, "CREATE TABLE AS SELECT is not supported: declare the columns"),
            (
                "/* a\n b */ CREATE VIEW v AS SELECT 1", 2,
                "CREATE VIEW is not supported: a schema has CREATE TABLE, CREATE INDEX, DROP INDEX and DROP TABLE IF EXISTS"
            ),
            (
                "INSERT INTO t VALUES (1)", 1,
                "INSERT INTO is not supported: a schema has CREATE TABLE, CREATE INDEX, DROP INDEX and DROP TABLE IF EXISTS"
            ),
            ("DROP INDEX x", 1, "DROP INDEX is only supported as DROP INDEX IF EXISTS"),
            (
                "CREATE TABLE t (id INTEGER PRIMARY KEY, v);CREATE INDEX i ON t (v);\nDROP INDEX IF EXISTS i", 2,
                "an index that the same schema creates cannot be dropped"
            ),
            ("CREATE TABLE t (id INTEGER PRIMARY KEY,\n v,\n v)", 1, "duplicate column name: v"),
            ("CREATE TABLE t (id INTEGER PRIMARY KEY);\nCREATE TABLE x (id INTEGER\n PRIMARY KEYY)", 3, "near \"KEYY\": syntax error"),
            ("CREATE TABLE a__patina_b (id INTEGER PRIMARY KEY)", 1, "table 'a__patina_b': names with __patina are reserved"),
            ("CREATE TABLE crsql_x (id INTEGER PRIMARY KEY)", 1, "table 'crsql_x': names that begin with crsql are reserved"),
            (
                "CREATE TABLE t (rowid TEXT NOT NULL PRIMARY KEY, _rowid_, oid)", 1,
                "table 't' has columns named rowid, _rowid_ and oid: one of the names must stay free"
            ),
            ("CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE INDEX i ON nowhere (x)", 1, "no such table: main.nowhere"),
        ])
    func refusals(text: String, line: Int, message: String) throws {
        let store = try StoreHarness("schema-refusals-\(text)").store()
        defer { store.close() }
        do {
            _ = try apply(store, text, path: "bad.sql")
            Issue.record("accepted: \(text)")
        } catch {
            #expect("\(error)" == "bad.sql:\(line): \(message)")
        }
        #expect(store.catalog.tables.isEmpty)
        try store.expectSound()
    }

    @Test(
        "schema: changes that would lose data are refused and change nothing",
        arguments: [
            (
                "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, w)",
                "won't remove column without the destructive flag set (table: 't', column: 'v'): "
                    + "to lose its data here, reload with --allow-destructive or set db.allow_destructive_schema"
            ),
            (
                "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v TEXT, w)",
                "won't change column without the destructive flag set (table: 't', column: 'v'): type from 'INTEGER' to 'TEXT'; "
                    + "to do it, reload with --allow-destructive or set db.allow_destructive_schema"
            ),
            (
                "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v INTEGER DEFAULT 5, w)",
                "won't change column without the destructive flag set (table: 't', column: 'v'): default from none to 5; "
                    + "to do it, reload with --allow-destructive or set db.allow_destructive_schema"
            ),
            (
                "CREATE TABLE t (id TEXT NOT NULL, v INTEGER NOT NULL DEFAULT 0, w, PRIMARY KEY (id, v))",
                "won't change the primary key of table 't' from (id) to (id, v): declare a table of another name and copy the rows"
            ),
            (
                "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v INTEGER, w) WITHOUT ROWID",
                "won't change whether table 't' is STRICT or WITHOUT ROWID, or what its primary key is made of: "
                    + "declare a table of another name and copy the rows"
            ),
        ])
    func destructive(text: String, message: String) throws {
        let store = try StoreHarness("schema-destructive-\(text)").store(
            schema: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v INTEGER, w)")
        defer { store.close() }
        do {
            _ = try apply(store, "CREATE TABLE fresh (id INTEGER PRIMARY KEY);" + text)
            Issue.record("accepted: \(text)")
        } catch {
            #expect("\(error)" == "schema.sql:1: \(message)")
        }
        #expect(store.catalog.tables.map(\.name) == ["t"])
        // A table that no file declares stays.
        #expect(try apply(store, "CREATE TABLE fresh (id INTEGER PRIMARY KEY)").createdTables == ["fresh"])
        #expect(store.catalog.tables.map(\.name) == ["fresh", "t"])
    }

    @Test("schema: a table that was there becomes replicated with its rows")
    func adoption() throws {
        let harness = StoreHarness("schema-adoption")
        let (store, other) = (try harness.store(1), try harness.store(2))
        defer { store.close() }
        defer { other.close() }
        let text =
            "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, r REAL, v);"
            + "CREATE TABLE w (a NOT NULL, b NOT NULL, v, PRIMARY KEY (b, a)) WITHOUT ROWID"
        for sql in text.split(separator: ";") { try store.connection.execute(String(sql)) }
        try store.connection.execute("INSERT INTO t VALUES ('a', 1, 'x'), ('b', NULL, x'00')")
        try store.connection.execute("INSERT INTO w VALUES (1, 2, 3)")
        let report = try apply(store, text)
        #expect(report.adoptedTables == ["t", "w"])
        _ = try apply(other, text)
        other.take(try #require(report.adoption).chunks)
        #expect(try store.clockedCells() == other.clockedCells())
        #expect(try store.contentFingerprint() == other.contentFingerprint())
        try store.expectSound()
        #expect(try store.run("UPDATE t SET v = 'y'").version == 2)
        try store.expectSound()
    }

    @Test("schema: nodes with their columns in different orders agree")
    func columnOrder() throws {
        let harness = StoreHarness("schema-order")
        let one = try harness.store(1, schema: "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)")
        let two = try harness.store(2, schema: "CREATE TABLE t (c, id INTEGER PRIMARY KEY, b, a)")
        defer { one.close() }
        defer { two.close() }
        two.take(try one.run("INSERT INTO t VALUES (1, 'a', 'b', 'c')", "UPDATE t SET b = 'bb'").chunks)
        one.take(try two.run("UPDATE t SET a = 'aa', c = 'cc'").chunks)
        #expect(try one.text("SELECT a, b, c FROM t") == ["aa|bb|cc"])
        #expect(try one.contentFingerprint() == two.contentFingerprint())
        #expect(try one.clockedCells() == two.clockedCells())
    }
}
