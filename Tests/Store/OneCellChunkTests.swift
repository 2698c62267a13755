import PatinaProtocol
import Testing

@testable import PatinaStore

/// Goal: the chunk of a transaction that wrote a single cell, which is made in a way of its own, is the chunk that any other way makes.
/// Method: it is compared byte by byte with what the version is served as, for every type of value, two lives of the row, and each column.
@Suite("OneCellChunk")
struct OneCellChunkTests {
    private static let schema = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b, c);
        CREATE TABLE n (id INTEGER PRIMARY KEY, a);
        CREATE TABLE w (x NOT NULL, y NOT NULL, a, b, PRIMARY KEY (y, x)) WITHOUT ROWID
        """
    private static let values = ["1", "-5", "9223372036854775807", "1.5", "''", "'text'", "x'00ff'", "x''", "zeroblob(40000)"]

    @Test("one cell: its chunk is what the version is served as", arguments: values)
    func served(value: String) throws {
        let store = try StoreHarness("one-cell-\(value)").store(schema: Self.schema, chunkBytes: 1_024)
        defer { store.close() }
        for life in 1...2 {
            try store.run(
                "INSERT INTO t VALUES ('k', 0, 0, 0)", "INSERT INTO n VALUES (-7, 0)", "INSERT INTO w VALUES (1, x'02', 0, 0)")
            for statement in [
                "UPDATE t SET a = \(value)", "UPDATE t SET c = \(value)", "UPDATE t SET b = \(value)", "UPDATE n SET a = \(value)",
                "UPDATE w SET b = \(value)", "UPDATE t SET a = NULL",
            ] {
                let outcome = try store.run(statement)
                let version = try #require(outcome.version)
                #expect(outcome.chunks.count == 1)
                #expect(try store.serve([.versions(store.actor, version...version)]).chunks == outcome.chunks, "life \(life): \(statement)")
            }
            try store.run("DELETE FROM t", "DELETE FROM n", "DELETE FROM w")
        }
        try store.expectSound()
    }

    @Test("one cell: written twice in a transaction, its chunk accounts for both sequence numbers")
    func twice() throws {
        let store = try StoreHarness("one-cell-twice").store(schema: Self.schema)
        defer { store.close() }
        try store.run("INSERT INTO t VALUES ('k', 0, 0, 0)")
        let outcome = try store.run("UPDATE t SET b = 1", "UPDATE t SET b = 2")
        let version = try #require(outcome.version)
        #expect(outcome.chunks.map(\.id.lastSequence) == [1])
        #expect(try store.serve([.versions(store.actor, version...version)]).chunks == outcome.chunks)
    }
}
