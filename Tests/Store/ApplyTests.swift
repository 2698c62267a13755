import PatinaProtocol
import Testing

@testable import PatinaStore

@Suite("Apply")
struct ApplyTests {
    private static let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)"

    private func fill(_ store: Store, _ rows: Int) throws -> TransactionOutcome {
        try store.transact([
            Statement(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO t SELECT i, 'row ' || i, i FROM n",
                .positional([.integer(Int64(rows))]))
        ])
    }

    @Test("apply: the pieces of a version that come together are merged without being buffered, unless a constraint fails")
    func piecesTogether() throws {
        let harness = StoreHarness("apply-together")
        let writer = try harness.store(1, schema: Self.schema, chunkBytes: 200)
        let other = try harness.store(2, schema: Self.schema)
        let strict = try harness.store(3, schema: "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w CHECK (w IS NOT 90))")
        defer { for store in [writer, other, strict] { store.close() } }
        let first = try fill(writer, 100).chunks
        let second = try writer.run("UPDATE t SET v = 'a longer text than before' WHERE id < 20").chunks
        #expect(first.count > 3 && second.count > 1)
        let operation = StoreOperation.apply(chunks: first.reversed() + second, empties: [])
        guard case .applied(let changes, let refused) = other.perform(operation) else {
            Issue.record("the pieces were not answered for")
            return
        }
        #expect(refused == [])
        #expect(changes == [.completed(writer.actor, versions: 1...1), .completed(writer.actor, versions: 2...2)])
        #expect(try other.contentFingerprint() == writer.contentFingerprint())
        #expect(try other.text("SELECT count(*) FROM __patina_chunks") == ["0"])
        try other.expectSound()
        // A row that breaks a constraint of ours is in one of the pieces: the others stay buffered, and the next version is merged.
        guard case .applied(_, let refusedPieces) = strict.perform(.apply(chunks: first + second, empties: [])) else {
            Issue.record("the pieces were not answered for")
            return
        }
        #expect(refusedPieces.map(\.id) == [first[first.count - 1].id])
        #expect(strict.ledger.isComplete(writer.actor, 2) && !strict.ledger.isComplete(writer.actor, 1))
        try strict.expectSound()
    }

    @Test("apply: a transaction of 20,000 rows in random pieces stays invisible until it is whole")
    func largeTransaction() throws {
        let harness = StoreHarness("apply-large")
        let (writer, other) = (try harness.store(1, schema: Self.schema), try harness.store(2, schema: Self.schema))
        defer { writer.close() }
        defer { other.close() }
        let outcome = try fill(writer, 20_000)
        var chunks = outcome.chunks
        #expect(chunks.count > 30)
        #expect(chunks.allSatisfy { $0.body.count <= 20_000 })
        // The pieces cover the version without a gap.
        var covered = IntervalSet()
        for chunk in chunks { covered.insert(chunk.id.sequences) }
        #expect(covered == IntervalSet(0...39_999))
        var random = Random(seed: 7)
        random.shuffle(&chunks)
        let reader = try other.makeReader()
        defer { reader.close() }
        for chunk in chunks.dropLast() {
            other.take([chunk])
            let cursor = try reader.prepare(Statement("SELECT count(*) FROM t"))
            #expect(try cursor.next() == [.integer(0)])
            cursor.finish()
        }
        #expect(other.ledger[writer.actor]?.partials[1]?.missing == IntervalSet(chunks[chunks.count - 1].id.sequences))
        try other.expectSound()
        // What is buffered can be served on.
        let served = try other.serve([.versions(writer.actor, 1...1)])
        #expect(Set(served.chunks) == Set(chunks.dropLast()))
        let missing = try #require(chunks.last)
        guard case .applied(let changes, let refused) = other.perform(.apply(chunks: [missing, missing], empties: [])) else {
            Issue.record("not applied")
            return
        }
        #expect(changes == [.completed(writer.actor, versions: 1...1)] && refused.isEmpty)
        #expect(try other.contentFingerprint() == writer.contentFingerprint())
        #expect(try other.text("SELECT count(*) FROM __patina_chunks") == ["0"])
        #expect(other.ledger == writer.ledger)
        try other.expectSound()
    }

    @Test("apply: what is known costs no transaction, in any form")
    func knownVersions() throws {
        let harness = StoreHarness("apply-known")
        let (writer, other) = (try harness.store(1, schema: Self.schema), try harness.store(2, schema: Self.schema))
        defer { writer.close() }
        defer { other.close() }
        let chunks = try fill(writer, 3).chunks
        other.take(chunks, [EmptyVersions(actor: writer.actor, versions: 3...5)])
        #expect(other.ledger[writer.actor]?.complete.ranges == [1...1, 3...5])
        let writes = try other.connection.integer("SELECT total_changes()")
        #expect(
            other.perform(.apply(chunks: chunks, empties: [EmptyVersions(actor: writer.actor, versions: 4...5)]))
                == .applied(changes: [], refused: []))
        #expect(writer.perform(.apply(chunks: chunks, empties: [])) == .applied(changes: [], refused: []))
        #expect(try other.connection.integer("SELECT total_changes()") == writes)
        try other.expectSound()
    }

    @Test("apply: chunks that do not fit are refused with a reason, the others are merged")
    func refusals() throws {
        let harness = StoreHarness("apply-refused")
        let writer = try harness.store(
            1,
            schema: Self.schema + "; CREATE TABLE u (id TEXT NOT NULL PRIMARY KEY, v); CREATE TABLE c (id INTEGER PRIMARY KEY, v, added);"
                + "CREATE TABLE p (id NOT NULL PRIMARY KEY); CREATE TABLE n (id INTEGER PRIMARY KEY, v)")
        let other = try harness.store(
            2,
            schema: Self.schema
                + "; CREATE TABLE c (id INTEGER PRIMARY KEY, v); CREATE TABLE p (id INTEGER NOT NULL, x NOT NULL, PRIMARY KEY (id, x));"
                + "CREATE TABLE n (id INTEGER PRIMARY KEY, v CHECK (v < 10))")
        defer { writer.close() }
        defer { other.close() }
        var chunks: [Chunk] = []
        for sql in [
            "INSERT INTO u VALUES ('a', 1)", "INSERT INTO c VALUES (1, 1, 1)", "INSERT INTO p VALUES (1)",
            "INSERT INTO n VALUES (1, 1), (2, 20)",
            "INSERT INTO t VALUES (1, 1, 1)",
        ] { chunks += try writer.run(sql).chunks }
        chunks.append(
            Chunk(id: ChunkID(actor: writer.actor, version: 9, sequences: 0...0, lastSequence: 0)!, timestamp: .zero, body: [9, 9]))
        chunks.append(
            Chunk(
                id: ChunkID(actor: writer.actor, version: 1 << 50, sequences: 0...0, lastSequence: 0)!, timestamp: .zero,
                body: chunks[4].body))
        chunks.append(
            Chunk(id: ChunkID(actor: writer.actor, version: 10, sequences: 5...6, lastSequence: 7)!, timestamp: .zero, body: chunks[4].body)
        )
        guard case .applied(let changes, let refused) = other.perform(.apply(chunks: chunks, empties: [])) else {
            Issue.record("not applied")
            return
        }
        #expect(changes == [.buffered(chunks[0].id), .buffered(chunks[1].id), .completed(writer.actor, versions: 5...5)])
        #expect(
            refused.map(\.reason) == [
                "table p has 2 key columns, a key has 1",
                "table n: CHECK constraint failed: v < 10",
                "a changeset has the unknown format 9", "version 1125899906842624 is over the limit of 17592186044415",
                "a cell lies outside its chunk",
            ])
        #expect(try other.text("SELECT count(*) FROM n") == ["0"])
        #expect(try other.text("SELECT * FROM t") == ["1|1|1"])
        #expect(other.ledger[writer.actor]?.complete.ranges == [5...5])
        try other.expectSound()
        // Once the schema is there, the chunks that waited for it are taken.
        _ = try other.applySchema([
            SchemaFile(
                path: "s", text: "CREATE TABLE u (id TEXT NOT NULL PRIMARY KEY, v); CREATE TABLE c (id INTEGER PRIMARY KEY, v, added)")
        ])
        #expect(try other.finishUpkeep() == [.completed(writer.actor, versions: 1...1), .completed(writer.actor, versions: 2...2)])
        #expect(try other.text("SELECT * FROM c") == ["1|1|1"])
        try other.expectSound()
    }

    @Test("apply: keys that SQLite and bytes see differently are refused")
    func ambiguousKeys() throws {
        let harness = StoreHarness("apply-keys")
        let schema =
            "CREATE TABLE t (id NOT NULL PRIMARY KEY, v); CREATE TABLE i (id INTEGER NOT NULL, k TEXT NOT NULL, PRIMARY KEY (id, k))"
        let (writer, other) = (try harness.store(1, schema: schema), try harness.store(2, schema: schema))
        defer { writer.close() }
        defer { other.close() }
        try other.run("INSERT INTO t VALUES (1, 'integer')")
        // No node of ours writes such a key.
        let real = Changeset(
            tables: [.init(name: "t", columns: ["v"])],
            rows: [
                RowChange(
                    table: 0, key: PackedKey.encode([.real(1)]), causalLength: 1, sentinel: nil,
                    cells: [CellChange(column: 0, columnVersion: 1, sequence: 0, value: .text("real"))])
            ])
        let first = ChunkID(actor: writer.actor, version: 1, sequences: 0...0, lastSequence: 0)!
        let chunk = Chunk(id: first, timestamp: .zero, body: ChangesetCodec.encode(real))
        guard case .applied(let changes, let refused) = other.perform(.apply(chunks: [chunk], empties: [])) else { return }
        #expect(changes.isEmpty)
        #expect(refused.map(\.reason) == ["table t: the key equals that of another row in SQLite's eyes, but not byte by byte"])
        let changeset = Changeset(
            tables: [.init(name: "i", columns: [])],
            rows: [
                RowChange(
                    table: 0, key: PackedKey.encode([.text("5"), .text("x")]), causalLength: 1,
                    sentinel: .init(columnVersion: 1, sequence: 0), cells: [])
            ])
        let id = ChunkID(actor: writer.actor, version: 7, sequences: 0...0, lastSequence: 0)!
        guard
            case .applied(_, let others) = other.perform(
                .apply(chunks: [Chunk(id: id, timestamp: .zero, body: ChangesetCodec.encode(changeset))], empties: []))
        else { return }
        #expect(others.map(\.reason) == ["table i: key column id cannot hold the key's value unchanged"])
        try other.expectSound()
    }

    @Test("apply: a node that lost everything learns its own versions back, and goes on behind them")
    func ownVersions() throws {
        let harness = StoreHarness("apply-own")
        let (writer, other) = (try harness.store(1, schema: Self.schema), try harness.store(2, schema: Self.schema))
        defer { other.close() }
        for number in 1...5 { other.take(try writer.run("INSERT INTO t VALUES (\(number), 1, 1)").chunks) }
        writer.close()
        let reborn = try harness.store(1, schema: Self.schema)
        defer { reborn.close() }
        #expect(reborn.ledger.head(of: reborn.actor) == 0)
        let answer = try other.serve([.versions(reborn.actor, 4...5)])
        reborn.take(answer.chunks)
        // The next version lies above everything that peers know, although there are gaps below.
        #expect(try reborn.run("INSERT INTO t VALUES (9, 9, 9)").version == 6)
        reborn.take(try other.serve([.versions(reborn.actor, 1...3)]).chunks)
        #expect(reborn.ledger[reborn.actor]?.contiguous == 6)
        try reborn.expectSound()
        #expect(try reborn.text("SELECT count(*) FROM t") == ["6"])
    }

    @Test("apply: own versions from before a restart stay known when later ones come back from a peer")
    func ownVersionsAfterRestart() throws {
        let harness = StoreHarness("apply-restart")
        let (writer, other) = (try harness.store(1, schema: Self.schema), try harness.store(2, schema: Self.schema))
        defer { other.close() }
        for number in 1...10 { other.take(try writer.run("INSERT INTO t VALUES (\(number), 1, 1)").chunks) }
        writer.close()
        let anchor = try MemoryAnchor(name: "apply-restart-1")
        defer { anchor.close() }
        let first = try harness.store(1, schema: Self.schema)
        for number in 1...3 { try first.run("INSERT INTO t VALUES (\(number), 1, 1)") }
        first.close()
        let second = try harness.store(1)
        second.take(try other.serve([.versions(second.actor, 9...10)]).chunks)
        #expect(second.ledger[second.actor]?.complete.description == "{1-3,9-10}")
        try second.expectSound()
        let ledger = second.ledger
        second.close()
        let third = try harness.store(1)
        defer { third.close() }
        #expect(third.ledger == ledger)
        try third.expectSound()
    }

    @Test("apply: pieces that contradict each other about the end of a version are refused")
    func contradictoryPieces() throws {
        let harness = StoreHarness("apply-contradiction")
        let (writer, other) = (try harness.store(1, schema: Self.schema, chunkBytes: 50), try harness.store(2, schema: Self.schema))
        defer { writer.close() }
        defer { other.close() }
        let chunks = try fill(writer, 10).chunks
        other.take([chunks[0]])
        let lie = Chunk(
            id: ChunkID(actor: writer.actor, version: 1, sequences: chunks[1].id.sequences, lastSequence: 900)!, timestamp: .zero,
            body: chunks[1].body)
        guard case .applied(_, let refused) = other.perform(.apply(chunks: [lie], empties: [])) else { return }
        #expect(refused.map(\.reason) == ["other chunks say that the version ends at sequence number 19"])
        // The whole version as empty: what was buffered goes.
        other.take([], [EmptyVersions(actor: writer.actor, versions: 1...(.max))])
        #expect(try other.text("SELECT count(*) FROM __patina_chunks") == ["0"])
        try other.expectSound()
    }

    @Test("apply: random bytes as bodies never do harm", arguments: 0..<20 as Range<UInt64>)
    func randomBodies(seed: UInt64) throws {
        var random = Random(seed: seed)
        let harness = StoreHarness("apply-random-\(seed)")
        let schema = Self.schema + "; CREATE TABLE b (x INTEGER NOT NULL, y BLOB NOT NULL, v, PRIMARY KEY (y, x)) WITHOUT ROWID"
        let (writer, other) = (try harness.store(1, schema: schema), try harness.store(2, schema: schema))
        defer { writer.close() }
        defer { other.close() }
        var chunks = try fill(writer, 5).chunks
        chunks += try writer.run("INSERT INTO b VALUES (1, x'01', 'v'), (2, x'', 2.5)").chunks
        chunks += try writer.run("DELETE FROM t WHERE id = 2", "UPDATE b SET x = 7 WHERE x = 1").chunks
        for version in 10..<110 as Range<UInt64> {
            guard let chunk = random.element(of: chunks) else { return }
            var body = chunk.body
            for _ in 0...random.below(3) {
                let position = random.below(body.count)
                switch random.below(3) {
                case 0: body[position] = UInt8(truncatingIfNeeded: random.next())
                case 1: body.removeSubrange(position...)
                default: body.insert(UInt8(truncatingIfNeeded: random.next()), at: position)
                }
                if body.isEmpty { body = [0] }
            }
            let id = ChunkID(actor: chunk.id.actor, version: version, sequences: chunk.id.sequences, lastSequence: chunk.id.lastSequence)!
            guard case .applied = other.perform(.apply(chunks: [Chunk(id: id, timestamp: chunk.timestamp, body: body)], empties: [])) else {
                Issue.record("a malformed body was not refused")
                return
            }
        }
        #expect(other.failure == nil)
        try other.expectSound()
    }

    @Test("apply: members are saved and read back")
    func members() throws {
        let harness = StoreHarness("apply-members")
        let anchor = try MemoryAnchor(name: "apply-members-1")
        defer { anchor.close() }
        let store = try harness.store()
        let members = [
            MemberRecord(actor: harness.actor(3), address: Address(ipv4: 0x0A00_0001, port: 4001), generation: 7),
            MemberRecord(actor: harness.actor(5), address: Address("[2001:db8::1]:9")!, generation: .max),
        ]
        #expect(store.perform(.saveMembers([members[1]])) == .savedMembers)
        #expect(store.perform(.saveMembers(members.reversed())) == .savedMembers)
        #expect(try store.members() == members)
        // Only what differs is written: some go, some come, one has another generation.
        var random = Random(seed: 3)
        for round in 1...40 {
            let list = (1...12).filter { _ in random.below(2) == 0 }.map { number in
                MemberRecord(
                    actor: harness.actor(number), address: Address(ipv4: UInt32(number), port: 1),
                    generation: UInt64(round / (1 + number % 3)))
            }
            #expect(store.perform(.saveMembers(list)) == .savedMembers)
            #expect(try store.members() == list.sorted { $0.actor < $1.actor })
        }
        #expect(store.perform(.saveMembers(members)) == .savedMembers)
        store.close()
        let again = try harness.store()
        defer { again.close() }
        #expect(try again.members() == members)
    }

    @Test("apply: versions of which nothing wins are written down together, later, and a crash loses only the knowledge")
    func postponedRanges() throws {
        let harness = StoreHarness("apply-postponed")
        let (writer, other, third) = (
            try harness.store(1, schema: Self.schema), try harness.store(2, schema: Self.schema), try harness.store(3, schema: Self.schema)
        )
        defer { for store in [writer, other, third] { store.close() } }
        other.take(try fill(writer, 3).chunks)
        let table = other.catalog.tables[0]
        let (key, column) = (table.keyColumns[0].name, table.columns[0].name)
        var stale: [[Chunk]] = []
        for number in 0..<PostponedRanges.limit + 2 {
            stale.append(try writer.run("UPDATE \(table.name) SET \(column) = \(number)").chunks)
        }
        // The newest first: all others lose.
        other.take(stale[stale.count - 1])
        let last = UInt64(stale.count)
        func written() throws -> IntervalSet {
            try Bookkeeping.readComplete(other.connection, site: try #require(other.sites.ordinal(of: writer.actor)))
        }
        let before = other.writtenRows
        other.take(stale[0])
        other.take(stale[2], [EmptyVersions(actor: writer.actor, versions: 3...3)])
        #expect(other.writtenRows == before)
        #expect(other.ledger[writer.actor]?.complete.ranges == [1...4, (last + 1)...(last + 1)])
        #expect(try written().ranges == [1...1, (last + 1)...(last + 1)])
        // Memory is read again after a failure, and goes on knowing.
        #expect(throws: StoreError.self) { try other.write(changesMemory: true) { () throws(StoreError) in throw .interrupted } }
        #expect(other.ledger[writer.actor]?.contiguous == 4)
        // Whoever asks is told, and that is true on disk then.
        #expect(try other.serve([.versions(writer.actor, 2...4)]).empties == [EmptyVersions(actor: writer.actor, versions: 2...4)])
        #expect(try written() == other.ledger[writer.actor]?.complete)
        // The next merge that writes takes them along.
        other.take(stale[3])
        #expect(try written() != other.ledger[writer.actor]?.complete)
        third.take(stale[0])
        other.take(try third.run("INSERT INTO \(table.name) (\(key)) VALUES (77777)").chunks)
        #expect(try written() == other.ledger[writer.actor]?.complete)
        // No more than so many wait.
        var waits = 0
        for chunks in stale[4..<(stale.count - 1)] {
            other.take(chunks)
            if try written() != other.ledger[writer.actor]?.complete { waits += 1 }
        }
        #expect(waits > 50 && waits <= PostponedRanges.limit)
        #expect(try !other.maintain(.ledger))
        #expect(try written().ranges == [1...(last + 1)])
        try other.expectSound()
    }
}
