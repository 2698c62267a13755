import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaRuntime

/// Goal: queries through the reader pool. Method: one runtime on a file, no network.
@Suite struct QueryTests {
    private func start(_ directory: TemporaryDirectory, readers: Int = 4) async throws -> NodeRuntime {
        var configuration = RuntimeConfiguration.forTest(directory.file("a.db"))
        configuration.readers = readers
        return try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
    }

    @Test("queries: columns first, then all rows in order, in bounded batches")
    func rows() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await start(directory)
        _ = try await runtime.transact((0..<1_000).map { .insert($0) }, timeout: nil)
        let stream = try await runtime.query(Statement("SELECT id, body AS text FROM items ORDER BY id"), timeout: nil)
        #expect(stream.columns == ["id", "text"])
        var seen: [[Value]] = []
        for try await batch in stream {
            #expect((1...256).contains(batch.count))
            seen += batch
        }
        #expect(seen == (0..<1_000).map { [.integer($0), .text("x")] })
        await runtime.shutdown()
    }

    @Test("queries: nothing to tell is an end without a batch")
    func empty() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await start(directory)
        let stream = try await runtime.query(Statement("SELECT id FROM items"), timeout: nil)
        var iterator = stream.makeAsyncIterator()
        #expect(try await iterator.next() == nil)
        await runtime.shutdown()
    }

    @Test(
        "queries: what would write, and what cannot be prepared, is refused before the first row (statement)",
        arguments: ["DELETE FROM items", "SELECT nothing"])
    func refused(sql: String) async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await start(directory)
        await #expect(throws: StoreError.self) { _ = try await runtime.query(Statement(sql), timeout: nil) }
        await runtime.shutdown()
    }

    @Test("queries: one that takes too long for its first row is interrupted, and its reader is free again (2 readers, 3 times)")
    func timeout() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await start(directory, readers: 2)
        for _ in 0..<3 {
            let stream = try await runtime.query(.endlessWork, timeout: .milliseconds(30))
            var iterator = stream.makeAsyncIterator()
            await #expect(throws: StoreError.interrupted) { try await iterator.next() }
            #expect(try await runtime.count() == 0)
        }
        await runtime.shutdown()
    }

    @Test("queries: a timeout is for each row, not for the whole, and not for the consumer")
    func timeoutPerRow() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await start(directory)
        var iterator = try await runtime.query(.endlessRows, timeout: .seconds(5)).makeAsyncIterator()
        for _ in 0..<20 {
            #expect(try await iterator.next() != nil)
            try await Task.sleep(for: .milliseconds(1))
        }
        await runtime.shutdown()
    }

    @Test("queries: a slow consumer holds the query back instead of filling memory")
    func backPressure() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await start(directory)
        let stream = try await runtime.query(.endlessRows, timeout: nil)
        var iterator = stream.makeAsyncIterator()
        var last: Int64 = 0
        for _ in 0..<50 {
            let batch = try #require(try await iterator.next())
            #expect(batch.count <= 256)
            for row in batch {
                #expect(row.first == .integer(last + 1))
                last += 1
            }
            try await Task.sleep(for: .milliseconds(1))
        }
        #expect(stream.highWater <= QueryPipe.Bounds().batches)
        await runtime.shutdown()
    }

    @Test("queries: a consumer that goes away frees the reader (2 readers, of which 1 for queries; 10 abandoned queries)")
    func abandoned() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await start(directory, readers: 2)
        for _ in 0..<10 {
            var iterator = try await runtime.query(.endlessRows, timeout: nil).makeAsyncIterator()
            #expect(try await iterator.next() != nil)
        }
        #expect(try await runtime.count() == 0)
        await runtime.shutdown()
    }

    @Test("queries: cancelling the task ends one that waits for its first row, and one that waits for a reader")
    func cancellation() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await start(directory, readers: 2)
        // It has the only reader for queries once its columns are known.
        let endless = try await runtime.query(.endlessWork, timeout: nil)
        let running = Task {
            var iterator = endless.makeAsyncIterator()
            return try await iterator.next()
        }
        let waiting = Task { try await runtime.count() }
        try await Task.sleep(for: .milliseconds(20))
        waiting.cancel()
        await #expect(throws: StoreError.interrupted) { try await waiting.value }
        running.cancel()
        await #expect(throws: StoreError.interrupted) { try await running.value }
        #expect(try await runtime.count() == 0)
        await runtime.shutdown()
    }

    @Test("queries: a writer is not kept waiting by an open query, nor does the query see what is written meanwhile")
    func snapshot() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await start(directory)
        _ = try await runtime.transact((0..<2_000).map { .insert($0, String(repeating: "y", count: 1_000)) }, timeout: nil)
        var iterator = try await runtime.query(Statement("SELECT id, body FROM items ORDER BY id"), timeout: nil).makeAsyncIterator()
        var count = try #require(try await iterator.next()).count
        try await runtime.write(5_000..<5_050)
        while let batch = try await iterator.next() { count += batch.count }
        #expect(count == 2_000)
        #expect(try await runtime.count() == 2_050)
        await runtime.shutdown()
    }
}
