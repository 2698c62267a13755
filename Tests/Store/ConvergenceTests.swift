import Foundation
import PatinaProtocol
import Testing

@testable import PatinaStore

/// Three writers with random histories, delivered to each other in random orders, with duplicates and in pieces: in the end all have
/// the same rows and the same clocks, and every database is sound on the way.
@Suite("Convergence")
struct ConvergenceTests {
    static let schema = """
        CREATE TABLE a (id TEXT NOT NULL PRIMARY KEY, n INTEGER, t TEXT DEFAULT 'none', r REAL);
        CREATE TABLE b (x INTEGER NOT NULL, y BLOB NOT NULL, v, w, PRIMARY KEY (y, x)) WITHOUT ROWID;
        CREATE TABLE c (id INTEGER PRIMARY KEY, v, g AS (v || '!') VIRTUAL, w INTEGER NOT NULL DEFAULT 7);
        CREATE TABLE k (x TEXT NOT NULL, y NOT NULL, PRIMARY KEY (x, y));
        """

    /// `STORE_SEEDS` asks for more.
    static let seeds = ProcessInfo.processInfo.environment["STORE_SEEDS"].flatMap { UInt64($0) } ?? 40

    @Test("convergence: random histories of three writers end equal", arguments: 0..<seeds)
    func randomHistories(seed: UInt64) throws {
        var random = Random(seed: seed)
        let harness = StoreHarness("convergence-\(seed)")
        let chunkBytes = random.below(2) == 0 ? 60 : 16_384
        let stores = try (1...3).map { try harness.store($0, schema: Self.schema, chunkBytes: chunkBytes) }
        defer { for store in stores { store.close() } }
        var chunks: [Chunk] = []
        for _ in 0..<(20 + random.below(40)) {
            let writer = stores[random.below(3)]
            harness.clock.nanoseconds += Int64(random.below(1_000_000))
            if let outcome = try? writer.transact(Self.transaction(&random)) {
                #expect((outcome.version == nil) == outcome.chunks.isEmpty)
                chunks += outcome.chunks
            }
            if random.below(2) == 0 { deliver(chunks, to: stores[random.below(3)], &random, partsPerMillion: 300_000) }
            if random.below(8) == 0 { try stores[random.below(3)].expectSound() }
        }
        for store in stores { deliver(chunks, to: store, &random, partsPerMillion: 1_000_000) }
        let cells = try stores[0].clockedCells()
        let content = try stores[0].contentFingerprint()
        for store in stores {
            try store.expectSound()
            #expect(try store.clockedCells() == cells)
            #expect(try store.contentFingerprint() == content)
            #expect(store.ledger.fingerprint == stores[0].ledger.fingerprint)
        }
        try expectServed(harness, stores, cells, content)
    }

    /// A new node that asks two of the others for everything, in small portions, ends equal too.
    private func expectServed(_ harness: StoreHarness, _ stores: [Store], _ cells: [ClockedCell], _ content: Fingerprint) throws {
        let late = try harness.store(9, schema: Self.schema)
        defer { late.close() }
        for (index, source) in [stores[1], stores[2]].enumerated() {
            // The first source serves the lower half of each actor's versions, the second everything that is still missing.
            var wants = stores.map { store -> ReadRequest.Want in
                let head = max(source.ledger.head(of: store.actor), 1)
                return .versions(store.actor, 1...(index == 0 ? max(head / 2, 1) : head))
            }
            while !wants.isEmpty {
                let answer = try source.serve(wants, byteLimit: 400)
                late.take(answer.chunks.reversed(), answer.empties)
                #expect(!answer.chunks.isEmpty || !answer.empties.isEmpty || answer.remaining.isEmpty)
                wants = answer.remaining
            }
        }
        try late.expectSound()
        #expect(late.ledger.fingerprint == stores[0].ledger.fingerprint)
        #expect(try late.clockedCells() == cells)
        #expect(try late.contentFingerprint() == content)
    }

    private func deliver(_ chunks: [Chunk], to store: Store, _ random: inout Random, partsPerMillion: UInt32) {
        var batch = chunks.filter { _ in random.chance(partsPerMillion: partsPerMillion) }
        if let again = random.element(of: chunks) { batch.append(again) }
        random.shuffle(&batch)
        var rest = batch[...]
        while !rest.isEmpty {
            let count = 1 + random.below(rest.count)
            store.take(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
    }

    // MARK: Histories

    static func transaction(_ random: inout Random) -> [Statement] {
        var statements: [Statement] = []
        for _ in 0..<(1 + random.below(4)) {
            guard random.below(5) == 0 else {
                statements.append(statement(&random))
                continue
            }
            statements.append(Statement("SAVEPOINT s"))
            for _ in 0..<(1 + random.below(3)) { statements.append(statement(&random)) }
            if random.below(3) > 0 { statements.append(Statement("ROLLBACK TO s")) }
            if random.below(2) == 0 { statements.append(statement(&random)) }
            statements.append(Statement("RELEASE s"))
        }
        return statements
    }

    private static func value(_ random: inout Random) -> Value {
        switch random.below(7) {
        case 0: .null
        case 1: .real(Double(random.below(4)) / 2)
        case 2: .text(["", "a", "ab", "zz"][random.below(4)])
        case 3: .blob([[], [0], [1, 2]][random.below(3)])
        default: .integer(Int64(random.below(5)) - 2)
        }
    }

    static func statement(_ random: inout Random) -> Statement {
        let key = Value.text("k\(random.below(4))")
        let other = Value.text("k\(random.below(4))")
        let number = Value.integer(Int64(random.below(4)))
        let blob = Value.blob([UInt8(random.below(3))])
        let (v, w) = (value(&random), value(&random))
        switch random.below(22) {
        case 0, 1: return Statement("INSERT OR REPLACE INTO a VALUES (?, ?, ?, ?)", .positional([key, v, w, v]))
        case 2:
            return Statement(
                "INSERT INTO a (id, n) VALUES (?, ?) ON CONFLICT DO UPDATE SET n = excluded.n, t = 'up'", .positional([key, v]))
        case 3: return Statement("INSERT OR IGNORE INTO a (id, r) VALUES (?, ?)", .positional([key, v]))
        case 4: return Statement("UPDATE a SET n = ? WHERE id = ?", .positional([v, key]))
        case 5: return Statement("UPDATE a SET t = ?, r = ?", .positional([v, w]))
        case 6: return Statement("DELETE FROM a WHERE id = ?", .positional([key]))
        case 7: return Statement("UPDATE OR REPLACE a SET id = ? WHERE id = ?", .positional([key, other]))
        case 8: return Statement("INSERT OR IGNORE INTO a (id, n) SELECT id || 'x', n FROM a LIMIT 2")
        case 9: return Statement("INSERT OR REPLACE INTO b VALUES (?, ?, ?, ?)", .positional([number, blob, v, w]))
        case 10: return Statement("UPDATE b SET v = ? WHERE x = ?", .positional([v, number]))
        case 11: return Statement("DELETE FROM b WHERE y = ?", .positional([blob]))
        case 12: return Statement("UPDATE OR REPLACE b SET x = x + 1, w = ? WHERE y = ?", .positional([w, blob]))
        case 13: return Statement("DELETE FROM b")
        case 14: return Statement("INSERT OR REPLACE INTO c (id, v) VALUES (?, ?)", .positional([number, v]))
        case 15: return Statement("UPDATE c SET v = ?, w = w + 1 WHERE id = ?", .positional([v, number]))
        case 16: return Statement("DELETE FROM c WHERE id = ?", .positional([number]))
        case 17: return Statement("UPDATE OR REPLACE c SET id = ? WHERE id <> ?", .positional([number, number]))
        case 18: return Statement("INSERT OR REPLACE INTO k VALUES (?, ?)", .positional([key, number]))
        case 19: return Statement("DELETE FROM k WHERE x = ?", .positional([key]))
        case 20: return Statement("UPDATE OR REPLACE k SET x = ? WHERE x = ?", .positional([key, other]))
        // Fails when the row exists: the whole transaction is taken back.
        default:
            return random.below(6) == 0
                ? Statement("INSERT INTO a (id) VALUES (?)", .positional([key])) : Statement("DELETE FROM a WHERE n IS NULL")
        }
    }
}
