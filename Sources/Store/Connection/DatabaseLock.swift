import Glibc

/// Keeps a database file for one store, by an advisory lock on a file beside it (`PATH.lock`).
///
/// SQLite lets any number of processes write in turn, but two stores would each keep bookkeeping in memory that the other
/// one's commits make wrong. The lock is not on the database itself: closing a second descriptor of that file would drop
/// SQLite's own locks (fcntl(2)). The kernel releases it however the process ends; the empty file stays for the next time.
final class DatabaseLock {
    private let descriptor: Int32

    /// Nil when the file cannot be made: opening the database will then tell why. Throws `StoreError.busy` when another store
    /// holds it, in this process or another one.
    init?(path: String) throws(StoreError) {
        descriptor = open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { return nil }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw .busy(message: "\(path): another agent has this database open; stop it, or give this one a database of its own")
        }
    }

    /// Holds the lock while somebody reads the file and nobody may write it. Nothing is made when no store ever locked it.
    init?(existing path: String) throws(StoreError) {
        descriptor = open(path + ".lock", O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw .busy(message: "\(path): an agent has this database open; stop it first, or check a backup of the database")
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}
