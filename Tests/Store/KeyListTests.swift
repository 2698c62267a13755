import PatinaProtocol
import Testing

@testable import PatinaStore

/// Goal: the key list of a transaction of one row, which is written in a way of its own, is the list that any other way makes.
@Suite("KeyList")
struct KeyListTests {
    @Test("key list: that of one row is what a list of many rows would be", arguments: ["t", "n", "w"])
    func ofOne(name: String) throws {
        let store = try StoreHarness("key-list-\(name)").store(
            schema: """
                CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a);
                CREATE TABLE n (id INTEGER PRIMARY KEY, a);
                CREATE TABLE w (id TEXT NOT NULL PRIMARY KEY, a) WITHOUT ROWID
                """)
        defer { store.close() }
        let table = try #require(store.catalog.tables.first { $0.name == name })
        for length in [0, 1, 127, 128, 300] {
            let key = [UInt8](repeating: 7, count: length)
            key.withUnsafeBytes { key in
                for rowid in [0, 1, -1, 63, -64, 64, Int64.max, .min] {
                    var list = KeyListBuilder()
                    list.addRow(table, rowid: rowid, key: key)
                    #expect(KeyListBuilder.ofOneRow(table, rowid: rowid, key: key) == list.finish())
                }
                var list = KeyListBuilder()
                list.addDeleted(table, key: key)
                #expect(KeyListBuilder.ofOneDeletion(table, key: key) == list.finish())
            }
        }
    }
}
