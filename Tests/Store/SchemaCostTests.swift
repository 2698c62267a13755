import Foundation
import PatinaProtocol
import Testing

@testable import PatinaStore

/// What changes of the schema cost on a large table. Prints one JSON object a line; asserts no times. Runs only when asked to:
/// `SCHEMA_ROWS=1000000 swift test --filter SchemaCostTests`
@Suite("Schema cost")
struct SchemaCostTests {
    private static let rows = ProcessInfo.processInfo.environment["SCHEMA_ROWS"].flatMap { Int($0) }

    @Test("schema cost: a column added, a column dropped, a table dropped", .enabled(if: rows != nil))
    func cost() throws {
        let rows = Self.rows ?? 0
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("patina-cost-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let store = try Store(.file(directory.appendingPathComponent("db").path), options: StoreOptions())
        defer { store.close() }
        func apply(_ name: String, _ text: String) throws {
            let start = ContinuousClock.now
            _ = try store.applySchema([SchemaFile(path: "s", text: text)], allowDestructive: true)
            var (steps, longest) = (0, Duration.zero)
            let applied = ContinuousClock.now - start
            while store.needsUpkeep {
                let begin = ContinuousClock.now
                _ = try store.upkeep()
                longest = max(longest, ContinuousClock.now - begin)
                steps += 1
            }
            print(
                "{\"name\": \"\(name)/\(rows)\", \"milliseconds\": \(applied / .milliseconds(1)), \"steps\": \(steps), "
                    + "\"longest_step_milliseconds\": \(longest / .milliseconds(1))}")
        }
        try apply("create-table", "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b, c, d)")
        for start in stride(from: 0, to: rows, by: 20_000) {
            try store.run(
                """
                INSERT INTO t WITH RECURSIVE n(x) AS (SELECT \(start) UNION ALL SELECT x + 1 FROM n WHERE x < \(start + 19_999))
                SELECT printf('key-%016d', x), x, 'text ' || x, x * 0.5, NULL FROM n
                """)
        }
        let head = store.ledger.head(of: store.actor)
        try apply("add-column", "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b, c, d, e, f INTEGER NOT NULL DEFAULT 7)")
        #expect(store.ledger.head(of: store.actor) == head)
        #expect(try store.text("SELECT count(*) FROM t WHERE f = 7") == ["\(rows)"])
        try apply("drop-column", "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b, c, e, f INTEGER NOT NULL DEFAULT 7)")
        try apply("drop-table", "DROP TABLE IF EXISTS t")
        #expect(try store.text("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%discarded%'") == ["0"])
    }
}
