import CSQLite
import PatinaProtocol

/// One SQLite connection with its caches of compiled statements. One thread at a time.
final class Connection {
    let handle: OpaquePointer
    /// What errors call the database.
    let name: String
    /// Statements of ours, by text.
    @exclusivity(unchecked) private var internalStatements: [String: PreparedStatement] = [:]
    /// Those of every transaction, found without a look at their text.
    @exclusivity(unchecked) private var frequentStatements: [PreparedStatement?] = Array(
        repeating: nil, count: FrequentStatement.allCases.count)
    @exclusivity(unchecked) private var userStatements: StatementCache
    /// Tables get guards against programs that are not us. False where no other program can get at the database.
    var makesGuards = true
    let interrupter: Interrupter
    private var isClosed = false

    /// The function that the guards of replicated tables call: only our connections define it, so that a plain `sqlite3` that
    /// tries to write fails while it compiles the statement, with an error that says why.
    static let guardFunction = "this_table_is_replicated_and_written_only_through_patina"

    /// - Parameters:
    ///   - definesGuard: for a connection that has to evaluate the guard indexes without writing, as a check does.
    ///   - joinsLogWrites: a transaction's pages reach a database file's log in one system call; for the connection that writes.
    init(
        _ location: StoreLocation, readOnly: Bool, userStatementLimit: Int, definesGuard: Bool = false, joinsLogWrites: Bool = false
    ) throws(StoreError) {
        var flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let path: String
        var vfs: String?
        switch location {
        case .file(let file):
            path = file
            name = file
            if joinsLogWrites { vfs = LogWriterVFS.standard?.name }
            flags |= readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        case .immutable(let file):
            path = "file:\(Self.percentEncoded(file))?immutable=1"
            name = file
            flags |= SQLITE_OPEN_URI | SQLITE_OPEN_READONLY
        case .virtual(let virtual, let file):
            (path, name, vfs) = (file, file, virtual)
            flags |= readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        case .memory(let memoryName):
            path = "file:\(Self.percentEncoded(StoreLocation.sharedMemoryName(memoryName)))?vfs=memdb"
            name = "memory:\(memoryName)"
            flags |= SQLITE_OPEN_URI | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        }
        userStatements = StatementCache(limit: userStatementLimit)
        _ = Self.isLibraryPrepared
        var opened: OpaquePointer?
        let code = sqlite3_open_v2(path, &opened, flags, vfs)
        guard let opened else { throw .sqlite(code: code, message: "\(name): out of memory", sql: nil) }
        guard code == SQLITE_OK else {
            let message = String(cString: sqlite3_errmsg(opened))
            sqlite3_close_v2(opened)
            throw .sqlite(code: code, message: "\(name): \(message)", sql: nil)
        }
        handle = opened
        interrupter = Interrupter(opened)
        if !readOnly || definesGuard {
            // Always false, so that the guard indexes stay empty. A reader does not define it and cannot write by mistake either.
            let function: @convention(c) (OpaquePointer?, Int32, UnsafeMutablePointer<OpaquePointer?>?) -> Void = { context, _, _ in
                sqlite3_result_int(context, 0)
            }
            sqlite3_create_function_v2(
                handle, Self.guardFunction, 0, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, nil, function, nil, nil, nil)
        }
    }

    /// Tells SQLite not to count the memory that it uses, which takes a lock for each piece. False when somebody has used SQLite in this
    /// process before: then it goes on counting.
    private static let isLibraryPrepared = patina_sqlite3_config_memstatus(0) == SQLITE_OK

    /// An empty database of its own, to try things in.
    static func scratch() throws(StoreError) -> Connection { try Connection(.file(":memory:"), readOnly: false, userStatementLimit: 0) }

    deinit { close() }

    /// Closes the connection. Statements that somebody still holds, of open cursors, keep it half alive until they go. May be called
    /// twice; afterwards nothing may be compiled.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        interrupter.invalidate()
        dropStatements()
        sqlite3_close_v2(handle)
    }

    /// After a change of the schema: statements name columns that may be others now.
    func dropStatements() {
        internalStatements.removeAll()
        frequentStatements = Array(repeating: nil, count: FrequentStatement.allCases.count)
        userStatements.removeAll()
    }

    // MARK: Statements

    /// A statement of ours. Compiled once, kept until the schema changes.
    func statement(_ sql: String) throws(StoreError) -> PreparedStatement {
        if let known = internalStatements[sql] { return known }
        let statement = try prepareUncached(sql)
        internalStatements[sql] = statement
        return statement
    }

    func statement(_ frequent: FrequentStatement) throws(StoreError) -> PreparedStatement {
        if let known = frequentStatements[frequent.rawValue] { return known }
        let statement = try prepareUncached(frequent.sql)
        frequentStatements[frequent.rawValue] = statement
        return statement
    }

    func prepareUncached(_ sql: String) throws(StoreError) -> PreparedStatement {
        let (statement, _) = try prepare(sql, persistent: true)
        guard let statement else { preconditionFailure("an internal statement is not empty: \(sql)") }
        return statement
    }

    /// Runs a statement of ours that has no parameters and is not worth keeping.
    func execute(_ sql: String) throws(StoreError) { try prepareUncached(sql).run() }

    /// A statement of a user, from the cache or compiled. Give it back with `recycle` when it has been reset.
    func userStatement(_ sql: String) throws(StoreError) -> PreparedStatement {
        if let known = userStatements.take(sql) { return known }
        let (statement, rest) = try prepare(sql, persistent: true)
        guard let statement else { throw .statementRefused(message: "the statement is empty", sql: sql) }
        guard rest.allSatisfy({ " \t\r\n;".utf8.contains($0) }) else {
            // A comment behind the statement is fine; a second statement is not.
            let (second, _) = try prepare(String(decoding: rest, as: UTF8.self), persistent: false)
            if second != nil { throw .statementRefused(message: "more than one statement in one string", sql: sql) }
            return statement
        }
        return statement
    }

    func recycle(_ statement: PreparedStatement, _ sql: String) {
        statement.clear()
        if isClosed { return }
        userStatements.put(statement, sql)
    }

    private func prepare(_ sql: String, persistent: Bool) throws(StoreError) -> (PreparedStatement?, rest: [UInt8]) {
        var statement: OpaquePointer?
        var rest: [UInt8] = []
        var text = sql
        let code = text.withUTF8 { buffer -> Int32 in
            buffer.withMemoryRebound(to: CChar.self) { characters -> Int32 in
                var tail: UnsafePointer<CChar>?
                let code = sqlite3_prepare_v3(
                    handle, characters.baseAddress, Int32(clamping: characters.count), persistent ? UInt32(SQLITE_PREPARE_PERSISTENT) : 0,
                    &statement, &tail)
                if let tail, let base = characters.baseAddress {
                    let offset = tail - base
                    if offset < characters.count { rest = characters[offset...].map { UInt8(bitPattern: $0) } }
                }
                return code
            }
        }
        guard code == SQLITE_OK else { throw error(code, sql: sql) }
        return (statement.map { PreparedStatement($0, self) }, rest)
    }

    /// Compiles the next statement of a script, whose text starts at `offset`. Returns nil for blanks and comments, and where the
    /// statement ends.
    func prepareNext(_ script: [UInt8], from offset: Int) throws(StoreError) -> (statement: PreparedStatement?, end: Int) {
        var statement: OpaquePointer?
        var end = script.count
        let code = script.withUnsafeBytes { bytes -> Int32 in
            guard let base = bytes.baseAddress, offset < bytes.count else { return SQLITE_OK }
            let text = base.assumingMemoryBound(to: CChar.self)
            var tail: UnsafePointer<CChar>?
            let code = sqlite3_prepare_v3(handle, text + offset, Int32(clamping: bytes.count - offset), 0, &statement, &tail)
            if let tail { end = tail - text }
            return code
        }
        guard code == SQLITE_OK else { throw error(code, sql: nil) }
        return (statement.map { PreparedStatement($0, self) }, end)
    }

    /// Where in the text that failed to compile the error is; nil when SQLite does not say.
    var errorOffset: Int? {
        let offset = sqlite3_error_offset(handle)
        return offset >= 0 ? Int(offset) : nil
    }

    // MARK: State and errors

    /// Changes whenever the database does, by whomever; valid within a transaction and right after one.
    var pagerVersion: UInt32 {
        var version: UInt32 = 0
        sqlite3_file_control(handle, "main", SQLITE_FCNTL_DATA_VERSION, &version)
        return version
    }

    var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    /// Ends the transaction, if one is open, and takes back what it did.
    func rollBack() {
        if isInTransaction { _ = try? statement(.rollBack).run() }
    }

    /// The error that SQLite has just reported as `code`.
    func error(_ code: Int32, sql: String?) -> StoreError {
        let message = String(cString: sqlite3_errmsg(handle))
        switch code & 0xFF {
        case SQLITE_INTERRUPT: return .interrupted
        case SQLITE_CORRUPT, SQLITE_NOTADB: return .corrupt(message: "\(name): \(message)")
        default: return .sqlite(code: code, message: message, sql: sql)
        }
    }

    /// A number that a one-row statement answers.
    func integer(_ sql: String) throws(StoreError) -> Int64 {
        let statement = try prepareUncached(sql)
        return try statement.step() ? statement.integer(0) : 0
    }

    private static func percentEncoded(_ name: String) -> String {
        var result = ""
        for byte in name.utf8 {
            let isPlain = (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 45 || byte == 95
            if isPlain {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        return result
    }
}

/// The statements that every transaction runs, and every look at versions.
enum FrequentStatement: Int, CaseIterable {
    case begin, beginReading, commit, rollBack, dataVersion, enlist, insertVersion, replaceVersion, dropRanges, putRange, addSite
    case anyThinVersion, completeRanges, versionsBehind, lastRange, partialVersions, versionsInRange

    var sql: String {
        switch self {
        case .begin: "BEGIN IMMEDIATE"
        case .beginReading: "BEGIN"
        case .commit: "COMMIT"
        case .rollBack: "ROLLBACK"
        case .dataVersion: "PRAGMA data_version"
        case .enlist: SavepointModule.enlist
        case .insertVersion: "INSERT OR IGNORE INTO __patina_versions VALUES (?1, ?2, ?3, ?4, ?5)"
        case .replaceVersion: "INSERT OR REPLACE INTO __patina_versions VALUES (?1, ?2, ?3, ?4, ?5)"
        case .dropRanges: "DELETE FROM __patina_ledger WHERE site = ?1 AND first > ?2 AND first <= ?3"
        case .putRange: "INSERT OR REPLACE INTO __patina_ledger VALUES (?1, ?2, ?3)"
        case .addSite: "INSERT INTO __patina_sites (ordinal, actor) VALUES (?1, ?2)"
        case .anyThinVersion: "SELECT 1 FROM __patina_thin LIMIT 1"
        case .completeRanges:
            """
            SELECT first, last FROM __patina_ledger WHERE site = ?1 AND first <= ?3
            AND first >= coalesce((SELECT max(first) FROM __patina_ledger WHERE site = ?1 AND first <= ?2), 0) ORDER BY first
            """
        case .versionsBehind: "SELECT id FROM __patina_versions WHERE id > ?1 AND id <= ?2 ORDER BY id"
        case .lastRange: "SELECT last FROM __patina_ledger WHERE site = ?1 ORDER BY first DESC LIMIT 1"
        case .partialVersions:
            "SELECT DISTINCT version FROM __patina_chunks WHERE site = ?1 AND version BETWEEN ?2 AND ?3 ORDER BY version"
        case .versionsInRange:
            "SELECT id, timestamp, last_sequence, keys FROM __patina_versions WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC"
        }
    }
}

/// The statements of users that ran last, up to a limit. Few enough to be searched one by one.
struct StatementCache {
    private struct Entry {
        let sql: String
        /// Of the text, so that only one that is equal is compared with it.
        let hash: UInt64
        let statement: PreparedStatement
    }

    let limit: Int
    /// The one that ran last, apart from the others: most often it runs again.
    private var newest: Entry?
    /// The others; the one that ran last is at the end.
    private var statements: [Entry] = []

    init(limit: Int) { self.limit = limit }

    private static func hash(_ sql: String) -> UInt64 {
        sql.utf8.withContiguousStorageIfAvailable { keyHash(UnsafeRawBufferPointer($0)) } ?? UInt64(sql.utf8.count)
    }

    /// Takes a statement out, so that a cursor that is still open never shares it.
    mutating func take(_ sql: String) -> PreparedStatement? {
        let hash = Self.hash(sql)
        if let last = newest, last.hash == hash, last.sql == sql {
            newest = nil
            return last.statement
        }
        guard let index = statements.lastIndex(where: { $0.hash == hash && $0.sql == sql }) else { return nil }
        return statements.remove(at: index).statement
    }

    mutating func put(_ statement: PreparedStatement, _ sql: String) {
        guard limit > 0 else { return }
        if let last = newest {
            if statements.count >= limit - 1, !statements.isEmpty { statements.removeFirst() }
            if limit > 1 { statements.append(last) }
        }
        newest = Entry(sql: sql, hash: Self.hash(sql), statement: statement)
    }

    mutating func removeAll() {
        newest = nil
        statements.removeAll()
    }
}

/// An identifier as SQL text.
func quoted(_ identifier: String) -> String {
    "\"" + identifier.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
}
