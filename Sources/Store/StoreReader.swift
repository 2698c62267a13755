import CSQLite
import PatinaProtocol

/// One connection that reads committed data. Not sendable: one thread at a time owns it.
public final class StoreReader {
    private let connection: Connection
    private let options: StoreOptions
    private let sites = SiteTable()
    /// What the writer has not folded yet, as of the last read.
    private let overlay = ClockOverlay()
    /// Loaded when it is first needed, and again after a change of the schema.
    private var catalog: Catalog?
    private let authorizer = ReadAuthorizer()
    private var isClosed = false

    init(_ location: StoreLocation, options: StoreOptions) throws(StoreError) {
        self.options = options
        connection = try Connection(location, readOnly: true, userStatementLimit: options.simulated ? 4 : 64)
        do throws(StoreError) {
            if options.simulated { _ = patina_sqlite3_db_config_lookaside(connection.handle, 0, 0) }
            sqlite3_busy_timeout(connection.handle, options.simulated ? 0 : 5_000)
            try connection.execute("PRAGMA query_only = ON")
            try connection.execute("PRAGMA temp_store = MEMORY")
            try connection.execute("PRAGMA cache_size = -\(options.simulated ? 64 : min(options.cacheKiB, 16_384))")
            if case .file = location { try connection.execute("PRAGMA mmap_size = 8589934592") }
        } catch {
            connection.close()
            throw error
        }
        authorizer.install(connection.handle)
    }

    deinit { close() }

    /// Compiles a query. Throws `StoreError.notReadOnly` for a statement that might write, control transactions or attach databases.
    public func prepare(_ statement: Statement) throws(StoreError) -> RowCursor {
        guard !isClosed else { throw .closed }
        authorizer.isRestricted = true
        authorizer.refused = false
        defer { authorizer.isRestricted = false }
        let prepared: PreparedStatement
        do throws(StoreError) {
            prepared = try connection.userStatement(statement.sql)
        } catch {
            if authorizer.refused { throw .notReadOnly }
            throw error
        }
        guard sqlite3_stmt_readonly(prepared.handle) != 0 else { throw .notReadOnly }
        do throws(StoreError) {
            try statement.bind(to: prepared)
        } catch {
            connection.recycle(prepared, statement.sql)
            throw error
        }
        return RowCursor(prepared, statement, connection)
    }

    /// Serves versions to a peer, as `Store.perform(.read)` does.
    public func read(_ request: ReadRequest) -> StoreResult {
        do throws(StoreError) {
            guard !isClosed else { throw .closed }
            return try VersionReader(
                clocks: ClockTables(sites: sites, overlay: overlay, connection: connection, catalog: try freshCatalog()),
                limits: options.limits,
                refreshesClocks: true
            ).read(request)
        } catch {
            return .failed(reason: error.description)
        }
    }

    /// The writing connection may have changed the schema or met new actors since.
    private func freshCatalog() throws(StoreError) -> Catalog {
        let count = try connection.statement("SELECT coalesce(max(ordinal) + 1, 0) FROM __patina_sites")
        let isNewer = try count.step() && count.integer(0) != Int64(sites.count)
        count.reset()
        if isNewer { try sites.reload(connection) }
        let version = try connection.statement("PRAGMA schema_version")
        _ = try version.step()
        let current = version.integer(0)
        version.reset()
        if let catalog, catalog.schemaVersion == current { return catalog }
        catalog?.dropStatements()
        connection.dropStatements()
        let loaded = try Catalog.load(from: connection)
        catalog = loaded
        return loaded
    }

    public var interrupter: Interrupter { connection.interrupter }

    /// Closes the connection, once its cursors are gone. May be called twice.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        catalog?.dropStatements()
        connection.close()
    }
}

/// The rows of a query, one at a time. While it is open it holds the snapshot that its first row came from.
public final class RowCursor {
    /// The names of the result's columns.
    public let columns: [String]
    private let connection: Connection
    /// What was asked. Its parameters are bound without a copy, and so have to live as long as the cursor.
    private let query: Statement
    private var statement: PreparedStatement?

    init(_ statement: PreparedStatement, _ query: Statement, _ connection: Connection) {
        self.statement = statement
        self.query = query
        self.connection = connection
        columns = (0..<statement.columnCount).map { sqlite3_column_name(statement.handle, $0).map { String(cString: $0) } ?? "" }
    }

    deinit { finish() }

    /// The next row; nil after the last.
    public func next() throws(StoreError) -> [Value]? {
        guard let statement else { return nil }
        do throws(StoreError) {
            guard try statement.step() else {
                finish()
                return nil
            }
        } catch {
            finish()
            throw error
        }
        return (0..<statement.columnCount).map { statement.value($0) }
    }

    /// Ends the query early. Called by itself after the last row.
    public func finish() {
        guard let statement else { return }
        self.statement = nil
        connection.recycle(statement, query.sql)
    }
}

/// Refuses what a reader must not do although SQLite calls it read-only.
private final class ReadAuthorizer {
    var isRestricted = false
    var refused = false

    private static let readingPragmas: Set<String> = [
        "collation_list", "compile_options", "data_version", "database_list", "encoding", "foreign_key_list", "freelist_count",
        "function_list",
        "index_info", "index_list", "index_xinfo", "integrity_check", "module_list", "page_count", "page_size", "quick_check", "table_info",
        "table_list", "table_xinfo", "user_version",
    ]

    func install(_ connection: OpaquePointer) {
        sqlite3_set_authorizer(
            connection,
            { context, action, first, _, _, _ in
                guard let context else { return SQLITE_OK }
                return Unmanaged<ReadAuthorizer>.fromOpaque(context).takeUnretainedValue().allows(action, first) ? SQLITE_OK : SQLITE_DENY
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func allows(_ action: Int32, _ first: UnsafePointer<CChar>?) -> Bool {
        guard isRestricted else { return true }
        switch action {
        case SQLITE_READ, SQLITE_SELECT, SQLITE_FUNCTION, SQLITE_RECURSIVE: return true
        case SQLITE_PRAGMA:
            if let first, Self.readingPragmas.contains(String(cString: first).lowercased()) { return true }
        default: break
        }
        refused = true
        return false
    }
}
