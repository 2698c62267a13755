import Foundation
import PatinaProtocol
import Testing

@testable import PatinaStore

// Method: what a killed process leaves is a copy of the files while the store is open. Bits of the copied log are turned over.

/// A log that ends, for its damage, before what was moved from it into the database.
@Suite("Log damage")
struct LogDamageTests {
    private final class Files {
        let directory: String
        var path: String { directory + "/db" }

        init() throws {
            directory = FileManager.default.temporaryDirectory.appendingPathComponent("patina-log-\(UUID().uuidString)").path
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        }

        deinit { try? FileManager.default.removeItem(atPath: directory) }

        /// The files as they are now.
        func killed() throws -> Files {
            let copy = try Files()
            for suffix in ["", "-wal", ".reservation"] where FileManager.default.fileExists(atPath: path + suffix) {
                try FileManager.default.copyItem(atPath: path + suffix, toPath: copy.path + suffix)
            }
            return copy
        }

        func flip(_ suffix: String, at offset: Int) throws {
            let url = URL(fileURLWithPath: path + suffix)
            var bytes = try Data(contentsOf: url)
            bytes[offset] ^= 1
            try bytes.write(to: url)
        }
    }

    private func open(_ files: Files) throws -> Store {
        var options = StoreOptions()
        options.leavesCheckpoints = true
        return try Store(.file(files.path), options: options)
    }

    /// 40 rows that are moved into the database. `held`: of 11 more a reader keeps what it must not see from being moved, and 3 come later.
    private func workload(_ files: Files, held: Bool = false) throws -> Store {
        let store = try open(files)
        _ = try store.applySchema([SchemaFile(path: "s", text: "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")])
        for number in 1...40 { try store.run("INSERT INTO t VALUES (\(number), zeroblob(3000))") }
        let checkpointer = try store.makeCheckpointer()
        defer { checkpointer.close() }
        if held {
            let reader = try Connection(.file(files.path), readOnly: true, userStatementLimit: 0)
            defer { reader.close() }
            try reader.execute("BEGIN")
            #expect(try reader.integer("SELECT count(*) FROM t") == 40)
            for number in 50...60 { try store.run("INSERT INTO t VALUES (\(number), zeroblob(3000))") }
            #expect(try checkpointer.run().waitingPages > 0)
            for number in 41...43 { try store.run("INSERT INTO t VALUES (\(number), zeroblob(3000))") }
        } else {
            // The next commit would begin the log anew.
            #expect(try checkpointer.run().waitingPages == 0)
        }
        return store
    }

    /// Of the page of the third frame; of the log's header.
    private static let places = [32 + 2 * (24 + 4_096) + 24 + 1_000, 17]

    @Test("log damage: where all was moved the database does without the log", arguments: places)
    func mended(place: Int) throws {
        let files = try Files()
        let store = try workload(files)
        defer { store.close() }
        let whole = try files.killed()
        let sound = try open(whole)
        #expect(sound.damagedLog == nil)
        #expect(try sound.text("SELECT count(*) FROM t") == ["40"])
        sound.close()

        let damaged = try files.killed()
        try damaged.flip("-wal", at: place)
        let violations = try DatabaseCheck.run(path: damaged.path).violations
        #expect(violations.contains { $0.contains("the write-ahead log is damaged") }, "\(violations)")
        var mended = try open(damaged)
        #expect(mended.damagedLog?.contains("leaves the log out") == true)
        #expect(try mended.text("SELECT count(*) FROM t") == ["40"])
        try mended.expectSound()
        // What was lost took its numbers along.
        #expect(try mended.run("INSERT INTO t VALUES (100, 1)").version ?? 0 > store.ledger.head(of: store.actor))
        // Nothing of the old log comes back.
        let later = try damaged.killed()
        mended.close()
        mended = try open(later)
        #expect(mended.damagedLog == nil)
        #expect(try mended.text("SELECT count(*) FROM t") == ["41"])
        try mended.expectSound()
        mended.close()
    }

    @Test("log damage: where a part was moved the database is refused, and not touched", arguments: places)
    func refused(place: Int) throws {
        let files = try Files()
        let store = try workload(files, held: true)
        defer { store.close() }
        let damaged = try files.killed()
        try damaged.flip("-wal", at: place)
        for _ in 0..<2 {
            let problem = #expect(throws: StoreError.self) { try open(damaged) }
            #expect(problem?.description.contains("restore the database from a backup") == true, "\(String(describing: problem))")
        }
        // The bit turns back.
        try damaged.flip("-wal", at: place)
        let again = try open(damaged)
        #expect(try again.text("SELECT count(*) FROM t") == ["54"])
        again.close()
    }

    @Test("log damage: damage behind what was moved only ends the log, as ever")
    func behind() throws {
        let files = try Files()
        let store = try workload(files, held: true)
        defer { store.close() }
        let damaged = try files.killed()
        let size = try Data(contentsOf: URL(fileURLWithPath: damaged.path + "-wal")).count
        try damaged.flip("-wal", at: size - 100)
        let opened = try open(damaged)
        #expect(opened.damagedLog == nil)
        #expect(try opened.text("SELECT count(*) FROM t") == ["53"])
        try opened.expectSound()
        opened.close()
    }

    @Test("log damage: a database that is put back with its shorter log is taken as it is")
    func putBack() throws {
        let files = try Files()
        let store = try open(files)
        defer { store.close() }
        _ = try store.applySchema([SchemaFile(path: "s", text: "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")])
        for number in 1...20 { try store.run("INSERT INTO t VALUES (\(number), zeroblob(3000))") }
        let copy = try files.killed()
        for number in 21...40 { try store.run("INSERT INTO t VALUES (\(number), zeroblob(3000))") }
        let checkpointer = try store.makeCheckpointer()
        #expect(try checkpointer.run().waitingPages == 0)
        checkpointer.close()
        // The reservation is the newer one, and its mark is about more of the log than there is.
        try FileManager.default.removeItem(atPath: copy.path + ".reservation")
        try FileManager.default.copyItem(atPath: files.path + ".reservation", toPath: copy.path + ".reservation")
        let opened = try open(copy)
        #expect(opened.damagedLog == nil)
        #expect(try opened.text("SELECT count(*) FROM t") == ["20"])
        opened.close()
    }

    @Test("log damage: the mark is read back, and one that was damaged is none")
    func mark() throws {
        let mark = LogMark(salts: 0x0123_4567_89AB_CDEF, frames: 77, isWhole: true)
        #expect(LogMark(mark.bytes) == mark)
        #expect(mark.bytes.count == LogMark.recordBytes)
        for index in mark.bytes.indices {
            var bytes = mark.bytes
            bytes[index] ^= 4
            #expect(LogMark(bytes) == nil)
        }
        #expect(LogMark([UInt8](repeating: 0, count: LogMark.recordBytes)) == nil)
        let files = try Files()
        let file = try ReservationFile(database: files.path, vfs: nil)
        #expect(try file.readMark() == nil)
        try file.write(mark, durably: false)
        #expect(try file.readMark() == mark)
        // The reservation beside it is another matter.
        let reservation = VersionReservation(actor: ActorID(high: 1, low: 2), generation: 3, versions: 4)
        try file.write(reservation)
        file.close()
        let again = try ReservationFile(database: files.path, vfs: nil)
        #expect(again.found == ReservationFile.Content(record: reservation, isDamaged: false))
        #expect(try again.readMark() == mark)
        again.close()
    }
}
