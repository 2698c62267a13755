import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaRuntime

/// Goal: a runtime ends cleanly whatever it is doing, and says when its storage broke.
@Suite struct ShutdownTests {
    @Test("shutdown: transactions that were accepted are committed, and broadcast before the farewell (50 of them)")
    func finishesCommits() async throws {
        let directory = try TemporaryDirectory()
        try await withCluster(of: 2, in: directory, binding: LoopbackNetwork().binding) { nodes in
            let writes = (0..<50 as Range<Int64>).map { id in Task { try await nodes[0].transact([.insert(id)], timeout: nil).version } }
            // Each is in the queue, running or done once its task has begun; the last ones may come too late and are refused.
            _ = try await writes[0].value
            await nodes[0].shutdown()
            var committed = 0
            for write in writes {
                switch await write.result {
                case .success(let version):
                    #expect(version != nil)
                    committed += 1
                case .failure(let error):
                    #expect(error as? StoreError == .closed)
                }
            }
            #expect(committed >= 1)
            let again = try await NodeRuntime.start(.forTest(directory.file("0.db")), logger: .silent, binding: LoopbackNetwork().binding)
            #expect(try await again.count() == Int64(committed))
            await again.shutdown()
            try await eventually("the other node has them too") { try await nodes[1].count() == Int64(committed) }
            try await eventually("and knows that the node left") {
                await nodes[1].members().contains { $0.record.actor == nodes[0].actor && $0.state == .left }
            }
        }
    }

    @Test("shutdown: twice, at once and again, is once")
    func twice() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await NodeRuntime.start(.forTest(directory.file("a.db")), logger: .silent, binding: LoopbackNetwork().binding)
        async let first: Void = runtime.shutdown()
        async let second: Void = runtime.shutdown()
        _ = await (first, second)
        await runtime.shutdown()
        #expect(await runtime.status() == nil)
        #expect(await runtime.members().isEmpty)
        #expect(await runtime.untilFatal() == nil)
        await #expect(throws: StoreError.closed) { try await runtime.transact([.insert(1)], timeout: nil) }
        await #expect(throws: StoreError.closed) { _ = try await runtime.query(Statement("SELECT 1"), timeout: nil) }
        await #expect(throws: StoreError.closed) { _ = try await runtime.reloadSchema([]) }
    }

    @Test("shutdown: open queries are ended and an endless transaction is interrupted")
    func whileBusy() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await NodeRuntime.start(.forTest(directory.file("a.db")), logger: .silent, binding: LoopbackNetwork().binding)
        var slow = try await runtime.query(.endlessRows, timeout: nil).makeAsyncIterator()
        #expect(try await slow.next() != nil)
        let stuck = try await runtime.query(.endlessWork, timeout: nil)
        let stuckRows = Task {
            var iterator = stuck.makeAsyncIterator()
            return try await iterator.next()
        }
        let started = OneShot<Void>()
        let endless = Task {
            try await runtime.writer.request(lane: .local, timeout: nil) { (store: Store) throws(StoreError) in
                started.complete(())
                return try store.transact([.endlessWrite])
            }
        }
        _ = await started.wait()
        await runtime.shutdown()
        await #expect(throws: StoreError.self) { try await endless.value }
        await #expect(throws: StoreError.self) { try await stuckRows.value }
        await #expect(throws: StoreError.self) { while try await slow.next() != nil {} }
        let again = try await NodeRuntime.start(.forTest(directory.file("a.db")), logger: .silent, binding: LoopbackNetwork().binding)
        #expect(try await again.count() == 0)
        await again.shutdown()
    }

    @Test("failure: broken storage surfaces, and once only")
    func fatal() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await NodeRuntime.start(.forTest(directory.file("a.db")), logger: .silent, binding: LoopbackNetwork().binding)
        let broken = StoreError.sqlite(code: 10, message: "disk I/O error", sql: nil)
        let waiting = Task { await runtime.untilFatal() }
        await #expect(throws: broken) {
            try await runtime.writer.request(lane: .local, timeout: nil) { (_: Store) throws(StoreError) in throw broken }
        }
        #expect(await waiting.value == broken)
        #expect(await runtime.untilFatal() == broken)
        await runtime.shutdown()
    }

    @Test("failure: pages that turn to garbage under a running node surface (found by)", arguments: ["query", "transaction"])
    func corrupt(finder: String) async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.db")
        let first = try await NodeRuntime.start(.forTest(path), logger: .silent, binding: LoopbackNetwork().binding)
        _ = try await first.transact((0..<2_000).map { .insert($0, String(repeating: "y", count: 1_000)) }, timeout: nil)
        await first.shutdown()
        let runtime = try await NodeRuntime.start(.forTest(path), logger: .silent, binding: LoopbackNetwork().binding)
        try overwrite(path, at: 500_000, with: Array(repeating: 0xA5, count: 500_000))
        let error = await #expect(throws: StoreError.self) {
            if finder == "query" {
                _ = try await runtime.rows("SELECT sum(length(body)) FROM items")
            } else {
                _ = try await runtime.transact([Statement("UPDATE items SET body = 'z'")], timeout: nil)
            }
        }
        #expect(error?.isFatal == true)
        #expect(await runtime.untilFatal()?.isFatal == true)
        await runtime.shutdown()
    }

    @Test("start: a file that is no database, a missing directory, a bad bootstrap entry and too few readers are refused")
    func badStart() async throws {
        let directory = try TemporaryDirectory()
        let garbage = directory.file("garbage.db")
        try writeFile(garbage, Array(repeating: 0x41, count: 8_192))
        await #expect(throws: StoreError.self) {
            _ = try await NodeRuntime.start(.forTest(garbage), logger: .silent, binding: LoopbackNetwork().binding)
        }
        await #expect(throws: StoreError.self) {
            _ = try await NodeRuntime.start(.forTest("/nonexistent/a.db"), logger: .silent, binding: LoopbackNetwork().binding)
        }
        var configuration = RuntimeConfiguration.forTest(directory.file("a.db"))
        configuration.bootstrap = ["host:port"]
        await #expect(throws: RuntimeError.self) {
            _ = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
        }
        configuration.bootstrap = []
        configuration.readers = 1
        await #expect(throws: RuntimeError.self) {
            _ = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
        }
        configuration.readers = 2
        configuration.schema = [SchemaFile(path: "bad.sql", text: "CREATE TABLE (")]
        await #expect(throws: StoreError.self) {
            _ = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
        }
        // What a failed start left behind does not keep the next one from the file.
        configuration.schema = [RuntimeConfiguration.testSchema]
        let runtime = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
        try await runtime.write([1])
        await runtime.shutdown()
    }
}
