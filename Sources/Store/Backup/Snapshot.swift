import CSQLite
import Glibc
import PatinaProtocol

/// A consistent copy of a database without an identity, handed out in pieces: what a node that lacks nearly everything is sent.
///
/// The copy is made at once, into a file beside the database that has no name any more (or in memory, for a database in memory), so
/// that sending it slowly keeps neither the writer nor the log waiting. Not sendable: one thread at a time owns it.
public final class SnapshotSource {
    /// Bytes of the whole snapshot.
    public let byteCount: Int64
    /// The fingerprint of all bytes, for the sink.
    public let fingerprint: Fingerprint
    private let content: Content
    private var position: Int64 = 0

    private enum Content {
        case file(descriptor: Int32)
        case memory([UInt8])
    }

    /// Bytes that the fingerprint is computed over at once.
    private static let readBytes = 1 << 20

    /// Copies the database. Blocks as long as that takes.
    /// - Parameter path: a file to make and remove; unused for a database in memory.
    public init(of database: StoreLocation, temporaryFile path: String) throws(BackupError) {
        if case .memory = database {
            let bytes = try Backup.serialized(database)
            content = .memory(bytes)
            byteCount = Int64(bytes.count)
            fingerprint = SnapshotFingerprint.of(bytes)
            return
        }
        CopyFile.remove(path)
        _ = try Backup.write(database, to: path)
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        let reason = CopyFile.failure(path)
        // The open descriptor keeps the content.
        CopyFile.remove(path)
        guard descriptor >= 0 else { throw reason }
        var (size, sum) = (Int64(0), SnapshotFingerprint())
        while true {
            guard let piece = Self.read(descriptor, at: size, upTo: Self.readBytes) else {
                close(descriptor)
                throw .file(path: path, reason: "the snapshot cannot be read")
            }
            if piece.isEmpty { break }
            size += Int64(piece.count)
            sum.append(piece)
        }
        content = .file(descriptor: descriptor)
        byteCount = size
        fingerprint = sum.finish()
    }

    deinit {
        if case .file(let descriptor) = content { close(descriptor) }
    }

    /// The next piece, at most `limit` bytes; nil after the last.
    public func next(atMost limit: Int) throws(BackupError) -> [UInt8]? {
        precondition(limit > 0, "a piece has at least one byte")
        guard position < byteCount else { return nil }
        let count = Int(min(Int64(limit), byteCount - position))
        switch content {
        case .memory(let bytes):
            defer { position += Int64(count) }
            return Array(bytes[Int(position)..<Int(position) + count])
        case .file(let descriptor):
            guard let piece = Self.read(descriptor, at: position, upTo: count), !piece.isEmpty else {
                throw .damaged(reason: "it cannot be read at byte \(position)")
            }
            position += Int64(piece.count)
            return piece
        }
    }

    /// Nil when the file cannot be read; empty at its end.
    private static func read(_ descriptor: Int32, at offset: Int64, upTo count: Int) -> [UInt8]? {
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = pread(descriptor, buffer.baseAddress.map { $0 + filled }, count - filled, off_t(offset) + filled)
                if got < 0, errno == EINTR { continue }
                if got < 0 { failed = true }
                if got <= 0 { return }
                filled += got
            }
        }
        return failed ? nil : bytes
    }
}

/// Takes the pieces of a snapshot until `Store.install` puts them into place.
public final class SnapshotSink {
    private let byteCount: Int64
    private let fingerprint: Fingerprint
    private var received: Int64 = 0
    private var sum = SnapshotFingerprint()
    private var memory: [UInt8] = []
    /// Nil: kept in memory.
    private let path: String?
    private var descriptor: Int32 = -1

    /// - Parameters:
    ///   - byteCount: as the source says; no more is taken.
    ///   - path: a file to make, removed with the sink; nil keeps the snapshot in memory.
    public init(byteCount: Int64, fingerprint: Fingerprint, file path: String?) throws(BackupError) {
        self.byteCount = byteCount
        self.fingerprint = fingerprint
        self.path = path
        guard let path else { return }
        CopyFile.remove(path)
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw CopyFile.failure(path) }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if let path { CopyFile.remove(path) }
    }

    /// Takes the next piece. Throws `BackupError.damaged` when there is more than the source said.
    public func append(_ piece: [UInt8]) throws(BackupError) {
        guard received + Int64(piece.count) <= byteCount else { throw .damaged(reason: "more than its \(byteCount) bytes came") }
        received += Int64(piece.count)
        sum.append(piece)
        guard let path else {
            memory += piece
            return
        }
        var written = 0
        while written < piece.count {
            let count = piece.withUnsafeBytes { write(descriptor, $0.baseAddress.map { $0 + written }, piece.count - written) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw CopyFile.failure(path) }
            written += count
        }
    }

    /// True when all bytes have come.
    public var isWhole: Bool { received == byteCount }

    /// Throws `BackupError.damaged` unless all bytes have come and are what the source made.
    public func checkWhole() throws(BackupError) {
        guard isWhole else { throw .damaged(reason: "\(received) of \(byteCount) bytes came") }
        guard sum.finish() == fingerprint else { throw .damaged(reason: "its bytes are others than those that were sent") }
    }

    /// Gives the file its final name, durably, once it is whole. An existing file is never replaced.
    public func save(as name: String) throws(BackupError) {
        try checkWhole()
        guard let path else { preconditionFailure("a snapshot in memory has no file") }
        try CopyFile.rename(path, to: name, replacing: false)
    }

    /// The snapshot as a database, once it is whole and what its source made.
    func database() throws(BackupError) -> Connection {
        try checkWhole()
        do throws(StoreError) {
            if let path { return try Connection(.file(path), readOnly: false, userStatementLimit: 0) }
            return try Connection.deserialized(memory)
        } catch {
            throw .store(error)
        }
    }
}

/// The fingerprint of bytes that come in pieces of any size.
struct SnapshotFingerprint {
    private var hasher = Fingerprint.Hasher(seed: 0x736E_6170_7368_6F74)
    private var rest: [UInt8] = []

    mutating func append(_ piece: [UInt8]) {
        rest += piece
        let whole = rest.count / 8 * 8
        rest.withUnsafeBytes { bytes in
            for offset in stride(from: 0, to: whole, by: 8) {
                hasher.combine(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            }
        }
        rest.removeFirst(whole)
    }

    func finish() -> Fingerprint {
        var hasher = hasher
        hasher.combine(rest)
        return hasher.finish()
    }

    static func of(_ bytes: [UInt8]) -> Fingerprint {
        var sum = SnapshotFingerprint()
        sum.append(bytes)
        return sum.finish()
    }
}

extension Backup {
    /// The bytes of a copy without an identity of a database in memory.
    static func serialized(_ database: StoreLocation) throws(BackupError) -> [UInt8] {
        do throws(StoreError) {
            let source = try Connection(database, readOnly: true, userStatementLimit: 0)
            defer { source.close() }
            let copy = try Connection.scratch()
            defer { copy.close() }
            try PageCopy(from: source, to: copy).run()
            try CopyIdentity(connection: copy).remove()
            var size: sqlite3_int64 = 0
            guard let bytes = sqlite3_serialize(copy.handle, "main", &size, 0) else {
                throw .sqlite(code: SQLITE_NOMEM, message: "out of memory", sql: nil)
            }
            defer { sqlite3_free(bytes) }
            return Array(UnsafeBufferPointer(start: bytes, count: Int(size)))
        } catch {
            throw .store(error)
        }
    }
}

extension Connection {
    /// A database in memory with the given content.
    static func deserialized(_ bytes: [UInt8]) throws(StoreError) -> Connection {
        let connection = try scratch()
        guard let copy = sqlite3_malloc64(UInt64(bytes.count))?.assumingMemoryBound(to: UInt8.self) else {
            throw .sqlite(code: SQLITE_NOMEM, message: "out of memory", sql: nil)
        }
        for (index, byte) in bytes.enumerated() { copy[index] = byte }
        let flags = UInt32(SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE)
        let code = sqlite3_deserialize(connection.handle, "main", copy, Int64(bytes.count), Int64(bytes.count), flags)
        guard code == SQLITE_OK else { throw connection.error(code, sql: nil) }
        return connection
    }
}

extension Store {
    /// Replaces everything in an empty database by a snapshot, in one transaction. Actor, generation and members stay ours.
    ///
    /// Empty: no version of anybody is known, and no replicated table has rows. The tables are the snapshot's then; the schema files have
    /// to be applied again. When anything fails, nothing has happened.
    public func install(_ snapshot: SnapshotSink) throws(BackupError) {
        let copy = try snapshot.database()
        defer { copy.close() }
        do throws(StoreError) {
            try checkUsable()
            if let reason = try whyNotEmpty() { throw StoreError.statementRefused(message: reason, sql: "") }
            try CopyIdentity(connection: copy).remove()
            try CopyIdentity(connection: copy).give(actor, generation: generation, isRestored: false)
            try Bookkeeping.writeMembers(copy, try Bookkeeping.readMembers(connection), over: nil)
            catalog.dropStatements()
            connection.dropStatements()
            try PageCopy(from: copy, to: connection).run()
            try reloadAfterInstallation()
        } catch {
            if case .statementRefused(let reason, "") = error { throw .notEmpty(reason) }
            note(error)
            throw .store(error)
        }
    }

    private func whyNotEmpty() throws(StoreError) -> String? {
        if !ledger.actors.isEmpty { return "this one has versions" }
        for table in catalog.tables where try connection.integer("SELECT EXISTS (SELECT 1 FROM \(quoted(table.name)))") != 0 {
            return "table \(table.name) of this one has rows"
        }
        return nil
    }
}
