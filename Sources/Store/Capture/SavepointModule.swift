import CSQLite

/// A virtual table without rows, of which only the savepoint callbacks matter.
///
/// SQLite tells virtual tables, and nobody else, when a savepoint is opened or rolled back to, the implicit ones of failing
/// statements included. The table takes part in a transaction once something is deleted from it; see `enlist`.
enum SavepointModule {
    static let name = "__patina_savepoints"
    static let enlist = "DELETE FROM __patina_savepoints"

    private typealias Handle = UnsafeMutablePointer<sqlite3_vtab>?

    /// Made once, because SQLite keeps a pointer to it.
    nonisolated(unsafe) private static let module: UnsafeMutablePointer<sqlite3_module> = {
        let module = UnsafeMutablePointer<sqlite3_module>.allocate(capacity: 1)
        module.initialize(to: sqlite3_module())
        module.pointee.iVersion = 2
        // No xCreate: the table exists by itself under the module's name.
        module.pointee.xConnect = { connection, context, _, _, table, _ in
            let code = sqlite3_declare_vtab(connection, "CREATE TABLE x (unused)")
            guard code == SQLITE_OK else { return code }
            guard let memory = sqlite3_malloc64(UInt64(MemoryLayout<patina_savepoint_table>.size)) else { return SQLITE_NOMEM }
            let created = memory.bindMemory(to: patina_savepoint_table.self, capacity: 1)
            created.initialize(to: patina_savepoint_table(base: sqlite3_vtab(), context: context))
            table?.pointee = UnsafeMutableRawPointer(created).assumingMemoryBound(to: sqlite3_vtab.self)
            return SQLITE_OK
        }
        module.pointee.xDisconnect = { table in
            sqlite3_free(table)
            return SQLITE_OK
        }
        module.pointee.xBestIndex = { _, _ in SQLITE_OK }
        module.pointee.xOpen = { _, cursor in
            guard let memory = sqlite3_malloc64(UInt64(MemoryLayout<patina_savepoint_cursor>.size)) else { return SQLITE_NOMEM }
            let created = memory.bindMemory(to: sqlite3_vtab_cursor.self, capacity: 1)
            created.initialize(to: sqlite3_vtab_cursor())
            cursor?.pointee = created
            return SQLITE_OK
        }
        module.pointee.xClose = { cursor in
            sqlite3_free(cursor)
            return SQLITE_OK
        }
        module.pointee.xFilter = { _, _, _, _, _ in SQLITE_OK }
        module.pointee.xNext = { _ in SQLITE_OK }
        module.pointee.xEof = { _ in 1 }
        module.pointee.xColumn = { _, _, _ in SQLITE_OK }
        module.pointee.xRowid = { _, _ in SQLITE_OK }
        module.pointee.xUpdate = { _, _, _, _ in SQLITE_READONLY }
        module.pointee.xBegin = { _ in SQLITE_OK }
        module.pointee.xSync = { _ in SQLITE_OK }
        module.pointee.xCommit = { _ in SQLITE_OK }
        module.pointee.xRollback = { table in
            context(of: table)?.buffer.clear()
            return SQLITE_OK
        }
        module.pointee.xSavepoint = { table, number in
            context(of: table)?.buffer.savepointOpened(Int(number))
            return SQLITE_OK
        }
        module.pointee.xRelease = { _, _ in SQLITE_OK }
        module.pointee.xRollbackTo = { table, number in
            context(of: table)?.buffer.rolledBack(to: Int(number))
            return SQLITE_OK
        }
        return module
    }()

    static func register(_ connection: OpaquePointer, _ context: UnsafeMutableRawPointer) -> Int32 {
        sqlite3_create_module_v2(connection, name, module, context, nil)
    }

    private static func context(of table: UnsafeMutablePointer<sqlite3_vtab>?) -> CaptureContext? {
        guard let table else { return nil }
        let raw = UnsafeMutableRawPointer(table).assumingMemoryBound(to: patina_savepoint_table.self).pointee.context
        return raw.map { Unmanaged<CaptureContext>.fromOpaque($0).takeUnretainedValue() }
    }
}
