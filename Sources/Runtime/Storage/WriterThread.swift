import PatinaProtocol
import PatinaStore

/// The thread that owns the `Store`: the only writer of the database. Everybody else asks it through a queue.
final class WriterThread: Sendable {
    struct State: Sendable {
        var queue: WriterQueue
        fileprivate var phase = Phase.running
        var isBusy = false
        /// Commits of local transactions, and the transactions that were in them.
        var commits: UInt64 = 0
        var committedTransactions: UInt64 = 0
        /// Nil until `beginMaintenance`.
        var maintenance: Maintenance?
        /// The last part of a checkpoint is left to the writer.
        var isCheckpointUnfinished = false
        /// What is waited for each page that was written, so that checkpoints keep up; mostly zero.
        var pagePause = Duration.zero
        var maintenanceSteps: UInt64 = 0
        var longestMaintenanceStep = Duration.zero
        /// Versions that wait for the schema.
        var waitingVersions = 0
    }

    private enum Turn: Sendable {
        case job(WriterJob)
        case finishCheckpoint
        case maintenance
        case stop
    }

    fileprivate enum Phase: Sendable {
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
        /// The connection of the thread that moves the write-ahead log; nil when there is none.
        var checkpointer: Handover<Checkpointer>?
        /// `Store.damagedLog`
        var damagedLog: String?
    }

    let state: Monitor<State>
    private let bounds: WriterQueue.Bounds
    private let maintenance: MaintenanceConfiguration
    private let gate: InterruptGate
    private let fatal: OneShot<StoreError>
    /// All local transactions that were accepted have run.
    private let drained = OneShot<Void>()
    /// The store is closed.
    private let closed = OneShot<Void>()

    private init(gate: InterruptGate, bounds: WriterQueue.Bounds, maintenance: MaintenanceConfiguration, fatal: OneShot<StoreError>) {
        state = Monitor(State(queue: WriterQueue(bounds: bounds)))
        self.bounds = bounds
        self.maintenance = maintenance
        self.gate = gate
        self.fatal = fatal
    }

    // MARK: Start

    /// Opens the store on a thread of its own, with `readerCount` connections for readers.
    /// - Parameter fatal: completed when the storage breaks.
    static func open(
        _ location: StoreLocation, options: StoreOptions, readerCount: Int, bounds: WriterQueue.Bounds,
        maintenance: MaintenanceConfiguration, watchdog: Watchdog, fatal: OneShot<StoreError>
    ) async throws(StoreError) -> Opened {
        let result: Result<Opened, StoreError> = await withCheckedContinuation { continuation in
            startThread(named: "patina-writer") {
                let store: Store
                let opened: Opened
                do throws(StoreError) {
                    store = try Store(location, options: options)
                    do throws(StoreError) {
                        let gate = InterruptGate(store.interrupter, watchdog: watchdog)
                        let writer = WriterThread(gate: gate, bounds: bounds, maintenance: maintenance, fatal: fatal)
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
            readers: [], readerInterrupters: [], damagedLog: store.damagedLog)
        for _ in 0..<readerCount {
            let reader = try store.makeReader()
            opened.readerInterrupters.append(reader.interrupter)
            opened.readers.append(Handover(reader))
        }
        if store.leavesCheckpoints { opened.checkpointer = Handover(try store.makeCheckpointer()) }
        return opened
    }

    // MARK: The thread

    private func run(_ store: Store) {
        var plan = MaintenancePlan(maintenance, now: .now)
        var log = LogGrowth()
        var pausedUntil: Instant?
        var waitingVersions = 0
        while true {
            if store.waitingVersions != waitingVersions {
                waitingVersions = store.waitingVersions
                state.withLock { $0.waitingVersions = waitingVersions }
            }
            if store.failure == nil, store.needsUpkeep { plan.needsUpkeep() }
            switch nextTurn(plan, notBefore: pausedUntil) {
            case .job(let job):
                let before = store.logPages
                run(job, store)
                finishJob()
                pausedUntil = pause(pages: store.logPages - before)
            case .finishCheckpoint:
                measured("a checkpoint") { () throws(StoreError) in _ = try store.finishCheckpoint() }
                state.withLock { $0.maintenance }?.checkpoints.finished()
            case .maintenance: maintain(&plan, store)
            case .stop:
                store.close()
                closed.complete(())
                return
            }
            if let failure = store.failure { fatal.complete(failure) }
            if log.needsCheckpoint(pages: store.logPages) { state.withLock { $0.maintenance }?.checkpoints.want() }
        }
    }

    private func run(_ job: WriterJob, _ store: Store) {
        switch job.work {
        case .alone(let run):
            gate.allow(job.timeout)
            run(store)
        case .transaction(let statements, let answer):
            runTogether(job, statements, answer, store)
        }
        gate.leave()
    }

    /// - Parameter notBefore: until then only checkpoints go on.
    private func nextTurn(_ plan: MaintenancePlan, notBefore: Instant?) -> Turn {
        let turn: Turn? = state.waitWithDeadline { state -> Monitor<State>.Outcome<Turn> in
            if state.phase == .stopping { return .done(.stop) }
            let mayMaintain = state.phase == .running && state.maintenance != nil
            // What the log has to wait for comes first: it is short, and the longer it waits the more there is.
            if mayMaintain, state.isCheckpointUnfinished {
                state.isCheckpointUnfinished = false
                return .done(.finishCheckpoint)
            }
            let now = Instant.now
            if mayMaintain, let notBefore, now < notBefore { return .waiting(until: notBefore) }
            if mayMaintain, plan.latest <= now { return .done(.maintenance) }
            if let job = state.queue.next() {
                // Under the lock, so that `cancel` finds a job either in the queue or behind the gate.
                gate.enter(job.id)
                state.isBusy = true
                return .done(.job(job))
            }
            guard mayMaintain else { return .waiting(until: nil) }
            return plan.earliest <= now ? .done(.maintenance) : .waiting(until: plan.earliest)
        }
        return turn ?? .maintenance
    }

    // MARK: Transactions

    /// Runs a transaction, and those that wait behind it, in one commit. Answers go out after the commit, in its order.
    private func runTogether(
        _ first: WriterJob, _ statements: [Statement], _ answer: @escaping @Sendable (Result<TransactionOutcome, StoreError>) -> Void,
        _ store: Store
    ) {
        let began = Instant.now
        var answers: [@Sendable (Result<TransactionOutcome, StoreError>) -> Void] = []
        let results = store.transactTogether {
            if answers.isEmpty {
                answers.append(answer)
                return shared(first, statements)
            }
            guard answers.count < bounds.group, Instant.now - began < bounds.groupDuration, let job = nextOfGroup() else { return nil }
            guard case .transaction(let statements, let answer) = job.work else { preconditionFailure("a group is of transactions") }
            answers.append(answer)
            return shared(job, statements)
        }
        let succeeded = results.count { if case .success = $0 { true } else { false } }
        if succeeded > 0 {
            state.withLock { state in
                state.commits += 1
                state.committedTransactions += UInt64(succeeded)
            }
        }
        for (answer, result) in zip(answers, results) { answer(result) }
    }

    /// While it runs, a transaction can be interrupted; during the commit that it shares nobody can be.
    private func shared(_ job: WriterJob, _ statements: [Statement]) -> SharedTransaction {
        SharedTransaction(
            statements, willBegin: { [gate] in gate.enter(job.id) }, willRun: { [gate] in gate.allow(job.timeout) },
            didEnd: { [gate] in gate.leave() })
    }

    private func nextOfGroup() -> WriterJob? {
        state.withLock { state in
            guard state.phase != .stopping, let job = state.queue.nextOfGroup() else { return nil }
            // Under the lock, as in `nextTurn`.
            gate.enter(job.id)
            return job
        }
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
    var waitingVersions: Int { state.withLock { $0.waitingVersions } }

    var waitingTransactions: Int { state.withLock { $0.queue.localCount } }

    /// Commits of local transactions so far, and how many transactions were in them.
    var sharedCommits: (commits: UInt64, transactions: UInt64) { state.withLock { ($0.commits, $0.committedTransactions) } }

    /// Runs a local transaction; those that wait at the same time share a commit. A cancelled task interrupts it while it runs; what
    /// has run by then is committed and returned all the same.
    /// - Parameters:
    ///   - timeout: how long each statement may take, and turning the changes into a version. The commit takes as long as it needs.
    ///   - committed: called on the writer thread, in the order of the commits.
    func transact(
        _ statements: [Statement], timeout: Duration?, committed: @escaping @Sendable (TransactionOutcome) -> Void
    ) async throws(StoreError) -> TransactionOutcome {
        if let timeout, timeout <= .zero { throw .interrupted }
        return try await request(
            lane: .local, timeout: timeout,
            work: { [fatal] give in
                .transaction(statements) { result in
                    switch result {
                    case .success(let outcome): committed(outcome)
                    case .failure(let error): if error.isFatal { fatal.complete(error) }
                    }
                    give(result)
                }
            })
    }

    /// Runs `body` with the store and gives what it gives.
    func request<Value: Sendable>(
        lane: WriterQueue.Lane, timeout: Duration?, _ body: @escaping @Sendable (Store) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try await request(
            lane: lane, timeout: timeout,
            work: { [fatal] give in
                .alone { store in
                    do throws(StoreError) {
                        give(.success(try body(store)))
                    } catch {
                        if error.isFatal { fatal.complete(error) }
                        give(.failure(error))
                    }
                }
            })
    }

    /// Queues what `work` makes, and waits until it gives its result.
    private func request<Value: Sendable>(
        lane: WriterQueue.Lane, timeout: Duration?,
        work: (@escaping @Sendable (Result<Value, StoreError>) -> Void) -> WriterJob.Work
    ) async throws(StoreError) -> Value {
        let id = JobID.next()
        let result: Result<Value, StoreError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                submit(
                    WriterJob(
                        id: id, timeout: timeout, work: work { continuation.resume(returning: $0) },
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
                id: .next(), timeout: nil, work: .alone { completion($0.perform(operation)) },
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
