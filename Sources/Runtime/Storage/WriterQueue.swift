import NIOCore
import PatinaStore

/// What the writer thread is asked to do.
struct WriterJob: Sendable {
    let id: JobID
    /// How long it may run; nil: as long as it needs.
    let timeout: Duration?
    let run: @Sendable (Store) -> Void
    /// Called instead of `run` when the job will not run.
    let abandon: @Sendable (StoreError) -> Void
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
