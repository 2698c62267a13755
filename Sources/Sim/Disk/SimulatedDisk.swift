import CSQLite
import OrderedCollections
import PatinaProtocol
import PatinaStore

/// A disk in memory with a SQLite VFS of its own: it knows what was synced, and can lose the rest.
///
/// A store opens its files through `vfsName`. The disk outlives the processes that use it: `endProcess` is what SIGKILL does,
/// `losePower` what a pulled plug does. Both make everything that the old process still holds fail. One thread at a time.
public final class SimulatedDisk {
    /// The name under which SQLite knows it, unique in this process.
    public let vfsName: String
    /// What goes wrong at present.
    public var faults = Faults()
    /// Syncs since `takeSyncs` was last called.
    private var syncs = 0
    /// Every operation is appended here while it is not nil.
    var recording: [DiskOperation]?
    /// The power goes while this many more writes have been done; the last one is torn. Nil: it stays.
    public var writesUntilPowerLoss: Int?

    /// What a running process can meet.
    public struct Faults: Hashable, Sendable {
        /// Shares of operations that fail with EIO, in parts per million.
        public var readErrors: UInt32 = 0
        public var writeErrors: UInt32 = 0
        public var syncErrors: UInt32 = 0
        /// Bytes of all files together beyond which writes fail with ENOSPC; nil: there is always room.
        public var capacity: Int?

        public init() {}
    }

    var files: OrderedDictionary<String, DiskFile> = [:]
    private(set) var content = DiskContent()
    /// Counts the processes; what belongs to an earlier one fails.
    private(set) var process = 0
    /// The power is gone: nothing works until `losePower`.
    private(set) var isDead = false
    private var random: Random
    /// Seeds SQLite's own random numbers.
    var entropy: Random
    /// Nanoseconds since 1970.
    let wallClock: () -> Int64
    private var registration: DiskRegistration?

    /// - Parameter wallClock: what SQL's `datetime('now')` sees, in nanoseconds since 1970.
    public init(random: Random, wallClock: @escaping () -> Int64) {
        self.random = random.fork("faults")
        entropy = random.fork("entropy")
        self.wallClock = wallClock
        let mark = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1)
        vfsName = "patina-disk-" + String(UInt(bitPattern: mark), radix: 16)
        registration = DiskRegistration(name: vfsName, mark: mark, disk: self)
    }

    /// Where a store finds a database on this disk.
    public func location(_ path: String) -> StoreLocation { .virtual(vfs: vfsName, path: path) }

    // MARK: What happens to it

    /// The process ends; what it wrote, synced or not, is still with the system.
    public func endProcess() {
        process += 1
        for (_, file) in files { file.forgetProcess() }
    }

    /// The power goes and comes back. Of what was not synced, as much is left as `loss` says; nil draws one.
    public func losePower(_ loss: StoredLoss? = nil) {
        let drawn = loss?.loss ?? .draw(using: &random)
        replaceAll(with: content.after(drawn, using: &random))
        isDead = false
        writesUntilPowerLoss = nil
    }

    /// How much of what was not synced a power loss takes.
    public enum StoredLoss: Hashable, Sendable {
        case everything
        case nothing

        var loss: StoredFile.Loss {
            switch self {
            case .everything: .everything
            case .nothing: .nothing
            }
        }
    }

    /// Everything is gone, as when the disk is replaced.
    public func wipe() { replaceAll(with: [:]) }

    /// All files as a copy made at this moment has them.
    public func copy() -> OrderedDictionary<String, [UInt8]> { files.mapValues(\.content) }

    /// Puts files back, in place of all that are there under the given names, and leaves the others alone.
    ///
    /// - Parameter contents: nil for a file that must not be there.
    public func replace(_ contents: OrderedDictionary<String, [UInt8]?>) {
        var all = copy()
        for (path, bytes) in contents { all[path] = bytes }
        replaceAll(with: all)
    }

    /// Turns one random bit of a file over, on the medium and in every cache. False when the file is not there or empty.
    public func flipBit(in path: String) -> Bool {
        guard let file = files[path], !file.content.isEmpty else { return false }
        let byte = random.below(file.content.count)
        let bit = random.below(8)
        file.content[byte] ^= 1 << UInt8(bit)
        content.flip(bit: bit, of: byte, in: path)
        return true
    }

    /// How often something was synced since the last call.
    public func takeSyncs() -> Int {
        defer { syncs = 0 }
        return syncs
    }

    /// Everything on the disk, all of it safe, in place of what is there.
    func replaceAll(with contents: OrderedDictionary<String, [UInt8]>) {
        process += 1
        files = contents.mapValues { DiskFile($0) }
        content = DiskContent(contents)
    }

    // MARK: What the VFS does

    func create(_ path: String) -> DiskFile {
        let file = DiskFile([])
        files[path] = file
        note(.create(path))
        return file
    }

    func remove(_ path: String, durable: Bool) {
        files[path] = nil
        note(.remove(path, durable: durable))
    }

    func read(_ file: DiskFile, into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int32 {
        if fails(faults.readErrors) { return SQLITE_IOERR | 1 << 8 }
        let available = max(0, min(buffer.count, file.content.count - offset))
        if available > 0 {
            file.content.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + available)])) }
        }
        guard available < buffer.count else { return SQLITE_OK }
        UnsafeMutableRawBufferPointer(rebasing: buffer[available...]).initializeMemory(as: UInt8.self, repeating: 0)
        return SQLITE_IOERR | 2 << 8
    }

    func write(_ bytes: UnsafeRawBufferPointer, to file: DiskFile, _ path: String, at offset: Int) -> Int32 {
        if fails(faults.writeErrors) { return SQLITE_IOERR | 3 << 8 }
        let growth = max(0, offset + bytes.count - file.content.count)
        if growth > 0, let capacity = faults.capacity, usedBytes + growth > capacity { return SQLITE_FULL }
        var written = Array(bytes)
        if let left = writesUntilPowerLoss {
            writesUntilPowerLoss = left - 1
            if left <= 1 {
                // A whole number of sectors of the write gets to the disk.
                isDead = true
                let sectors = random.below(1 + written.count / StoredFile.sectorBytes)
                written.removeSubrange(min(written.count, sectors * StoredFile.sectorBytes)...)
            }
        }
        StoredFile.apply(.bytes(written, at: offset), to: &file.content)
        note(.write(path, written, at: offset))
        return isDead ? SQLITE_IOERR | 3 << 8 : SQLITE_OK
    }

    func truncate(_ file: DiskFile, _ path: String, to size: Int) -> Int32 {
        StoredFile.apply(.truncation(size), to: &file.content)
        note(.truncate(path, size))
        return SQLITE_OK
    }

    func sync(_ path: String) -> Int32 {
        syncs += 1
        if fails(faults.syncErrors) { return SQLITE_IOERR | 4 << 8 }
        note(.sync(path))
        return SQLITE_OK
    }

    private func note(_ operation: DiskOperation) {
        content.apply(operation)
        recording?.append(operation)
    }

    private func fails(_ share: UInt32) -> Bool { share > 0 && random.chance(partsPerMillion: share) }

    private var usedBytes: Int { files.values.reduce(0) { $0 + $1.content.count } }
}

/// A file as the processes see it: with everything that was written, synced or not.
final class DiskFile {
    var content: [UInt8]
    private(set) var locks = DiskLocks()
    private(set) var memory = DiskSharedMemory()

    init(_ content: [UInt8]) { self.content = content }

    /// Locks and shared memory end with the process; what still refers to them is on its own.
    func forgetProcess() {
        locks = DiskLocks()
        memory = DiskSharedMemory()
    }

    func forgetMemory() { memory = DiskSharedMemory() }
}
