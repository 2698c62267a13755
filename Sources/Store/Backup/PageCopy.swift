import CSQLite
import PatinaProtocol

/// Copies a database page by page, in steps, in one read transaction of the source and one write transaction of the destination: whoever
/// reads the destination sees what was there until the last step commits, and then the copy.
///
/// Pages, because `VACUUM INTO` would evaluate the guards of replicated tables, and may give rows new rowids, by which clocks find them.
final class PageCopy {
    /// Pages that one step copies: about a megabyte.
    static let stepPages: Int32 = 256

    private let source: Connection
    private let destination: Connection
    private var handle: OpaquePointer?

    /// Begins the read transaction. Other writers of the source may go on; the log of what they write is kept until the copy is done.
    init(from source: Connection, to destination: Connection) throws(StoreError) {
        self.source = source
        self.destination = destination
        try source.execute("BEGIN")
        do throws(StoreError) {
            // The snapshot is taken by the first read.
            _ = try source.integer("SELECT count(*) FROM sqlite_schema")
            handle = sqlite3_backup_init(destination.handle, "main", source.handle, "main")
            guard handle != nil else { throw destination.error(sqlite3_errcode(destination.handle), sql: nil) }
        } catch {
            source.rollBack()
            throw error
        }
    }

    deinit { abandon() }

    /// Copies up to `pages` pages. True when all are copied, and committed.
    func step(_ pages: Int32 = stepPages) throws(StoreError) -> Bool {
        guard let handle else { return true }
        let code = sqlite3_backup_step(handle, pages)
        switch code {
        case SQLITE_OK: return false
        case SQLITE_DONE:
            self.handle = nil
            let finished = sqlite3_backup_finish(handle)
            source.rollBack()
            guard finished == SQLITE_OK else { throw destination.error(finished, sql: nil) }
            return true
        default:
            let error = failure(code)
            abandon()
            throw error
        }
    }

    /// How far it is, in pages. Zero of zero before the first step.
    var progress: CopyProgress {
        guard let handle else { return CopyProgress(done: 0, total: 0) }
        let (total, left) = (Int(sqlite3_backup_pagecount(handle)), Int(sqlite3_backup_remaining(handle)))
        return CopyProgress(done: total - left, total: total)
    }

    /// Runs to the end.
    func run(_ progressed: (CopyProgress) -> Void = { _ in }) throws(StoreError) {
        while try !step() { progressed(progress) }
    }

    private func failure(_ code: Int32) -> StoreError {
        switch code & 0xFF {
        case SQLITE_READONLY:
            .sqlite(
                code: code,
                message: "\(destination.name): the pages of this database have another size; move it away, so that a new one can be made",
                sql: nil)
        case SQLITE_BUSY, SQLITE_LOCKED: .busy(message: "\(destination.name): another program writes to this database")
        case SQLITE_CORRUPT, SQLITE_NOTADB: .corrupt(message: "\(source.name): the database is damaged")
        default:
            .sqlite(
                code: code, message: "\(destination.name): \(sqlite3_errstr(code).map { String(cString: $0) } ?? "error \(code)")", sql: nil
            )
        }
    }

    private func abandon() {
        guard let handle else { return }
        self.handle = nil
        sqlite3_backup_finish(handle)
        source.rollBack()
    }
}

/// How much of a database is copied, in pages.
public struct CopyProgress: Hashable, Sendable {
    public var done: Int
    public var total: Int
}
