import CSQLite
import PatinaProtocol

/// The file that holds the reservation, `PATH.reservation` beside the database.
///
/// Two places of one record each, written in turn and synced: a write that power loss cuts short leaves the other place, which held
/// until then. A third place has the `LogMark`. All access goes through the VFS of the database, so that a simulated disk has it too.
final class ReservationFile {
    /// What the file says.
    struct Content: Hashable {
        /// The newest whole record; nil when there is none.
        var record: VersionReservation?
        /// A place holds something that is no whole record.
        var isDamaged: Bool
    }

    private let file: UnsafeMutableRawPointer
    private let path: UnsafeMutablePointer<CChar>
    private let name: String
    private var isOpen = true
    /// Counts the writes; the place of a record is its last bit.
    private var serial: UInt64 = 0
    /// What was there when the file was opened; nil when it was new or empty.
    private(set) var found: Content?
    /// The file is long enough for a mark.
    private var hasMarkPlace = false

    /// A place is a page of its own, so that no write touches both.
    private static let placeDistance: Int64 = 4_096
    private static let recordBytes = 72
    private static let markPlace = 2 * placeDistance
    /// SQLITE_IOERR_SHORT_READ, a macro that Swift does not see: the file ends earlier, the rest reads as zeros.
    private static let shortRead = SQLITE_IOERR | 2 << 8
    private static let magic: UInt64 = 0x7061_7469_6E61_5231

    static func path(of database: String) -> String { database + ".reservation" }

    /// Opens the file, made when missing, and reads it. With `readOnly` nothing is made, and nothing can be written.
    init(database: String, vfs vfsName: String?, readOnly: Bool = false) throws(StoreError) {
        name = Self.path(of: database)
        guard let vfs = sqlite3_vfs_find(vfsName) else {
            throw .sqlite(code: SQLITE_CANTOPEN, message: "there is no SQLite VFS \(vfsName ?? "")", sql: nil)
        }
        let bytes = Array(name.utf8)
        // SQLite's file systems expect names that end in more than one zero, and keep the pointer.
        path = .allocate(capacity: bytes.count + 4)
        path.initialize(repeating: 0, count: bytes.count + 4)
        for (index, byte) in bytes.enumerated() { path[index] = CChar(bitPattern: byte) }
        let size = Int(vfs.pointee.szOsFile)
        file = .allocate(byteCount: size, alignment: 16)
        file.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        // The kind of a super-journal: no locks, and the first sync also makes the name in the directory durable.
        let access = readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        let flags = access | SQLITE_OPEN_SUPER_JOURNAL
        let code = vfs.pointee.xOpen(vfs, path, handle, flags, nil)
        guard code == SQLITE_OK else {
            // A method table says that the file must be closed although opening failed.
            if handle.pointee.pMethods != nil { _ = handle.pointee.pMethods.pointee.xClose(handle) }
            isOpen = false
            throw failed(code, "opened")
        }
        do throws(StoreError) {
            found = try read()
        } catch {
            close()
            throw error
        }
    }

    deinit {
        close()
        file.deallocate()
        path.deallocate()
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        _ = handle.pointee.pMethods.pointee.xClose(handle)
    }

    private var handle: UnsafeMutablePointer<sqlite3_file> { file.assumingMemoryBound(to: sqlite3_file.self) }

    private func failed(_ code: Int32, _ what: String) -> StoreError {
        let reason = sqlite3_errstr(code).map { String(cString: $0) } ?? "error \(code)"
        return .sqlite(code: code, message: "\(name): the reservation of version numbers cannot be \(what): \(reason)", sql: nil)
    }

    // MARK: Reading

    private func read() throws(StoreError) -> Content? {
        var size: sqlite3_int64 = 0
        let code = handle.pointee.pMethods.pointee.xFileSize(handle, &size)
        guard code == SQLITE_OK else { throw failed(code, "read") }
        guard size > 0 else { return nil }
        hasMarkPlace = size >= Self.markPlace + Int64(LogMark.recordBytes)
        var content = Content(record: nil, isDamaged: false)
        for place in 0..<2 {
            var bytes = [UInt8](repeating: 0, count: Self.recordBytes)
            let code = bytes.withUnsafeMutableBytes { buffer in
                handle.pointee.pMethods.pointee.xRead(handle, buffer.baseAddress, Int32(buffer.count), Int64(place) * Self.placeDistance)
            }
            guard code == SQLITE_OK || code == Self.shortRead else { throw failed(code, "read") }
            guard bytes.contains(where: { $0 != 0 }) else { continue }
            guard let (serial, record) = Self.decode(bytes) else {
                content.isDamaged = true
                continue
            }
            guard serial > self.serial else { continue }
            self.serial = serial
            content.record = record
        }
        return content
    }

    // MARK: Writing

    /// Makes the record durable, whatever `synchronous` says.
    ///
    /// Room for the mark is made with the first one, so that a full disk cannot refuse it later.
    func write(_ record: VersionReservation) throws(StoreError) {
        let bytes = Self.encode(record, serial: serial + 1)
        let place = Int64((serial + 1) % 2) * Self.placeDistance
        if !hasMarkPlace { try put([UInt8](repeating: 0, count: LogMark.recordBytes), at: Self.markPlace) }
        try put(bytes, at: place)
        try sync()
        hasMarkPlace = true
        serial += 1
    }

    private func put(_ bytes: [UInt8], at place: Int64) throws(StoreError) {
        let code = bytes.withUnsafeBytes { handle.pointee.pMethods.pointee.xWrite(handle, $0.baseAddress, Int32($0.count), place) }
        guard code == SQLITE_OK else { throw failed(code, "written") }
    }

    private func sync() throws(StoreError) {
        let code = handle.pointee.pMethods.pointee.xSync(handle, SQLITE_SYNC_NORMAL)
        guard code == SQLITE_OK else { throw failed(code, "written") }
    }

    // MARK: How far the log is moved

    /// The mark as it is in the file, whoever wrote it; nil when there is none, or none that is whole.
    func readMark() throws(StoreError) -> LogMark? {
        var bytes = [UInt8](repeating: 0, count: LogMark.recordBytes)
        let code = bytes.withUnsafeMutableBytes { buffer in
            handle.pointee.pMethods.pointee.xRead(handle, buffer.baseAddress, Int32(buffer.count), Self.markPlace)
        }
        guard code == SQLITE_OK || code == Self.shortRead else { throw failed(code, "read") }
        return LogMark(bytes)
    }

    /// - Parameter durably: with a sync; else a power loss may leave the mark that was there before.
    func write(_ mark: LogMark, durably: Bool) throws(StoreError) {
        try put(mark.bytes, at: Self.markPlace)
        hasMarkPlace = true
        if durably { try sync() }
    }

    // MARK: The record: magic, serial, actor, generation, versions, checksum; little endian

    private static func encode(_ record: VersionReservation, serial: UInt64) -> [UInt8] {
        var words = [magic, serial, record.actor.high, record.actor.low, record.generation, record.versions]
        let checksum = checksum(words)
        words += [checksum.high, checksum.low, 0]
        var bytes: [UInt8] = []
        bytes.reserveCapacity(recordBytes)
        for word in words { withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) } }
        return bytes
    }

    private static func decode(_ bytes: [UInt8]) -> (serial: UInt64, record: VersionReservation)? {
        let words = bytes.withUnsafeBytes { buffer in
            (0..<9).map { UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self)) }
        }
        let checksum = checksum(Array(words[..<6]))
        guard words[0] == magic, words[6] == checksum.high, words[7] == checksum.low else { return nil }
        let actor = ActorID(high: words[2], low: words[3])
        return (words[1], VersionReservation(actor: actor, generation: words[4], versions: words[5]))
    }

    private static func checksum(_ words: [UInt64]) -> Fingerprint {
        var hasher = Fingerprint.Hasher(seed: magic)
        for word in words { hasher.combine(word) }
        return hasher.finish()
    }
}
