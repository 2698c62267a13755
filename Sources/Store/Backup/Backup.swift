import CSQLite
import PatinaProtocol

/// Backups of a database file, and databases from backups. `docs/backup.md` says what is promised.
public enum Backup {
    /// What `write` did.
    public struct Report: Hashable, Sendable {
        /// Bytes of the backup.
        public var bytes: Int64
        /// The actor of the database; in the backup it is one among others. Nil when the database was a copy itself.
        public var actor: ActorID?
    }

    /// Who writes in a database that is restored.
    public enum Identity: Hashable, Sendable {
        /// An actor that nobody was before; drawn when the database is opened.
        case fresh
        /// The actor of the database that is replaced.
        case ofDatabase
        case actor(ActorID)
    }

    /// What `restore` did.
    public struct Restoration: Hashable, Sendable {
        /// Bytes of the database before; nil when there was none.
        public var bytesBefore: Int64?
        public var bytes: Int64
        /// The actor of the restored database; nil: it takes a new one when it is opened.
        public var actor: ActorID?
    }

    // MARK: Backup

    /// Writes a consistent copy without an identity to `path`: one file, no log beside it.
    ///
    /// The database may be in use; its writer goes on and never waits. Changes committed after the beginning are not in the copy. While
    /// the copy is made the database's log cannot be cut. The file appears under its name when it is whole and durable.
    public static func write(
        _ database: StoreLocation, to path: String, progressed: (CopyProgress) -> Void = { _ in }
    ) throws(BackupError) -> Report {
        guard CopyFile.size(path) == nil else { throw .exists(path: path) }
        let partial = path + ".partial"
        CopyFile.remove(partial)
        do throws(BackupError) {
            let actor = try copy(database, to: partial, progressed)
            try CopyFile.rename(partial, to: path, replacing: false)
            return Report(bytes: CopyFile.size(path) ?? 0, actor: actor)
        } catch {
            CopyFile.remove(partial)
            throw error
        }
    }

    /// Copies a database to a new file, takes its identity out and its free pages, and leaves no log. Returns the identity.
    @discardableResult
    private static func copy(
        _ database: StoreLocation, to path: String, _ progressed: (CopyProgress) -> Void
    ) throws(BackupError) -> ActorID? {
        try inStore { () throws(StoreError) in
            let source = try Connection(database, readOnly: true, userStatementLimit: 0)
            defer { source.close() }
            sqlite3_busy_timeout(source.handle, busyMilliseconds)
            let destination = try Connection(.file(path), readOnly: false, userStatementLimit: 0)
            defer { destination.close() }
            let actor = try CopyIdentity.read(source)?.actor
            // Until it has its name nobody needs the copy.
            try destination.execute("PRAGMA synchronous = OFF")
            try PageCopy(from: source, to: destination).run(progressed)
            try finish(destination)
            return actor
        }
    }

    private static func finish(_ copy: Connection) throws(StoreError) {
        try CopyIdentity(connection: copy).remove()
        try copy.execute("PRAGMA incremental_vacuum")
        copy.dropStatements()
        // The pages say that the database keeps a log; a single file has none. Opening it as a database brings the log back.
        try copy.execute("PRAGMA journal_mode = DELETE")
    }

    // MARK: Restore

    /// Replaces a database by a backup, which stays as it is. No agent may have the database open.
    ///
    /// Programs that have the database open for reading see the old rows until the restored ones are committed, all at once; when
    /// there is no database yet, it appears whole. Interrupted anywhere, the database is what it was, or the restored one.
    public static func restore(
        _ backup: String, to database: String, as identity: Identity, progressed: (CopyProgress) -> Void = { _ in }
    ) throws(BackupError) -> Restoration {
        guard CopyFile.size(backup) != nil else { throw CopyFile.failure(backup) }
        guard !CopyFile.isSame(backup, database) else { throw .sameFile(path: backup) }
        let lock: DatabaseLock?
        do { lock = try DatabaseLock(path: database) } catch { throw .running(database: database) }
        return try withExtendedLifetime(lock) { () throws(BackupError) in
            let before = CopyFile.size(database)
            let given = try chosen(identity, database, exists: before ?? 0 > 0)
            let partial = database + ".restoring"
            CopyFile.remove(partial)
            do throws(BackupError) {
                do throws(BackupError) {
                    try copy(.file(backup), to: partial, progressed)
                } catch {
                    if case .store(.corrupt(let reason)) = error { throw .unusable(path: backup, reason: reason) }
                    throw error
                }
                if let given { try give(given, to: partial) }
                if before ?? 0 > 0 {
                    try replacePages(of: database, by: partial, progressed)
                    CopyFile.remove(partial)
                } else {
                    // A log without its database is of some other database.
                    CopyFile.remove(database)
                    try CopyFile.rename(partial, to: database, replacing: true)
                }
            } catch {
                CopyFile.remove(partial)
                throw error
            }
            return Restoration(bytesBefore: before, bytes: CopyFile.size(database) ?? 0, actor: given?.actor)
        }
    }

    private static func chosen(
        _ identity: Identity, _ database: String, exists: Bool
    ) throws(BackupError) -> (actor: ActorID, generation: UInt64)? {
        func current() throws(BackupError) -> (actor: ActorID, generation: UInt64)? {
            guard exists else { return nil }
            return try inStore { () throws(StoreError) in
                let connection = try Connection(.file(database), readOnly: true, userStatementLimit: 0)
                defer { connection.close() }
                return try CopyIdentity.read(connection)
            }
        }
        switch identity {
        case .fresh: return nil
        case .ofDatabase:
            guard let found = try current() else { throw .noIdentity(database: database) }
            return found
        case .actor(let actor):
            // The same actor must not fall back to a generation that its peers have seen. A database that cannot be read tells none.
            let found = try? current()
            return (actor, found.map { $0.actor == actor ? $0.generation : 0 } ?? 0)
        }
    }

    private static func give(_ identity: (actor: ActorID, generation: UInt64), to path: String) throws(BackupError) {
        try inStore { () throws(StoreError) in
            let copy = try Connection(.file(path), readOnly: false, userStatementLimit: 0)
            defer { copy.close() }
            try CopyIdentity(connection: copy).give(identity.actor, generation: identity.generation, isRestored: true)
        }
    }

    private static func replacePages(
        of database: String, by path: String, _ progressed: (CopyProgress) -> Void
    ) throws(BackupError) {
        try inStore { () throws(StoreError) in
            let source = try Connection(.file(path), readOnly: true, userStatementLimit: 0)
            defer { source.close() }
            let destination = try Connection(.file(database), readOnly: false, userStatementLimit: 0)
            defer { destination.close() }
            sqlite3_busy_timeout(destination.handle, busyMilliseconds)
            try destination.execute("PRAGMA journal_mode = WAL")
            try destination.execute("PRAGMA synchronous = FULL")
            try PageCopy(from: source, to: destination).run(progressed)
            // Readers of the old rows may keep the log; the agent cuts it later.
            try? destination.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        }
    }

    /// How long another program's lock is waited for.
    static let busyMilliseconds: Int32 = 30_000

    private static func inStore<Result>(_ body: () throws(StoreError) -> Result) throws(BackupError) -> Result {
        do { return try body() } catch { throw .store(error) }
    }
}
