import CSQLite
import Foundation
import PatinaProtocol
import Testing

@testable import PatinaStore

/// Databases in files: crashes, damage, other programs that open them.
@Suite("File")
final class FileTests {
    private let directory: URL
    private static let schema =
        "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v INTEGER NOT NULL DEFAULT 1, w); CREATE TABLE i (id INTEGER PRIMARY KEY, v)"

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("patina-store-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    private func path(_ name: String = "db") -> String { directory.appendingPathComponent(name).path }

    private func open(_ name: String = "db", synchronous: Synchronous = .normal) throws -> Store {
        var options = StoreOptions()
        options.cacheKiB = 2_048
        options.synchronous = synchronous
        let store = try Store(.file(path(name)), options: options)
        return store
    }

    private func makeStore(_ name: String = "db") throws -> Store {
        let store = try open(name)
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
        return store
    }

    @Test("file: a crash of the process loses nothing that was acknowledged", arguments: Synchronous.allCases)
    func crash(synchronous: Synchronous) throws {
        let harness = StoreHarness("file-crash-\(synchronous)")
        let other = try harness.store(2, schema: Self.schema, chunkBytes: 40)
        defer { other.close() }
        let store = try open(synchronous: synchronous)
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
        let remote = try other.run(
            "INSERT INTO t VALUES ('r', 1, 'a long value that fills a chunk'), ('s', 2, 'another long value for a chunk')"
        ).chunks
        for number in 1...20 {
            try store.run("INSERT INTO t VALUES ('k\(number)', \(number), NULL)", "DELETE FROM t WHERE id = 'k\(number - 3)'")
            if number == 10 { store.take([remote[0]]) }
            // What a killed process leaves behind: the files as they are at this moment.
            for suffix in ["", "-wal", ".reservation"] where FileManager.default.fileExists(atPath: path() + suffix) {
                try? FileManager.default.removeItem(atPath: path("copy\(number)") + suffix)
                try FileManager.default.copyItem(atPath: path() + suffix, toPath: path("copy\(number)") + suffix)
            }
            let survivor = try open("copy\(number)")
            defer { survivor.close() }
            #expect(survivor.actor == store.actor)
            #expect(survivor.ledger == store.ledger)
            #expect(survivor.generation == store.generation + 1)
            #expect(try survivor.contentFingerprint() == store.contentFingerprint())
            // The survivor cannot know how far the original went on: its numbers start above everything that was reserved.
            #expect(try survivor.run("INSERT INTO i VALUES (1, 1)").version == VersionReservation.block + 1)
            try survivor.expectSound()
        }
        store.close()
    }

    @Test("file: a damaged file, a file of something else and a missing directory are clear errors")
    func damage() throws {
        let store = try makeStore()
        for number in 1...200 { try store.run("INSERT INTO t VALUES ('k\(number)', 1, zeroblob(2000))") }
        store.close()
        let whole = try Data(contentsOf: URL(fileURLWithPath: path()))
        #expect(whole.count > 300_000)
        func message(_ name: String, _ data: Data) throws -> String {
            try data.write(to: URL(fileURLWithPath: path(name)))
            do {
                let store = try open(name)
                defer { store.close() }
                return "opened"
            } catch {
                #expect((error as? StoreError)?.isFatal == true)
                return "\(error)"
            }
        }
        #expect(try message("half", whole.prefix(whole.count / 2)) == "\(path("half")): database disk image is malformed")
        #expect(try message("odd", whole.prefix(100_001)) == "\(path("odd")): database disk image is malformed")
        #expect(try message("stub", whole.prefix(700)).hasPrefix("\(path("stub")): "))
        #expect(
            try message("text", Data("hello, this is not a database at all, but text".utf8) + Data(count: 5_000))
                == "\(path("text")): file is not a database")
        #expect(throws: StoreError.self) { try open("no/such/directory/db") }
        do { _ = try open("no/such/directory/db") } catch {
            #expect("\(error)" == "\(path("no/such/directory/db")): unable to open database file")
        }
    }

    @Test("file: a plain SQLite program can read, and fails with the reason when it writes")
    func foreignWriters() throws {
        let store = try makeStore()
        defer { store.close() }
        try store.run("INSERT INTO t VALUES ('a', 1, 'x')", "INSERT INTO i VALUES (1, 'y')")
        _ = try store.applySchema([SchemaFile(path: "s", text: "CREATE TABLE i (id INTEGER PRIMARY KEY, v, added DEFAULT 3)")])
        let foreign = try Plain(path())
        for sql in [
            "INSERT INTO t VALUES ('b', 1, 1)", "REPLACE INTO t (id) VALUES ('a')", "UPDATE t SET id = 'b'", "UPDATE t SET v = 2",
            "UPDATE t SET w = 2",
            "DELETE FROM t", "DELETE FROM t WHERE id = 'a'", "INSERT INTO i (v) VALUES (1)", "UPDATE i SET id = 2",
            "UPDATE i SET added = 4",
        ] {
            #expect(foreign.run(sql).contains("this_table_is_replicated_and_written_only_through_patina"), "\(sql): \(foreign.run(sql))")
        }
        #expect(foreign.run("SELECT * FROM t") == "a|1|x\n")
        #expect(foreign.run("SELECT * FROM i") == "1|y|3\n")
        #expect(foreign.run("PRAGMA quick_check") == "ok\n")
        #expect(foreign.run("SELECT count(*) FROM sqlite_schema WHERE sql IS NOT NULL") != "0\n")
        try store.expectSound()
    }

    @Test("file: a second store on the same file is refused until the first one closes")
    func secondStore() throws {
        let store = try makeStore()
        #expect(throws: StoreError.self) { try open() }
        do { _ = try open() } catch {
            #expect("\(error)".hasSuffix("another agent has this database open; stop it, or give this one a database of its own"))
        }
        store.close()
        let second = try open()
        #expect(second.generation == 2)
        second.close()
    }

    @Test("file: a commit of somebody who gets past the guards is noticed")
    func intruder() throws {
        let store = try makeStore()
        defer { store.close() }
        let foreign = try Plain(path())
        foreign.definesGuard()
        #expect(foreign.run("INSERT INTO __patina_versions VALUES (1, 0, 0, x'', NULL)") == "")
        // Version 1 is taken: the ledger is read again before the next transaction.
        #expect(try store.run("INSERT INTO t VALUES ('first', 1, 1)").version == 2)
        try store.expectSound()
    }

    @Test("file: rows renumbered by a dump and restore are recognised")
    func renumbered() throws {
        let store = try makeStore()
        try store.run("INSERT INTO t VALUES ('a', 1, 1), ('b', 2, 2), ('c', 3, 3)")
        try store.connection.execute("PRAGMA foreign_keys = OFF")
        // What .dump and restore do: rowids are dealt out anew.
        try store.connection.execute("UPDATE t SET rowid = -rowid")
        try store.connection.execute("UPDATE t SET rowid = rowid + 4")
        #expect(throws: StoreError.self) { try store.run("UPDATE t SET v = 9 WHERE id = 'a'") }
        #expect(
            store.failure?.description
                == "a clock record of table t belongs to another row; were the rows renumbered by a dump and restore?")
        store.close()
    }

    @Test("file: a full disk takes the transaction back, and the store goes on once there is room")
    func full() throws {
        let store = try makeStore()
        defer { store.close() }
        try store.run("INSERT INTO t VALUES ('a', 1, 1)")
        let pages = try store.connection.integer("PRAGMA page_count")
        try store.connection.execute("PRAGMA max_page_count = \(pages + 1)")
        let error = #expect(throws: StoreError.self) { try store.run("INSERT INTO t VALUES ('b', 1, zeroblob(1000000))") }
        #expect(error?.isOutOfSpace == true && error?.isFatal == false)
        #expect(store.failure == nil)
        #expect(try Plain(path()).run("SELECT id FROM t") == "a\n")
        try store.connection.execute("PRAGMA max_page_count = \(pages + 1000)")
        try store.run("INSERT INTO t VALUES ('c', 1, 1)")
        #expect(try Plain(path()).run("SELECT id FROM t ORDER BY id") == "a\nc\n")
        try store.expectSound()
    }

    @Test("file: a database of a later format is refused")
    func laterFormat() throws {
        let store = try makeStore()
        try store.connection.execute("UPDATE __patina_meta SET value = \(Bookkeeping.format + 1) WHERE key = 'format'")
        store.close()
        do {
            _ = try open()
            Issue.record("opened")
        } catch {
            #expect(
                "\(error)" == "\(path()): written in format \(Bookkeeping.format + 1); "
                    + "this version of Patina reads format \(Bookkeeping.format)")
        }
    }

    @Test("file: readers stream rows from a snapshot, and only read")
    func readers() throws {
        let store = try makeStore()
        defer { store.close() }
        for number in 1...50 { try store.run("INSERT INTO i VALUES (\(number), 'v')") }
        let reader = try store.makeReader()
        let cursor = try reader.prepare(
            Statement("SELECT id AS number, v FROM i WHERE id > :low ORDER BY id", .named([.init(name: ":low", value: .integer(10))])))
        #expect(cursor.columns == ["number", "v"])
        #expect(try cursor.next() == [.integer(11), .text("v")])
        try store.run("DELETE FROM i")
        var rows = 1
        while try cursor.next() != nil { rows += 1 }
        #expect(rows == 40)
        #expect(try cursor.next() == nil)
        #expect(try reader.prepare(Statement("SELECT count(*) FROM i")).next() == [.integer(0)])
        for sql in [
            "DELETE FROM t", "INSERT INTO t VALUES ('x', 1, 1) RETURNING id", "BEGIN", "BEGIN IMMEDIATE", "SAVEPOINT s",
            "ATTACH ':memory:' AS m",
            "PRAGMA query_only = OFF", "PRAGMA journal_mode = DELETE", "CREATE TEMP TABLE x (y)", "VACUUM", "DROP TABLE t",
        ] {
            #expect(throws: StoreError.notReadOnly, "\(sql)") { _ = try reader.prepare(Statement(sql)) }
        }
        #expect(throws: StoreError.self) { _ = try reader.prepare(Statement("SELECT * FROM nowhere")) }
        #expect(try reader.prepare(Statement("PRAGMA table_info(t)")).next()?[1] == .text("id"))
        // A cursor outlives its reader.
        let open = try reader.prepare(Statement("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"))
        #expect(try open.next() == [.integer(1)])
        reader.interrupter.interrupt()
        #expect(throws: StoreError.interrupted) { while try open.next() != nil {} }
        let last = try reader.prepare(Statement("SELECT 1 UNION SELECT 2"))
        reader.close()
        #expect(throws: StoreError.closed) { _ = try reader.prepare(Statement("SELECT 1")) }
        #expect(try last.next() == [.integer(1)])
        last.finish()
    }

    @Test("file: a log that has become long is cut in steps of 16 MB, each time it begins anew")
    func longLog() throws {
        var options = StoreOptions()
        options.leavesCheckpoints = true
        options.logBytes = 1 << 20
        let store = try Store(.file(path()), options: options)
        defer { store.close() }
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
        for number in 1...9 {
            try store.run("INSERT INTO t VALUES ('k\(number)', 1, zeroblob(4000000))", "DELETE FROM t")
        }
        let checkpointer = try store.makeCheckpointer()
        defer { checkpointer.close() }
        var lengths: [Int] = []
        for number in 1...5 {
            lengths.append(try #require(FileManager.default.attributesOfItem(atPath: path() + "-wal")[.size] as? Int))
            #expect(try checkpointer.run().waitingPages == 0)
            #expect(try store.finishCheckpoint().waitingPages == 0)
            try store.run("INSERT INTO i VALUES (\(number), 1)")
        }
        #expect(lengths[0] > 2 * 16 << 20)
        #expect(zip(lengths, lengths.dropFirst()).allSatisfy { $1 == max(1 << 20, $0 - 16 << 20) }, "\(lengths)")
        #expect(lengths.last == 1 << 20)
        try store.expectSound()
    }
}

/// A connection as any program makes it, without our functions.
private final class Plain {
    private var handle: OpaquePointer?

    init(_ path: String) throws {
        guard sqlite3_open(path, &handle) == SQLITE_OK else { throw StoreError.closed }
    }

    deinit { sqlite3_close(handle) }

    /// Pretends to be one of our connections.
    func definesGuard() {
        sqlite3_create_function_v2(
            handle, Connection.guardFunction, 0, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, nil,
            { context, _, _ in sqlite3_result_int(context, 0) }, nil, nil, nil)
    }

    /// The rows, or the error.
    func run(_ sql: String) -> String {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(handle, sql, -1, &statement, nil) == SQLITE_OK else { return String(cString: sqlite3_errmsg(handle)) }
        defer { sqlite3_finalize(statement) }
        var result = ""
        while sqlite3_step(statement) == SQLITE_ROW {
            result +=
                (0..<sqlite3_column_count(statement)).map { String(cString: sqlite3_column_text(statement, $0)) }.joined(separator: "|")
                + "\n"
        }
        return result
    }
}
