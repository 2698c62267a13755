import Logging
import PatinaProtocol
import PatinaStore

/// What keeps the database small: maintenance between transactions, the last part of checkpoints, and pauses that let these keep up.
extension WriterThread {
    /// Whom maintenance tells of what.
    struct Maintenance: Sendable {
        var checkpoints: CheckpointThread
        /// What `Store.upkeep` changed, for the node.
        var changed: @Sendable ([LedgerChange]) -> Void
        var logger: Logger
    }

    // MARK: On the writer thread

    /// Takes the step that is due, if one is.
    func maintain(_ plan: inout MaintenancePlan, _ store: Store) {
        guard store.failure == nil, let step = plan.next(now: .now) else { return }
        let changed = state.withLock { $0.maintenance }?.changed
        var hasMore = false
        let isDone = measured("maintenance") { () throws(StoreError) in
            switch step {
            case .upkeep:
                let done = try store.upkeep()
                hasMore = done.hasMore
                if !done.changes.isEmpty { changed?(done.changes) }
            case .task(let task): hasMore = try store.maintain(task)
            }
        }
        if isDone { plan.done(step, hasMore: hasMore, now: .now) } else { plan.failed(step, now: .now) }
    }

    /// The longest that a step may keep a transaction waiting; more is warned of.
    private static let stepBound = Duration.milliseconds(100)

    /// False when the step failed.
    @discardableResult
    func measured(_ what: String, _ step: () throws(StoreError) -> Void) -> Bool {
        let began = Instant.now
        var problem: StoreError?
        do throws(StoreError) { try step() } catch { problem = error }
        let took = Instant.now - began
        let logger = state.withLock { state in
            state.maintenanceSteps += 1
            state.longestMaintenanceStep = max(state.longestMaintenanceStep, took)
            return state.maintenance?.logger
        }
        if let problem { logger?.error("\(what) failed; it is tried again later", metadata: ["reason": "\(problem)"]) }
        if took > Self.stepBound { logger?.warning("\(what) kept the writer for long", metadata: ["took": "\(took)"]) }
        return problem == nil
    }

    /// The longest that a transaction waits so that checkpoints keep up.
    private static let pauseBound = Duration.milliseconds(50)

    /// Until when nothing is to be written after so many pages, see `LogPace`.
    func pause(pages: Int) -> Instant? {
        let each = state.withLock { $0.pagePause }
        return each > .zero && pages > 0 ? .now + min(each * pages, Self.pauseBound) : nil
    }

    // MARK: From any thread

    /// From now on the writer does, when nobody waits or it is overdue, what keeps the database small. Called once.
    func beginMaintenance(_ checkpoints: CheckpointThread, logger: Logger, changed: @escaping @Sendable ([LedgerChange]) -> Void) {
        state.withLockSignalling { $0.maintenance = Maintenance(checkpoints: checkpoints, changed: changed, logger: logger) }
    }

    /// The rest of a checkpoint is little enough for the writer.
    func finishCheckpoint() { state.withLockSignalling { $0.isCheckpointUnfinished = true } }

    /// From now on so long is waited for each page that was written.
    func pace(_ pause: Duration) { state.withLock { $0.pagePause = pause } }

    /// Steps of maintenance so far, and how long the longest kept the writer.
    var maintenanceSteps: (count: UInt64, longest: Duration) { state.withLock { ($0.maintenanceSteps, $0.longestMaintenanceStep) } }
}
