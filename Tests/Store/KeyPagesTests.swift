import CSQLite
import PatinaProtocol
import Testing

@testable import PatinaStore

/// Versions of very many rows: what serving a part of one costs, and that the parts make the whole.
@Suite("KeyPages")
struct KeyPagesTests {
    private static let schema =
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w); CREATE TABLE u (id TEXT NOT NULL PRIMARY KEY, v) WITHOUT ROWID"

    private func fill(_ rows: Int) -> String {
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(rows)) INSERT INTO t SELECT i, 'some text', i FROM n"
    }

    /// Steps of SQLite's machine since the last call: what was read, whatever the time that it took.
    private func steps(_ store: Store) -> Int {
        var sum = 0
        var statement = sqlite3_next_stmt(store.connection.handle, nil)
        while let present = statement {
            sum += Int(sqlite3_stmt_status(present, SQLITE_STMTSTATUS_VM_STEP, 1))
            statement = sqlite3_next_stmt(store.connection.handle, present)
        }
        return sum
    }

    /// Serves a version in requests of so many bytes. Returns the greatest number of steps that one of them cost, and their sum.
    private func serve(_ store: Store, bytes: Int, to other: Store? = nil) throws -> (worst: Int, sum: Int, requests: Int) {
        var wants: [ReadRequest.Want] = [.versions(store.actor, 1...store.ledger.head(of: store.actor))]
        var (worst, sum, requests) = (0, 0, 0)
        _ = steps(store)
        while !wants.isEmpty {
            let answer = try store.serve(wants, byteLimit: bytes)
            let cost = steps(store)
            (worst, sum, requests) = (max(worst, cost), sum + cost, requests + 1)
            other?.take(answer.chunks, answer.empties)
            wants = answer.remaining
            try #require(requests < 2_000)
        }
        return (worst, sum, requests)
    }

    @Test("key pages: a request costs what it returns, however large the version")
    func cost() throws {
        var costs: [(worst: Int, sum: Int, requests: Int)] = []
        for rows in [5_000, 20_000] {
            let store = try StoreHarness("pages-cost-\(rows)").store(schema: Self.schema)
            defer { store.close() }
            try store.run(fill(rows))
            costs.append(try serve(store, bytes: 32_768))
        }
        #expect(costs[0].requests > 3 && costs[1].requests > 4 * (costs[0].requests - 1))
        // Four times the rows cost four times the steps in all, and no single request costs more.
        #expect(costs[1].sum < costs[0].sum * 5)
        #expect(costs[1].worst < costs[0].worst * 5 / 4)
        // The counter counts: a version whose list is in one piece costs all of its rows each time.
        let store = try StoreHarness("pages-cost-one").store(schema: Self.schema, chunkBytes: 1_000)
        defer { store.close() }
        try store.run(fill(KeyPages.rowLimit))
        let all = try serve(store, bytes: .max)
        let parts = try serve(store, bytes: 4_096)
        #expect(parts.requests > 3 && parts.sum > all.sum * 2)
    }

    @Test(
        "key pages: parts make the whole, of rows that were written alternately, deleted, moved and overwritten",
        arguments: [2_000, 60_000])
    func parts(bytes: Int) throws {
        let harness = StoreHarness("pages-parts-\(bytes)")
        let (store, other, third) = (
            try harness.store(1, schema: Self.schema, chunkBytes: 1_000), try harness.store(2, schema: Self.schema, chunkBytes: 700),
            try harness.store(3, schema: Self.schema)
        )
        defer { for store in [store, other, third] { store.close() } }
        try store.run("INSERT INTO u VALUES ('k7', 0), ('gone', 1)")
        try store.run(
            fill(1_500), "INSERT OR REPLACE INTO u SELECT 'k' || id, w FROM t", "UPDATE t SET v = 'again' WHERE id % 3 = 0",
            "DELETE FROM t WHERE id % 7 = 0", "DELETE FROM u WHERE v % 5 = 0", "UPDATE t SET id = id + 10000 WHERE id < 50",
            "SAVEPOINT s", "DELETE FROM t", "ROLLBACK TO s", "UPDATE u SET v = 'late' WHERE v < 100")
        #expect(try store.connection.integer("SELECT count(*) FROM __patina_key_pages") > 8)
        try store.run("UPDATE t SET w = 0 WHERE id % 11 = 0", "DELETE FROM u WHERE v = 'late'")
        _ = try serve(store, bytes: bytes, to: other)
        #expect(other.ledger == store.ledger)
        #expect(try other.clockedCells() == store.clockedCells())
        // What was merged has pages of its own.
        #expect(try other.connection.integer("SELECT count(*) FROM __patina_key_pages") > 6)
        var wants: [ReadRequest.Want] = [.versions(store.actor, 1...3)]
        while !wants.isEmpty {
            let answer = try other.serve(wants, byteLimit: bytes)
            third.take(answer.chunks, answer.empties)
            wants = answer.remaining
        }
        #expect(try third.clockedCells() == store.clockedCells())
        for store in [store, other, third] { try store.expectSound() }
        // Any sequence numbers at all, without a gap.
        var wanted = IntervalSet(17...903)
        wanted.insert(2_200...4_999)
        var covered = IntervalSet()
        for chunk in try store.serve([.sequences(store.actor, version: 2, wanted)]).chunks { covered.insert(chunk.id.sequences) }
        #expect(covered == wanted)
    }

    @Test("key pages: rows that were overwritten cost a bounded number of reads for each request, and come to an end")
    func overwritten() throws {
        let harness = StoreHarness("pages-overwritten")
        let (store, other) = (try harness.store(1, schema: Self.schema), try harness.store(2, schema: Self.schema))
        defer { store.close() }
        defer { other.close() }
        try store.run(fill(4_000))
        try store.run("UPDATE t SET v = 1, w = -1 WHERE id <> 4000")
        var reader = VersionReader(clocks: store.clocks, limits: store.options.limits)
        reader.rowLimit = 512
        var wants: [ReadRequest.Want] = [.versions(store.actor, 1...1)]
        var requests = 0
        while !wants.isEmpty {
            guard case .read(let chunks, let empties, let remaining) = try reader.read(ReadRequest(wants: wants, byteLimit: .max)) else {
                return
            }
            other.take(chunks, empties)
            wants = remaining
            requests += 1
        }
        #expect(requests == 8)
        #expect(try other.text("SELECT id, w FROM t") == ["4000|4000"])
        // Nothing is left at all: one word says so.
        try store.run("UPDATE t SET v = 2, w = -2")
        let answer = try store.serve([.versions(store.actor, 1...2)])
        #expect(answer.chunks.isEmpty && answer.empties == [EmptyVersions(actor: store.actor, versions: 1...2)])
        // The lists go with the versions.
        try store.foldClocks()
        var passes = 0
        while try store.maintain(.keyLists) { passes += 1 }
        #expect(passes > 10)
        #expect(try store.text("SELECT DISTINCT id & 0xFFFF FROM __patina_key_pages") == ["3"])
        try store.expectSound()
    }

    @Test("key pages: verify names a page that is missing, damaged or of no version")
    func damage() throws {
        for (change, word) in [
            ("DELETE FROM __patina_key_pages WHERE first = (SELECT max(first) FROM __patina_key_pages)", "missing in the key list"),
            ("UPDATE __patina_key_pages SET keys = x'01ff' WHERE first = 0", "is damaged"),
            ("UPDATE __patina_key_pages SET id = 77", "belong to no version"),
        ] {
            let store = try StoreHarness("pages-damage-\(word)").store(schema: Self.schema)
            defer { store.close() }
            try store.run(fill(KeyPages.rowLimit + 1))
            try store.expectSound()
            try store.connection.execute(change)
            #expect(try store.verify().contains { $0.contains(word) }, "\(word)")
        }
    }
}
