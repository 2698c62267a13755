import CSQLite

/// The locks of one database file among the connections of one process: SHARED, RESERVED, PENDING, EXCLUSIVE, as SQLite defines them.
final class DiskLocks {
    private var shared = 0
    private weak var reserved: DiskHandle?
    private weak var pending: DiskHandle?

    var isReserved: Bool { reserved != nil || pending != nil }

    func lock(_ handle: DiskHandle, _ level: Int32) -> Int32 {
        guard handle.lockLevel < level else { return SQLITE_OK }
        if let pending, pending !== handle { return SQLITE_BUSY }
        switch level {
        case SQLITE_LOCK_SHARED: shared += 1
        case SQLITE_LOCK_RESERVED:
            if let reserved, reserved !== handle { return SQLITE_BUSY }
            reserved = handle
        default:
            if let reserved, reserved !== handle { return SQLITE_BUSY }
            pending = handle
            guard shared <= 1 else {
                handle.lockLevel = SQLITE_LOCK_PENDING
                return SQLITE_BUSY
            }
        }
        handle.lockLevel = level
        return SQLITE_OK
    }

    func unlock(_ handle: DiskHandle, _ level: Int32) {
        guard handle.lockLevel > level else { return }
        if reserved === handle { reserved = nil }
        if pending === handle { pending = nil }
        if level == SQLITE_LOCK_NONE { shared -= 1 }
        handle.lockLevel = level
    }
}

/// The memory that connections to a database in WAL mode share, with its eight locks. In a real system it is the `-shm` file.
final class DiskSharedMemory {
    private var regions: [UnsafeMutableRawPointer] = []
    private var readers = [Int](repeating: 0, count: Int(SQLITE_SHM_NLOCK))
    private var writers = [Bool](repeating: false, count: Int(SQLITE_SHM_NLOCK))

    deinit { for region in regions { region.deallocate() } }

    func region(_ index: Int, size: Int, extend: Bool) -> UnsafeMutableRawPointer? {
        while extend, regions.count <= index {
            let region = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4_096)
            region.initializeMemory(as: UInt8.self, repeating: 0, count: size)
            regions.append(region)
        }
        return index < regions.count ? regions[index] : nil
    }

    /// Takes or gives back the locks of `slots` for a handle. A bit is set for each lock that the handle has.
    func lock(_ slots: Range<Int>, _ flags: Int32, of handle: DiskHandle) -> Int32 {
        let isShared = flags & SQLITE_SHM_SHARED != 0
        if flags & SQLITE_SHM_UNLOCK != 0 {
            for slot in slots {
                if isShared, handle.sharedSlots >> slot & 1 == 1 {
                    readers[slot] -= 1
                    handle.sharedSlots &= ~(1 << slot)
                } else if !isShared, handle.exclusiveSlots >> slot & 1 == 1 {
                    writers[slot] = false
                    handle.exclusiveSlots &= ~(1 << slot)
                }
            }
            return SQLITE_OK
        }
        for slot in slots {
            let own = handle.sharedSlots >> slot & 1
            let isBusy = isShared ? writers[slot] : writers[slot] || readers[slot] > own
            if isBusy { return SQLITE_BUSY }
        }
        for slot in slots {
            if isShared, handle.sharedSlots >> slot & 1 == 0 {
                readers[slot] += 1
                handle.sharedSlots |= 1 << slot
            } else if !isShared {
                writers[slot] = true
                handle.exclusiveSlots |= 1 << slot
            }
        }
        return SQLITE_OK
    }

    func releaseAll(of handle: DiskHandle) {
        let all = 0..<Int(SQLITE_SHM_NLOCK)
        _ = lock(all, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED, of: handle)
        _ = lock(all, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE, of: handle)
    }
}

/// An open file: what one connection has of it.
final class DiskHandle {
    let disk: SimulatedDisk
    let file: DiskFile
    let path: String
    let isTemporary: Bool
    /// The process that opened it.
    let process: Int
    let locks: DiskLocks
    var memory: DiskSharedMemory?
    var lockLevel = SQLITE_LOCK_NONE
    var sharedSlots = 0
    var exclusiveSlots = 0

    init(disk: SimulatedDisk, file: DiskFile, path: String, isTemporary: Bool) {
        self.disk = disk
        self.file = file
        self.path = path
        self.isTemporary = isTemporary
        process = disk.process
        locks = file.locks
    }

    /// False once its process has ended or the power is gone.
    var isAlive: Bool { process == disk.process && !disk.isDead }
}
