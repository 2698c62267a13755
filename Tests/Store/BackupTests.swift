import CSQLite
import Foundation
import PatinaProtocol
import Testing

@testable import PatinaStore

/// Goal: a backup is whole, consistent and nobody's; a restored database loses nothing and gives out no number twice.
@Suite("Backup")
final class BackupTests {
    private let directory: URL
    private static let schema = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v INTEGER NOT NULL DEFAULT 1, w);
        CREATE TABLE k (a TEXT NOT NULL, b INTEGER NOT NULL, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
        """

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("patina-backup-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    private func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

    private func open(_ name: String, schema: String? = nil) throws -> Store {
        var options = StoreOptions()
        options.cacheKiB = 2_048
        let store = try Store(.file(path(name)), options: options)
        if let schema { _ = try store.applySchema([SchemaFile(path: "s", text: schema)]) }
        return store
    }

    private func fill(_ store: Store, _ numbers: ClosedRange<Int>) throws {
        for number in numbers {
            try store.run(
                "INSERT INTO t VALUES ('k\(number)', \(number), zeroblob(300))", "INSERT INTO k VALUES ('a', \(number), 1)",
                "DELETE FROM t WHERE id = 'k\(number - 5)'")
        }
    }

    private func files() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted() }

    @Test("backup: a copy of a database in use is one file, whole, sound, and has no identity")
    func copy() throws {
        let store = try open("db", schema: Self.schema)
        defer { store.close() }
        try fill(store, 1...40)
        _ = store.perform(
            .saveMembers([MemberRecord(actor: StoreHarness("x").actor(7), address: Address(ipv4: 1, port: 1), generation: 1)]))
        let before = try store.contentFingerprint()
        var steps: [CopyProgress] = []
        let report = try Backup.write(.file(path("db")), to: path("copy")) { steps.append($0) }
        #expect(report.actor == store.actor)
        #expect(report.bytes == Int64(try Data(contentsOf: URL(fileURLWithPath: path("copy"))).count))
        #expect(try files().filter { $0.hasPrefix("copy") } == ["copy"])
        // The original goes on.
        try fill(store, 41...60)

        let copy = try open("copy")
        defer { copy.close() }
        #expect(copy.actor != store.actor)
        #expect(copy.generation == 1)
        #expect(try copy.members().isEmpty)
        #expect(try copy.contentFingerprint() == before)
        #expect(copy.ledger.head(of: store.actor) == 40)
        #expect(copy.ledger.head(of: copy.actor) == 0)
        try copy.expectSound()
        // Two databases from one: they write as two, and agree.
        let written = try copy.run("UPDATE t SET v = 99", "INSERT INTO t VALUES ('new', 1, 1)")
        #expect(written.version == 1)
        store.take(written.chunks)
        copy.take(try store.serve([.versions(store.actor, 41...60)]).chunks)
        #expect(try copy.contentFingerprint() == store.contentFingerprint())
        try copy.expectSound()
        try store.expectSound()
    }

    @Test("backup: free pages stay behind, and steps are told of")
    func shrinks() throws {
        let store = try open("db", schema: Self.schema)
        defer { store.close() }
        for number in 1...60 { try store.run("INSERT INTO t VALUES ('k\(number)', 1, zeroblob(60000))") }
        try store.run("DELETE FROM t WHERE v = 1 AND id <> 'k1'")
        var steps: [CopyProgress] = []
        let report = try Backup.write(.file(path("db")), to: path("copy")) { steps.append($0) }
        #expect(report.bytes < 600_000)
        #expect(steps.count >= 3)
        #expect(steps.map(\.done) == steps.map(\.done).sorted())
        let copy = try open("copy")
        defer { copy.close() }
        try copy.expectSound()
    }

    @Test("backup: neither an existing file nor a foreign database is touched, and nothing is left behind")
    func refusals() throws {
        let store = try open("db", schema: Self.schema)
        defer { store.close() }
        try Data("mine".utf8).write(to: URL(fileURLWithPath: path("taken")))
        #expect(throws: BackupError.exists(path: path("taken"))) { try Backup.write(.file(path("db")), to: path("taken")) }
        #expect(try Data(contentsOf: URL(fileURLWithPath: path("taken"))) == Data("mine".utf8))
        #expect(throws: BackupError.self) { try Backup.write(.file(path("taken")), to: path("copy")) }
        #expect(throws: BackupError.self) { try Backup.write(.file(path("nothing")), to: path("copy")) }
        #expect(throws: BackupError.self) { try Backup.write(.file(path("db")), to: path("no/such/directory/copy")) }
        let foreign = try Connection(.file(path("foreign")), readOnly: false, userStatementLimit: 0)
        try foreign.execute("CREATE TABLE x (y)")
        foreign.close()
        do { _ = try Backup.write(.file(path("foreign")), to: path("copy")) } catch {
            #expect("\(error)" == "\(path("foreign")): not a database of Patina")
        }
        #expect(try files().filter { $0.hasPrefix("copy") }.isEmpty)
    }

    @Test("restore: without an identity the database writes as somebody new, and peers lose nothing")
    func restoreFresh() throws {
        let store = try open("db", schema: Self.schema)
        try fill(store, 1...20)
        let former = store.actor
        _ = try Backup.write(.file(path("db")), to: path("copy"))
        try fill(store, 21...30)
        let lost = try store.serve([.versions(former, 21...30)]).chunks
        store.close()
        let result = try Backup.restore(path("copy"), to: path("db"), as: .fresh)
        #expect(result.actor == nil)
        #expect(result.bytesBefore ?? 0 > 0)
        let restored = try open("db")
        defer { restored.close() }
        #expect(restored.actor != former)
        #expect(try restored.text("SELECT max(v) FROM t") == ["20"])
        // What was written after the backup comes back from peers.
        restored.take(lost)
        #expect(try restored.text("SELECT max(v) FROM t") == ["30"])
        try restored.expectSound()
        #expect(try files().filter { $0.contains("restoring") || $0.contains("partial") }.isEmpty)
    }

    @Test("restore: with the former identity, no number is given out that peers may have seen")
    func restoreSelf() throws {
        let harness = StoreHarness("restore-self")
        let peer = try harness.store(2, schema: Self.schema)
        defer { peer.close() }
        let store = try open("db", schema: Self.schema)
        let (actor, generation) = (store.actor, store.generation)
        try fill(store, 1...20)
        _ = try Backup.write(.file(path("db")), to: path("copy"))
        try fill(store, 21...30)
        peer.take(try store.serve([.versions(actor, 1...30)]).chunks)
        store.close()
        let backup = try Data(contentsOf: URL(fileURLWithPath: path("copy")))
        let result = try Backup.restore(path("copy"), to: path("db"), as: .ofDatabase)
        #expect(result.actor == actor)
        // The backup can be restored again, elsewhere.
        #expect(try Data(contentsOf: URL(fileURLWithPath: path("copy"))) == backup)
        let restored = try open("db")
        defer { restored.close() }
        #expect(restored.actor == actor)
        #expect(restored.generation > generation)
        #expect(restored.ledger.head(of: actor) == 20)
        #expect(try Bookkeeping.readMeta(restored.connection, CopyIdentity.restoredKey) != nil)
        restored.take(try peer.serve([.versions(actor, 21...30)]).chunks)
        #expect(try restored.contentFingerprint() == peer.contentFingerprint())
        try restored.expectSound()
    }

    @Test("restore: a given actor, a missing database, and a raw copy of a database in place of a backup")
    func restoreGiven() throws {
        let store = try open("db", schema: Self.schema)
        try fill(store, 1...10)
        let actor = store.actor
        let content = try store.contentFingerprint()
        store.close()
        try Data("stale".utf8).write(to: URL(fileURLWithPath: path("other-wal")))
        #expect(throws: BackupError.noIdentity(database: path("other"))) {
            try Backup.restore(path("db"), to: path("other"), as: .ofDatabase)
        }
        let result = try Backup.restore(path("db"), to: path("other"), as: .actor(actor))
        #expect(result.bytesBefore == nil)
        let restored = try open("other")
        #expect(restored.actor == actor)
        #expect(try restored.contentFingerprint() == content)
        try restored.expectSound()
        restored.close()
        #expect(throws: BackupError.sameFile(path: path("db"))) { try Backup.restore(path("db"), to: path("db"), as: .fresh) }
        #expect(throws: BackupError.self) { try Backup.restore(path("nothing"), to: path("db"), as: .fresh) }
    }

    @Test("restore: refused while somebody has the database open, and when the file is no backup; the database stays as it was")
    func restoreRefused() throws {
        let store = try open("db", schema: Self.schema)
        try fill(store, 1...10)
        _ = try Backup.write(.file(path("db")), to: path("copy"))
        try fill(store, 11...12)
        do { _ = try Backup.restore(path("copy"), to: path("db"), as: .fresh) } catch {
            #expect("\(error)" == "\(path("db")): patina is currently running, shut it down before restoring!")
        }
        #expect(throws: BackupError.running(database: path("db"))) { try Backup.restore(path("copy"), to: path("db"), as: .fresh) }
        let content = try store.contentFingerprint()
        store.close()
        let whole = try Data(contentsOf: URL(fileURLWithPath: path("copy")))
        try whole.prefix(whole.count / 2).write(to: URL(fileURLWithPath: path("half")))
        try Data("hello".utf8).write(to: URL(fileURLWithPath: path("text")))
        for name in ["half", "text"] {
            #expect(throws: BackupError.self) { try Backup.restore(path(name), to: path("db"), as: .fresh) }
        }
        let again = try open("db")
        defer { again.close() }
        #expect(try again.contentFingerprint() == content)
        #expect(try files().filter { $0.contains("restoring") }.isEmpty)
    }

    @Test("restore: a program that reads the database meanwhile sees the old rows, then all of the new ones")
    func readersStayConsistent() throws {
        let store = try open("db", schema: Self.schema)
        try fill(store, 1...10)
        _ = try Backup.write(.file(path("db")), to: path("copy"))
        try fill(store, 11...20)
        store.close()
        let reader = try Connection(.file(path("db")), readOnly: true, userStatementLimit: 0)
        defer { reader.close() }
        try reader.execute("BEGIN")
        #expect(try reader.integer("SELECT max(v) FROM t") == 20)
        _ = try Backup.restore(path("copy"), to: path("db"), as: .ofDatabase)
        #expect(try reader.integer("SELECT max(v) FROM t") == 20)
        #expect(try reader.integer("SELECT count(*) FROM k") == 20)
        try reader.execute("COMMIT")
        #expect(try reader.integer("SELECT max(v) FROM t") == 10)
        #expect(try reader.integer("SELECT count(*) FROM k") == 10)
    }

    // MARK: Snapshots

    private func transfer(_ source: SnapshotSource, piece: Int, file: String?) throws -> SnapshotSink {
        let sink = try SnapshotSink(byteCount: source.byteCount, fingerprint: source.fingerprint, file: file)
        while let bytes = try source.next(atMost: piece) {
            #expect(bytes.count <= piece)
            try sink.append(bytes)
        }
        return sink
    }

    @Test("snapshot: an empty store takes a peer's, in pieces, and stays itself", arguments: [1_000, 65_536, 1 << 24])
    func snapshotOfFile(piece: Int) throws {
        let store = try open("db", schema: Self.schema)
        defer { store.close() }
        try fill(store, 1...50)
        let source = try SnapshotSource(of: .file(path("db")), temporaryFile: path("outgoing"))
        let content = try store.contentFingerprint()
        try fill(store, 51...60)
        let fresh = try open("fresh", schema: Self.schema)
        let (actor, generation) = (fresh.actor, fresh.generation)
        let member = MemberRecord(actor: StoreHarness("x").actor(7), address: Address(ipv4: 1, port: 1), generation: 1)
        _ = fresh.perform(.saveMembers([member]))
        try fresh.install(try transfer(source, piece: piece, file: path("incoming")))
        #expect(try fresh.contentFingerprint() == content)
        #expect(fresh.actor == actor)
        #expect(try fresh.members() == [member])
        #expect(fresh.ledger.head(of: store.actor) == 50)
        try fresh.expectSound()
        // The tail follows as usual, and it writes as itself.
        fresh.take(try store.serve([.versions(store.actor, 51...60)]).chunks)
        let own = try fresh.run("INSERT INTO t VALUES ('own', 1, 1)")
        #expect(own.version == 1)
        store.take(own.chunks)
        #expect(try fresh.contentFingerprint() == store.contentFingerprint())
        try fresh.expectSound()
        fresh.close()
        let again = try open("fresh")
        defer { again.close() }
        #expect(again.actor == actor)
        #expect(again.generation == generation + 1)
        try again.expectSound()
        #expect(try files().filter { $0.contains("outgoing") || $0.contains("incoming") }.isEmpty)
    }

    @Test("snapshot: stores in memory, as the simulator has them")
    func snapshotOfMemory() throws {
        let harness = StoreHarness("snapshot-memory")
        let store = try harness.store(1, schema: Self.schema)
        let fresh = try harness.store(2)
        defer {
            store.close()
            fresh.close()
        }
        try fill(store, 1...30)
        let source = try SnapshotSource(of: .memory(name: "snapshot-memory-1"), temporaryFile: "")
        try fresh.install(try transfer(source, piece: 777, file: nil))
        #expect(try fresh.contentFingerprint() == store.contentFingerprint())
        #expect(fresh.actor == harness.actor(2))
        try fresh.expectSound()
        #expect(try fresh.run("INSERT INTO t VALUES ('own', 1, 1)").version == 1)
    }

    @Test("snapshot: a damaged, short or long one, and one for a store that holds something, change nothing")
    func snapshotRefused() throws {
        let harness = StoreHarness("snapshot-refused")
        let store = try harness.store(1, schema: Self.schema)
        let fresh = try harness.store(2, schema: Self.schema)
        defer {
            store.close()
            fresh.close()
        }
        try fill(store, 1...10)
        let location = StoreLocation.memory(name: "snapshot-refused-1")
        let source = try SnapshotSource(of: location, temporaryFile: "")
        let whole = try #require(try source.next(atMost: .max))
        let short = try SnapshotSink(byteCount: source.byteCount, fingerprint: source.fingerprint, file: nil)
        try short.append(Array(whole.dropLast()))
        #expect(throws: BackupError.self) { try fresh.install(short) }
        #expect(throws: BackupError.self) { try short.append([0, 0]) }
        var bytes = whole
        bytes[whole.count / 2] ^= 1
        let damaged = try SnapshotSink(byteCount: source.byteCount, fingerprint: source.fingerprint, file: nil)
        try damaged.append(bytes)
        #expect(throws: BackupError.damaged(reason: "its bytes are others than those that were sent")) { try fresh.install(damaged) }
        let good = try transfer(try SnapshotSource(of: location, temporaryFile: ""), piece: 4_096, file: nil)
        try fresh.run("INSERT INTO t VALUES ('own', 1, 1)")
        #expect(throws: BackupError.notEmpty("this one has versions")) { try fresh.install(good) }
        #expect(try fresh.text("SELECT id FROM t") == ["own"])
        #expect(fresh.failure == nil)
        try fresh.expectSound()
    }

    @Test("snapshot: a stream is taken whole and unharmed, or not at all")
    func snapshotStream() throws {
        let store = try open("db", schema: Self.schema)
        defer { store.close() }
        try fill(store, 1...50)
        let source = try SnapshotSource(of: .file(path("db")), temporaryFile: path("outgoing"))
        let header = source.header
        #expect(SnapshotHeader(header.encoded) == header)
        #expect(header.encoded.count == SnapshotHeader.encodedBytes)
        for index in header.encoded.indices {
            var bytes = header.encoded
            bytes[index] ^= 1
            #expect(SnapshotHeader(bytes) == nil)
        }
        let whole = header.encoded + (try #require(try source.next(atMost: .max)))
        func read(_ bytes: [UInt8]) throws -> SnapshotSink {
            try Data(bytes).write(to: URL(fileURLWithPath: path("stream")))
            let file = try #require(FileHandle(forReadingAtPath: path("stream")))
            return try SnapshotSink.reading(file.fileDescriptor, file: path("incoming"))
        }
        let sink = try read(whole)
        #expect(SnapshotHeader.begins(path("stream")))
        #expect(!SnapshotHeader.begins(path("db")))
        try sink.save(as: path("saved"))
        #expect(throws: BackupError.exists(path: path("saved"))) { try read(whole).save(as: path("saved")) }
        _ = try Backup.restore(path("saved"), to: path("restored"), as: .fresh)
        let restored = try open("restored")
        defer { restored.close() }
        #expect(try restored.contentFingerprint() == store.contentFingerprint())
        var flipped = whole
        flipped[whole.count - 1_000] ^= 1
        for wrong in [
            [], Array(whole.prefix(20)), Array(whole.prefix(48)), whole.dropLast(), whole + [0], flipped, Array(whole.dropFirst(48)),
        ] {
            #expect(throws: BackupError.self) { try read(wrong) }
        }
        #expect(try files().filter { $0.contains("outgoing") || $0.contains("incoming") }.isEmpty)
    }
}
