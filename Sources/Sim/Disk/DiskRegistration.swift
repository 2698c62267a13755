import CSQLite
import PatinaProtocol

/// The VFS through which SQLite sees one simulated disk. Registered as long as it lives.
final class DiskRegistration {
    private let vfs: UnsafeMutablePointer<sqlite3_vfs>
    private let name: UnsafeMutablePointer<CChar>
    private let mark: UnsafeMutableRawPointer
    private let methods: UnsafeMutablePointer<sqlite3_io_methods>
    /// Does not keep the disk: it keeps us.
    fileprivate unowned let disk: SimulatedDisk
    fileprivate var methodsPointer: UnsafePointer<sqlite3_io_methods> { UnsafePointer(methods) }
    private static let pathMaximum: Int32 = 512

    init(name: String, mark: UnsafeMutableRawPointer, disk: SimulatedDisk) {
        self.disk = disk
        self.mark = mark
        let characters = Array(name.utf8CString)
        self.name = .allocate(capacity: characters.count)
        self.name.initialize(from: characters, count: characters.count)
        methods = .allocate(capacity: 1)
        methods.initialize(to: diskMethods())
        vfs = .allocate(capacity: 1)
        vfs.initialize(to: sqlite3_vfs())
        vfs.pointee.iVersion = 2
        vfs.pointee.szOsFile = Int32(MemoryLayout<patina_vfs_file>.size)
        vfs.pointee.mxPathname = Self.pathMaximum
        vfs.pointee.zName = UnsafePointer(self.name)
        vfs.pointee.pAppData = Unmanaged.passUnretained(self).toOpaque()
        setCallbacks(of: vfs)
        let code = sqlite3_vfs_register(vfs, 0)
        precondition(code == SQLITE_OK, "a VFS can be registered")
    }

    deinit {
        sqlite3_vfs_unregister(vfs)
        vfs.deallocate()
        methods.deallocate()
        name.deallocate()
        mark.deallocate()
    }
}

private func registration(_ vfs: UnsafeMutablePointer<sqlite3_vfs>?) -> DiskRegistration {
    guard let data = vfs?.pointee.pAppData else { preconditionFailure("a VFS has its registration") }
    return Unmanaged<DiskRegistration>.fromOpaque(data).takeUnretainedValue()
}

private func setCallbacks(of vfs: UnsafeMutablePointer<sqlite3_vfs>) {
    vfs.pointee.xOpen = { vfs, name, file, flags, outFlags in
        guard let file else { return SQLITE_CANTOPEN }
        let registration = registration(vfs)
        let disk = registration.disk
        file.pointee.pMethods = nil
        guard !disk.isDead else { return SQLITE_CANTOPEN }
        let path = name.map { String(cString: $0) } ?? "temporary-\(disk.entropy.next())"
        guard let found = disk.files[path] ?? (flags & SQLITE_OPEN_CREATE != 0 ? disk.create(path) : nil) else { return SQLITE_CANTOPEN }
        let isTemporary = name == nil || flags & SQLITE_OPEN_DELETEONCLOSE != 0
        let handle = DiskHandle(disk: disk, file: found, path: path, isTemporary: isTemporary)
        file.withMemoryRebound(to: patina_vfs_file.self, capacity: 1) { $0.pointee.handle = Unmanaged.passRetained(handle).toOpaque() }
        file.pointee.pMethods = registration.methodsPointer
        outFlags?.pointee = flags
        return SQLITE_OK
    }
    vfs.pointee.xDelete = { vfs, name, syncDirectory in
        let disk = registration(vfs).disk
        guard !disk.isDead, let name else { return SQLITE_IOERR | 10 << 8 }
        let path = String(cString: name)
        guard disk.files[path] != nil else { return SQLITE_IOERR | 23 << 8 }
        disk.remove(path, durable: syncDirectory != 0)
        return SQLITE_OK
    }
    vfs.pointee.xAccess = { vfs, name, _, result in
        let disk = registration(vfs).disk
        guard !disk.isDead, let name else { return SQLITE_IOERR | 13 << 8 }
        result?.pointee = disk.files[String(cString: name)].map { $0.content.isEmpty ? 0 : 1 } ?? 0
        return SQLITE_OK
    }
    vfs.pointee.xFullPathname = { _, name, size, output in
        guard let name, let output else { return SQLITE_CANTOPEN }
        var length = 0
        while name[length] != 0 { length += 1 }
        guard length < Int(size) else { return SQLITE_CANTOPEN }
        output.update(from: name, count: length + 1)
        return SQLITE_OK
    }
    vfs.pointee.xRandomness = { vfs, count, output in
        let disk = registration(vfs).disk
        for index in 0..<Int(count) { output?[index] = CChar(truncatingIfNeeded: disk.entropy.next()) }
        return count
    }
    // Time does not pass while a simulated node works.
    vfs.pointee.xSleep = { _, microseconds in microseconds }
    vfs.pointee.xGetLastError = { _, _, _ in 0 }
    vfs.pointee.xCurrentTimeInt64 = { vfs, result in
        result?.pointee = 210_866_760_000_000 + registration(vfs).disk.wallClock() / 1_000_000
        return SQLITE_OK
    }
}

private func handle(_ file: UnsafeMutablePointer<sqlite3_file>?) -> DiskHandle {
    let data = file?.withMemoryRebound(to: patina_vfs_file.self, capacity: 1) { $0.pointee.handle }
    guard let data else { preconditionFailure("an open file has its handle") }
    return Unmanaged<DiskHandle>.fromOpaque(data).takeUnretainedValue()
}

/// What SQLite does with an open file.
private func diskMethods() -> sqlite3_io_methods {
    var methods = sqlite3_io_methods()
    methods.iVersion = 2
    methods.xClose = { file in
        let handle = handle(file)
        handle.locks.unlock(handle, SQLITE_LOCK_NONE)
        handle.memory?.releaseAll(of: handle)
        if handle.isTemporary, handle.isAlive, handle.disk.files[handle.path] === handle.file {
            handle.disk.remove(handle.path, durable: false)
        }
        Unmanaged.passUnretained(handle).release()
        file?.pointee.pMethods = nil
        return SQLITE_OK
    }
    methods.xRead = { file, buffer, count, offset in
        let handle = handle(file)
        guard handle.isAlive, let buffer else { return SQLITE_IOERR | 1 << 8 }
        return handle.disk.read(handle.file, into: UnsafeMutableRawBufferPointer(start: buffer, count: Int(count)), at: Int(offset))
    }
    methods.xWrite = { file, buffer, count, offset in
        let handle = handle(file)
        guard handle.isAlive, let buffer else { return SQLITE_IOERR | 3 << 8 }
        return handle.disk.write(
            UnsafeRawBufferPointer(start: buffer, count: Int(count)), to: handle.file, handle.path, at: Int(offset))
    }
    methods.xTruncate = { file, size in
        let handle = handle(file)
        guard handle.isAlive else { return SQLITE_IOERR | 6 << 8 }
        return handle.disk.truncate(handle.file, handle.path, to: Int(size))
    }
    methods.xSync = { file, _ in
        let handle = handle(file)
        guard handle.isAlive else { return SQLITE_IOERR | 4 << 8 }
        return handle.disk.sync(handle.path)
    }
    methods.xFileSize = { file, size in
        let handle = handle(file)
        guard handle.isAlive else { return SQLITE_IOERR | 7 << 8 }
        size?.pointee = Int64(handle.file.content.count)
        return SQLITE_OK
    }
    methods.xLock = { file, level in
        let handle = handle(file)
        return handle.isAlive ? handle.locks.lock(handle, level) : SQLITE_IOERR | 15 << 8
    }
    methods.xUnlock = { file, level in
        let handle = handle(file)
        handle.locks.unlock(handle, level)
        return SQLITE_OK
    }
    methods.xCheckReservedLock = { file, result in
        result?.pointee = handle(file).locks.isReserved ? 1 : 0
        return SQLITE_OK
    }
    methods.xFileControl = { _, _, _ in SQLITE_NOTFOUND }
    methods.xSectorSize = { _ in Int32(StoredFile.sectorBytes) }
    methods.xDeviceCharacteristics = { _ in SQLITE_IOCAP_POWERSAFE_OVERWRITE }
    methods.xShmMap = { file, region, size, extend, result in
        let handle = handle(file)
        guard handle.isAlive else { return SQLITE_IOERR | 21 << 8 }
        let memory = handle.memory ?? handle.file.memory
        handle.memory = memory
        result?.pointee = memory.region(Int(region), size: Int(size), extend: extend != 0).map {
            UnsafeMutableRawPointer($0)
        }
        return SQLITE_OK
    }
    methods.xShmLock = { file, offset, count, flags in
        let handle = handle(file)
        guard handle.isAlive else { return SQLITE_IOERR | 20 << 8 }
        let memory = handle.memory ?? handle.file.memory
        handle.memory = memory
        return memory.lock(Int(offset)..<Int(offset + count), flags, of: handle)
    }
    methods.xShmBarrier = { _ in }
    methods.xShmUnmap = { file, delete in
        let handle = handle(file)
        handle.memory?.releaseAll(of: handle)
        handle.memory = nil
        if delete != 0, handle.isAlive { handle.file.forgetMemory() }
        return SQLITE_OK
    }
    return methods
}
