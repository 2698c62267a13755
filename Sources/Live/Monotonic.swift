import Glibc
import PatinaProtocol

/// The clock that every process of this machine shares: what the relay, the agents and their recordings measure by.
enum Monotonic {
    /// Nanoseconds of `CLOCK_MONOTONIC`, the clock that the agents' instants come from.
    static var now: Instant { Instant(nanoseconds: nanoseconds(CLOCK_MONOTONIC)) }

    /// How far the wall clock is ahead of the monotonic one at present, in nanoseconds: to translate the kernel's time stamps.
    static var wallOffset: Int64 { nanoseconds(CLOCK_REALTIME) - nanoseconds(CLOCK_MONOTONIC) }

    private static func nanoseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

extension Monotonic {
    /// Sleeps until then; returns at once when it is past.
    ///
    /// - Throws: `CancellationError`.
    static func sleep(until due: Instant) async throws {
        let left = due - now
        if left > .zero { try await Task.sleep(for: left, tolerance: .zero) } else { try Task.checkCancellation() }
    }
}
