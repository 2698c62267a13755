import PatinaProtocol
import Testing

@testable import PatinaStore

/// Writes of nodes that do not have a column yet, among nodes that have it.
@Suite("Mixed schemas")
struct MixedSchemaTests {
    /// One for each way in which clocks find rows.
    private static let forms = [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a", "CREATE TABLE t (id INTEGER NOT NULL, a, PRIMARY KEY (id)",
        "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a",
    ]

    private static func narrow(_ form: Int) -> String { forms[form] + (form == 1 ? ") WITHOUT ROWID" : ")") }

    /// The new column stands last in one schema and first in the other, so that columns are numbered differently.
    private static func wide(_ form: Int) -> String {
        switch form {
        case 0: "CREATE TABLE t (id INTEGER PRIMARY KEY, w DEFAULT 'none', a)"
        case 1: "CREATE TABLE t (id INTEGER NOT NULL, a, w DEFAULT 'none', PRIMARY KEY (id)) WITHOUT ROWID"
        default: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, w DEFAULT 'none', a)"
        }
    }

    @Test(
        "mixed schemas: a row inserted anew by a node without the column holds its default, in whatever order its deletion comes",
        arguments: 0..<3)
    func insertedAnew(form: Int) throws {
        let harness = StoreHarness("mixed-anew-\(form)")
        let old = try harness.store(1, schema: Self.narrow(form))
        let new = try (2...5).map { try harness.store($0, schema: Self.wide(form)) }
        defer { for store in [old] + new { store.close() } }
        var versions = [try old.run("INSERT INTO t VALUES (7, 1)", "INSERT INTO t VALUES (8, 1)").chunks]
        for store in new { store.take(versions[0]) }
        versions.append(try new[0].run("UPDATE t SET w = 'kept back'").chunks)
        // It waits where the column is unknown, and the row there goes and comes without it.
        old.take(versions[1])
        #expect(old.waitingVersions == 1)
        versions.append(try old.run("DELETE FROM t WHERE id = 7").chunks)
        versions.append(try old.run("INSERT INTO t VALUES (7, 2)").chunks)
        for (store, order) in zip(new, [[2, 3], [3, 2], [1, 3, 2], [3, 1, 2]]) { for version in order { store.take(versions[version]) } }
        for store in new { for chunks in versions { store.take(chunks) } }
        _ = try old.applySchema([SchemaFile(path: "s", text: Self.wide(form))])
        try old.finishUpkeep()
        for store in [old] + new {
            #expect(try store.text("SELECT id, a, w FROM t ORDER BY id") == ["7|2|none", "8|1|kept back"])
            #expect(try store.contentFingerprint() == old.contentFingerprint())
            #expect(try store.clockedCells() == old.clockedCells())
            try store.expectSound()
        }
        // Who joins gets the same, whomever it asks, and the column can be written again.
        for (number, source) in new.enumerated() {
            let late = try harness.store(6 + number, schema: Self.wide(form))
            defer { late.close() }
            let served = try source.serve([old, new[0]].map { .versions($0.actor, 1...source.ledger.head(of: $0.actor)) })
            late.take(served.chunks, served.empties)
            #expect(try late.contentFingerprint() == old.contentFingerprint())
            #expect(late.ledger == source.ledger)
            try late.expectSound()
        }
        let update = try new[3].run("UPDATE t SET w = 'again' WHERE id = 7").chunks
        for store in [old] + new { store.take(update) }
        for store in new { #expect(try store.contentFingerprint() == old.contentFingerprint()) }
    }
}
