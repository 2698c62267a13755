import NIOCore
import PatinaProtocol
import PatinaStore

/// Read-only connections, each owned by a thread that starts when it is first needed.
///
/// Queries wait in a bounded queue when all connections are taken. They never get the last ones: a few are kept for the reads
/// that other nodes' sync asks for, so that slow consumers of queries cannot keep the cluster from converging.
final class ReaderPool: Sendable {
    struct Bounds: Hashable, Sendable {
        /// Queries that wait for a connection. The next one is told to come back later.
        var waitingQueries = 1_024
        /// Sync reads that wait; the node asks for no more than it serves sessions, this is the last resort.
        var waitingReads = 256

        init() {}
    }

    private struct Query: Sendable {
        var statement: Statement
        var timeout: Duration?
        var pipe: QueryPipe
    }

    private struct Read: Sendable {
        var request: ReadRequest
        var completion: @Sendable (StoreResult) -> Void
    }

    private enum Job: Sendable {
        case query(Query)
        case read(Read)
    }

    private struct State: Sendable {
        var queries = CircularBuffer<Query>()
        var reads = CircularBuffer<Read>()
        /// Connections whose thread has not started.
        var unstarted: [(Handover<StoreReader>, InterruptGate)]
        var idleThreads = 0
        var liveThreads = 0
        var runningQueries = 0
        var isStopped = false
        /// What runs, to be cancelled at the end.
        var runningPipes: [JobID: QueryPipe] = [:]
    }

    /// A sync read that takes longer than this is given up; the peer asks again.
    private static let readTimeout = Duration.seconds(30)

    private let bounds: Bounds
    private let queryLimit: Int
    private let gates: [InterruptGate]
    private let state: Monitor<State>
    private let fatal: OneShot<StoreError>
    private let closed = OneShot<Void>()

    init(
        readers: [Handover<StoreReader>], interrupters: [Interrupter], bounds: Bounds, watchdog: Watchdog, fatal: OneShot<StoreError>
    ) {
        precondition(readers.count >= 2, "a pool needs a reader for queries and one for sync")
        self.bounds = bounds
        self.fatal = fatal
        queryLimit = readers.count - (readers.count > 4 ? 2 : 1)
        gates = interrupters.map { InterruptGate($0, watchdog: watchdog) }
        state = Monitor(State(unstarted: Array(zip(readers, gates))))
    }

    // MARK: Requests, from any thread

    /// Starts a query.
    /// - Parameter timeout: how long SQLite may take for the first row, and for each that follows; nil: as long as it likes.
    func query(_ statement: Statement, timeout: Duration?, bounds: QueryPipe.Bounds) async throws(StoreError) -> QueryStream {
        let pipe = QueryPipe(bounds: bounds)
        let handle = QueryHandle(pipe: pipe, pool: self)
        let refusal = state.withLockSignalling { state -> StoreError? in
            if state.isStopped { return .closed }
            guard state.queries.count < self.bounds.waitingQueries else {
                return .busy(message: "too many queries wait for the database")
            }
            state.queries.append(Query(statement: statement, timeout: timeout, pipe: pipe))
            startThreadIfNeeded(&state)
            return nil
        }
        if let refusal { throw refusal }
        return QueryStream(columns: try await handle.columns(), handle: handle)
    }

    /// Reads versions for a peer; `completion` is called on a reader's thread, or at once when the request is refused.
    func read(_ request: ReadRequest, completion: @escaping @Sendable (StoreResult) -> Void) {
        let isAccepted = state.withLockSignalling { state in
            guard !state.isStopped, state.reads.count < bounds.waitingReads else { return false }
            state.reads.append(Read(request: request, completion: completion))
            startThreadIfNeeded(&state)
            return true
        }
        if !isAccepted { completion(.failed(reason: "too many reads wait for the database, or it is closed")) }
    }

    /// The consumer of a query is gone.
    func cancel(_ pipe: QueryPipe) {
        guard pipe.cancel() else { return }
        state.withLock { state in
            if let index = state.queries.firstIndex(where: { $0.pipe.job == pipe.job }) { state.queries.remove(at: index) }
        }
        for gate in gates { gate.interrupt(pipe.job) }
    }

    /// Ends all queries and closes all connections; false when some were not closed within `duration`.
    func close(atMost duration: Duration) async -> Bool {
        let (pipes, reads, unstarted) = state.withLockBroadcasting { state in
            state.isStopped = true
            defer {
                state.queries.removeAll()
                state.reads.removeAll()
                state.unstarted.removeAll()
            }
            let pipes = state.queries.map(\.pipe) + state.runningPipes.values
            return (pipes, Array(state.reads), state.unstarted)
        }
        for pipe in pipes { cancel(pipe) }
        for gate in gates { gate.interruptAny() }
        for read in reads { read.completion(.failed(reason: StoreError.closed.description)) }
        for (reader, _) in unstarted { reader.take().close() }
        if state.withLock({ $0.liveThreads == 0 }) { closed.complete(()) }
        return await closed.wait(atMost: duration) != nil
    }

    private func startThreadIfNeeded(_ state: inout State) {
        guard state.idleThreads < state.queries.count + state.reads.count, let (reader, gate) = state.unstarted.popLast() else { return }
        state.liveThreads += 1
        startThread(named: "patina-reader") { [self] in run(reader.take(), gate) }
    }

    // MARK: The threads

    private func run(_ reader: StoreReader, _ gate: InterruptGate) {
        while let job = nextJob() {
            switch job {
            case .query(let query):
                gate.enter(query.pipe.job)
                // Cancelled before it passed the gate: nobody interrupts it any more.
                let error = query.pipe.isCancelled ? .interrupted : run(query, on: reader, gate)
                gate.leave()
                if let error, error.isFatal { fatal.complete(error) }
                query.pipe.finish(error)
                state.withLock { state in
                    state.runningQueries -= 1
                    state.runningPipes[query.pipe.job] = nil
                }
            case .read(let read):
                gate.enter(.next())
                gate.allow(Self.readTimeout)
                let result = reader.read(read.request)
                gate.leave()
                read.completion(result)
            }
        }
        reader.close()
        let isLast = state.withLock { state in
            state.liveThreads -= 1
            return state.liveThreads == 0
        }
        if isLast { closed.complete(()) }
    }

    /// Nil when the thread is to end.
    private func nextJob() -> Job? {
        state.withLock { $0.idleThreads += 1 }
        let job: Job?? = state.wait { state -> Job?? in
            if state.isStopped {
                state.idleThreads -= 1
                return .some(nil)
            }
            if let read = state.reads.popFirst() {
                state.idleThreads -= 1
                return .some(.read(read))
            }
            guard state.runningQueries < queryLimit, let query = state.queries.popFirst() else { return nil }
            state.idleThreads -= 1
            state.runningQueries += 1
            state.runningPipes[query.pipe.job] = query.pipe
            return .some(.query(query))
        }
        return job ?? nil
    }

    /// Nil when all rows were sent.
    private func run(_ query: Query, on reader: StoreReader, _ gate: InterruptGate) -> StoreError? {
        let cursor: RowCursor
        do throws(StoreError) {
            gate.allow(query.timeout)
            cursor = try reader.prepare(query.statement)
        } catch {
            return error
        }
        defer { cursor.finish() }
        query.pipe.opened.complete(.success(cursor.columns))
        var batch = BatchInProgress(bounds: query.pipe.bounds)
        while true {
            gate.allow(query.timeout)
            let row: Result<[Value]?, StoreError>
            do throws(StoreError) { row = .success(try cursor.next()) } catch { row = .failure(error) }
            let isLast: Bool
            switch row {
            case .success(let values?):
                batch.append(values)
                isLast = false
            case .success(nil), .failure:
                // The rows before an error are passed on as well.
                isLast = true
            }
            if isLast ? !batch.rows.isEmpty : batch.isDue {
                switch query.pipe.send(batch.rows, willBlock: { gate.suspend() }) {
                case .taken: batch = BatchInProgress(bounds: query.pipe.bounds)
                case .cancelled: return .interrupted
                case .impatient: return .busy(message: "nobody took a row of this query for \(query.pipe.bounds.patience)")
                }
            }
            if isLast {
                guard case .failure(let error) = row else { return nil }
                return error
            }
        }
    }
}

/// Rows that were read and not passed on yet.
private struct BatchInProgress {
    let bounds: QueryPipe.Bounds
    let started = Instant.now
    private(set) var rows: QueryPipe.Batch = []
    private var bytes = 0

    init(bounds: QueryPipe.Bounds) { self.bounds = bounds }

    mutating func append(_ row: [Value]) {
        rows.append(row)
        bytes += row.reduce(16) { $0 + $1.approximateBytes }
    }

    var isDue: Bool { rows.count >= bounds.batchRows || bytes >= bounds.batchBytes || Instant.now - started >= bounds.batchInterval }
}

extension Value {
    /// Memory that the value takes in a batch, roughly.
    fileprivate var approximateBytes: Int {
        switch self {
        case .null, .integer, .real: 16
        case .text(let bytes), .blob(let bytes): 32 + bytes.count
        }
    }
}
