import Foundation
import PatinaProtocol
import Testing

@testable import PatinaStore

/// The command line program `sqlite3` on a database of ours: it reads everything, and every kind of write fails while it is compiled,
/// with an error that names the reason.
@Suite("Foreign writers")
final class ForeignWriterTests {
    private let directory: URL
    private static let schema = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v, w INTEGER DEFAULT 1);
        CREATE TABLE i (id INTEGER PRIMARY KEY, v);
        CREATE TABLE r (x INTEGER NOT NULL, y BLOB NOT NULL, v, PRIMARY KEY (y, x)) WITHOUT ROWID;
        CREATE TABLE k (x TEXT NOT NULL, y NOT NULL, PRIMARY KEY (x, y));
        CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT DEFAULT 'a', g TEXT AS (v || '!') VIRTUAL) STRICT
        """

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("patina-foreign-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    private func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

    private func makeStore(_ name: String) throws -> Store {
        var options = StoreOptions()
        options.cacheKiB = 2_048
        let store = try Store(.file(path(name)), options: options)
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
        try store.run(
            "INSERT INTO t VALUES ('a', 1, 1), ('b', 2, 2), ('c', 3, 3)", "INSERT INTO i VALUES (1, 'i')",
            "INSERT INTO r VALUES (1, x'01', 'r')", "INSERT INTO k VALUES ('k', 1)", "INSERT INTO s (v) VALUES ('s')")
        return store
    }

    /// Runs `sqlite3 FILE` with the text as its input.
    private func sqlite3(_ name: String, _ text: String) throws -> (output: String, errors: String, status: Int32) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["sqlite3", "-batch", path(name)]
        let (input, output, errors) = (Pipe(), Pipe(), Pipe())
        (process.standardInput, process.standardOutput, process.standardError) = (input, output, errors)
        try process.run()
        input.fileHandleForWriting.write(Data(text.utf8))
        try input.fileHandleForWriting.close()
        let printed = output.fileHandleForReading.readDataToEndOfFile()
        let complained = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (String(decoding: printed, as: UTF8.self), String(decoding: complained, as: UTF8.self), process.terminationStatus)
    }

    private static let writes = [
        "INSERT INTO t VALUES ('z', 1, 1)", "INSERT INTO t (id) VALUES ('z')", "REPLACE INTO t VALUES ('a', 1, 1)",
        "INSERT INTO t VALUES ('a', 1, 1) ON CONFLICT DO UPDATE SET v = 9", "INSERT OR IGNORE INTO t VALUES ('a', 1, 1)",
        "INSERT INTO t SELECT 'q', 1, 1", "UPDATE t SET v = 2", "UPDATE t SET w = 2 WHERE id = 'a'", "UPDATE t SET id = 'z' WHERE id = 'a'",
        "UPDATE OR REPLACE t SET id = 'a' WHERE id = 'b'", "UPDATE t SET rowid = 77 WHERE id = 'a'", "DELETE FROM t",
        "DELETE FROM t WHERE id = 'a'", "DELETE FROM t WHERE v > 100", "INSERT INTO i (v) VALUES (1)", "REPLACE INTO i VALUES (1, 1)",
        "UPDATE i SET id = 2", "UPDATE i SET v = 2 WHERE id = 1", "DELETE FROM i", "DELETE FROM i WHERE id = 1",
        "INSERT INTO r VALUES (2, x'', 1)", "REPLACE INTO r VALUES (1, x'01', 2)",
        "INSERT INTO r VALUES (1, x'01', 2) ON CONFLICT DO UPDATE SET v = 3", "UPDATE r SET v = 2", "UPDATE r SET x = 2 WHERE x = 1",
        "DELETE FROM r", "DELETE FROM r WHERE x = 1", "INSERT INTO k VALUES ('q', 1)", "REPLACE INTO k VALUES ('k', 1)",
        "INSERT INTO k VALUES ('k', 1) ON CONFLICT DO NOTHING", "UPDATE k SET y = 2", "UPDATE k SET x = 'q' WHERE y = 1", "DELETE FROM k",
        "DELETE FROM k WHERE x = 'k'", "INSERT INTO s (v) VALUES ('x')", "UPDATE s SET v = 'y'", "DELETE FROM s",
        "INSERT INTO __patina_meta VALUES ('x', 1)", "UPDATE __patina_meta SET value = 9", "DELETE FROM __patina_meta",
        "DELETE FROM __patina_meta WHERE key = 'site'", "INSERT INTO __patina_versions VALUES (9, 0, 0, x'', NULL)",
        "UPDATE __patina_versions SET timestamp = 0", "DELETE FROM __patina_versions", "DELETE FROM __patina_versions WHERE id > 0",
        "INSERT INTO __patina_ledger VALUES (0, 7, 9)", "UPDATE __patina_ledger SET last = 9", "DELETE FROM __patina_ledger",
        "DELETE FROM __patina_chunks", "DELETE FROM __patina_sites", "UPDATE __patina_sites SET ordinal = 5",
        "DELETE FROM __patina_columns WHERE number = 0", "INSERT INTO t__patina_clock VALUES (99, x'')",
        "UPDATE t__patina_clock SET clock = x''", "DELETE FROM t__patina_clock WHERE key = 1",
        "INSERT INTO r__patina_tombstone VALUES (x'', 2, 0, 1, 1)", "DELETE FROM t__patina_tombstone WHERE site = 0", "VACUUM",
    ]

    @Test("foreign writers: each kind of write fails while it is compiled, on every kind of table, and changes nothing")
    func writes() throws {
        let store = try makeStore("db")
        defer { store.close() }
        let before = try store.contentFingerprint()
        for sql in Self.writes {
            let (output, errors, status) = try sqlite3("db", "BEGIN;\n\(sql);\nCOMMIT;\n")
            if sql == "VACUUM" {
                #expect(status != 0, "\(sql): \(output)")
                continue
            }
            #expect(
                errors.contains("function: this_table_is_replicated_and_written_only_through_patina"), "\(sql): \(errors)\(output)")
            #expect(errors.contains("Parse error"), "\(sql): \(errors)")
        }
        #expect(try sqlite3("db", "VACUUM;\n").status != 0)
        #expect(try store.contentFingerprint() == before)
        try store.expectSound()
        try store.run("UPDATE t SET v = 'still ours'", "DELETE FROM r")
        try store.expectSound()
    }

    @Test("foreign writers: reading, .dump and quick_check work, also while we write")
    func readers() throws {
        let store = try makeStore("db")
        defer { store.close() }
        #expect(
            try sqlite3("db", "SELECT * FROM t ORDER BY id; SELECT g FROM s; SELECT count(*) FROM r;\n").output
                == "a|1|1\nb|2|2\nc|3|3\ns!\n1\n")
        #expect(try sqlite3("db", "PRAGMA quick_check;\n").output == "ok\n")
        let dump = try sqlite3("db", ".dump\n")
        #expect(dump.status == 0 && dump.errors.isEmpty && dump.output.hasSuffix("COMMIT;\n"))
        for line in ["INSERT INTO t VALUES('a',1,1);", "INSERT INTO r VALUES(1,X'01','r');", "INSERT INTO k VALUES('k',1);"] {
            #expect(dump.output.contains(line + "\n"), "\(line)")
        }
    }

    @Test("foreign writers: a dump that was restored has new rowids, and is refused as soon as that shows")
    func restoredDump() throws {
        let store = try makeStore("db")
        try store.run("DELETE FROM t WHERE id = 'a'")
        store.close()
        let dump = try sqlite3("db", ".dump\n").output
        // The guards cannot be made by a program that does not know their function; everything else is restored.
        let restored = try sqlite3("copy", dump)
        #expect(restored.errors.contains("function: this_table_is_replicated"))
        #expect(try sqlite3("copy", "SELECT id, rowid FROM t ORDER BY id;\n").output == "b|1\nc|2\n")
        var options = StoreOptions()
        options.cacheKiB = 2_048
        let copy = try Store(.file(path("copy")), options: options)
        defer { copy.close() }
        #expect(!(try copy.verify()).isEmpty)
        #expect(
            throws: StoreError.corrupt(
                message: "a clock record of table t belongs to another row; were the rows renumbered by a dump and restore?")
        ) {
            try copy.run("UPDATE t SET v = 9")
        }
    }
}
