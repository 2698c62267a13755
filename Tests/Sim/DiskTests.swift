import OrderedCollections
import PatinaProtocol
import Testing

@testable import PatinaSim
@testable import PatinaStore

/// The simulated disk, and what a store makes of its faults.
@Suite("Disk")
struct DiskTests {
    private static let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)"

    private func disk() -> SimulatedDisk { CrashWorkload.disk() }

    private func open(_ disk: SimulatedDisk, _ synchronous: Synchronous = .normal) throws -> Store {
        var options = StoreOptions()
        options.simulated = true
        options.synchronous = synchronous
        options.identity = CrashWorkload.actor
        options.wallClock = { 1_780_000_000_000_000_000 }
        let store = try Store(disk.location("db"), options: options)
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
        return store
    }

    private func insert(_ store: Store, _ number: Int) throws -> UInt64? {
        try store.transact([Statement("INSERT OR REPLACE INTO t VALUES (\(number), zeroblob(500))")]).version
    }

    private func count(_ store: Store) throws -> Int64 { try store.connection.integer("SELECT count(*) FROM t") }

    @Test("disk: a sector is written whole or not at all, and what was synced stays")
    func sectors() {
        var file = StoredFile()
        var random = Random(seed: 3)
        file.write([UInt8](repeating: 1, count: 2_048), at: 0)
        #expect(file.after(.everything, using: &random) == nil)
        #expect(file.after(.nothing, using: &random) == [UInt8](repeating: 1, count: 2_048))
        file.sync()
        file.write([UInt8](repeating: 2, count: 1_024), at: 256)
        #expect(file.after(.everything, using: &random) == [UInt8](repeating: 1, count: 2_048))
        var seen: Set<[UInt8]> = []
        for _ in 0..<200 {
            guard let content = file.after(.sectors(kept: 500_000), using: &random) else {
                Issue.record("a synced file is gone")
                return
            }
            for range in [256..<512, 512..<1_024, 1_024..<1_280] { #expect(Set(content[range]).count == 1) }
            #expect(content[..<256].allSatisfy { $0 == 1 } && content[1_280...].allSatisfy { $0 == 1 })
            seen.insert(content)
        }
        #expect(seen.count == 8)
    }

    @Test("disk: a removed file may be back after a power loss, unless something was synced since")
    func names() {
        var content = DiskContent(["a": [1]])
        var random = Random(seed: 3)
        content.apply(.remove("a", durable: false))
        #expect(content.after(.everything, using: &random) == ["a": [1]])
        #expect(content.after(.nothing, using: &random).isEmpty)
        content.apply(.create("a"))
        content.apply(.write("a", [2], at: 0))
        #expect(content.after(.everything, using: &random) == ["a": [1]])
        content.apply(.sync("a"))
        #expect(content.after(.everything, using: &random) == ["a": [2]])
        content.apply(.remove("a", durable: true))
        #expect(content.after(.everything, using: &random).isEmpty)
    }

    @Test("disk: SIGKILL takes back nothing, a power loss takes back what was not synced (synchronous)", arguments: Synchronous.allCases)
    func losses(synchronous: Synchronous) throws {
        let disk = disk()
        var store = try open(disk, synchronous)
        for number in 1...10 { #expect(try insert(store, number) == UInt64(number)) }
        disk.endProcess()
        store.close()
        store = try open(disk, synchronous)
        #expect(try count(store) == 10)
        let first = try #require(try insert(store, 11))
        #expect(first > VersionReservation.block)
        disk.losePower(.everything)
        store.close()
        store = try open(disk, synchronous)
        #expect(try count(store) == (synchronous == .full ? 11 : 10))
        let second = try #require(try insert(store, 12))
        #expect(second > first + VersionReservation.block - 2)
        try #expect(store.verify() == [])
        store.close()
        store = try open(disk, synchronous)
        #expect(try insert(store, 13) == second + 1, "a clean end leaves no gap")
        store.close()
    }

    @Test("disk: an I/O error ends the store with a reason, and loses nothing that was acknowledged (operation)", arguments: 0..<3)
    func errors(operation: Int) throws {
        let disk = disk()
        var (acknowledged, failures, highest) = (Set<Int>(), 0, UInt64(0))
        for life in 0..<12 {
            disk.faults = SimulatedDisk.Faults()
            let store = try open(disk, .full)
            for number in acknowledged.sorted() {
                #expect(try store.connection.integer("SELECT count(*) FROM t WHERE id = \(number)") == 1)
            }
            try #expect(store.verify() == [])
            if operation == 0 { disk.faults.readErrors = 20_000 }
            if operation == 1 { disk.faults.writeErrors = 30_000 }
            if operation == 2 { disk.faults.syncErrors = 60_000 }
            for step in 0..<40 where store.failure == nil {
                do {
                    if operation == 0 { try store.connection.execute("PRAGMA shrink_memory") }
                    let version = try #require(try insert(store, life * 100 + step))
                    #expect(version > highest)
                    highest = version
                    acknowledged.insert(life * 100 + step)
                } catch {
                    failures += 1
                    let error = try #require(error as? StoreError)
                    #expect(error.isFatal && store.failure == error)
                    #expect(throws: error) { try insert(store, 0) }
                }
            }
            disk.endProcess()
            store.close()
        }
        #expect(failures > 2 && acknowledged.count > 20)
    }

    @Test("disk: a full disk refuses writes and loses nothing; with room again the same store goes on")
    func full() throws {
        let disk = disk()
        let store = try open(disk)
        defer { store.close() }
        for number in 0..<20 { _ = try insert(store, number) }
        disk.faults.capacity = 0
        let error = #expect(throws: StoreError.self) { try self.insert(store, 100) }
        #expect(error?.isOutOfSpace == true && store.failure == nil)
        #expect(try count(store) == 20)
        disk.faults.capacity = nil
        let version = try #require(try insert(store, 101))
        #expect(version == 22, "the number of the failed commit is not used again")
        try #expect(store.verify() == [])
    }

    @Test("disk: a database that is put back over a newer one, and one whose reservation is lost, give out no number again")
    func backups() throws {
        let disk = disk()
        var store = try open(disk)
        for number in 0..<20 { _ = try insert(store, number) }
        store.close()
        let backup = disk.copy()
        let generation = store.generation
        store = try open(disk)
        for number in 0..<20 { _ = try insert(store, number) }
        store.close()
        disk.replace(["db": backup["db"]])
        store = try open(disk)
        #expect(try insert(store, 0) == 41)
        #expect(store.generation > generation + 1)
        store.close()
        disk.replace(["db": backup["db"], "db.reservation": nil])
        store = try open(disk)
        #expect(try #require(try insert(store, 0)) > 44_000_000_000)
        store.close()
    }

    @Test("disk: one flipped bit in the reservation is noticed, wherever it is")
    func reservationBits() throws {
        let disk = disk()
        let store = try open(disk)
        _ = try insert(store, 0)
        store.close()
        let whole = disk.copy()
        for _ in 0..<60 {
            disk.replaceAll(with: whole)
            #expect(disk.flipBit(in: "db.reservation"))
            let damaged = disk.copy()["db.reservation"] != whole["db.reservation"]
            #expect(damaged)
            let store = try open(disk)
            #expect(try #require(try insert(store, 0)) >= 2)
            disk.endProcess()
            store.close()
        }
    }
}
