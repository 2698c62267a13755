import CSQLite
import Glibc

/// The few things about files that SQLite does not do.
enum CopyFile {
    /// Bytes of a file; nil when there is none.
    static func size(_ path: String) -> Int64? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Int64(status.st_size)
    }

    static func isSame(_ left: String, _ right: String) -> Bool {
        var (one, two) = (stat(), stat())
        guard stat(left, &one) == 0, stat(right, &two) == 0 else { return false }
        return one.st_dev == two.st_dev && one.st_ino == two.st_ino
    }

    /// Removes a database that nobody has open, with what SQLite keeps beside it.
    static func remove(_ path: String) {
        for suffix in ["", "-wal", "-shm", "-journal"] { unlink(path + suffix) }
    }

    /// Makes what was written to a file durable, whoever wrote it.
    static func sync(_ path: String) throws(BackupError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure(path) }
    }

    /// Gives a file its final name, durably. With `replacing` a file of that name goes; without, it is an error.
    static func rename(_ path: String, to name: String, replacing: Bool) throws(BackupError) {
        try sync(path)
        if replacing {
            guard Glibc.rename(path, name) == 0 else { throw failure(name) }
        } else {
            // A second name fails when it is taken, which renaming does not.
            guard link(path, name) == 0 else { throw errno == EEXIST ? .exists(path: name) : failure(name) }
            unlink(path)
        }
        try sync(directory(of: name))
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func failure(_ path: String) -> BackupError { .file(path: path, reason: String(cString: strerror(errno))) }
}
