import CSQLite

/// The write-ahead log's file as the writing connection sees it: small writes that follow each other reach the system as one.
///
/// SQLite writes each page of a transaction in two calls, 24 bytes of frame header and the page. For a transaction of one row the
/// system calls are more than half of the work. Here they are put together until the last page of the transaction, whose frame header
/// says that it is the last (`docs/crdt.md`, "The log is written in one piece"). So nothing of a transaction that SQLite takes for
/// committed is ever held back, and an error shows before SQLite counts the transaction as committed.
private final class LogWriter {
    /// The file of the VFS below.
    let file: UnsafeMutablePointer<sqlite3_file>
    private let buffer: UnsafeMutablePointer<UInt8>
    /// Where in the file the buffer's content belongs.
    private var start: Int64 = 0
    private var count = 0
    /// 0: not known yet.
    private var pageBytes: Int64 = 0
    /// The frame that is being written is the last of its transaction.
    private var isLastFrame = true

    /// Bound of what is put together. SQLite's own VFS takes less than 128 KiB at once.
    private static let bufferBytes = 64 << 10
    private static let headerBytes: Int64 = 32
    private static let frameHeaderBytes = 24
    /// What is cut off the file at once. A file system that frees hundreds of megabytes keeps the transaction waiting that asked for it.
    private static let cutBytes: Int64 = 16 << 20

    init(fileBytes: Int) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: fileBytes, alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: fileBytes)
        file = memory.bindMemory(to: sqlite3_file.self, capacity: 1)
        buffer = .allocate(capacity: Self.bufferBytes)
    }

    deinit {
        UnsafeMutableRawPointer(file).deallocate()
        buffer.deallocate()
    }

    var methods: sqlite3_io_methods { file.pointee.pMethods.pointee }

    func write(_ bytes: UnsafeRawPointer, _ size: Int, at offset: Int64) -> Int32 {
        if count > 0, offset != start + Int64(count) || count + size > Self.bufferBytes {
            let code = flush()
            if code != SQLITE_OK { return code }
        }
        if offset == 0, size == Self.headerBytes { pageBytes = Self.pageBytes(ofHeader: bytes) }
        let isFrameHeader = size == Self.frameHeaderBytes && isFrameStart(offset)
        if isFrameHeader { isLastFrame = bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self) != 0 }
        if size > Self.bufferBytes || isLastFrame && !isFrameHeader && count == 0 {
            return methods.xWrite(file, bytes, Int32(size), offset)
        }
        if count == 0 { start = offset }
        UnsafeMutableRawPointer(buffer + count).copyMemory(from: bytes, byteCount: size)
        count += size
        return isLastFrame && !isFrameHeader ? flush() : SQLITE_OK
    }

    private func isFrameStart(_ offset: Int64) -> Bool {
        if pageBytes == 0 {
            // A log that was there before us.
            withUnsafeTemporaryAllocation(byteCount: Int(Self.headerBytes), alignment: 8) { header in
                guard let base = header.baseAddress else { return }
                if methods.xRead(file, base, Int32(Self.headerBytes), 0) == SQLITE_OK { pageBytes = Self.pageBytes(ofHeader: base) }
            }
        }
        // Of a log that cannot be understood nothing is held back.
        guard pageBytes >= 512, offset >= Self.headerBytes else { return false }
        return (offset - Self.headerBytes) % (pageBytes + Int64(Self.frameHeaderBytes)) == 0
    }

    private static func pageBytes(ofHeader header: UnsafeRawPointer) -> Int64 {
        Int64(UInt32(bigEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
    }

    /// Hands everything down. When that fails, what was put together is gone: SQLite takes the transaction back.
    func flush() -> Int32 {
        guard count > 0 else { return SQLITE_OK }
        let size = count
        count = 0
        return methods.xWrite(file, buffer, Int32(size), start)
    }

    /// Shortens the file to `size`, or only by `cutBytes` where it is longer: SQLite asks again when the log begins anew, and whatever
    /// lies behind its last frame is of no meaning. Size 0, which takes the log away, is done at once.
    func truncate(to size: Int64) -> Int32 {
        var present: Int64 = 0
        guard size > 0, methods.xFileSize(file, &present) == SQLITE_OK else { return methods.xTruncate(file, size) }
        return methods.xTruncate(file, max(size, present - Self.cutBytes))
    }
}

/// A VFS in front of another one, for a connection that writes: it opens write-ahead logs by way of a `LogWriter`, and leaves everything
/// else to the one below. Registered as long as it lives, which must be longer than any connection that uses it.
final class LogWriterVFS: @unchecked Sendable {
    let name: String
    private let vfs: UnsafeMutablePointer<patina_vfs_front>
    private let characters: UnsafeMutablePointer<CChar>

    /// In front of the system's own VFS; nil when there is none, which SQLite then reports itself.
    static let standard = LogWriterVFS(below: nil)

    /// - Parameter below: the name of a VFS; nil for the default one.
    init?(below: String?) {
        guard let found = sqlite3_vfs_find(below) else { return nil }
        name = "patina-log-over-" + (found.pointee.zName.map { String(cString: $0) } ?? "")
        let text = Array(name.utf8CString)
        characters = .allocate(capacity: text.count)
        characters.initialize(from: text, count: text.count)
        vfs = .allocate(capacity: 1)
        vfs.initialize(to: patina_vfs_front(base: found.pointee, below: found))
        vfs.pointee.base.pNext = nil
        vfs.pointee.base.zName = UnsafePointer(characters)
        vfs.pointee.base.szOsFile = max(found.pointee.szOsFile, Int32(MemoryLayout<patina_vfs_file>.size))
        vfs.pointee.base.xOpen = openFile
        let code = sqlite3_vfs_register(base, 0)
        precondition(code == SQLITE_OK, "a VFS can be registered")
    }

    deinit {
        sqlite3_vfs_unregister(base)
        vfs.deallocate()
        characters.deallocate()
    }

    private var base: UnsafeMutablePointer<sqlite3_vfs> { UnsafeMutableRawPointer(vfs).assumingMemoryBound(to: sqlite3_vfs.self) }
}

/// Made once, because SQLite keeps a pointer to it.
nonisolated(unsafe) private let logMethods: UnsafePointer<sqlite3_io_methods> = {
    let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    methods.initialize(to: makeLogMethods())
    return UnsafePointer(methods)
}()

private let openFile:
    @convention(c) (
        UnsafeMutablePointer<sqlite3_vfs>?, UnsafePointer<CChar>?, UnsafeMutablePointer<sqlite3_file>?, Int32, UnsafeMutablePointer<Int32>?
    ) -> Int32 = { vfs, name, file, flags, outFlags in
        guard let vfs, let file,
            let below = UnsafeMutableRawPointer(vfs).assumingMemoryBound(to: patina_vfs_front.self).pointee.below
        else { return SQLITE_CANTOPEN }
        guard flags & SQLITE_OPEN_WAL != 0 else { return below.pointee.xOpen(below, name, file, flags, outFlags) }
        let writer = LogWriter(fileBytes: Int(below.pointee.szOsFile))
        file.pointee.pMethods = nil
        let code = below.pointee.xOpen(below, name, writer.file, flags, outFlags)
        guard code == SQLITE_OK else {
            if writer.file.pointee.pMethods != nil { _ = writer.methods.xClose(writer.file) }
            return code
        }
        file.withMemoryRebound(to: patina_vfs_file.self, capacity: 1) { $0.pointee.handle = Unmanaged.passRetained(writer).toOpaque() }
        file.pointee.pMethods = logMethods
        return SQLITE_OK
    }

private func writer(_ file: UnsafeMutablePointer<sqlite3_file>?) -> LogWriter {
    let data = file?.withMemoryRebound(to: patina_vfs_file.self, capacity: 1) { $0.pointee.handle }
    guard let data else { preconditionFailure("an open log has its writer") }
    return Unmanaged<LogWriter>.fromOpaque(data).takeUnretainedValue()
}

/// Hands down what was put together, then does `body` to the file below.
private func flushed(
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ body: (LogWriter, UnsafeMutablePointer<sqlite3_file>) -> Int32
) -> Int32 {
    let writer = writer(file)
    let code = writer.flush()
    return code == SQLITE_OK ? body(writer, writer.file) : code
}

private func makeLogMethods() -> sqlite3_io_methods {
    var methods = sqlite3_io_methods()
    // A log is neither mapped into memory nor has it shared memory of its own.
    methods.iVersion = 1
    methods.xClose = { file in
        let writer = writer(file)
        let flushed = writer.flush()
        let closed = writer.methods.xClose(writer.file)
        Unmanaged.passUnretained(writer).release()
        file?.pointee.pMethods = nil
        return flushed == SQLITE_OK ? closed : flushed
    }
    methods.xWrite = { file, bytes, size, offset in
        guard let bytes else { return SQLITE_IOERR | 3 << 8 }
        return writer(file).write(bytes, Int(size), at: offset)
    }
    methods.xRead = { file, bytes, size, offset in flushed(file) { $0.methods.xRead($1, bytes, size, offset) } }
    methods.xTruncate = { file, size in flushed(file) { log, _ in log.truncate(to: size) } }
    methods.xSync = { file, flags in flushed(file) { $0.methods.xSync($1, flags) } }
    methods.xFileSize = { file, size in flushed(file) { $0.methods.xFileSize($1, size) } }
    methods.xLock = { file, level in flushed(file) { $0.methods.xLock($1, level) } }
    methods.xUnlock = { file, level in flushed(file) { $0.methods.xUnlock($1, level) } }
    methods.xCheckReservedLock = { file, result in flushed(file) { $0.methods.xCheckReservedLock($1, result) } }
    methods.xFileControl = { file, operation, argument in flushed(file) { $0.methods.xFileControl($1, operation, argument) } }
    methods.xSectorSize = { file in
        let writer = writer(file)
        return writer.methods.xSectorSize(writer.file)
    }
    methods.xDeviceCharacteristics = { file in
        let writer = writer(file)
        return writer.methods.xDeviceCharacteristics(writer.file)
    }
    return methods
}
