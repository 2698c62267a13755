import PatinaProtocol
import PatinaStore

/// The thread that owns the `Store`: the only writer of the database. Everybody else asks it through a queue.
final class WriterThread: Sendable {
    private struct State: Sendable {
        var queue: WriterQueue
        var phase = Phase.running
        var isBusy = false
    }

    private enum Phase: Sendable {
        case running
        /// No more local transactions are accepted; those that wait still run.
        case draining
        /// The thread closes the store after the job at hand.
        case stopping
    }

    /// What opening the store told.
    struct Opened: Sendable {
        var writer: WriterThread
        var actor: ActorID
        var generation: UInt64
        var ledger: VersionLedger
        var members: [MemberRecord]
        /// Connections for the reader pool, each to be taken by its thread.
        var readers: [Handover<StoreReader>]
        var readerInterrupters: [Interrupter]
    }

    private let state: Monitor<State>
    private let gate: InterruptGate
    private let fatal: OneShot<StoreError>
    /// All local transactions that were accepted have run.
    private let drained = OneShot<Void>()
    /// The store is closed.
    private let closed = OneShot<Void>()

    private init(gate: InterruptGate, bounds: WriterQueue.Bounds, fatal: OneShot<StoreError>) {
        state = Monitor(State(queue: WriterQueue(bounds: bounds)))
        self.gate = gate
        self.fatal = fatal
    }

    // MARK: Start

    /// Opens the store on a thread of its own, with `readerCount` connections for readers.
    /// - Parameter fatal: completed when the storage breaks.
    static func open(
        _ location: StoreLocation, options: StoreOptions, readerCount: Int, bounds: WriterQueue.Bounds, watchdog: Watchdog,
        fatal: OneShot<StoreError>
    ) async throws(StoreError) -> Opened {
        let result: Result<Opened, StoreError> = await withCheckedContinuation { continuation in
            startThread(named: "patina-writer") {
                let store: Store
                let opened: Opened
                do throws(StoreError) {
                    store = try Store(location, options: options)
                    do throws(StoreError) {
                        let gate = InterruptGate(store.interrupter, watchdog: watchdog)
                        let writer = WriterThread(gate: gate, bounds: bounds, fatal: fatal)
                        opened = try writer.describe(store, readerCount: readerCount)
                    } catch {
                        store.close()
                        throw error
                    }
                } catch {
                    continuation.resume(returning: .failure(error))
                    return
                }
                continuation.resume(returning: .success(opened))
                opened.writer.run(store)
            }
        }
        return try result.get()
    }

    private func describe(_ store: Store, readerCount: Int) throws(StoreError) -> Opened {
        var opened = Opened(
            writer: self, actor: store.actor, generation: store.generation, ledger: store.ledger, members: try store.members(),
            readers: [], readerInterrupters: [])
        for _ in 0..<readerCount {
            let reader = try store.makeReader()
            opened.readerInterrupters.append(reader.interrupter)
            opened.readers.append(Handover(reader))
        }
        return opened
    }

    // MARK: The thread

    private func run(_ store: Store) {
        while let job = nextJob() {
            gate.allow(job.timeout)
            job.run(store)
            gate.leave()
            if let failure = store.failure { fatal.complete(failure) }
            finishJob()
        }
        store.close()
        closed.complete(())
    }

    /// Nil when the thread is to stop.
    private func nextJob() -> WriterJob? {
        let job: WriterJob?? = state.wait { state -> WriterJob?? in
            if state.phase == .stopping { return .some(nil) }
            guard let job = state.queue.next() else { return nil }
            // Under the lock, so that `cancel` finds a job either in the queue or behind the gate.
            gate.enter(job.id)
            state.isBusy = true
            return .some(job)
        }
        return job ?? nil
    }

    private func finishJob() {
        let isDrained = state.withLock { state in
            state.isBusy = false
            return state.phase != .running && state.queue.localCount == 0
        }
        if isDrained { drained.complete(()) }
    }

    // MARK: Requests, from any thread

    /// Local transactions that wait.
    var waitingTransactions: Int { state.withLock { $0.queue.localCount } }

    /// Runs a local transaction. A cancelled task interrupts it; what was committed by then is returned all the same.
    /// - Parameters:
    ///   - timeout: how long each statement, and the commit, may take.
    ///   - committed: called on the writer thread, in the order of the commits.
    func transact(
        _ statements: [Statement], timeout: Duration?, committed: @escaping @Sendable (TransactionOutcome) -> Void
    ) async throws(StoreError) -> TransactionOutcome {
        if let timeout, timeout <= .zero { throw .interrupted }
        return try await request(lane: .local, timeout: timeout) { [gate] (store: Store) throws(StoreError) -> TransactionOutcome in
            let outcome = try store.transact(statements) { gate.allow(timeout) }
            committed(outcome)
            return outcome
        }
    }

    /// Runs `body` with the store and gives what it gives.
    func request<Value: Sendable>(
        lane: WriterQueue.Lane, timeout: Duration?, _ body: @escaping @Sendable (Store) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let id = JobID.next()
        let result: Result<Value, StoreError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let fatal = fatal
                submit(
                    WriterJob(
                        id: id, timeout: timeout,
                        run: { store in
                            do throws(StoreError) {
                                continuation.resume(returning: .success(try body(store)))
                            } catch {
                                if error.isFatal { fatal.complete(error) }
                                continuation.resume(returning: .failure(error))
                            }
                        },
                        abandon: { continuation.resume(returning: .failure($0)) }),
                    to: lane)
                // The handler below may have run before the job was there to be found.
                if Task.isCancelled { cancel(id) }
            }
        } onCancel: {
            cancel(id)
        }
        return try result.get()
    }

    /// Runs an operation of the node; `completion` is called on the writer thread, or at once when the queue is full.
    func perform(_ operation: StoreOperation, completion: @escaping @Sendable (StoreResult) -> Void) {
        submit(
            WriterJob(
                id: .next(), timeout: nil, run: { completion($0.perform(operation)) },
                abandon: { completion(.failed(reason: $0.description)) }),
            to: .operation)
    }

    private func submit(_ job: WriterJob, to lane: WriterQueue.Lane) {
        let refusal = state.withLockSignalling { state -> StoreError? in
            switch (state.phase, lane) {
            case (.stopping, _), (.draining, .local):
                return .closed
            case (.running, _), (.draining, .control), (.draining, .operation):
                return state.queue.append(job, to: lane) ? nil : .busy(message: "too many transactions wait for the database")
            }
        }
        if let refusal { job.abandon(refusal) }
    }

    private func cancel(_ id: JobID) {
        if let job = state.withLock({ $0.queue.removeLocal(id) }) {
            job.abandon(.interrupted)
        } else {
            gate.interrupt(id)
        }
    }

    // MARK: End

    /// Accepts no more local transactions and waits until those that were accepted have run, at most `duration`; then what
    /// still runs is interrupted and what still waits is refused.
    func drain(atMost duration: Duration) async {
        let isDrained = state.withLock { state in
            if state.phase == .running { state.phase = .draining }
            return state.queue.localCount == 0 && !state.isBusy
        }
        if isDrained { drained.complete(()) }
        if await drained.wait(atMost: duration) != nil { return }
        let late = state.withLock { $0.queue.removeAll(in: .local) }
        for job in late { job.abandon(.closed) }
        gate.interruptAny()
    }

    /// Closes the store after the job at hand, which is interrupted if the store is not closed within half of `duration`.
    /// False when it did not close within `duration`; it then closes later.
    func close(atMost duration: Duration) async -> Bool {
        let left = state.withLockBroadcasting { state in
            state.phase = .stopping
            return WriterQueue.Lane.allCases.flatMap { state.queue.removeAll(in: $0) }
        }
        for job in left { job.abandon(.closed) }
        if await closed.wait(atMost: duration / 2) != nil { return true }
        gate.interruptAny()
        return await closed.wait(atMost: duration / 2) != nil
    }
}
