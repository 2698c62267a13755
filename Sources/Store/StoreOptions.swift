import Glibc
import PatinaProtocol

/// Where a database lives.
public enum StoreLocation: Hashable, Sendable {
    /// A file, created when missing. The directory must exist.
    case file(String)
    /// A file that nobody writes and that has no log: read without locks, and without leaving anything beside it. For readers only.
    case immutable(String)
    /// A file behind a SQLite VFS that was registered under a name: how the simulator gives a store a disk of its own.
    case virtual(vfs: String, path: String)
    /// Memory, shared by name within the process. The content lives as long as a connection to it does; see `MemoryAnchor`.
    case memory(name: String)

    /// What SQLite calls a database in memory. Names that begin with a slash are shared within the process.
    static func sharedMemoryName(_ name: String) -> String { "/" + name }
}

/// How durable an acknowledged transaction is.
public enum Synchronous: String, Hashable, Sendable, CaseIterable {
    /// Survives a crash of the process; a power loss may take back the newest transactions.
    case normal
    /// Survives a power loss.
    case full
}

/// How a store is opened.
public struct StoreOptions: Sendable {
    public var synchronous: Synchronous = .normal
    /// Bound of the writing connection's page cache.
    public var cacheKiB = 1_048_576
    /// Clocks of local versions that may wait in memory, and in the rows of their versions, before they are written to their tables
    /// (in a simulation at most 1,024). Bounds the memory, the time of opening, and the work that one transaction may meet.
    public var unfoldedClocks = 16_384
    /// How old a deletion must be before `Store.maintain` removes its tombstone; the same on all nodes. Nil: tombstones are kept for ever.
    /// A change may then be half as old when it arrives; see `docs/crdt.md`.
    public var tombstoneRetention: Duration?
    /// True: commits do not move the log's pages into the database, because a `Checkpointer` does.
    public var leavesCheckpoints = false
    /// Bytes that the write-ahead log's file is cut to when it begins anew.
    public var logBytes: Int64 = 64 << 20
    public var limits = Limits()
    /// Nanoseconds since 1970.
    public var wallClock: @Sendable () -> Int64 = systemWallClock
    /// The identity of a database that is created now; nil draws one from the system's randomness. An existing database keeps its own.
    public var identity: ActorID?
    /// For many stores in one process: small pages and caches, no memory mapping, nothing that depends on the time of day.
    public var simulated = false

    /// Tables get guards that make every other program fail that tries to write them. False only where no other program can get at the
    /// database.
    public var guardsTables = true
    /// The database was begun as a copy of this template, so that its tables need not be examined again. For databases in memory only.
    public var template: StoreTemplate?

    /// Others may open a database in memory at any time. False: not before `Store.makeReader`; until then its transactions take no locks
    /// and do not count in its first page.
    public var sharesMemory = true

    /// A mistake that the simulator's tests ask for, to show that their checkers find it; see `Merge.merge`.
    package var reversesTies = false
    /// For the tests that must see what happens without it: no reservation of version numbers is kept.
    var reservesVersions = true
    /// The pages of a transaction reach the log of a database file in one system call.
    var joinsLogWrites = true

    public init() {}
}

/// The system's clock, in nanoseconds since 1970.
public let systemWallClock: @Sendable () -> Int64 = {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
