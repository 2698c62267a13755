import PatinaProtocol
import PatinaStore

/// How often the writer does what nobody waits for.
public struct MaintenanceConfiguration: Hashable, Sendable {
    /// From the end of one pass over tombstones and key lists to the beginning of the next. Corrosion's reaper has the same period.
    public var passInterval = Duration.seconds(3_600)
    /// How often free pages are looked for.
    public var vacuumInterval = Duration.seconds(60)
    /// How often it is written down which versions are known although nothing of them won.
    public var ledgerInterval = Duration.seconds(5)
    /// While transactions or merges wait, one step is done so often; else step follows step.
    public var busyInterval = Duration.milliseconds(500)
    /// A log over so many bytes is warned of; where it is because the writer outpaces the disk, the writer is slowed down from there on.
    public var logWarningBytes: Int64 = 256 << 20

    public init() {}
}

/// When which maintenance task is due. A value without threads or a clock, so that its order can be tested.
struct MaintenancePlan: Sendable {
    enum Step: Hashable, Sendable {
        /// What a change of the schema left to be done.
        case upkeep
        case task(MaintenanceTask)
    }

    private let configuration: MaintenanceConfiguration
    /// When each task is due again.
    private var due: [(task: MaintenanceTask, at: Instant)]
    private var isUpkeepNeeded = false
    /// Upkeep that failed waits until then, or a full disk would have it tried all the time.
    private var upkeepWait: Instant
    private var last: Instant

    init(_ configuration: MaintenanceConfiguration, now: Instant) {
        self.configuration = configuration
        // The first pass begins after a start has calmed down.
        due = MaintenanceTask.allCases.map { ($0, now + configuration.vacuumInterval) }
        upkeepWait = now
        last = now
    }

    mutating func needsUpkeep() { isUpkeepNeeded = true }

    /// When there is something to do, provided that nobody waits.
    var earliest: Instant {
        let task = due.map(\.at).min() ?? last
        return isUpkeepNeeded ? min(task, max(last, upkeepWait)) : task
    }

    /// When something should be done although somebody waits.
    var latest: Instant { max(earliest, last + configuration.busyInterval) }

    /// The step to do now; nil when nothing is due.
    mutating func next(now: Instant) -> Step? {
        guard earliest <= now else { return nil }
        last = now
        if isUpkeepNeeded, upkeepWait <= now { return .upkeep }
        return due.first { $0.at <= now }.map { .task($0.task) }
    }

    /// A step failed. It is tried again when it is due again, which nothing makes sooner.
    mutating func failed(_ step: Step, now: Instant) {
        if step == .upkeep { upkeepWait = now + configuration.vacuumInterval }
        done(step, hasMore: false, now: now)
    }

    /// A step was done.
    /// - Parameter hasMore: its task is not through.
    mutating func done(_ step: Step, hasMore: Bool, now: Instant) {
        last = now
        switch step {
        case .upkeep: isUpkeepNeeded = hasMore
        case .task(let task):
            guard !hasMore, let index = due.firstIndex(where: { $0.task == task }) else { return }
            switch task {
            case .vacuum: due[index].at = now + configuration.vacuumInterval
            case .ledger: due[index].at = now + configuration.ledgerInterval
            case .clocks, .tombstones, .keyLists: due[index].at = now + configuration.passInterval
            }
        }
    }
}
