import PatinaProtocol
import PatinaStore
import Synchronization

/// Interrupts statements that run past their deadline: one thread for all connections, asleep while nothing is due.
///
/// Deadlines move forward with every row, so a gate only tells the watchdog of one that is earlier than what it waits for;
/// when it wakes it looks at all gates and sleeps until the earliest deadline that it finds.
final class Watchdog: Sendable {
    private struct State: Sendable {
        var gates: [InterruptGate] = []
        /// When the thread wakes by itself; nil while it sleeps until it is told.
        var wake: Instant?
        var isStopped = false
    }

    private let state = Monitor(State())

    init() {}

    func start() {
        startThread(named: "patina-watchdog") { [self] in run() }
    }

    func stop() { state.withLockBroadcasting { $0.isStopped = true } }

    fileprivate func watch(_ gate: InterruptGate) { state.withLock { $0.gates.append(gate) } }

    /// Makes sure that the thread looks at the gates at `instant` or earlier.
    fileprivate func look(at instant: Instant) {
        let mustSignal = state.withLock { state in
            if let wake = state.wake, wake <= instant { return false }
            state.wake = instant
            return true
        }
        if mustSignal { state.withLockSignalling { _ in } }
    }

    private func run() {
        while true {
            // Nil: the thread is to end.
            let gates: [InterruptGate]?? = state.waitWithDeadline { state in
                if state.isStopped { return .done(nil) }
                guard let wake = state.wake, wake <= .now else { return .waiting(until: state.wake) }
                state.wake = nil
                return .done(state.gates)
            }
            guard let found = gates else { continue }
            guard let gates = found else { return }
            for gate in gates {
                if let deadline = gate.fire(now: .now) { look(at: deadline) }
            }
        }
    }
}

/// Stands before one connection and knows which job runs on it, so that an interrupt never hits the job after the one
/// that it was meant for: `sqlite3_interrupt` itself is about whatever happens to run.
final class InterruptGate: Sendable {
    private struct State: Sendable {
        var job: JobID?
        var deadline: Instant?
        /// The job is to end, whatever deadline it asks for.
        var isDoomed = false
    }

    /// SQLite forgets an interrupt that falls between two statements, so it is repeated until the job ends.
    private static let repetition = Duration.milliseconds(50)

    private let state = Mutex(State())
    private let interrupter: Interrupter
    private let watchdog: Watchdog

    init(_ interrupter: Interrupter, watchdog: Watchdog) {
        self.interrupter = interrupter
        self.watchdog = watchdog
        watchdog.watch(self)
    }

    /// The owner of the connection begins with a job, or goes on with it.
    func enter(_ job: JobID) {
        state.withLock { state in
            if state.job == job { return }
            precondition(state.job == nil, "a connection was given a second job while one ran")
            state = State(job: job)
        }
    }

    /// The owner of the connection is about to call SQLite, which may take this long; nil: as long as it likes.
    func allow(_ duration: Duration?) {
        let deadline = duration.map { Instant.now + $0 }
        let sooner = state.withLock { state -> Instant? in
            let before = state.deadline
            state.deadline = state.isDoomed ? .now : deadline
            // A deadline that only moves forward needs no look: the watchdog finds it when it wakes for the old one.
            guard let after = state.deadline else { return nil }
            return before.map { after < $0 } ?? true ? after : nil
        }
        if let sooner { watchdog.look(at: sooner) }
    }

    /// The owner of the connection is not in SQLite for a while: it waits for its consumer.
    func suspend() { state.withLock { $0.deadline = nil } }

    /// The job is over; what is still on its way to interrupt it comes too late.
    func leave() { state.withLock { $0 = State() } }

    /// Interrupts `job` if it is what runs.
    func interrupt(_ job: JobID) {
        let runs = state.withLock { state in
            guard state.job == job else { return false }
            state.isDoomed = true
            state.deadline = .now
            return true
        }
        if runs { watchdog.look(at: .now) }
    }

    /// Interrupts whatever runs.
    func interruptAny() {
        if let job = state.withLock({ $0.job }) { interrupt(job) }
    }

    /// Interrupts the job if its deadline passed; gives the next moment at which to look, if any.
    fileprivate func fire(now: Instant) -> Instant? {
        state.withLock { state in
            guard state.job != nil, let deadline = state.deadline else { return nil }
            guard deadline <= now else { return deadline }
            // Under the lock, so that `leave` cannot come in between.
            interrupter.interrupt()
            state.isDoomed = true
            state.deadline = now + Self.repetition
            return state.deadline
        }
    }
}

/// Tells the jobs of the storage threads apart.
struct JobID: Hashable, Sendable {
    let number: UInt64

    /// A number that no other job of this process has.
    static func next() -> JobID { JobID(number: counter.wrappingAdd(1, ordering: .relaxed).newValue) }

    private static let counter = Atomic<UInt64>(0)
}
