import CSQLite
import Foundation
import PatinaProtocol
import Testing

@testable import PatinaStore

/// Where version numbers go on, worked out from what is found at the opening of a database.
@Suite("Reservation")
struct ReservationTests {
    private let actor = ActorID(high: 1, low: 1)
    private static let second: Int64 = 1_000_000_000
    /// 2026-01-01, in nanoseconds.
    private static let wall: Int64 = 1_767_225_600 * second

    private func facts(generation: UInt64 = 5, head: UInt64 = 100, newest: Int64? = nil, isRestored: Bool = false) -> VersionPlan.Facts {
        VersionPlan.Facts(
            actor: actor, generation: generation, head: head, newest: newest, isRestored: isRestored, wall: Self.wall)
    }

    private func found(generation: UInt64, versions: UInt64, damaged: Bool = false, actor: ActorID? = nil) -> ReservationFile.Content {
        ReservationFile.Content(
            record: VersionReservation(actor: actor ?? self.actor, generation: generation, versions: versions), isDamaged: damaged)
    }

    private static let milliseconds: UInt64 = 365 * 86_400_000

    @Test("reservation: one that is as old as the database, or newer, says where to go on")
    func vouched() {
        for generation: UInt64 in [5, 6, 90] {
            let plan = VersionPlan(facts(), found: found(generation: generation, versions: 4_196))
            #expect(plan.floor == 4_196 && plan.generation == generation + 1 && !plan.isFromClock)
        }
        #expect(VersionPlan(facts(head: 9_000), found: found(generation: 5, versions: 4_196)).floor == 9_000)
        let new = VersionPlan(facts(generation: 0, head: 0), found: nil)
        #expect(new.floor == 0 && new.generation == 1 && !new.isFromClock)
        // The database was deleted, and made again with the same identity.
        #expect(VersionPlan(facts(generation: 0, head: 0), found: found(generation: 3, versions: 70)).floor == 70)
    }

    @Test("reservation: without one that vouches for the database the clock decides")
    func clock() {
        let doubtful: [(VersionPlan.Facts, ReservationFile.Content?)] = [
            (facts(), nil), (facts(), found(generation: 4, versions: 4_196)),
            (facts(), found(generation: 5, versions: 4_196, damaged: true)),
            (facts(isRestored: true), found(generation: 5, versions: 4_196)),
            (facts(), found(generation: 5, versions: 4_196, actor: ActorID(high: 2, low: 2))),
            (facts(generation: 0, head: 0), found(generation: 3, versions: 70, damaged: true)),
            (facts(generation: 0, head: 0, isRestored: true), nil),
        ]
        for (facts, found) in doubtful {
            let plan = VersionPlan(facts, found: found)
            #expect(plan.isFromClock && plan.floor == Self.milliseconds && plan.generation == Self.milliseconds / 1_000)
        }
        // An actor that has made more than a version a millisecond: by the time since its newest one.
        let fast = VersionPlan(facts(head: 2 * Self.milliseconds, newest: Self.wall - 10 * Self.second), found: nil)
        #expect(fast.floor == 2 * Self.milliseconds + 160_000)
        // Clocks that are off: never below what is known, and never so high that no numbers are left.
        #expect(VersionPlan(facts(head: 2 * Self.milliseconds, newest: .max), found: nil).floor == 2 * Self.milliseconds)
        let mad = VersionPlan(facts(newest: 0), found: nil)
        #expect(mad.floor > 100 && mad.floor < Bookkeeping.lastVersion)
        #expect(VersionPlan(facts(generation: UInt64.max / 4), found: nil).generation == UInt64.max / 4 + 1)
    }

    @Test("reservation: a running store raises it by the block, and goes on above own versions that a peer gives back")
    func running() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("patina-reservation-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("db").path
        let harness = StoreHarness("reservation")
        var options = StoreOptions()
        options.cacheKiB = 2_048
        options.identity = harness.actor(1)
        let store = try Store(.file(path), options: options)
        defer { store.close() }
        let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)"
        _ = try store.applySchema([SchemaFile(path: "s", text: schema)])
        #expect(try store.run("INSERT INTO t VALUES (1, 1)").version == 1)
        #expect(store.reservedVersions == VersionReservation.block)
        // What the same actor wrote in another life, as a peer has it.
        let former = try harness.store(1, schema: schema)
        defer { former.close() }
        for number in 0..<5_000 { try former.run("INSERT OR REPLACE INTO t VALUES (\(number % 3 + 10), \(number))") }
        let last = try former.run("INSERT OR REPLACE INTO t VALUES (77, 1)")
        #expect(last.version == 5_001)
        store.take(last.chunks)
        #expect(try store.run("INSERT INTO t VALUES (2, 1)").version == 5_002)
        #expect(store.reservedVersions == 5_001 + VersionReservation.block)
        #expect(try ReservationFile(database: path, vfs: nil).found?.record?.versions == 5_001 + VersionReservation.block)
        #expect(try store.text("SELECT id FROM t ORDER BY id") == ["1", "2", "77"])
        try store.expectSound()
    }

    @Test("check: a file is judged without being written, and damage of each kind is a line")
    func check() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("patina-check-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("db").path
        func open() throws -> Store {
            var options = StoreOptions()
            options.cacheKiB = 2_048
            return try Store(.file(path), options: options)
        }
        var store = try open()
        _ = try store.applySchema([SchemaFile(path: "s", text: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v)")])
        for number in 0..<50 { try store.run("INSERT INTO t VALUES ('k\(number)', zeroblob(300))") }
        try store.run("DELETE FROM t WHERE id = 'k7'")
        #expect(throws: StoreError.self) { try DatabaseCheck.run(path: path) }
        try store.foldClocks()
        let actor = store.actor
        store.close()
        let before = try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        let sound = try DatabaseCheck.run(path: path)
        #expect(sound == DatabaseCheck.Outcome(violations: [], actor: actor, generation: 1, head: 51, tables: 1))
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted() == before)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == whole)

        let damages: [(sql: String, names: String)] = [
            ("DELETE FROM t__patina_clock WHERE key = 3", "has no clock record"),
            ("DELETE FROM t WHERE id = 'k3'", "clock records without a row"),
            ("UPDATE t__patina_tombstone SET length = 3", "has the causal length 3"),
            ("DELETE FROM __patina_versions WHERE id = 4", "which has no row"),
            ("UPDATE __patina_versions SET keys = x'' WHERE id = 4", "is missing in the key list"),
            ("INSERT INTO __patina_ledger VALUES (0, 900, 950), (0, 920, 960)", "overlap with those up to 950"),
            ("INSERT INTO __patina_ledger VALUES (0, 900, 950)", "above the 51 that are reserved"),
        ]
        for (sql, names) in damages {
            store = try open()
            try store.connection.execute(sql)
            // As a crash would: the reservation stays as it was.
            store.failure = .closed
            store.close()
            if names.contains("reserved") {
                let file = try ReservationFile(database: path, vfs: nil)
                try file.write(VersionReservation(actor: actor, generation: 1 << 40, versions: 51))
            }
            let violations = try DatabaseCheck.run(path: path).violations
            #expect(violations.contains { $0.contains(names) }, "\(sql): \(violations)")
            try whole.write(to: URL(fileURLWithPath: path))
            try? FileManager.default.removeItem(atPath: path + ".reservation")
        }
        var torn = whole
        for index in 8_192..<9_000 { torn[index] = 0xA5 }
        try torn.write(to: URL(fileURLWithPath: path))
        #expect((try? DatabaseCheck.run(path: path).violations.isEmpty) != true)
        try Data("no database at all, but long enough to be one, if anybody took it for one. ".utf8).write(to: URL(fileURLWithPath: path))
        #expect(throws: StoreError.self) { try DatabaseCheck.run(path: path) }
        #expect(throws: StoreError.self) { try DatabaseCheck.run(path: path + "-nothing") }
    }
}
