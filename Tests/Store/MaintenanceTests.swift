import Foundation
import PatinaProtocol
import Testing

@testable import PatinaStore

/// Goal: what the store does by itself changes no row, loses nothing, and does little at a time. Method: stores in memory and in files, a
/// wall clock that the test sets.
@Suite("Maintenance")
struct MaintenanceTests {
    private static let schema = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v INTEGER NOT NULL DEFAULT 1, w);
        CREATE TABLE k (a TEXT NOT NULL, b INTEGER NOT NULL, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
        """
    private static let hour: Int64 = 3_600_000_000_000

    /// Stores that keep tombstones for ten hours.
    private func harness(_ name: String) -> StoreHarness {
        let harness = StoreHarness(name)
        harness.clock.nanoseconds = 1_000 * Self.hour
        return harness
    }

    private func store(_ harness: StoreHarness, _ number: Int, hours: Int? = 10) throws -> Store {
        var options = StoreOptions()
        options.simulated = true
        options.identity = harness.actor(number)
        options.tombstoneRetention = hours.map { .seconds($0 * 3_600) }
        let clock = harness.clock
        options.wallClock = { clock.nanoseconds }
        let store = try Store(.memory(name: "\(harness.name)-\(number)"), options: options)
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
        return store
    }

    private func tombstones(_ store: Store) throws -> Int {
        while try store.maintain(.clocks) {}
        return try Int(
            store.connection.integer(
                "SELECT (SELECT count(*) FROM t__patina_tombstone) + (SELECT count(*) FROM k__patina_tombstone)"
            ))
    }

    private func versions(_ store: Store) throws -> Int {
        Int(try store.connection.integer("SELECT count(*) FROM __patina_versions"))
    }

    /// Runs a task to the end of its pass and returns the number of steps.
    @discardableResult
    private func pass(_ store: Store, _ task: MaintenanceTask) throws -> Int {
        // What is not folded waits for the next pass.
        while try store.maintain(.clocks) {}
        var steps = 1
        while try store.maintain(task) {
            steps += 1
            #expect(steps < 1_000, "a pass does not end")
            if steps >= 1_000 { break }
        }
        return steps
    }

    /// Offers chunks and returns why some were refused.
    private func offer(_ store: Store, _ chunks: [Chunk]) -> [String] {
        guard case .applied(_, let refused) = store.perform(.apply(chunks: chunks, empties: [])) else {
            return ["failed"]
        }
        return refused.map(\.reason)
    }

    // MARK: Tombstones

    @Test(
        "tombstones: they go when they are older than the retention, not before, and the version becomes empty"
    )
    func collection() throws {
        let harness = harness("maintenance-collection")
        let store = try store(harness, 1)
        defer { store.close() }
        try store.run(
            "INSERT INTO t VALUES ('a', 1, 1), ('b', 2, 2), ('c', 3, 3)",
            "INSERT INTO k VALUES ('x', 1, 1)")
        try store.run("DELETE FROM t WHERE id = 'a'", "DELETE FROM k")
        harness.clock.nanoseconds += 5 * Self.hour
        try store.run("DELETE FROM t WHERE id = 'b'")
        #expect(try tombstones(store) == 3)
        harness.clock.nanoseconds += 5 * Self.hour - 1_000_000
        try pass(store, .tombstones)
        #expect(try tombstones(store) == 3)
        harness.clock.nanoseconds += 2_000_000
        try pass(store, .tombstones)
        #expect(try tombstones(store) == 1)
        try store.expectSound()
        harness.clock.nanoseconds += 6 * Self.hour
        try pass(store, .tombstones)
        #expect(try tombstones(store) == 0)
        #expect(
            try store.serve([.versions(store.actor, 2...3)]).empties == [
                EmptyVersions(actor: store.actor, versions: 2...3)
            ])
        #expect(try store.text("SELECT id FROM t") == ["c"])
        try store.expectSound()
    }

    @Test("tombstones: nothing is collected without a retention")
    func keptForEver() throws {
        let harness = harness("maintenance-kept")
        let store = try store(harness, 1, hours: nil)
        defer { store.close() }
        try store.run("INSERT INTO t VALUES ('a', 1, 1)")
        try store.run("DELETE FROM t")
        harness.clock.nanoseconds += 100_000 * Self.hour
        #expect(try pass(store, .tombstones) == 1)
        #expect(try tombstones(store) == 1)
    }

    @Test("tombstones: a pass over many takes bounded steps and misses none")
    func manySteps() throws {
        let harness = harness("maintenance-many")
        let store = try store(harness, 1)
        defer { store.close() }
        let rows = Store.maintenanceRows * 2 + 7
        try store.run(
            """
            INSERT INTO t (id) SELECT 'k' || value FROM (
                WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT \(rows)) SELECT value FROM n)
            """
        )
        try store.run("INSERT INTO k SELECT id, 1, 1 FROM t")
        try store.run("DELETE FROM t", "DELETE FROM k")
        harness.clock.nanoseconds += 11 * Self.hour
        while try store.maintain(.clocks) {}
        #expect(try store.maintain(.tombstones))
        #expect(try tombstones(store) == 2 * rows - Store.maintenanceRows)
        #expect(try pass(store, .tombstones) >= 3)
        #expect(try tombstones(store) == 0)
        try store.expectSound()
    }

    @Test(
        "tombstones: after a collection rows are inserted anew on nodes that have collected and on nodes that have not"
    )
    func insertedAnew() throws {
        let harness = harness("maintenance-anew")
        let (one, two) = (try store(harness, 1), try store(harness, 2))
        defer {
            one.close()
            two.close()
        }
        two.take(
            try one.run("INSERT INTO t VALUES ('a', 1, 1)", "INSERT INTO k VALUES ('x', 1, 1)").chunks)
        two.take(try one.run("DELETE FROM t", "DELETE FROM k").chunks)
        harness.clock.nanoseconds += 11 * Self.hour
        try pass(one, .tombstones)
        #expect(try (tombstones(one), tombstones(two)) == (0, 2))
        // Node 1 begins at causal length 1 again; node 2 still has the tombstone.
        two.take(
            try one.run("INSERT INTO t VALUES ('a', 5, 'new')", "INSERT INTO k VALUES ('x', 1, 'new')")
                .chunks)
        #expect(try two.text("SELECT v, w FROM t") == ["5|new"])
        #expect(try two.contentFingerprint() == one.contentFingerprint())
        #expect(try two.clockedCells() == one.clockedCells())
        try two.expectSound()
    }

    @Test("tombstones: a deletion that arrives long after its row was inserted anew has no force")
    func lateDeletion() throws {
        let harness = harness("maintenance-late-deletion")
        let (one, two, three) = (try store(harness, 1), try store(harness, 2), try store(harness, 3))
        defer { for store in [one, two, three] { store.close() } }
        let insert = try one.run("INSERT INTO t VALUES ('a', 1, 1)").chunks
        let delete = try one.run("DELETE FROM t").chunks
        two.take(insert + delete)
        harness.clock.nanoseconds += 11 * Self.hour
        try pass(one, .tombstones)
        let anew = try one.run("INSERT INTO t VALUES ('a', 7, 7)").chunks
        three.take(anew)
        three.take(delete)
        three.take(insert)
        #expect(try three.text("SELECT v FROM t") == ["7"])
        try three.expectSound()
        // A deletion of the new row has.
        let again = try one.run("DELETE FROM t").chunks
        two.take(anew + again)
        three.take(again)
        #expect(try two.text("SELECT v FROM t").isEmpty)
        #expect(try three.text("SELECT v FROM t").isEmpty)
    }

    @Test(
        "tombstones: an old insertion that arrives after the collection is refused, and changes nothing"
    )
    func oldInsertion() throws {
        let harness = harness("maintenance-old-insertion")
        let (one, two) = (try store(harness, 1), try store(harness, 2))
        defer {
            one.close()
            two.close()
        }
        // Node 2 inserts the same row, and is cut off before anybody hears of it.
        let late = try two.run("INSERT INTO t VALUES ('a', 9, 9)", "INSERT INTO t VALUES ('own', 9, 9)")
            .chunks
        try one.run("INSERT INTO t VALUES ('a', 1, 1)")
        try one.run("DELETE FROM t")
        harness.clock.nanoseconds += 11 * Self.hour
        try pass(one, .tombstones)
        let reasons = offer(one, late)
        #expect(reasons.count == 1)
        #expect(reasons.first?.contains("more than half of the tombstone retention late") == true)
        // Neither the row that was deleted nor the others of the version: a version is taken whole or not at all.
        #expect(try one.text("SELECT count(*) FROM t") == ["0"])
        #expect(!one.ledger.contains(late[0].id))
        try one.expectSound()
    }

    @Test(
        "tombstones: a node that was away longer than the retention cannot bring a row back by changing it"
    )
    func awayTooLong() throws {
        let harness = harness("maintenance-away")
        let (one, two, away) = (try store(harness, 1), try store(harness, 2), try store(harness, 3))
        defer { for store in [one, two, away] { store.close() } }
        let insert = try one.run("INSERT INTO t VALUES ('a', 1, 1), ('b', 1, 1)").chunks
        two.take(insert)
        away.take(insert)
        let delete = try one.run("DELETE FROM t WHERE id = 'a'").chunks
        two.take(delete)
        harness.clock.nanoseconds += 11 * Self.hour
        try pass(one, .tombstones)
        #expect(try (tombstones(one), tombstones(two)) == (0, 1))
        // Fresh by the clock, made without knowing of the deletion.
        let change = try away.run("UPDATE t SET v = 100 WHERE id = 'a'").chunks
        for store in [one, two] {
            let reasons = offer(store, change)
            #expect(reasons.count == 1)
            #expect(reasons.first?.contains("restore that node from a backup of another one") == true)
            #expect(try store.text("SELECT id, v FROM t") == ["b|1"])
            #expect(!store.ledger.contains(change[0].id))
            try store.expectSound()
        }
        // What it wrote to other rows is welcome.
        #expect(
            offer(
                one,
                try away.run("UPDATE t SET v = 5 WHERE id = 'b'", "INSERT INTO t VALUES ('c', 1, 1)").chunks
            ) == [])
        #expect(try one.text("SELECT id, v FROM t ORDER BY id") == ["b|5", "c|1"])
        // When somebody still has the deletion, the node learns of it, and what it did to the row comes to nothing.
        away.take(try two.serve([.versions(one.actor, 2...2)]).chunks)
        #expect(try away.text("SELECT id FROM t ORDER BY id") == ["b", "c"])
        let left = try away.serve([.versions(away.actor, 1...1)])
        #expect(left.chunks.isEmpty)
        one.take(left.chunks, left.empties)
        #expect(try one.contentFingerprint() == away.contentFingerprint())
    }

    @Test(
        "tombstones: within half of the retention everything is as if none were ever collected",
        arguments: 1...12)
    func agreesWithinReach(seed: UInt64) throws {
        var random = Random(seed: seed)
        let (harness, plain) = (
            harness("maintenance-reach-\(seed)"), harness("maintenance-reach-plain-\(seed)")
        )
        let stores = try (1...3).map { try store(harness, $0) }
        let twins = try (1...3).map { try store(plain, $0, hours: nil) }
        defer { for store in stores + twins { store.close() } }
        var pending: [(due: Int64, to: Int, chunks: [Chunk], twin: [Chunk])] = []
        for _ in 0..<120 {
            harness.clock.nanoseconds += Self.hour / 4
            plain.clock.nanoseconds = harness.clock.nanoseconds
            let writer = random.below(3 as Int)
            let key = "k\(random.below(6 as Int))"
            // Nobody fights for a row: whether one exists may then not depend on who collects when.
            guard key.utf8.last.map({ Int($0 - 48) % 3 }) == writer else { continue }
            let sql =
                switch random.below(3 as Int) {
                case 0:
                    "INSERT INTO t VALUES ('\(key)', \(random.below(90 as Int)), 1) ON CONFLICT (id) DO UPDATE SET v = excluded.v"
                case 1: "UPDATE t SET w = \(random.below(90 as Int)) WHERE id = '\(key)'"
                default: "DELETE FROM t WHERE id = '\(key)'"
                }
            let (outcome, twin) = (try stores[writer].run(sql), try twins[writer].run(sql))
            for other in 0..<3 where other != writer && outcome.version != nil {
                let delay = Int64(random.below(16 as Int)) * Self.hour / 4
                pending.append((harness.clock.nanoseconds + delay, other, outcome.chunks, twin.chunks))
            }
            for item in pending where item.due <= harness.clock.nanoseconds {
                stores[item.to].take(item.chunks)
                twins[item.to].take(item.twin)
            }
            pending.removeAll { $0.due <= harness.clock.nanoseconds }
            if random.below(4 as Int) == 0 { try pass(stores[random.below(3 as Int)], .tombstones) }
            if random.below(8 as Int) == 0 { try pass(stores[random.below(3 as Int)], .keyLists) }
        }
        for item in pending {
            stores[item.to].take(item.chunks)
            twins[item.to].take(item.twin)
        }
        let expected = try twins[0].contentFingerprint()
        for store in stores + twins {
            #expect(try store.contentFingerprint() == expected)
            try store.expectSound()
        }
    }

    // MARK: Key lists

    @Test(
        "key lists: those of versions of which nothing is left go; the versions stay complete, and are served as empty"
    )
    func keyLists() throws {
        let harness = harness("maintenance-keys")
        let (store, other) = (try store(harness, 1), try store(harness, 2))
        defer {
            store.close()
            other.close()
        }
        for number in 1...50 {
            try store.run(
                "INSERT INTO t VALUES ('a', \(number), 1) ON CONFLICT DO UPDATE SET v = \(number)")
        }
        try store.run("INSERT INTO t VALUES ('b', 1, 1)", "INSERT INTO k VALUES ('x', 1, 1)")
        try store.run("UPDATE k SET v = 2")
        let content = try store.contentFingerprint()
        try pass(store, .keyLists)
        // Left: the insertion of 'a' (column w), the last change of it, that of 'b', and the newest version.
        #expect(try versions(store) == 4)
        #expect(store.ledger.head(of: store.actor) == 52)
        try store.expectSound()
        #expect(try pass(store, .keyLists) == 1)
        let served = try store.serve([.versions(store.actor, 1...52)])
        other.take(served.chunks, served.empties)
        #expect(try other.contentFingerprint() == content)
        #expect(other.ledger.head(of: store.actor) == 52)
        try other.expectSound()
        store.close()
        let again = try self.store(harness, 1)
        #expect(again.actor == store.actor)
        again.close()
    }

    @Test("key lists: a long one is looked at in parts, and found out at its last row")
    func longKeyList() throws {
        let harness = harness("maintenance-long")
        let store = try store(harness, 1)
        defer { store.close() }
        let rows = Store.maintenanceRows * 3 + 5
        let fill =
            """
            SELECT 'k' || value, 1 FROM (
                WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT \(rows)) SELECT value FROM n)
            """
        try store.run("INSERT INTO t (id, v) \(fill)")
        // All but the last row, whose cells are what is left.
        try store.run("UPDATE t SET v = 2, w = 2 WHERE id <> 'k\(rows)'")
        try store.run("UPDATE t SET v = 3 WHERE id = 'k1'")
        #expect(try pass(store, .keyLists) > 3)
        #expect(try versions(store) == 3)
        try store.run("UPDATE t SET v = 4, w = 4")
        try store.run("INSERT INTO t VALUES ('new', 1, 1)")
        #expect(try pass(store, .keyLists) > 3)
        #expect(try versions(store) == 2)
        try store.expectSound()
    }

    // MARK: Files

    @Test("vacuum: free pages are given back in steps, down to what is kept")
    func vacuum() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "patina-maintenance-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let store = try Store(
            .file(directory.appendingPathComponent("db").path), options: StoreOptions())
        defer { store.close() }
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
        try store.run(
            """
            INSERT INTO t (id, w) SELECT 'k' || value, zeroblob(3000) FROM (
                WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 600) SELECT value FROM n)
            """
        )
        try store.run("DELETE FROM t WHERE id <> 'k1'")
        let (free, pages) = (
            try store.connection.integer("PRAGMA freelist_count"),
            try store.connection.integer("PRAGMA page_count")
        )
        #expect(free > Store.keptFreePages + 2 * Store.vacuumPages)
        #expect(try store.maintain(.vacuum))
        #expect(try store.connection.integer("PRAGMA freelist_count") == free - Store.vacuumPages)
        #expect(try pass(store, .vacuum) > 1)
        #expect(try store.connection.integer("PRAGMA freelist_count") == Store.keptFreePages)
        #expect(try store.connection.integer("PRAGMA page_count") < pages)
        try store.expectSound()
    }

    @Test(
        "checkpoint: the log is moved beside the writer, begins anew, and a reader holds it back only as long as it reads"
    )
    func checkpoint() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "patina-maintenance-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("db").path
        var options = StoreOptions()
        options.leavesCheckpoints = true
        let store = try Store(.file(path), options: options)
        defer { store.close() }
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
        let checkpointer = try store.makeCheckpointer()
        for number in 1...1_200 {
            try store.run("INSERT INTO t VALUES ('k\(number)', 1, zeroblob(2000))")
        }
        // Nobody moves the pages by the way.
        #expect(store.logPages > 1_200)
        let reader = try Connection(.file(path), readOnly: true, userStatementLimit: 0)
        try reader.execute("BEGIN")
        #expect(try reader.integer("SELECT count(*) FROM t") == 1_200)
        try store.run("INSERT INTO t VALUES ('after', 1, 1)")
        // The reader needs what was there before the last commit.
        let held = try checkpointer.run()
        #expect(held.waitingPages > 0 && held.waitingPages < 64)
        #expect(try reader.integer("SELECT count(*) FROM t") == 1_200)
        let before = store.logPages
        try store.run("INSERT INTO t VALUES ('more', 1, 1)")
        #expect(store.logPages > before)
        try reader.execute("COMMIT")
        reader.close()
        #expect(try checkpointer.run().waitingPages == 0)
        #expect(try store.finishCheckpoint().waitingPages == 0)
        try store.run("INSERT INTO t VALUES ('anew', 1, 1)")
        #expect(store.logPages < 64)
        checkpointer.close()
        #expect(throws: StoreError.closed) { try checkpointer.run() }
        #expect(try store.text("SELECT count(*) FROM t") == ["1203"])
        try store.expectSound()
    }
}
