import PatinaProtocol
import Testing

@testable import PatinaStore

@Suite("Transact")
struct TransactTests {
    private static let schema = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v, w)"

    @Test("transact: results, version and chunks of a transaction")
    func outcome() throws {
        let harness = StoreHarness("transact-outcome")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        let first = try store.run("INSERT INTO t VALUES ('a', 1, 2), ('b', 3, 4)", "UPDATE t SET v = 9 WHERE id = 'a'", "SAVEPOINT s")
        #expect(first.results.map(\.rowsAffected) == [2, 1, 0])
        #expect(first.version == 1)
        #expect(first.chunks.map(\.id.description) == ["\(store.actor)/1[0-4 of 4]"])
        #expect(first.chunks[0].timestamp == first.timestamp)
        let second = try store.run("DELETE FROM t")
        #expect(second.version == 2)
        #expect(second.timestamp > first.timestamp)
        let empty = try store.transact([])
        #expect(empty.version == nil && empty.results.isEmpty)
        #expect(store.ledger[store.actor]?.contiguous == 2)
        try store.expectSound()
    }

    @Test("transact: parameters by position and by name")
    func parameters() throws {
        let harness = StoreHarness("transact-parameters")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        let blob = Value.blob([0, 255])
        _ = try store.transact([
            Statement("INSERT INTO t VALUES (?, ?, ?)", .positional([.text("a"), .null, .real(1.5)])),
            Statement(
                "INSERT INTO t VALUES (:id, @v, $w)",
                .named([.init(name: "@v", value: blob), .init(name: ":id", value: .text("b")), .init(name: "$w", value: .integer(-1))])),
        ])
        #expect(try store.rows("SELECT * FROM t ORDER BY id") == [[.text("a"), .null, .real(1.5)], [.text("b"), blob, .integer(-1)]])
        func message(_ statement: Statement) -> String {
            do {
                _ = try store.transact([statement])
                return "no error"
            } catch { return "\(error)" }
        }
        #expect(
            message(Statement("DELETE FROM t WHERE id = :a", .named([.init(name: ":b", value: .null)]))) == "Invalid parameter name: :b")
        #expect(
            message(Statement("DELETE FROM t WHERE id = ?", .positional([])))
                == "Wrong number of parameters passed to query. Got 0, needed 1")
        #expect(message(Statement("DELETE FROM t WHERE id = ?")) == "Wrong number of parameters passed to query. Got 0, needed 1")
        #expect(message(Statement("DELETE FROM t", .positional([.null]))) == "Wrong number of parameters passed to query. Got 1, needed 0")
        #expect(try store.text("SELECT count(*) FROM t") == ["2"])
    }

    @Test(
        "transact: what does not belong into a transaction is refused and rolls everything back",
        arguments: [
            ("SELECT 1", "Execute returned results - did you mean to call query?"),
            ("INSERT INTO t VALUES ('x', 1, 1) RETURNING id", "Execute returned results - did you mean to call query?"),
            ("BEGIN", "BEGIN, COMMIT and ROLLBACK are not allowed: the statements of a request are one transaction"),
            ("COMMIT", "BEGIN, COMMIT and ROLLBACK are not allowed: the statements of a request are one transaction"),
            ("ROLLBACK", "BEGIN, COMMIT and ROLLBACK are not allowed: the statements of a request are one transaction"),
            ("ATTACH ':memory:' AS other", "ATTACH, DETACH and VACUUM are not allowed"),
            ("PRAGMA user_version = 3", "PRAGMA is not allowed in a transaction"),
            ("CREATE TABLE u (id)", "the schema cannot be changed by a transaction: change the schema files and reload them"),
            ("DROP TABLE t", "the schema cannot be changed by a transaction: change the schema files and reload them"),
            ("ALTER TABLE t ADD COLUMN z", "the schema cannot be changed by a transaction: change the schema files and reload them"),
            ("CREATE TEMP TABLE u (id)", "the schema cannot be changed by a transaction: change the schema files and reload them"),
            (
                "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
                "the schema cannot be changed by a transaction: change the schema files and reload them"
            ),
            ("DELETE FROM __patina_versions", "table __patina_versions is not for users to write"),
            ("UPDATE t__patina_clock SET clock = x''", "table t__patina_clock is not for users to write"),
            ("DELETE FROM sqlite_sequence", "table sqlite_sequence is not for users to write"),
            ("DELETE FROM t; DELETE FROM t", "more than one statement in one string"),
            ("-- nothing", "the statement is empty"), ("", "the statement is empty"),
            ("INSERT INTO t VALUES ('k', 1, 1)", "UNIQUE constraint failed: t.id"),
            ("INSERT INTO nowhere VALUES (1)", "no such table: nowhere"),
            ("INSERT INTO t VALUES (1", "incomplete input"),
        ])
    func refusals(sql: String, message: String) throws {
        let harness = StoreHarness("transact-refusals-\(sql)")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        try store.run("INSERT INTO t VALUES ('k', 1, 1)")
        let before = try store.clockedCells()
        do {
            try store.run("INSERT INTO t VALUES ('y', 1, 1)", sql)
            Issue.record("\(sql) was accepted")
        } catch {
            #expect("\(error)" == message)
            #expect((error as? StoreError)?.isFatal == false)
        }
        #expect(try store.clockedCells() == before)
        #expect(try store.text("SELECT id FROM t") == ["k"])
        // The store goes on.
        #expect(try store.run("DELETE FROM t; -- all").version == 2)
        try store.expectSound()
    }

    @Test("transact: an interrupted transaction leaves nothing behind")
    func interrupted() throws {
        let harness = StoreHarness("transact-interrupt")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        // Interrupts itself: the interrupter works from anywhere, the running statement included.
        let interrupter = store.interrupter
        let box = Unmanaged.passUnretained(interrupter)
        _ = interruptingFunction(store, box.toOpaque())
        #expect(throws: StoreError.interrupted) {
            try store.run(
                "INSERT INTO t VALUES ('a', 1, 1)",
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO t SELECT i, stop(), 0 FROM n"
            )
        }
        withExtendedLifetime(interrupter) {}
        #expect(try store.text("SELECT count(*) FROM t") == ["0"])
        #expect(store.failure == nil)
        #expect(try store.run("INSERT INTO t VALUES ('a', 1, 1)").version == 1)
        store.close()
        interrupter.interrupt()
        #expect(throws: StoreError.closed) { try store.run("DELETE FROM t") }
        #expect(store.perform(.saveMembers([])) == .failed(reason: "the store is closed"))
    }

    @Test("transact: timestamps grow although the wall clock goes back, also after reopening")
    func timestamps() throws {
        let harness = StoreHarness("transact-clock")
        let anchor = try MemoryAnchor(name: "transact-clock-1")
        defer { anchor.close() }
        let store = try harness.store(schema: Self.schema)
        let first = try store.run("INSERT INTO t VALUES ('a', 1, 1)").timestamp
        harness.clock.nanoseconds -= 500_000_000
        let second = try store.run("DELETE FROM t").timestamp
        #expect(second > first)
        store.close()
        let again = try harness.store()
        defer { again.close() }
        #expect(try again.run("INSERT INTO t VALUES ('a', 1, 1)").timestamp > second)
        #expect(again.generation == 2)
    }

    @Test("transact: many versions, ranges written now and then, all known after reopening")
    func manyVersions() throws {
        let harness = StoreHarness("transact-many")
        let anchor = try MemoryAnchor(name: "transact-many-1")
        defer { anchor.close() }
        let store = try harness.store(schema: Self.schema)
        for number in 0..<1_100 {
            _ = try store.transact([Statement("INSERT OR REPLACE INTO t VALUES ('a', ?, 0)", .positional([.integer(Int64(number))]))])
        }
        try store.expectSound()
        let ledger = store.ledger
        store.close()
        let again = try harness.store()
        defer { again.close() }
        #expect(again.ledger == ledger)
        #expect(again.ledger.head(of: again.actor) == 1_100)
        try again.expectSound()
    }
}
