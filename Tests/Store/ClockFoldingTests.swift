import PatinaProtocol
import Testing

@testable import PatinaStore

/// Goal: it cannot be told from outside whether the clocks of a row are in its table, or wait in the log of a version.
/// Method: random histories run on two stores, one of which folds after every transaction and one that waits; rows, clocks, chunks
/// and what is served must be equal at every step, the store is opened anew now and then, and `verify` runs all along.
@Suite("ClockFolding")
struct ClockFoldingTests {
    private static let schema = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b);
        CREATE TABLE n (id INTEGER PRIMARY KEY, a);
        CREATE TABLE w (x NOT NULL, y NOT NULL, a, PRIMARY KEY (y, x)) WITHOUT ROWID;
        CREATE TABLE k (id BLOB NOT NULL PRIMARY KEY)
        """

    /// A random statement over few keys, so that rows are deleted, created again and overwritten.
    private func statement(_ random: inout Random) -> String {
        let id = random.below(6)
        let value = random.below(3)
        let column = random.below(2) == 0 ? "a" : "b"
        switch random.below(14) {
        case 0, 1: return "INSERT OR REPLACE INTO t VALUES ('\(id)', \(value), 'x')"
        case 2: return "INSERT INTO t VALUES ('\(id)', \(value), 'y') ON CONFLICT DO UPDATE SET \(column) = \(value)"
        case 3: return "UPDATE t SET \(column) = \(value) WHERE id >= '\(id)'"
        case 4: return "DELETE FROM t WHERE id = '\(id)'"
        case 5: return "UPDATE OR REPLACE t SET id = '\(id)' WHERE id = '\(value)'"
        case 6: return "INSERT OR REPLACE INTO n VALUES (\(id), \(value))"
        case 7: return "UPDATE OR REPLACE n SET id = id + 1 WHERE id = \(id)"
        case 8: return "DELETE FROM n WHERE id > \(id)"
        case 9: return "INSERT OR REPLACE INTO w VALUES (\(value), 'k\(id)', \(value))"
        case 10: return "UPDATE w SET a = \(value) WHERE y > 'k\(id)'"
        case 11: return "DELETE FROM w WHERE y = 'k\(id)'"
        case 12: return "INSERT OR IGNORE INTO k VALUES (x'0\(id)')"
        default: return "DELETE FROM k WHERE id = x'0\(id)'"
        }
    }

    private func together(_ store: Store, _ batch: [[Statement]]) -> [Result<TransactionOutcome, StoreError>] {
        var rest = batch[...]
        return store.transactTogether { rest.popFirst().map { SharedTransaction($0) } }
    }

    private func expectEqual(_ left: Store, _ right: Store) throws {
        #expect(try left.clockedCells().map(\.description) == right.clockedCells().map(\.description))
        #expect(try left.contentFingerprint() == right.contentFingerprint())
        #expect(left.ledger == right.ledger)
    }

    @Test(
        "folding: waiting or not makes no difference", arguments: [(1, 3), (2, 3), (3, 20), (4, 20), (5, 200), (6, 200), (7, 12), (8, 12)])
    func differential(seed: UInt64, limit: Int) throws {
        let harness = StoreHarness("folding-\(seed)")
        var random = Random(seed: seed)
        let anchor = try MemoryAnchor(name: "folding-\(seed)-waits-1")
        defer { anchor.close() }
        let twin = StoreHarness("folding-\(seed)-waits")
        let eager = try harness.store(1, schema: Self.schema, unfolded: 0)
        let peer = try harness.store(2, schema: Self.schema, unfolded: limit)
        var waiting = try twin.store(1, schema: Self.schema, unfolded: limit)
        defer { eager.close() }
        defer { peer.close() }
        defer { waiting.close() }
        for step in 0..<120 {
            // Ahead of every logical clock, so that a restart does not show in the timestamps.
            for clock in [harness.clock, twin.clock] { clock.nanoseconds += 1_000_000_000 }
            switch random.below(10) {
            case 0:
                let chunks = (try? peer.run(statement(&random), statement(&random)).chunks) ?? []
                eager.take(chunks)
                waiting.take(chunks)
            case 1:
                let batch = (0..<3).map { _ in [Statement(statement(&random)), Statement(statement(&random))] }
                let results = [eager, waiting].map { store in together(store, batch) }
                #expect(results[0] == results[1])
                for case .success(let outcome) in results[1] { peer.take(outcome.chunks) }
            case 2 where step % 3 == 0:
                waiting.close()
                waiting = try twin.store(1, unfolded: limit)
            case 3 where step % 4 == 0: try waiting.foldClocks()
            case 3, 4:
                // A part of a pass, which later versions, merges and restarts come into.
                _ = try waiting.foldClocks(rows: 1 + Int(random.below(3)))
            default:
                let statements = (0...random.below(2)).map { _ in statement(&random) }.map { Statement($0) }
                let outcomes = [eager, waiting].map { store in Result { try store.transact(statements) } }
                #expect((try? outcomes[0].get()) == (try? outcomes[1].get()))
                if let outcome = try? outcomes[1].get() { peer.take(outcome.chunks) }
            }
            try expectEqual(eager, waiting)
            if step % 8 == 0 {
                let want = ReadRequest.Want.versions(waiting.actor, 1...1_000)
                let reader = try waiting.makeReader()
                defer { reader.close() }
                let request = ReadRequest(wants: [want], byteLimit: .max)
                #expect(reader.read(request) == eager.perform(.read(request)))
                #expect(waiting.perform(.read(request)) == eager.perform(.read(request)))
                for store in [eager, waiting, peer] { try store.expectSound() }
            }
        }
        #expect(try peer.contentFingerprint() == waiting.contentFingerprint())
    }

    @Test("folding: one reader follows the writer through many versions and folds")
    func reader() throws {
        let harness = StoreHarness("folding-reader")
        let store = try harness.store(schema: Self.schema, unfolded: 4)
        let reader = try store.makeReader()
        defer { store.close() }
        defer { reader.close() }
        var random = Random(seed: 9)
        for _ in 0..<60 {
            _ = try? store.run(statement(&random), statement(&random))
            let request = ReadRequest(wants: [.versions(store.actor, 1...1_000)], byteLimit: .max)
            #expect(reader.read(request) == store.perform(.read(request)))
        }
    }

    @Test("folding: the overlay stays within its bound, large transactions go past it, and their inserts need no log")
    func bounds() throws {
        let harness = StoreHarness("folding-bounds")
        let store = try harness.store(schema: Self.schema, unfolded: 40)
        defer { store.close() }
        let numbers = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100) "
        try store.run("\(numbers) INSERT INTO n SELECT i, 0 FROM c")
        #expect(store.overlay.entries.isEmpty)
        for id in 1...100 {
            try store.run("UPDATE n SET a = 1 WHERE id = \(id)")
            #expect(store.overlay.weight <= 40)
        }
        #expect(!store.overlay.entries.isEmpty)
        try store.run("UPDATE n SET a = a + 1")
        #expect(store.overlay.entries.isEmpty)
        try store.run("UPDATE n SET a = 7 WHERE id < 5")
        #expect(store.overlay.entries.count == 4)
        try store.run("UPDATE n SET a = 8 WHERE id < 5")
        #expect(store.overlay.entries.count == 4)
        try store.expectSound()
        try store.foldClocks()
        #expect(store.overlay.entries.isEmpty && store.overlay.bytes.isEmpty)
        try store.expectSound()
    }

    @Test("folding: a pass is cut into steps between transactions, and no transaction folds more than its share")
    func steps() throws {
        let harness = StoreHarness("folding-steps")
        let store = try harness.store(schema: Self.schema, unfolded: 1_000)
        defer { store.close() }
        let numbers = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000) "
        try store.run("\(numbers) INSERT INTO n SELECT i, 0 FROM c")
        var random = Random(seed: 3)
        var (worst, passes, peak) = (0, 0, 0)
        for _ in 0..<4_000 {
            let (done, folded) = (store.overlay.pass?.done, store.overlay.folded)
            let before = store.overlay.entries.count
            try store.run("UPDATE n SET a = a + 1 WHERE id = \(1 + random.below(2_000))")
            // What one transaction brought to the tables: a step of a pass, or all of it.
            let isEnd = store.overlay.folded != folded
            let total = isEnd ? before - (done ?? 0) : (store.overlay.pass?.done ?? 0) - (done ?? 0)
            if !isEnd { worst = max(worst, total) }
            if isEnd { passes += 1 }
            peak = max(peak, store.overlay.weight)
        }
        #expect(passes > 4)
        #expect(worst == Store.foldedByTheWay)
        // Never full, so that no transaction has to fold all of it.
        #expect(peak < 700)
        try store.expectSound()
        // Nobody waits: steps of maintenance, each bounded, and what is written in between stays for the next pass.
        var rounds = 0
        while try store.maintain(.clocks) {
            rounds += 1
            try store.run("UPDATE n SET a = -1 WHERE id = 5")
            try store.expectSound()
        }
        #expect(rounds >= 1 && store.overlay.entries.count <= 1)
        #expect(try !store.maintain(.clocks))
        #expect(store.overlay.entries.isEmpty)
        try store.expectSound()
    }

    @Test("folding: a merge of a row that waits, taken back for a broken constraint, leaves everything as it was")
    func refusedMerge() throws {
        let harness = StoreHarness("folding-refused")
        let (store, peer) = (
            try harness.store(1, schema: "CREATE TABLE t (id INTEGER PRIMARY KEY, v CHECK (v IS NOT 13), w)"),
            try harness.store(2, schema: "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)")
        )
        defer { store.close() }
        defer { peer.close() }
        peer.take(try store.run("INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3)").chunks)
        try store.run("UPDATE t SET v = 5 WHERE id < 3")
        try store.run("DELETE FROM t WHERE id = 3")
        let before = try store.clockedCells()
        let good = try peer.run("UPDATE t SET w = 9 WHERE id = 2").chunks
        let bad = try peer.run("UPDATE t SET w = 8", "UPDATE t SET v = 13 WHERE id = 2", "UPDATE t SET v = 13 WHERE id = 2").chunks
        guard case .applied(_, let refused) = store.perform(.apply(chunks: bad, empties: [])) else {
            Issue.record("the version was not answered for")
            return
        }
        #expect(refused.count == 1)
        #expect(try store.clockedCells() == before)
        try store.expectSound()
        guard case .applied(_, let alone) = store.perform(.apply(chunks: good + bad, empties: [])) else {
            Issue.record("the versions were not answered for")
            return
        }
        #expect(alone.count == 1)
        #expect(try store.text("SELECT * FROM t ORDER BY id") == ["1|5|1", "2|5|9"])
        try store.expectSound()
    }

    @Test("folding: a log that is damaged or missing is named, at opening and by verify")
    func damage() throws {
        let harness = StoreHarness("folding-damage")
        let anchor = try MemoryAnchor(name: "folding-damage-1")
        defer { anchor.close() }
        let store = try harness.store(schema: Self.schema)
        try store.run("INSERT INTO n VALUES (1, 1), (2, 2)")
        try store.run("UPDATE n SET a = 5 WHERE id = 1")
        try store.connection.execute("UPDATE __patina_versions SET clocks = NULL WHERE id = 2")
        #expect(try store.verify().contains("the unfolded clocks in memory are not those of the versions"))
        try store.connection.execute("UPDATE __patina_versions SET clocks = x'0801' WHERE id = 2")
        #expect(try store.verify().contains { $0.contains("the clocks of version 2 are damaged") })
        store.close()
        #expect(throws: StoreError.self) { try harness.store() }
    }

    @Test("folding: a log of random bytes is refused or replayed, never a trap")
    func randomLogs() {
        var random = Random(seed: 11)
        for _ in 0..<2_000 {
            let bytes = (0..<random.below(24)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            try? ClockLog.replay(bytes, of: 1, into: ClockOverlay())
        }
    }
}
