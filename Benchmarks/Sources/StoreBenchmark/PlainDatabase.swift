import CSQLite
import PatinaProtocol

/// Plain SQLite with the settings of a store, statements prepared once, values bound without a copy.
final class PlainDatabase {
    private let handle: OpaquePointer
    private var statements: [OpaquePointer] = []
    private let begin: OpaquePointer
    private let commit: OpaquePointer
    private let path: String

    init(path: String, workload: Workload, synchronous: String = "NORMAL") {
        self.path = path
        var opened: OpaquePointer?
        let code = sqlite3_open_v2(path, &opened, SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nil)
        guard let opened, code == SQLITE_OK else { fatalError("\(path) cannot be opened") }
        handle = opened
        let settings = [
            "auto_vacuum = INCREMENTAL", "journal_mode = WAL", "journal_size_limit = 1073741824", "mmap_size = 8589934592",
            "synchronous = \(synchronous)", "cache_size = -1048576", "temp_store = MEMORY", "cache_spill = OFF",
        ]
        for setting in settings { Self.execute(opened, "PRAGMA \(setting)") }
        Self.execute(opened, workload.shape.schema())
        begin = Self.prepare(opened, "BEGIN IMMEDIATE")
        commit = Self.prepare(opened, "COMMIT")
        statements = workload.sql.map { Self.prepare(opened, $0) }
    }

    private static func execute(_ handle: OpaquePointer, _ sql: String) {
        guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else {
            fatalError("\(sql): \(String(cString: sqlite3_errmsg(handle)))")
        }
    }

    private static func prepare(_ handle: OpaquePointer, _ sql: String) -> OpaquePointer {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil) == SQLITE_OK, let statement else {
            fatalError("\(sql): \(String(cString: sqlite3_errmsg(handle)))")
        }
        return statement
    }

    func run(_ steps: [Step], batch: Int) {
        for group in steps.grouped(by: batch) {
            run(begin)
            for step in group {
                let statement = statements[step.kind]
                for (offset, value) in step.parameters.enumerated() { bind(statement, Int32(offset + 1), value) }
                run(statement)
            }
            run(commit)
        }
    }

    private func bind(_ statement: OpaquePointer, _ index: Int32, _ value: Value) {
        switch value {
        case .integer(let number): sqlite3_bind_int64(statement, index, number)
        case .text(let bytes):
            // SQLite reads it while the steps live, and no later: no copy.
            bytes.withUnsafeBytes { content in
                _ = sqlite3_bind_text(
                    statement, index, content.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(content.count), nil)
            }
        default: sqlite3_bind_null(statement, index)
        }
    }

    private func run(_ statement: OpaquePointer) {
        let code = sqlite3_step(statement)
        guard code == SQLITE_DONE else { fatalError("\(path): \(String(cString: sqlite3_errmsg(handle)))") }
        sqlite3_reset(statement)
    }

    /// Reads rows whole by their keys, each in a read transaction of its own. Returns the number of bytes seen, so that nothing is
    /// optimised away.
    func read(_ keys: [Value]) -> Int {
        let select = Self.prepare(handle, "SELECT * FROM t WHERE id = ?1")
        defer { sqlite3_finalize(select) }
        var bytes = 0
        for key in keys {
            bind(select, 1, key)
            while sqlite3_step(select) == SQLITE_ROW {
                for column in 0..<sqlite3_column_count(select) { bytes += Int(sqlite3_column_bytes(select, column)) }
            }
            sqlite3_reset(select)
        }
        return bytes
    }

    /// Runs one statement without parameters.
    func execute(_ sql: String) { Self.execute(handle, sql) }

    /// Moves the log into the database. Returns the pages of the log.
    func checkpoint() -> Int {
        var pages: Int32 = 0
        sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_PASSIVE, &pages, nil)
        return Int(pages)
    }

    func close() {
        for statement in statements + [begin, commit] { sqlite3_finalize(statement) }
        statements = []
        sqlite3_close_v2(handle)
    }
}
