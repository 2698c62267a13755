import CSQLite
import PatinaProtocol

/// How far a write-ahead log has been moved into its database, kept beside the database (`ReservationFile`).
///
/// The log's checksums tell where it is damaged, and SQLite takes it for ended there. That is sound as long as nothing from behind that
/// place is in the database. Only this mark knows. `docs/crdt.md`, "When the disk fails", has the argument.
struct LogMark: Hashable {
    /// Which log: the two salts of its header, byte for byte.
    var salts: UInt64
    /// Frames up to this one may be in the database. They were durable before this was written.
    var frames: UInt32
    /// Durable in the database is everything up to that frame, and nothing from behind it: the log is not needed.
    var isWhole: Bool

    static let recordBytes = 40
    private static let magic: UInt64 = 0x7061_7469_6E61_4C31

    init(salts: UInt64, frames: UInt32, isWhole: Bool) {
        self.salts = salts
        self.frames = frames
        self.isWhole = isWhole
    }

    /// Nil when the bytes are no whole record.
    init?(_ bytes: [UInt8]) {
        let words = bytes.withUnsafeBytes { buffer in
            (0..<5).map { UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self)) }
        }
        let sum = Self.checksum(Array(words[..<3]))
        guard words[0] == Self.magic, words[3] == sum.high, words[4] == sum.low, words[2] >> 33 == 0 else { return nil }
        self.init(salts: words[1], frames: UInt32(words[2] >> 1), isWhole: words[2] & 1 == 1)
    }

    /// Magic, salts, frames × 2 + whole, checksum; little endian.
    var bytes: [UInt8] {
        let words = [Self.magic, salts, UInt64(frames) << 1 | (isWhole ? 1 : 0)]
        let sum = Self.checksum(words)
        return (words + [sum.high, sum.low]).flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    }

    private static func checksum(_ words: [UInt64]) -> Fingerprint {
        var hasher = Fingerprint.Hasher(seed: magic)
        for word in words { hasher.combine(word) }
        return hasher.finish()
    }
}

/// The memory that a database's connections share about its log, as SQLite lays it out ("The WAL-Index File Format" of
/// https://www.sqlite.org/walformat.html). Valid as long as its connection is open.
struct LogIndex {
    private let memory: UnsafeMutableRawPointer

    private static let regionBytes: Int32 = 32_768
    private static let framesOffset = 16
    private static let saltsOffset = 32
    private static let movedOffset = 96
    private static let attemptedOffset = 128

    /// Nil when the connection has not read yet, or its database keeps no log.
    init?(_ connection: Connection) {
        guard let file = connection.databaseFile, let methods = file.pointee.pMethods, methods.pointee.iVersion >= 2,
            connection.logFile != nil
        else { return nil }
        var found: UnsafeMutableRawPointer?
        let code = withUnsafeMutablePointer(to: &found) { pointer in
            pointer.withMemoryRebound(to: UnsafeMutableRawPointer?.self, capacity: 1) {
                methods.pointee.xShmMap(file, 0, Self.regionBytes, 0, $0)
            }
        }
        guard code == SQLITE_OK, let found else { return nil }
        memory = found
    }

    /// Frames of the log that are committed.
    var frames: UInt32 { memory.load(fromByteOffset: Self.framesOffset, as: UInt32.self) }
    var salts: UInt64 { memory.loadUnaligned(fromByteOffset: Self.saltsOffset, as: UInt64.self) }
    /// Frames that have been moved into the database.
    var moved: UInt32 { memory.load(fromByteOffset: Self.movedOffset, as: UInt32.self) }

    /// Salts and frames of one moment, although another connection may write.
    var position: (salts: UInt64, frames: UInt32) {
        while true {
            let (salts, frames) = (salts, frames)
            if salts == self.salts { return (salts, frames) }
        }
    }

    /// Tells all connections that the whole log is in the database: nobody reads from it any more, and the next commit begins it anew.
    func setMoved() {
        let frames = frames
        memory.storeBytes(of: frames, toByteOffset: Self.attemptedOffset, as: UInt32.self)
        memory.storeBytes(of: frames, toByteOffset: Self.movedOffset, as: UInt32.self)
    }
}

extension Connection {
    /// The file of the database, as its VFS opened it.
    var databaseFile: UnsafeMutablePointer<sqlite3_file>? { file(SQLITE_FCNTL_FILE_POINTER) }

    /// The file of the write-ahead log; nil when there is none, or nothing was read yet.
    var logFile: UnsafeMutablePointer<sqlite3_file>? { file(SQLITE_FCNTL_JOURNAL_POINTER) }

    private func file(_ which: Int32) -> UnsafeMutablePointer<sqlite3_file>? {
        var found: UnsafeMutablePointer<sqlite3_file>?
        guard sqlite3_file_control(handle, "main", which, &found) == SQLITE_OK, found?.pointee.pMethods != nil else { return nil }
        return found
    }

    /// Makes what was written to a file of this connection durable.
    func sync(_ file: UnsafeMutablePointer<sqlite3_file>?) throws(StoreError) {
        guard let file else { return }
        let code = file.pointee.pMethods.pointee.xSync(file, SQLITE_SYNC_NORMAL)
        guard code == SQLITE_OK else {
            let reason = sqlite3_errstr(code).map { String(cString: $0) } ?? "error \(code)"
            throw .sqlite(code: code, message: "\(name): cannot be made durable: \(reason)", sql: nil)
        }
    }
}
