import NIOCore
import PatinaProtocol

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A value behind a mutex, with one condition that threads wait on: what the queues between threads are made of.
///
/// Only threads of our own wait here, never those of Swift's cooperative pool nor an event loop; both may take the lock,
/// because nobody keeps it longer than a few assignments.
///
/// Unchecked because the compiler cannot see that `mutex` guards `value`: every access to it is inside `withLock` or
/// `wait`, and nothing that is not `Sendable` goes in or out.
final class Monitor<Value: Sendable>: @unchecked Sendable {
    private var value: Value
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init(_ value: Value) {
        self.value = value
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        condition.initialize(to: pthread_cond_t())
        Self.check(pthread_mutex_init(mutex, nil), "pthread_mutex_init")
        #if os(Linux)
            // Deadlines are monotonic: a step of the wall clock must not end or prolong a wait.
            var attributes = pthread_condattr_t()
            Self.check(pthread_condattr_init(&attributes), "pthread_condattr_init")
            Self.check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC), "pthread_condattr_setclock")
            Self.check(pthread_cond_init(condition, &attributes), "pthread_cond_init")
            pthread_condattr_destroy(&attributes)
        #else
            Self.check(pthread_cond_init(condition, nil), "pthread_cond_init")
        #endif
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` with exclusive access.
    func withLock<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        lock()
        defer { unlock() }
        return body(&value)
    }

    /// As `withLock`, then wakes one waiting thread.
    func withLockSignalling<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        lock()
        defer {
            pthread_cond_signal(condition)
            unlock()
        }
        return body(&value)
    }

    /// As `withLock`, then wakes all waiting threads.
    func withLockBroadcasting<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        lock()
        defer {
            pthread_cond_broadcast(condition)
            unlock()
        }
        return body(&value)
    }

    /// Blocks the calling thread until `body` gives something; it is asked again after each signal.
    func wait<Result: Sendable>(_ body: (inout Value) -> Result?) -> Result {
        lock()
        defer { unlock() }
        while true {
            if let result = body(&value) { return result }
            Self.check(pthread_cond_wait(condition, mutex), "pthread_cond_wait")
        }
    }

    /// As `wait`, but gives up at the deadline that `body` names, and asks once more; nil when that gave nothing either.
    func waitWithDeadline<Result: Sendable>(_ body: (inout Value) -> Outcome<Result>) -> Result? {
        lock()
        defer { unlock() }
        while true {
            switch body(&value) {
            case .done(let result):
                return result
            case .waiting(nil):
                Self.check(pthread_cond_wait(condition, mutex), "pthread_cond_wait")
            case .waiting(let deadline?):
                guard waitForSignal(until: deadline) else {
                    if case .done(let result) = body(&value) { return result }
                    return nil
                }
            }
        }
    }

    /// What a waiting thread found.
    enum Outcome<Result: Sendable> {
        case done(Result)
        /// Nothing yet; wait until the deadline, or for ever.
        case waiting(until: Instant?)
    }

    /// False when the deadline passed first.
    private func waitForSignal(until deadline: Instant) -> Bool {
        #if os(Linux)
            var time = timespec(
                tv_sec: Int(deadline.nanoseconds / 1_000_000_000), tv_nsec: Int(deadline.nanoseconds % 1_000_000_000))
            let code = pthread_cond_timedwait(condition, mutex, &time)
        #else
            let left = max(0, (deadline - .now).nanoseconds)
            var time = timespec(tv_sec: Int(left / 1_000_000_000), tv_nsec: Int(left % 1_000_000_000))
            let code = pthread_cond_timedwait_relative_np(condition, mutex, &time)
        #endif
        if code == ETIMEDOUT { return false }
        Self.check(code, "pthread_cond_timedwait")
        return true
    }

    private func lock() { Self.check(pthread_mutex_lock(mutex), "pthread_mutex_lock") }
    private func unlock() { Self.check(pthread_mutex_unlock(mutex), "pthread_mutex_unlock") }

    private static func check(_ code: Int32, _ call: StaticString) {
        precondition(code == 0, "\(call) failed with \(code): a lock was used in a way that cannot happen")
    }
}

extension Instant {
    /// The machine's monotonic clock, as timers of event loops count it.
    static var now: Instant { Instant(nanoseconds: Int64(clamping: NIODeadline.now().uptimeNanoseconds)) }

    /// The same moment for an event loop.
    var deadline: NIODeadline { .uptimeNanoseconds(UInt64(max(0, nanoseconds))) }
}

/// Starts a detached thread of the operating system. SQLite calls block, so they have no place on the cooperative pool.
func startThread(named name: String, _ body: @escaping @Sendable () -> Void) {
    let start = ThreadStart(name: name, body: body)
    let argument = Unmanaged.passRetained(start).toOpaque()
    #if os(Linux)
        var thread = pthread_t()
    #else
        var thread: pthread_t?
    #endif
    let code = pthread_create(&thread, nil, { raw in runThread(raw) }, argument)
    precondition(code == 0, "the system refused a thread (\(name)) with error \(code): raise the limit on processes (ulimit -u)")
    #if os(Linux)
        pthread_detach(thread)
    #else
        if let thread { pthread_detach(thread) }
    #endif
}

private final class ThreadStart: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}

#if os(Linux)
    /// Names the calling thread for debuggers and `top`. Through the file system, as glibc hides `pthread_setname_np` from Swift;
    /// the kernel keeps 15 bytes.
    private func nameThread(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY)
        guard file >= 0 else { return }
        let bytes = Array(name.utf8.prefix(15))
        _ = write(file, bytes, bytes.count)
        close(file)
    }

    private func runThread(_ raw: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let raw else { return nil }
        let start = Unmanaged<ThreadStart>.fromOpaque(raw).takeRetainedValue()
        nameThread(start.name)
        start.body()
        return nil
    }
#else
    private func runThread(_ raw: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
        let start = Unmanaged<ThreadStart>.fromOpaque(raw).takeRetainedValue()
        pthread_setname_np(start.name)
        start.body()
        return nil
    }
#endif
