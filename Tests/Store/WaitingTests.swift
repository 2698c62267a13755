import PatinaProtocol
import Testing

@testable import PatinaStore

/// Changes for tables and columns that a node does not have yet: held, bounded, and merged when the schema is there.
@Suite("Waiting for a schema")
struct WaitingTests {
    private static let old = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v)"
    private static let new = old.dropLast() + ", w); CREATE TABLE u (id INTEGER PRIMARY KEY, v)"

    private func apply(_ store: Store, _ text: some StringProtocol) throws {
        _ = try store.applySchema([SchemaFile(path: "s", text: String(text))])
    }

    @Test("waiting: versions of a newer schema are held, known, served byte for byte, and merged after a restart with the schema")
    func held() throws {
        let harness = StoreHarness("waiting-held")
        let writer = try harness.store(1, schema: String(Self.new), chunkBytes: 40)
        let anchor = try MemoryAnchor(name: "waiting-held-2")
        var reader = try harness.store(2, schema: Self.old)
        defer { writer.close() }
        defer { anchor.close() }
        var versions: [[Chunk]] = []
        for sql in [
            "INSERT INTO t VALUES ('a', 1, NULL), ('b', zeroblob(30), 1), ('c', zeroblob(30), 2)", "INSERT INTO u VALUES (1, 1)",
            "UPDATE t SET v = 2", "DELETE FROM u",
        ] { versions.append(try writer.run(sql).chunks) }
        #expect(versions[0].count > 2)
        reader.take(versions.joined().reversed())
        // The third version writes v only, which is known: it is merged, and the rows that it touches exist.
        #expect(try reader.text("SELECT id, v FROM t ORDER BY id") == ["a|2", "b|2", "c|2"])
        #expect(reader.waitingVersions == 3)
        for version in UInt64(1)...4 where version != 3 {
            #expect(reader.ledger[writer.actor]?.partials[version]?.missing.isEmpty == true, "\(version)")
        }
        #expect(reader.perform(.apply(chunks: Array(versions.joined()), empties: [])) == .applied(changes: [], refused: []))
        let served = try reader.serve([.versions(writer.actor, 1...4)])
        #expect(served.chunks.filter { $0.id.version == 1 } == versions[0] && served.chunks.filter { $0.id.version == 4 } == versions[3])
        try reader.expectSound()
        #expect(try reader.finishUpkeep() == [])
        let before = reader.ledger
        reader.close()
        reader = try harness.store(2)
        #expect(reader.ledger == before && reader.waitingVersions == 3 && reader.needsUpkeep)
        try apply(reader, Self.new)
        #expect(try reader.finishUpkeep() == [1, 2, 4].map { .completed(writer.actor, versions: $0...$0) })
        #expect(reader.ledger == writer.ledger && reader.waitingVersions == 0 && reader.waitingBytes == 0)
        #expect(try reader.clockedCells() == writer.clockedCells())
        #expect(try reader.contentFingerprint() == writer.contentFingerprint())
        #expect(try reader.text("SELECT count(*) FROM __patina_chunks") == ["0"])
        try reader.expectSound()
        reader.close()
    }

    @Test("waiting: of a version in part the rest is still wanted, and the schema may come before or after it")
    func parts() throws {
        let harness = StoreHarness("waiting-parts")
        let writer = try harness.store(1, schema: String(Self.new), chunkBytes: 40)
        defer { writer.close() }
        let chunks = try writer.run("INSERT INTO t VALUES ('a', zeroblob(30), 1), ('b', zeroblob(30), 2), ('c', 1, 2)").chunks
        for schemaFirst in [false, true] {
            let reader = try harness.store(schemaFirst ? 3 : 2, schema: Self.old)
            defer { reader.close() }
            reader.take([chunks[1]])
            #expect(reader.waitingVersions == 1 && reader.ledger[writer.actor]?.partials[1]?.missing.isEmpty == false)
            if schemaFirst { try apply(reader, Self.new) }
            #expect(try reader.finishUpkeep() == [])
            reader.take(chunks)
            if !schemaFirst {
                #expect(try reader.text("SELECT count(*) FROM t") == ["0"])
                try apply(reader, Self.new)
                try reader.finishUpkeep()
            }
            #expect(try reader.contentFingerprint() == writer.contentFingerprint())
            #expect(reader.waitingVersions == 0)
            try reader.expectSound()
        }
    }

    @Test("waiting: over the bounds the newest are refused, and taken once there is room")
    func bounds() throws {
        let harness = StoreHarness("waiting-bounds")
        let writer = try harness.store(1, schema: String(Self.new))
        defer { writer.close() }
        var options = StoreOptions()
        options.simulated = true
        options.identity = harness.actor(2)
        options.limits.waitingVersions = 2
        options.limits.waitingBytes = 400
        let reader = try Store(.memory(name: "waiting-bounds-reader"), options: options)
        defer { reader.close() }
        try apply(reader, Self.old)
        let chunks = try [10, 500, 20, 30].map { try writer.run("INSERT INTO u (v) VALUES (zeroblob(\($0)))").chunks[0] }
        guard case .applied(let changes, let refused) = reader.perform(.apply(chunks: chunks, empties: [])) else { return }
        #expect(changes == [.buffered(chunks[0].id), .buffered(chunks[2].id)])
        #expect(refused.map(\.id) == [chunks[1].id, chunks[3].id])
        #expect(refused[1].reason == "unknown table u; 2 versions wait already")
        // Empty versions end their wait; nothing of them stays.
        guard case .applied = reader.perform(.apply(chunks: [], empties: [EmptyVersions(actor: writer.actor, versions: 1...1)])) else {
            Issue.record("not applied")
            return
        }
        #expect(reader.waitingVersions == 1)
        reader.take([chunks[3]])
        try reader.expectSound()
        try apply(reader, Self.new)
        try reader.finishUpkeep()
        reader.take([chunks[1]])
        #expect(try reader.text("SELECT length(v) FROM u ORDER BY id") == ["500", "20", "30"])
        try reader.expectSound()
    }

    @Test("waiting: a column with a default costs nothing, whatever the table holds")
    func addedColumnIsFree() throws {
        let harness = StoreHarness("waiting-free")
        var costs: [[String]] = []
        for rows in [10, 4_000] {
            let store = try harness.store(rows, schema: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v)")
            defer { store.close() }
            try store.run(
                "INSERT INTO t WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < \(rows)) SELECT 'k' || x, x FROM n")
            try store.finishUpkeep()
            // Clocks that wait are folded before a change of the schema: not part of its cost.
            try store.foldClocks()
            let before = try store.text("SELECT total_changes()")
            let clocks = try store.clockedCells().count
            let report = try store.applySchema([
                SchemaFile(path: "s", text: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v, w, x INTEGER NOT NULL DEFAULT 7)")
            ])
            #expect(report.addedColumns == ["t.w", "t.x"] && report.adoption == nil)
            #expect(try store.finishUpkeep() == [])
            #expect(try store.clockedCells().count == clocks)
            #expect(try store.text("SELECT count(*) FROM __patina_versions") == ["1"])
            #expect(try store.text("SELECT count(*) FROM t WHERE w IS NULL AND x = 7") == ["\(rows)"])
            #expect(store.ledger.head(of: store.actor) == 1)
            let after = try store.text("SELECT total_changes()")
            costs.append(["\((Int(after[0]) ?? 0) - (Int(before[0]) ?? 0))"])
            try store.expectSound()
        }
        #expect(costs[0] == costs[1])
    }
}
