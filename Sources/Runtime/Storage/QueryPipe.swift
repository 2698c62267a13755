import NIOCore
import PatinaProtocol
import PatinaStore

/// What stands between the thread that runs a query and the task that reads its rows: a few batches, no more.
///
/// The thread blocks while the pipe is full, so a slow consumer slows the query down and costs no memory; a consumer that
/// went away, or takes nothing for too long, ends it.
final class QueryPipe: Sendable {
    /// Bounds of a query's result on its way.
    struct Bounds: Hashable, Sendable {
        /// A batch is passed on when it holds so many rows, ...
        var batchRows = 256
        /// ... or about so many bytes of values, ...
        var batchBytes = 128 * 1_024
        /// ... or when this long has passed since the one before.
        var batchInterval = Duration.milliseconds(10)
        /// Batches that wait for the consumer.
        var batches = 2
        /// A consumer that takes nothing for so long loses its query: an open statement keeps the write-ahead log from
        /// being cut, and keeps a reader from everybody else.
        var patience = Duration.seconds(300)

        init() {}
    }

    typealias Batch = [[Value]]
    private typealias Consumer = CheckedContinuation<Result<Batch?, StoreError>, Never>

    private enum Ending: Sendable {
        /// All rows were sent, or the query failed.
        case finished(StoreError?)
        /// The consumer is gone.
        case cancelled
    }

    private struct State: Sendable {
        var batches = CircularBuffer<Batch>()
        var consumer: Consumer?
        var ending: Ending?
        /// The most batches that ever waited.
        var highWater = 0
    }

    let job = JobID.next()
    let bounds: Bounds
    /// The names of the columns, or why there are none.
    let opened = OneShot<Result<[String], StoreError>>()
    private let state = Monitor(State())

    init(bounds: Bounds) { self.bounds = bounds }

    var isCancelled: Bool { state.withLock { if case .cancelled = $0.ending { true } else { false } } }
    /// The most batches that ever waited for the consumer.
    var highWater: Int { state.withLock { $0.highWater } }

    // MARK: The thread's side

    /// What became of a batch.
    enum Sent: Sendable {
        case taken
        /// Nobody wants rows any more.
        case cancelled
        /// The consumer took nothing for longer than the bounds say.
        case impatient
    }

    /// Passes a batch on; blocks while the pipe is full. `willBlock` is called when it is.
    func send(_ batch: Batch, willBlock: @Sendable () -> Void) -> Sent {
        var giveUp: Instant?
        let sent: (Sent, Consumer?)? = state.waitWithDeadline { state in
            if state.ending != nil { return .done((.cancelled, nil)) }
            if let consumer = state.consumer {
                state.consumer = nil
                return .done((.taken, consumer))
            }
            if state.batches.count < bounds.batches {
                state.batches.append(batch)
                state.highWater = max(state.highWater, state.batches.count)
                return .done((.taken, nil))
            }
            if giveUp == nil {
                willBlock()
                giveUp = .now + bounds.patience
            }
            return .waiting(until: giveUp)
        }
        guard let (outcome, consumer) = sent else { return .impatient }
        consumer?.resume(returning: .success(batch))
        return outcome
    }

    /// No more batches follow.
    func finish(_ error: StoreError?) {
        opened.complete(.failure(error ?? .interrupted))
        let consumer = state.withLock { state -> Consumer? in
            guard state.ending == nil else { return nil }
            state.ending = .finished(error)
            defer { state.consumer = nil }
            return state.consumer
        }
        if let error {
            consumer?.resume(returning: .failure(error))
        } else {
            consumer?.resume(returning: .success(nil))
        }
    }

    // MARK: The consumer's side

    /// The next batch; nil after the last. Only one task may wait at a time.
    func next() async -> Result<Batch?, StoreError> {
        await withCheckedContinuation { continuation in
            let answer = state.withLockSignalling { state -> Result<Batch?, StoreError>? in
                if let batch = state.batches.popFirst() { return .success(batch) }
                switch state.ending {
                case .finished(nil):
                    return .success(nil)
                case .finished(let error?):
                    return .failure(error)
                case .cancelled:
                    return .failure(.interrupted)
                case nil:
                    precondition(state.consumer == nil, "two tasks read the rows of one query at the same time")
                    state.consumer = continuation
                    return nil
                }
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    /// The consumer wants nothing any more. False when the query had already ended.
    func cancel() -> Bool {
        let (wasOpen, consumer) = state.withLockBroadcasting { state -> (Bool, Consumer?) in
            guard state.ending == nil else { return (false, nil) }
            state.ending = .cancelled
            state.batches.removeAll()
            defer { state.consumer = nil }
            return (true, state.consumer)
        }
        consumer?.resume(returning: .failure(.interrupted))
        if wasOpen { opened.complete(.failure(.interrupted)) }
        return wasOpen
    }
}
