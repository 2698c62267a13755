import OrderedCollections
import PatinaProtocol

@testable import PatinaSim
@testable import PatinaStore

/// A write workload on a simulated disk, run once and recorded, and the judgement of what a power loss at any point of it leaves.
struct CrashWorkload {
    /// What was true of the store after some operation of the disk.
    struct State {
        /// Operations of the disk that were over by then.
        let position: Int
        /// What the disk knew of versions: knowledge whose write is put off may be lost.
        let ledger: Fingerprint
        let content: Fingerprint
        /// The own version that was acknowledged here, if one was.
        let version: UInt64?
    }

    let synchronous: Synchronous
    private(set) var operations: [DiskOperation] = []
    private(set) var states: [State] = []
    private let reserves: Bool
    private let joinsLogWrites: Bool
    private let notedOnly: Bool
    private var random: Random

    static let actor = ActorID(high: 1 << 56 | 0x4000, low: 0x8000_0000_0000_0000)
    static let peer = ActorID(high: 2 << 56 | 0x4000, low: 0x8000_0000_0000_0000)
    static let schema = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v, w);
        CREATE TABLE u (a INTEGER NOT NULL, b TEXT NOT NULL, v, PRIMARY KEY (a, b)) WITHOUT ROWID
        """
    static let laterSchema = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v, w, x DEFAULT 7);
        CREATE TABLE u (a INTEGER NOT NULL, b TEXT NOT NULL, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
        CREATE TABLE n (id INTEGER PRIMARY KEY, v)
        """

    /// - Parameters:
    ///   - joinsLogWrites: the store writes its log by way of a `LogWriterVFS`, as it does to files.
    ///   - notedOnly: nobody moves the log but the store, which notes how far.
    init(
        synchronous: Synchronous, reserves: Bool = true, joinsLogWrites: Bool = false, notedOnly: Bool = false, steps: Int, seed: UInt64
    ) throws {
        self.notedOnly = notedOnly
        self.synchronous = synchronous
        self.joinsLogWrites = joinsLogWrites
        self.reserves = reserves
        random = Random(seed: seed)
        try record(steps: steps)
    }

    static func disk() -> SimulatedDisk { SimulatedDisk(random: Random(seed: 1)) { 1_780_000_000_000_000_000 } }

    /// - Parameter front: the VFS to go through, instead of the disk's own.
    func open(_ disk: SimulatedDisk, front: LogWriterVFS? = nil) throws -> Store {
        var options = StoreOptions()
        options.simulated = true
        options.synchronous = synchronous
        options.identity = Self.actor
        options.reservesVersions = reserves
        options.wallClock = { 1_780_000_000_000_000_000 }
        let location = front.map { StoreLocation.virtual(vfs: $0.name, path: "db") } ?? disk.location("db")
        return try Store(location, options: options)
    }

    // MARK: The run

    private mutating func record(steps: Int) throws {
        let disk = Self.disk()
        disk.recording = []
        var peerOptions = StoreOptions()
        peerOptions.simulated = true
        peerOptions.identity = Self.peer
        peerOptions.limits.chunkBytes = 60
        let peer = try Store(.memory(name: "\(disk.vfsName)-peer"), options: peerOptions)
        defer { peer.close() }
        _ = try peer.applySchema([SchemaFile(path: "s", text: Self.schema)])
        let front = joinsLogWrites ? LogWriterVFS(below: disk.vfsName) : nil
        defer { withExtendedLifetime(front) {} }
        var store = try open(disk, front: front)
        defer { store.close() }
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
        try note(store, disk, version: nil)
        for step in 0..<steps {
            var version: UInt64?
            switch random.below(12) {
            case 0, 1:
                let chunks = try peer.transact(changes(count: 2)).chunks
                // Often a part of a version; what is left out comes never, or with a later one.
                let taken = random.below(2) == 0 ? chunks : Array(chunks.prefix(1))
                if !taken.isEmpty { _ = store.perform(.apply(chunks: taken, empties: [])) }
            case 2:
                // Also by a program that notes nothing.
                let kind = ["PASSIVE", "RESTART", "TRUNCATE"][random.below(3)]
                if kind == "PASSIVE" || notedOnly {
                    _ = try store.finishCheckpoint()
                } else {
                    try store.connection.execute("PRAGMA wal_checkpoint(\(kind))")
                }
            case 3:
                _ = store.perform(
                    .apply(chunks: [], empties: [EmptyVersions(actor: Self.peer, versions: UInt64(step + 900)...UInt64(step + 900))]))
            case 4 where step % 3 == 0:
                store.close()
                store = try open(disk, front: front)
            default: version = try store.transact(changes(count: 1 + random.below(3))).version
            }
            try note(store, disk, version: version)
            if step == steps / 2 {
                _ = try store.applySchema([SchemaFile(path: "s", text: Self.laterSchema)])
                try note(store, disk, version: nil)
            }
        }
        operations = disk.recording ?? []
        disk.recording = nil
    }

    private mutating func changes(count: Int) -> [Statement] {
        (0..<count).map { _ in
            let key = random.below(12)
            switch random.below(5) {
            case 0: return Statement("DELETE FROM t WHERE id = 'k\(key)'")
            case 1: return Statement("UPDATE t SET w = \(random.below(1_000)) WHERE id = 'k\(key)'")
            case 2: return Statement("INSERT OR REPLACE INTO u VALUES (\(key % 3), 'b\(key)', zeroblob(\(random.below(300))))")
            default:
                let value = random.below(1_000)
                return Statement("INSERT OR REPLACE INTO t (id, v, w) VALUES ('k\(key)', \(value), 'text of some length')")
            }
        }
    }

    private mutating func note(_ store: Store, _ disk: SimulatedDisk, version: UInt64?) throws {
        states.append(
            State(
                position: disk.recording?.count ?? 0, ledger: try Store.readLedger(store.connection, store.sites).fingerprint,
                content: try store.contentFingerprint(), version: version))
    }

    // MARK: The judgement

    /// Judges `points` power losses, spread over the whole run. Returns what was wrong.
    ///
    /// - Parameter promised: what counts as acknowledged for good; the workload's own setting unless a test wants to see it break.
    func judge(points: Int, promised: Synchronous? = nil, seed: UInt64) -> [String] {
        var violations: [String] = []
        var random = Random(seed: seed)
        let disk = Self.disk()
        var content = DiskContent()
        var (judged, reached, synced) = (0, 0, 0)
        for position in 0...operations.count {
            if position > 0 {
                content.apply(operations[position - 1])
                // A sync of the log makes everything safe that was committed before.
                if case .sync("db-wal") = operations[position - 1] { synced = position }
            }
            while reached + 1 < states.count, states[reached + 1].position <= position { reached += 1 }
            let due = points * (position + 1) / (operations.count + 1)
            while judged < due {
                judged += 1
                let loss = StoredFile.Loss.draw(using: &random)
                disk.replaceAll(with: content.after(loss, using: &random))
                let durable = (promised ?? synchronous) == .full ? position : synced
                if let problem = judge(disk, position: position, durable: durable) {
                    violations.append("after \(position) of \(operations.count) operations, \(loss): \(problem)")
                }
            }
        }
        return violations
    }

    /// Ends the process at points of the run, and more often where a mark was written, turns bits of its log over, and opens what is left:
    /// it must be refused by name, or be sound.
    /// Returns how often it was refused and mended, and what was wrong.
    func judgeDamagedLogs(points: Int, seed: UInt64) -> (refused: Int, mended: Int, violations: [String]) {
        var violations: [String] = []
        var random = Random(seed: seed)
        let disk = Self.disk()
        var content = DiskContent()
        var (judged, refused, mended) = (0, 0, 0)
        for position in 0...operations.count {
            if position > 0 { content.apply(operations[position - 1]) }
            // The mark was just written: pages are moved next, or all of them were, and the next commit begins the log anew.
            if position > 0, case .write("db.reservation", _, at: 8_192) = operations[position - 1] { judged -= 2 }
            let due = points * (position + 1) / (operations.count + 1)
            while judged < due {
                judged += 1
                disk.replaceAll(with: content.after(.nothing, using: &random))
                for _ in 0...random.below(2) { _ = disk.flipBit(in: "db-wal") }
                do {
                    let store = try open(disk)
                    if store.damagedLog != nil { mended += 1 }
                    disk.endProcess()
                    store.close()
                } catch {
                    if "\(error)".contains("the write-ahead log is damaged") {
                        refused += 1
                        continue
                    }
                }
                // Opened once more, so that what the first one did about it is judged as well.
                if let problem = judge(disk, position: position, durable: 0) {
                    violations.append("after \(position) of \(operations.count) operations: \(problem)")
                }
            }
        }
        return (refused, mended, violations)
    }

    /// Judges what is on the disk. States up to the operation `durable` must be there, later ones may.
    private func judge(_ disk: SimulatedDisk, position: Int, durable: Int) -> String? {
        do {
            let store = try open(disk)
            defer {
                disk.endProcess()
                store.close()
            }
            if let first = try store.verify().first { return "verify: \(first)" }
            let ledger = store.ledger.fingerprint
            let known = states.last { $0.position <= durable }
            if let known, known.position > 0 {
                guard let found = states.lastIndex(where: { $0.ledger == ledger }) else { return "a state that never was" }
                if states[found].position < known.position, states[found].ledger != known.ledger {
                    return "durable transactions are lost: back at operation \(states[found].position)"
                }
                let content = try store.contentFingerprint()
                if !states.contains(where: { $0.ledger == ledger && $0.content == content }) { return "rows that do not fit the ledger" }
            }
            let given = states.filter { $0.position <= position }.compactMap(\.version).max() ?? 0
            // Early on there was no schema yet.
            if try store.connection.integer("SELECT count(*) FROM sqlite_schema WHERE name = 't'") == 0 {
                _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
            }
            let next = try store.transact([Statement("INSERT OR REPLACE INTO t (id, v) VALUES ('next', 1)")]).version ?? 0
            return next > given ? nil : "version \(next) is given out again; \(given) was reached"
        } catch {
            return "\(error)"
        }
    }
}
