import Glibc
import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaRuntime

/// Goal: a running node keeps its database small without being asked. Method: one runtime on a file, short intervals.
@Suite struct RuntimeMaintenanceTests {
    private func size(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    @Test("maintenance: the log begins anew under a steady writer, and ends with the node")
    func log() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.db")
        var configuration = RuntimeConfiguration.forTest(path)
        // From here on a writer that outpaces the disk is slowed down, so that the log begins anew on any disk.
        configuration.maintenance.logWarningBytes = 8 << 20
        let runtime = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
        let body = String(repeating: "x", count: 40_000)
        // A log that nobody moves is as long as what was written, however much that is.
        var (count, written) = (Int64(0), 0)
        func write() async throws {
            _ = try await runtime.transact([.insert(count, body)], timeout: nil)
            (count, written) = (count + 1, written + body.utf8.count)
        }
        for _ in 0..<500 { try await write() }
        try await eventually("the log begins anew, although the writer never rests", pause: .zero) {
            try await write()
            return size(path + "-wal") < written / 2
        }
        #expect(size(path + "-wal") > 0)
        #expect(try await runtime.count() == count)
        #expect(runtime.writer.maintenanceSteps.count > 0)
        await runtime.shutdown()
        #expect(size(path + "-wal") == 0)
        #expect(size(path) >= written)
    }

    @Test("maintenance: tombstones that are old enough go, and what is left of nothing with them")
    func tombstones() async throws {
        let directory = try TemporaryDirectory()
        var configuration = RuntimeConfiguration.forTest(directory.file("a.db"))
        configuration.tombstoneRetention = .milliseconds(1)
        configuration.maintenance.passInterval = .milliseconds(20)
        configuration.maintenance.vacuumInterval = .milliseconds(20)
        let runtime = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
        try await runtime.write(1...20)
        _ = try await runtime.transact([Statement("DELETE FROM items WHERE id > 5")], timeout: nil)
        try await runtime.write([100])
        try await eventually("the tombstones are gone") {
            try await runtime.rows("SELECT count(*) FROM items__patina_tombstone") == [[.integer(0)]]
        }
        try await eventually("only versions that hold something, and the newest, have a row") {
            try await runtime.rows("SELECT count(*) FROM __patina_versions") == [[.integer(6)]]
        }
        #expect(try await runtime.count() == 6)
        let problems = try await runtime.writer.request(lane: .control, timeout: nil) { (store: Store) throws(StoreError) in
            try store.verify()
        }
        #expect(problems == [])
        await runtime.shutdown()
    }
}
