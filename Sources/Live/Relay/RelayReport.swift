import PatinaProtocol
import PatinaSim

/// What the relay saw and did since the run began, and how exact it was.
package struct RelayReport: Sendable {
    /// Datagrams that were handed to their receiver, and their bytes.
    package internal(set) var delivered: UInt64 = 0
    package internal(set) var deliveredBytes: UInt64 = 0
    package internal(set) var lost: UInt64 = 0
    package internal(set) var doubled: UInt64 = 0
    package internal(set) var corrupted: UInt64 = 0
    /// Dropped at the tail of a link's full queue, as the model says.
    package internal(set) var queueFull: UInt64 = 0
    /// Dropped by a partition.
    package internal(set) var cut: UInt64 = 0
    /// From or to an address that is no agent's.
    package internal(set) var unroutable: UInt64 = 0
    /// When the first datagram was lost to the link's rate of loss; nil when none was.
    package internal(set) var firstLoss: Instant?

    // What makes a run invalid.

    /// By how much the moment of sending missed the moment that the link's model asked for.
    package internal(set) var delayError = Histogram()
    /// Datagrams that the kernel dropped because the relay did not take them out of its socket in time.
    package internal(set) var socketDrops: UInt64 = 0
    /// Datagrams that the kernel would not take from the relay.
    package internal(set) var refused: UInt64 = 0
    /// Datagrams that were dropped because the relay held as many as it may.
    package internal(set) var overflow: UInt64 = 0

    package init() {}
}

extension RelayReport {
    /// In what the machine did not keep up, a sentence each: then the run says little of the agents.
    ///
    /// - Parameter bound: of the 99th percentile of the delay error.
    func shortcomings(_ bound: Duration) -> [String] {
        var reasons: [String] = []
        let error = delayError.milliseconds(percentile: 990)
        let most = Double(bound.nanoseconds) / 1e6
        if delayError.count > 0, error > most {
            reasons.append("the 99th percentile of the relay's delay error is \(error) ms, more than \(most) ms")
        }
        for (count, what) in [
            (socketDrops, "were dropped at the relay's sockets"), (refused, "were not taken by the kernel"),
            (overflow, "were dropped because the relay held as many as it may"),
        ] where count > 0 {
            reasons.append("\(count) datagrams \(what)")
        }
        return reasons.map { "the machine could not keep up: \($0)" }
    }
}
