import PatinaProtocol
import Testing

@testable import PatinaStore

/// Nodes that have dropped a column or table, and nodes that still have it.
@Suite("Dropped columns among nodes")
struct DroppedColumnTests {
    private static let wide = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, v);
        CREATE TABLE k (x TEXT NOT NULL, y NOT NULL, v DEFAULT 3, PRIMARY KEY (x, y)) WITHOUT ROWID;
        CREATE TABLE u (id INTEGER PRIMARY KEY, v)
        """
    private static let narrow = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a);
        CREATE TABLE k (x TEXT NOT NULL, y NOT NULL, PRIMARY KEY (x, y)) WITHOUT ROWID;
        DROP TABLE IF EXISTS u
        """

    private func narrow(_ store: Store) throws {
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.narrow)], allowDestructive: true)
    }

    private func content(_ store: Store) throws -> [String] {
        try store.text("SELECT id, a FROM t ORDER BY id") + store.text("SELECT x, y FROM k ORDER BY x, y")
    }

    /// Asks `source` for everything that `store` lacks, once, as sync does. Returns what was refused.
    private func sync(_ store: Store, from source: Store) throws -> [RefusedChunk] {
        var wants: [ReadRequest.Want] = []
        for actor in source.ledger.actors {
            for range in store.ledger[actor]?.incomplete(in: 1...source.ledger.head(of: actor)).ranges ?? [
                1...source.ledger.head(of: actor)
            ] {
                for version in range {
                    if let partial = store.ledger[actor]?.partials[version] {
                        if !partial.missing.isEmpty { wants.append(.sequences(actor, version: version, partial.missing)) }
                    } else {
                        wants.append(.versions(actor, version...version))
                    }
                }
            }
        }
        var refused: [RefusedChunk] = []
        while !wants.isEmpty {
            let answer = try source.serve(wants, byteLimit: 2_000)
            if case .applied(_, let more) = store.perform(.apply(chunks: answer.chunks, empties: answer.empties)) { refused += more }
            wants = answer.remaining
        }
        try store.finishUpkeep()
        return refused
    }

    @Test("dropped columns: who still has the column loses nothing by asking who has dropped it")
    func nothingIsLost() throws {
        let harness = StoreHarness("dropped-lost")
        let (writer, dropper, late) = (
            try harness.store(1, schema: Self.wide), try harness.store(2, schema: Self.wide), try harness.store(3, schema: Self.wide)
        )
        defer { for store in [writer, dropper, late] { store.close() } }
        var chunks = try writer.run("INSERT INTO t VALUES ('a', 1, 'kept'), ('b', 1, 'kept')", "INSERT INTO u VALUES (1, 'u')").chunks
        dropper.take(chunks)
        try narrow(dropper)
        for sql in ["UPDATE t SET v = 'more' WHERE id = 'a'", "INSERT INTO k VALUES ('x', 1, 1)", "INSERT INTO u VALUES (2, 'u')"] {
            chunks = try writer.run(sql).chunks
            dropper.take(chunks)
        }
        #expect(try content(dropper) == ["a|1", "b|1", "x|1"])
        #expect(dropper.ledger == writer.ledger)
        try dropper.expectSound()
        // The late node asks the one that has dropped it. It takes what there is and holds it; nothing is merged in part.
        let refused = try sync(late, from: dropper)
        #expect(Set(refused.map(\.id.version)) == [2, 3, 4])
        #expect(refused[0].reason.hasPrefix("the peer has dropped "))
        #expect(try content(late) == [])
        #expect(late.waitingVersions == 1)
        #expect(late.ledger[writer.actor]?.partials[1]?.received.ranges == [0...0, 2...2])
        try late.expectSound()
        // Asking again brings no row.
        #expect(try sync(late, from: dropper).allSatisfy { $0.reason.hasPrefix("the peer has dropped ") })
        // Whoever has everything completes it.
        #expect(try sync(late, from: writer) == [])
        #expect(late.ledger == writer.ledger && late.waitingVersions == 0)
        #expect(try late.clockedCells() == writer.clockedCells())
        #expect(try late.contentFingerprint() == writer.contentFingerprint())
        try late.expectSound()
    }

    @Test("dropped columns: when only nodes that dropped it are left, new nodes of the new schema get everything, others once they have it")
    func onlyDroppersLeft() throws {
        let harness = StoreHarness("dropped-only")
        let (writer, dropper) = (try harness.store(1, schema: Self.wide), try harness.store(2, schema: Self.wide))
        defer { for store in [writer, dropper] { store.close() } }
        dropper.take(try writer.run("INSERT INTO t VALUES ('a', 1, 'v')", "INSERT INTO k VALUES ('x', 1, 1)").chunks)
        try narrow(dropper)
        dropper.take(try writer.run("INSERT INTO k VALUES ('x', 2, 1)", "UPDATE t SET v = 2", "INSERT INTO u VALUES (1, 1)").chunks)
        try dropper.run("UPDATE t SET a = 2")
        let fresh = try harness.store(
            3,
            schema: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a); "
                + "CREATE TABLE k (x TEXT NOT NULL, y NOT NULL, PRIMARY KEY (x, y)) WITHOUT ROWID")
        defer { fresh.close() }
        #expect(try sync(fresh, from: dropper) == [])
        #expect(try content(fresh) == ["a|2", "x|1", "x|2"])
        #expect(fresh.ledger == dropper.ledger)
        try fresh.expectSound()
        // What it got it passes on as what it is.
        let wide = try harness.store(4, schema: Self.wide)
        defer { wide.close() }
        _ = try sync(wide, from: fresh)
        #expect(wide.ledger[writer.actor]?.complete ?? IntervalSet() == IntervalSet())
        #expect(try wide.text("SELECT id, v FROM t") == ["a|NULL"])
        _ = try sync(wide, from: writer)
        #expect(try wide.text("SELECT id, v FROM t") == ["a|2"])
        #expect(try wide.text("SELECT * FROM k ORDER BY y") == ["x|1|1", "x|2|1"])
        // A node with the old schema, and nobody who has the column: it goes on once its schema does.
        let alone = try harness.store(5, schema: Self.wide)
        defer { alone.close() }
        _ = try sync(alone, from: dropper)
        #expect(alone.ledger != dropper.ledger)
        try narrow(alone)
        _ = try sync(alone, from: dropper)
        #expect(alone.ledger == dropper.ledger)
        #expect(try content(alone) == content(dropper))
        try alone.expectSound()
        // What it holds whole of a newer peer is merged as well, once it has heard that the column is gone.
        let hearsay = try harness.store(
            6,
            schema: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a); "
                + "CREATE TABLE k (x TEXT NOT NULL, y NOT NULL, PRIMARY KEY (x, y)) WITHOUT ROWID")
        defer { hearsay.close() }
        _ = try sync(hearsay, from: writer)
        #expect(hearsay.waitingVersions > 0)
        _ = try sync(hearsay, from: dropper)
        hearsay.take(try dropper.serve([.versions(dropper.actor, 1...1)]).chunks)
        try hearsay.finishUpkeep()
        try hearsay.expectSound()
    }

    @Test("dropped columns: three stores, two schemas, random histories and orders", arguments: 0..<(ConvergenceTests.seeds / 2))
    func convergence(seed: UInt64) throws {
        var random = Random(seed: seed)
        let harness = StoreHarness("dropped-random-\(seed)")
        let chunkBytes = random.below(2) == 0 ? 60 : 16_384
        let stores = try (1...3).map { try harness.store($0, schema: Self.wide, chunkBytes: chunkBytes) }
        defer { for store in stores { store.close() } }
        var chunks: [Chunk] = []
        let count = 30 + random.below(20)
        let switching = random.below(count)
        for step in 0..<count {
            if step == switching { try narrow(stores[2]) }
            // The third writes nothing that would take a row, with its dropped cells, away: such writes are real ones.
            let writer = random.below(3)
            let statements = (0..<(1 + random.below(3))).map { _ in Self.statement(&random, narrow: writer == 2) }
            if let outcome = try? stores[writer].transact(statements) { chunks += outcome.chunks }
            let target = stores[random.below(3)]
            if random.below(2) == 0 {
                // From the writers, or read back from somebody else, who may have dropped something.
                var batch = chunks.filter { _ in random.chance(partsPerMillion: 300_000) }
                random.shuffle(&batch)
                _ = target.perform(.apply(chunks: batch, empties: []))
            } else {
                _ = try sync(target, from: stores[random.below(3)])
            }
            if random.below(3) == 0 { _ = try stores[2].upkeep() }
            if random.below(8) == 0 { try target.expectSound() }
        }
        random.shuffle(&chunks)
        for store in stores {
            _ = store.perform(.apply(chunks: chunks, empties: []))
            try store.finishUpkeep()
            try store.expectSound()
        }
        #expect(stores[0].ledger == stores[1].ledger && stores[0].ledger == stores[2].ledger)
        #expect(try stores[0].contentFingerprint() == stores[1].contentFingerprint())
        #expect(try stores[0].text("SELECT * FROM u ORDER BY id") == stores[1].text("SELECT * FROM u ORDER BY id"))
        #expect(try content(stores[0]) == content(stores[2]))
        // A new node of each schema, served by the one that dropped first, and where needed by one that did not.
        let (narrowed, wide) = (
            try harness.store(
                4,
                schema: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a); "
                    + "CREATE TABLE k (x TEXT NOT NULL, y NOT NULL, PRIMARY KEY (x, y)) WITHOUT ROWID"),
            try harness.store(5, schema: Self.wide)
        )
        defer { for store in [narrowed, wide] { store.close() } }
        #expect(try sync(narrowed, from: stores[2]) == [])
        #expect(try content(narrowed) == content(stores[2]))
        #expect(narrowed.ledger == stores[2].ledger)
        _ = try sync(wide, from: stores[2])
        try wide.expectSound()
        _ = try sync(wide, from: stores[0])
        #expect(wide.ledger == stores[0].ledger)
        #expect(try wide.contentFingerprint() == stores[0].contentFingerprint())
        for store in [narrowed, wide] { try store.expectSound() }
    }

    private static func statement(_ random: inout Random, narrow: Bool) -> Statement {
        let (key, number) = (Value.text("k\(random.below(4))"), Value.integer(Int64(random.below(4))))
        let value = Value.integer(Int64(random.below(100)))
        if narrow {
            switch random.below(3) {
            case 0:
                return Statement("INSERT INTO t (id, a) VALUES (?, ?) ON CONFLICT DO UPDATE SET a = excluded.a", .positional([key, value]))
            case 1: return Statement("UPDATE t SET a = ? WHERE id = ?", .positional([value, key]))
            default: return Statement("INSERT OR IGNORE INTO k (x, y) VALUES (?, ?)", .positional([key, number]))
            }
        }
        switch random.below(10) {
        case 0, 1: return Statement("INSERT OR REPLACE INTO t VALUES (?, ?, ?)", .positional([key, value, number]))
        case 2, 3: return Statement("UPDATE t SET v = ? WHERE id = ?", .positional([value, key]))
        case 4: return Statement("UPDATE t SET a = ?, v = ?", .positional([value, number]))
        case 5: return Statement("DELETE FROM t WHERE id = ?", .positional([key]))
        case 6: return Statement("INSERT OR REPLACE INTO k VALUES (?, ?, ?)", .positional([key, number, value]))
        case 7: return Statement("UPDATE k SET v = ? WHERE x = ?", .positional([value, key]))
        case 8: return Statement("INSERT OR REPLACE INTO u VALUES (?, ?)", .positional([number, value]))
        default: return Statement("DELETE FROM k WHERE x = ? AND y = ?", .positional([key, number]))
        }
    }
}
