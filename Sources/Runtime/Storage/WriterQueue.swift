import NIOCore
import PatinaStore

/// What the writer thread is asked to do.
struct WriterJob: Sendable {
    enum Work: Sendable {
        /// Does what it likes with the store, a commit included.
        case alone(@Sendable (Store) -> Void)
        /// Local transactions that wait together share a commit; each has an answer of its own, once it is made.
        case transaction([Statement], answer: @Sendable (Result<TransactionOutcome, StoreError>) -> Void)
    }

    let id: JobID
    /// How long it may run, or for a transaction each of its statements; nil: as long as it needs.
    let timeout: Duration?
    let work: Work
    /// Called instead when the job will not run.
    let abandon: @Sendable (StoreError) -> Void

    var isTransaction: Bool {
        switch work {
        case .alone: false
        case .transaction: true
        }
    }
}

/// Three lanes before one writer: commands of the operator, then local transactions, whose callers wait, then merges.
///
/// A value without threads, so that its order and bounds can be tested one call at a time.
struct WriterQueue: Sendable {
    enum Lane: Sendable, CaseIterable { case control, local, operation }

    /// Bounds of the lanes, in jobs that wait.
    struct Bounds: Hashable, Sendable {
        /// Local transactions. The next one is told to come back later.
        var local = 1_024
        /// Operations of the node, which keeps its own, tighter bounds; this one is the last resort.
        var operations = 4_096
        /// Local transactions that run in a row while a merge waits. Without it, busy clients would keep a node from
        /// ever hearing of the others.
        var localStreak = 16
        /// Local transactions that share one commit. The first has to wait for the last one's answer, and a merge for all of them.
        var group = 64
        /// No transaction joins a group that began so long ago.
        var groupDuration = Duration.milliseconds(20)
    }

    private let bounds: Bounds
    private var control = CircularBuffer<WriterJob>()
    private var local = CircularBuffer<WriterJob>()
    private var operations = CircularBuffer<WriterJob>()
    private var streak = 0

    init(bounds: Bounds) { self.bounds = bounds }

    var isEmpty: Bool { control.isEmpty && local.isEmpty && operations.isEmpty }
    /// Local transactions that wait.
    var localCount: Int { local.count }

    /// False when the lane is full.
    mutating func append(_ job: WriterJob, to lane: Lane) -> Bool {
        switch lane {
        case .control:
            control.append(job)
        case .local:
            guard local.count < bounds.local else { return false }
            local.append(job)
        case .operation:
            guard operations.count < bounds.operations else { return false }
            operations.append(job)
        }
        return true
    }

    mutating func next() -> WriterJob? {
        if let job = control.popFirst() { return job }
        if streak >= bounds.localStreak || local.isEmpty, let job = operations.popFirst() {
            streak = 0
            return job
        }
        guard let job = local.popFirst() else { return nil }
        streak = operations.isEmpty ? 0 : streak + 1
        return job
    }

    /// The next local transaction, if it is what comes next but for merges: for a group that has begun, which counts as much in a
    /// streak as it has transactions.
    mutating func nextOfGroup() -> WriterJob? {
        guard control.isEmpty, let next = local.first, next.isTransaction else { return nil }
        local.removeFirst()
        streak = operations.isEmpty ? 0 : streak + 1
        return next
    }

    /// Takes a waiting local transaction out; nil when it does not wait (any more).
    mutating func removeLocal(_ id: JobID) -> WriterJob? {
        guard let index = local.firstIndex(where: { $0.id == id }) else { return nil }
        return local.remove(at: index)
    }

    mutating func removeAll(in lane: Lane) -> [WriterJob] {
        switch lane {
        case .control:
            defer { control.removeAll() }
            return Array(control)
        case .local:
            defer { local.removeAll() }
            return Array(local)
        case .operation:
            defer { operations.removeAll() }
            return Array(operations)
        }
    }
}
