import CSQLite
import Glibc
import PatinaProtocol

/// What SQLite's callbacks see of a store: the capture buffer, the tables, and what is allowed at the moment.
final class CaptureContext {
    enum Phase {
        /// Statements of ours: nothing is captured, everything is allowed.
        case own
        /// Statements of a user within a transaction: changes are captured, schema and bookkeeping are off limits.
        case user
    }

    var phase = Phase.own
    @exclusivity(unchecked) var buffer: CaptureBuffer
    /// True once the captured changes have been turned into clocks; only then may the transaction commit.
    var isFlushed = false
    /// Why the authorizer refused the statement that is being compiled.
    @exclusivity(unchecked) var refusal: String?
    @exclusivity(unchecked) var catalog: Catalog?
    /// The columns that UPDATEs of the statement name that is being compiled.
    @exclusivity(unchecked) private(set) var compiledUpdates: [(table: String, column: String)] = []
    /// Of the statement that runs; nil: any column may change.
    @exclusivity(unchecked) var updates: UpdatedColumns?
    /// Pages in the write-ahead log after the last commit that wrote any, once `watchLog` was called.
    private(set) var logPages = 0

    private let connection: OpaquePointer
    /// The table that the hook was called for last: its name as SQLite has it, its index.
    @exclusivity(unchecked) private var lastTable: (name: [CChar], index: Int)?

    init(connection: OpaquePointer, limits: Limits) {
        self.connection = connection
        buffer = CaptureBuffer(valueLimit: limits.valueBytes)
    }

    func beginTransaction() {
        buffer.clear()
        isFlushed = false
    }

    func schemaChanged(_ catalog: Catalog) {
        self.catalog = catalog
        lastTable = nil
    }

    // MARK: Callbacks

    /// Called by SQLite before each row that changes.
    func rowChanges(_ operation: Int32, _ name: UnsafePointer<CChar>, rowid: Int64, newRowid: Int64) {
        guard phase == .user, let catalog, let index = tableIndex(name, catalog) else { return }
        let table = catalog.tables[index]
        let values = HookValues(connection: connection)
        if sqlite3_preupdate_blobwrite(connection) >= 0 {
            buffer.recordBlobWrite(table)
            return
        }
        switch operation {
        case SQLITE_INSERT: buffer.recordInsert(values, table, index: index, rowid: newRowid)
        case SQLITE_DELETE: buffer.recordDelete(values, table, index: index, rowid: rowid)
        default:
            let scope = updates?.scope(of: table, index: index)
            buffer.recordUpdate(values, table, index: index, rowid: rowid, newRowid: newRowid, scope: scope)
        }
    }

    private func tableIndex(_ name: UnsafePointer<CChar>, _ catalog: Catalog) -> Int? {
        if let lastTable, strcmp(lastTable.name, name) == 0 { return lastTable.index }
        guard let index = catalog.index(of: String(cString: name)) else { return nil }
        lastTable = (Array(UnsafeBufferPointer(start: name, count: strlen(name) + 1)), index)
        return index
    }

    /// True when a commit has to be turned into a rollback, because captured changes would be lost.
    var mustRefuseCommit: Bool { !buffer.isEmpty && !isFlushed }

    /// Called before a user's statement is taken from the cache or compiled.
    func willCompile() {
        if refusal != nil { refusal = nil }
        if !compiledUpdates.isEmpty { compiledUpdates.removeAll(keepingCapacity: true) }
    }

    /// Whether a user's statement may do this. Sets `refusal` when not.
    func allows(_ action: Int32, _ first: UnsafePointer<CChar>?, _ second: UnsafePointer<CChar>?) -> Bool {
        guard phase == .user else { return true }
        switch action {
        case SQLITE_TRANSACTION: refusal = "BEGIN, COMMIT and ROLLBACK are not allowed: the statements of a request are one transaction"
        case SQLITE_SAVEPOINT:
            guard let second, String(cString: second).lowercased().contains(Table.reservedInfix) else { return true }
            refusal = "savepoints with \(Table.reservedInfix) in their names are not for users"
        case SQLITE_ATTACH, SQLITE_DETACH: refusal = "ATTACH, DETACH and VACUUM are not allowed"
        case SQLITE_PRAGMA: refusal = "PRAGMA is not allowed in a transaction"
        case SQLITE_CREATE_INDEX, SQLITE_CREATE_TABLE, SQLITE_CREATE_TEMP_INDEX, SQLITE_CREATE_TEMP_TABLE, SQLITE_CREATE_TEMP_TRIGGER,
            SQLITE_CREATE_TEMP_VIEW, SQLITE_CREATE_TRIGGER, SQLITE_CREATE_VIEW, SQLITE_CREATE_VTABLE, SQLITE_DROP_INDEX, SQLITE_DROP_TABLE,
            SQLITE_DROP_TEMP_INDEX, SQLITE_DROP_TEMP_TABLE, SQLITE_DROP_TEMP_TRIGGER, SQLITE_DROP_TEMP_VIEW, SQLITE_DROP_TRIGGER,
            SQLITE_DROP_VIEW,
            SQLITE_DROP_VTABLE, SQLITE_ALTER_TABLE, SQLITE_REINDEX, SQLITE_ANALYZE:
            refusal = "the schema cannot be changed by a transaction: change the schema files and reload them"
        case SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE:
            guard let first else { return true }
            let table = String(cString: first)
            if action == SQLITE_UPDATE, let second { compiledUpdates.append((table, String(cString: second))) }
            guard table.contains(Table.reservedInfix) || table == "sqlite_sequence" else { return true }
            refusal = "table \(table) is not for users to write"
        default: return true
        }
        return false
    }

    // MARK: Installation

    /// Installs the hooks, the authorizer and the savepoint module. The context must outlive the connection's use.
    func install() throws(StoreError) {
        let context = Unmanaged.passUnretained(self).toOpaque()
        let code = SavepointModule.register(connection, context)
        guard code == SQLITE_OK else {
            throw .sqlite(code: code, message: "the savepoint module cannot be registered", sql: nil)
        }
        sqlite3_commit_hook(
            connection,
            { context in
                guard let context else { return 0 }
                return Unmanaged<CaptureContext>.fromOpaque(context).takeUnretainedValue().mustRefuseCommit ? 1 : 0
            }, context)
        sqlite3_set_authorizer(
            connection,
            { context, action, first, second, _, _ in
                guard let context else { return SQLITE_OK }
                let capture = Unmanaged<CaptureContext>.fromOpaque(context).takeUnretainedValue()
                return capture.allows(action, first, second) ? SQLITE_OK : SQLITE_DENY
            }, context)
        setCapturing(true)
    }

    /// Counts the log's pages from now on, in place of moving them into the database when there are many.
    func watchLog() {
        sqlite3_wal_hook(
            connection,
            { context, _, _, pages in
                if let context { Unmanaged<CaptureContext>.fromOpaque(context).takeUnretainedValue().logPages = Int(pages) }
                return SQLITE_OK
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    /// What the last commit left in the log was seen to.
    func forgetLog() { logPages = 0 }

    /// Switches the preupdate hook. It is off while clocks are written or rows merged, where it would only cost time.
    func setCapturing(_ isOn: Bool) {
        guard isOn else {
            sqlite3_preupdate_hook(connection, nil, nil)
            return
        }
        sqlite3_preupdate_hook(
            connection,
            { context, _, operation, _, name, rowid, newRowid in
                guard let context, let name else { return }
                Unmanaged<CaptureContext>.fromOpaque(context).takeUnretainedValue()
                    .rowChanges(operation, name, rowid: rowid, newRowid: newRowid)
            }, Unmanaged.passUnretained(self).toOpaque())
    }
}
