/// Why a backup was not written, or not restored.
public enum BackupError: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is a file where the backup should go.
    case exists(path: String)
    /// A file could not be made, renamed or synced.
    case file(path: String, reason: String)
    /// An agent has the database open.
    case running(database: String)
    /// The file is no database of ours, or not one of this format.
    case unusable(path: String, reason: String)
    /// The backup is the database that it should be restored to.
    case sameFile(path: String)
    /// The identity of a database was to be kept that is not there, or has none.
    case noIdentity(database: String)
    /// A snapshot was to be installed into a database that holds something.
    case notEmpty(String)
    /// A snapshot is not what its source made.
    case damaged(reason: String)
    case store(StoreError)

    public var description: String {
        switch self {
        case .exists(let path): "\(path): there is a file already; remove it, or choose another path"
        case .file(let path, let reason): "\(path): \(reason)"
        case .running(let database): "\(database): patina is currently running, shut it down before restoring!"
        case .unusable(let path, let reason): "\(path): not a backup that can be restored: \(reason)"
        case .sameFile(let path): "\(path): the backup is the database itself"
        case .noIdentity(let database):
            "\(database): there is no database with an actor id to keep; give one with --actor-id, or neither for a new one"
        case .notEmpty(let what): "a snapshot is installed into an empty database only, and \(what)"
        case .damaged(let reason): "the snapshot is damaged: \(reason)"
        case .store(let error): error.description
        }
    }
}
