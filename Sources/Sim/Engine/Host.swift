import PatinaProtocol
import PatinaStore

/// The time of a run. A class, because the stores' wall clocks read it.
///
/// Not checked for races: a simulation and its stores belong to one thread.
final class VirtualClock: @unchecked Sendable {
    /// Where the wall clocks of all runs begin: 2026-01-01T00:00:00Z.
    static let epochNanoseconds: Int64 = 1_767_225_600_000_000_000

    @exclusivity(unchecked) var now = Instant.zero
}

/// A simulated machine: it outlives the processes that run on it, and so does its disk.
final class Host {
    let index: Int
    let address: Address
    /// Another one once the disk has been wiped.
    var identity: ActorID
    let bootstrap: [Address]
    /// Name of the in-memory database, unique in this process.
    let storeName: String
    let wall: WallClock
    let settings: NodeSettings
    /// When the process is started for the first time.
    let startAt: Instant

    /// Counts the processes of this machine; those of one that has ended are stale. 0 before the first.
    @exclusivity(unchecked) var life = 0
    @exclusivity(unchecked) var process: Process?
    /// When the present process was started.
    var upSince = Instant.zero
    /// Crash faults that hold the machine down at present.
    var heldDownBy = 0
    /// Faults that make the machine stand still at present.
    var pausedBy = 0
    /// How long the process is busy with one event.
    var eventCost: Duration = .zero
    /// When the process has handled what it was given.
    var busyUntil = Instant.zero
    /// When a pause or slowness last ended.
    var lastHindered = Instant(nanoseconds: -1)
    var inbox = Inbox()
    /// It stands still, is slow, or has not caught up since.
    var isHindered = false
    var anchor: MemoryAnchor?
    /// The schema that it got last; nil: the one of the beginning.
    var schemaChange: SchemaChange?
    /// The wire version of the present process, and of the next one.
    var wire = WireVersion.own
    var nextWire = WireVersion.own
    /// Sessions that have brought something to a process of another major version.
    var heardSessions: Set<SessionID> = []
    // What some mutants remember.
    /// The machine that this one waits for, and what it sends after that.
    var waitsFor: Int?
    var heldBack: [Effect] = []
    /// A step of the store's upkeep is on its way.
    var isUpkeepScheduled = false
    /// In scenarios that break disks.
    var disk: SimulatedDisk?
    /// How long a sync takes while the disk is slow.
    var syncTime: ClosedRange<Duration>?
    /// The disk may have lost what was acknowledged: no more is promised than that peers still have it.
    var hasLostData = false
    /// Who writes here, for the record of acknowledged writes: another one after data was lost, because what it writes then knows
    /// nothing of what it wrote before. The machine is this modulo the number of machines.
    var writer: Int
    static let databasePath = "state.db"
    /// When the disk has written everything that it was given.
    var diskFree = Instant.zero
    /// Draws the disk's latencies.
    var diskRandom: Random
    /// Draws the times of the transport.
    @exclusivity(unchecked) private var transportRandom: Random
    let nodeRandom: Random

    var sessions: [SessionID: SessionEnd] = [:]
    var nextPeerSession: UInt64 = 0
    /// Connections that ever touched this machine.
    var connections: [Int] = []

    /// One end of a session: its place in the table, and 0 for the end that opened it, 1 for the other.
    struct SessionEnd {
        let session: Int
        let end: Int
    }

    init(
        index: Int, address: Address, bootstrap: [Address], storeName: String, settings: NodeSettings, wall: WallClock,
        startAt: Instant, random: Random
    ) {
        self.index = index
        writer = index
        self.address = address
        self.bootstrap = bootstrap
        self.storeName = storeName
        self.settings = settings
        self.wall = wall
        eventCost = settings.machine.eventTime
        self.startAt = startAt
        var identities = random.fork("identity")
        identity = ActorID.random(using: &identities)
        diskRandom = random.fork("disk")
        transportRandom = random.fork("transport")
        nodeRandom = random.fork("node")
    }

    /// What the next datagram or message of this machine takes besides its link.
    func transportTime() -> Duration {
        let range = settings.machine.transportTime
        return range.upperBound == .zero ? .zero : transportRandom.duration(in: range)
    }

    var isUp: Bool { process != nil }

    /// Addresses are numbers of hosts, so that finding the host of an address takes no table.
    static func address(of index: Int) -> Address { Address(ipv4: 0x0A00_0000 | UInt32(index + 1), port: 4_001) }

    /// The number of the host with this address; nil when there is none.
    static func index(of address: Address, among count: Int) -> Int? {
        guard let ipv4 = address.ipv4, ipv4 >> 24 == 10, address.port == 4_001 else { return nil }
        let index = Int(ipv4 & 0xFF_FFFF) - 1
        return index >= 0 && index < count ? index : nil
    }
}

/// A running process: a node and its store.
final class Process {
    @exclusivity(unchecked) var node: Node
    let store: Store

    init(node: consuming Node, store: Store) {
        self.node = node
        self.store = store
    }
}
