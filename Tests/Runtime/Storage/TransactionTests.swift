import PatinaProtocol
import PatinaSim
import PatinaStore
import Testing

@testable import PatinaRuntime

/// Goal: local transactions through a running node's writer. Method: one runtime on a file, no network.
@Suite struct TransactionTests {
    @Test("transactions: 64 at once all commit, each under a version of its own, and the node hears of them in order")
    func concurrent() async throws {
        let directory = try TemporaryDirectory()
        var configuration = RuntimeConfiguration.forTest(directory.file("a.db"))
        configuration.recording = RecordingConfiguration(directory: directory.path, build: "test")
        let runtime = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
        let versions = try await withThrowingTaskGroup(of: UInt64?.self) { group in
            for id in 0..<64 as Range<Int64> { group.addTask { try await runtime.transact([.insert(id)], timeout: .seconds(60)).version } }
            var versions: [UInt64] = []
            for try await version in group { versions.append(try #require(version)) }
            return versions
        }
        #expect(versions.sorted() == Array(1...64))
        #expect(try await runtime.count() == 64)
        try await eventually("the node was told of all commits") { await runtime.status()?.counters.versionsCommitted == 64 }
        await runtime.shutdown()
        #expect(try recordedVersions(in: directory) == Array(1...64))
    }

    @Test("transactions: a failing statement changes nothing and says why")
    func failure() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await NodeRuntime.start(.forTest(directory.file("a.db")), logger: .silent, binding: LoopbackNetwork().binding)
        let error = await #expect(throws: StoreError.self) {
            try await runtime.transact([.insert(1), Statement("INSERT INTO nowhere VALUES (1)")], timeout: nil)
        }
        #expect(error?.description.contains("nowhere") == true)
        #expect(error?.isFatal == false)
        #expect(try await runtime.count() == 0)
        await runtime.shutdown()
    }

    @Test("transactions: one that takes longer than its timeout is interrupted, and the next one runs")
    func timeout() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await NodeRuntime.start(.forTest(directory.file("a.db")), logger: .silent, binding: LoopbackNetwork().binding)
        await #expect(throws: StoreError.interrupted) {
            try await runtime.transact([.insert(1), .endlessWrite], timeout: .milliseconds(50))
        }
        #expect(try await runtime.count() == 0)
        try await runtime.write([2])
        #expect(try await runtime.count() == 1)
        await runtime.shutdown()
    }

    @Test("transactions: the store says before each statement and before the commit that time starts anew; no time at all is refused")
    func timeoutPerStatement() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await NodeRuntime.start(.forTest(directory.file("a.db")), logger: .silent, binding: LoopbackNetwork().binding)
        let announced = try await runtime.writer.request(lane: .local, timeout: nil) { (store: Store) throws(StoreError) in
            var count = 0
            _ = try store.transact([.insert(1), .insert(2), .insert(3)]) { count += 1 }
            return count
        }
        #expect(announced == 4)
        await #expect(throws: StoreError.interrupted) { try await runtime.transact([.insert(4)], timeout: .zero) }
        #expect(try await runtime.count() == 3)
        await runtime.shutdown()
    }

    @Test("transactions: cancelling the task interrupts a running one and takes out a waiting one")
    func cancellation() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await NodeRuntime.start(.forTest(directory.file("a.db")), logger: .silent, binding: LoopbackNetwork().binding)
        let running = await occupyWriter(of: runtime)
        let waiting = Task { try await runtime.transact([.insert(2)], timeout: nil) }
        try await eventually("one waits behind the other") { await runtime.status()?.waitingTransactions == 1 }
        waiting.cancel()
        await #expect(throws: StoreError.interrupted) { try await waiting.value }
        running.cancel()
        await #expect(throws: StoreError.interrupted) { try await running.value }
        #expect(try await runtime.count() == 0)
        await runtime.shutdown()
    }

    @Test("transactions: a full queue refuses at once (bound 1)")
    func busy() async throws {
        let directory = try TemporaryDirectory()
        var configuration = RuntimeConfiguration.forTest(directory.file("a.db"))
        configuration.waitingTransactions = 1
        let runtime = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
        let running = await occupyWriter(of: runtime)
        let waiting = Task { try await runtime.transact([.insert(2)], timeout: nil) }
        try await eventually("one waits behind the other") { await runtime.status()?.waitingTransactions == 1 }
        let error = await #expect(throws: StoreError.self) { try await runtime.transact([.insert(3)], timeout: nil) }
        guard case .busy? = error else {
            Issue.record("a full queue gave \(String(describing: error))")
            return
        }
        running.cancel()
        waiting.cancel()
        _ = await (running.result, waiting.result)
        await runtime.shutdown()
    }

    @Test("transactions: 64 that wait together share commits; one that fails takes none along, and the versions have no holes")
    func shared() async throws {
        let directory = try TemporaryDirectory()
        var configuration = RuntimeConfiguration.forTest(directory.file("a.db"))
        configuration.synchronous = .full
        configuration.recording = RecordingConfiguration(directory: directory.path, build: "test")
        let runtime = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
        // Row 1,000 is there already, so that client 40 cannot insert it.
        try await runtime.write([1_000])
        let running = await occupyWriter(of: runtime)
        let results = await withTaskGroup(of: (Int64, Result<TransactionOutcome, any Error>).self) { group in
            for id in 0..<64 as Range<Int64> {
                group.addTask {
                    do {
                        return (
                            id,
                            .success(
                                try await runtime.transact([.insert(id), .insert(id == 40 ? 1_000 : id + 100)], timeout: .seconds(60)))
                        )
                    } catch {
                        return (id, .failure(error))
                    }
                }
            }
            group.addTask {
                // All wait: none can have begun before this ends what the writer does.
                while await runtime.status()?.waitingTransactions != 64 { try? await Task.sleep(for: .milliseconds(2)) }
                running.cancel()
                return (-1, .failure(CancellationError()))
            }
            var results: [Int64: Result<TransactionOutcome, any Error>] = [:]
            for await (id, result) in group { results[id] = result }
            return results
        }
        var versions: [UInt64] = []
        for id in 0..<64 as Range<Int64> {
            if id == 40 {
                let error = #expect(throws: StoreError.self) { try results[id]?.get() }
                #expect(error?.description.contains("UNIQUE") == true)
            } else {
                versions.append(try #require(try results[id]?.get().version))
            }
        }
        #expect(versions.sorted() == Array(2...64))
        #expect(try await runtime.count() == 1 + 2 * 63)
        try await eventually("the node was told of all commits") { await runtime.status()?.counters.versionsCommitted == 64 }
        let shared = runtime.writer.sharedCommits
        #expect(shared.transactions == 64)
        #expect(shared.commits < 64, "no two transactions shared a commit")
        await runtime.shutdown()
        #expect(try recordedVersions(in: directory) == Array(1...64))
    }

    @Test("transactions: one of a group that times out is taken back alone; those before it, which it took along, are there")
    func timeoutInGroup() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await NodeRuntime.start(.forTest(directory.file("a.db")), logger: .silent, binding: LoopbackNetwork().binding)
        let running = await occupyWriter(of: runtime)
        let before = (1...3 as ClosedRange<Int64>).map { id in Task { try await runtime.transact([.insert(id)], timeout: nil).version } }
        try await eventually("three wait") { await runtime.status()?.waitingTransactions == 3 }
        let late = Task { try await runtime.transact([.insert(4), .endlessWrite], timeout: .milliseconds(50)) }
        try await eventually("four wait") { await runtime.status()?.waitingTransactions == 4 }
        let after = Task { try await runtime.transact([.insert(5)], timeout: nil).version }
        try await eventually("five wait") { await runtime.status()?.waitingTransactions == 5 }
        running.cancel()
        await #expect(throws: StoreError.interrupted) { try await late.value }
        var versions: [UInt64] = []
        for task in before { versions.append(try #require(try await task.value)) }
        #expect(versions.sorted() == [1, 2, 3])
        #expect(try await after.value == 4)
        #expect(try await runtime.rows("SELECT id FROM items ORDER BY id") == [1, 2, 3, 5].map { [.integer($0)] })
        await runtime.shutdown()
    }

    /// Starts a transaction that never ends by itself, and returns once it runs.
    private func occupyWriter(of runtime: NodeRuntime) async -> Task<TransactionOutcome, any Error> {
        let started = OneShot<Void>()
        let statements: [Statement] = [.insert(1), .endlessWrite]
        let task = Task {
            try await runtime.writer.request(lane: .local, timeout: nil) { (store: Store) throws(StoreError) in
                started.complete(())
                return try store.transact(statements)
            }
        }
        _ = await started.wait()
        return task
    }
}

/// The versions of the local transactions that a node was told of, in order, as its log has them.
private func recordedVersions(in directory: TemporaryDirectory) throws -> [UInt64] {
    var replay = try NodeReplay(file: directory.file(EventLog.fileName(1)))
    var versions: [UInt64] = []
    while let step = try replay.next() {
        guard case .transactionCommitted(let chunks) = step.event, let version = chunks.first?.id.version else { continue }
        versions.append(version)
    }
    return versions
}
