import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaRuntime

@Suite struct QueryPipeTests {
    private func rows(_ number: Int) -> QueryPipe.Batch { [[.integer(Int64(number))]] }

    /// What a producing thread has come to.
    private struct Progress: Sendable {
        var sent = 0
        var outcome: QueryPipe.Sent?
    }

    /// A thread that sends batches 0, 1, 2… until `count` or until nobody wants them.
    private func produce(_ count: Int, into pipe: QueryPipe) -> Monitor<Progress> {
        let progress = Monitor(Progress())
        startThread(named: "test-producer") {
            pipe.opened.complete(.success(["n"]))
            for number in 0..<count {
                let sent = pipe.send(self.rows(number), willBlock: {})
                progress.withLock { $0.outcome = sent }
                guard case .taken = sent else { return }
                progress.withLock { $0.sent += 1 }
            }
            pipe.finish(nil)
        }
        return progress
    }

    @Test("query pipe: every batch arrives in order, then the end, again and again")
    func order() async throws {
        let pipe = QueryPipe(bounds: .init())
        _ = produce(100, into: pipe)
        for number in 0..<100 { #expect(try await pipe.next().get() == rows(number)) }
        #expect(try await pipe.next().get() == nil)
        #expect(try await pipe.next().get() == nil)
    }

    @Test("query pipe: the producer stops at the bound until the consumer takes (2 batches)")
    func backPressure() async throws {
        let pipe = QueryPipe(bounds: .init())
        let progress = produce(50, into: pipe)
        try await eventually("the pipe is full") { progress.withLock { $0.sent } == 2 }
        for number in 0..<50 {
            #expect(try await pipe.next().get() == rows(number))
            #expect(progress.withLock { $0.sent } <= number + 1 + 2 + 1)
        }
        #expect(pipe.highWater == 2)
    }

    @Test("query pipe: a consumer that goes away releases a blocked producer")
    func cancellation() async throws {
        let pipe = QueryPipe(bounds: .init())
        let progress = produce(50, into: pipe)
        try await eventually("the pipe is full") { progress.withLock { $0.sent } == 2 }
        #expect(pipe.cancel())
        try await eventually("the producer was told") { if case .cancelled = progress.withLock({ $0.outcome }) { true } else { false } }
        #expect(!pipe.cancel())
        #expect(await pipe.next() == .failure(.interrupted))
    }

    @Test("query pipe: a producer gives a consumer up that takes nothing (patience 20 ms)")
    func patience() async throws {
        var bounds = QueryPipe.Bounds()
        bounds.patience = .milliseconds(20)
        let progress = produce(50, into: QueryPipe(bounds: bounds))
        try await eventually("the producer gave up") { if case .impatient = progress.withLock({ $0.outcome }) { true } else { false } }
        #expect(progress.withLock { $0.sent } == 2)
    }

    @Test("query pipe: an error comes after the rows before it")
    func failure() async throws {
        let pipe = QueryPipe(bounds: .init())
        startThread(named: "test-producer") {
            _ = pipe.send(self.rows(1), willBlock: {})
            pipe.finish(.interrupted)
        }
        #expect(await pipe.next() == .success(rows(1)))
        #expect(await pipe.next() == .failure(.interrupted))
    }

    @Test("query pipe: a failure before the first row is what opening gives")
    func failureAtOnce() async {
        let pipe = QueryPipe(bounds: .init())
        pipe.finish(.notReadOnly)
        #expect(await pipe.opened.wait() == .failure(.notReadOnly))
    }
}
