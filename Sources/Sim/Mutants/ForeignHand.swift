import CSQLite

/// Another program that writes a node's database, as nobody may: it takes the guards away first.
enum ForeignHand {
    /// Deletes the row of `items` with the greatest key from a database in memory. Nothing happens when there is none.
    static func deleteRow(at name: String) {
        var database: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI
        guard sqlite3_open_v2("file:/\(name)?vfs=memdb", &database, flags, nil) == SQLITE_OK else { return }
        defer { sqlite3_close_v2(database) }
        let sql = """
            DROP TRIGGER IF EXISTS items__patina_guard_delete;
            DROP INDEX IF EXISTS items__patina_guard;
            DELETE FROM items WHERE id = (SELECT max(id) FROM items)
            """
        sqlite3_exec(database, sql, nil, nil, nil)
    }
}
