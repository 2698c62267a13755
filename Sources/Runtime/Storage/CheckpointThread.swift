import Logging
import PatinaProtocol
import PatinaStore

/// The thread that moves the write-ahead log's pages into the database, beside the writer, whenever the writer says that there are many.
///
/// A reader that holds an old snapshot keeps the log from beginning anew: pages that it may still need stay, the log grows, and reading
/// becomes slower, but nobody waits. It is warned of, and what grew is cut off once the reader is gone. Where it grows because more is
/// written than the disk takes, the writer is slowed down (`LogPace`).
final class CheckpointThread: Sendable {
    private enum Request: Sendable {
        case idle, wanted, stop
        /// The writer does the rest. Nothing is moved here meanwhile, or the two would be in each other's way.
        case leftToWriter
    }

    private let request = Monitor(Request.idle)
    private let stopped = OneShot<Void>()

    /// - Parameters:
    ///   - warningBytes: a log that is longer is warned of, and writers that outpace the disk are slowed down from there on.
    ///   - pace: called with how long the writer should wait for each page that it writes; zero when it need not.
    ///   - finish: called when what is left is little enough for the writer itself.
    ///   - fatal: completed when the storage breaks.
    init(
        _ checkpointer: Handover<Checkpointer>, warningBytes: Int64, logger: Logger, fatal: OneShot<StoreError>,
        pace: @escaping @Sendable (Duration) -> Void, finish: @escaping @Sendable () -> Void
    ) {
        startThread(named: "patina-checkpoint") { [self] in
            let checkpointer = checkpointer.take()
            let warningPages = Int(warningBytes / Self.pageBytes)
            var judge = LogPace(limitPages: warningPages)
            var warnedPages = warningPages
            while true {
                let isWanted = request.wait { request -> Bool? in
                    switch request {
                    case .idle, .leftToWriter: return nil
                    case .wanted:
                        request = .idle
                        return true
                    case .stop: return false
                    }
                }
                guard isWanted else { break }
                do throws(StoreError) {
                    let began = Instant.now
                    let outcome = try checkpointer.run()
                    let verdict = judge.judge(outcome, took: Instant.now - began)
                    let reason: Logger.Message
                    switch verdict {
                    case .nearlyMoved:
                        warnedPages = warningPages
                        pace(.zero)
                        if outcome.waitingPages > 0, leaveToWriter() { finish() }
                        continue
                    case .short:
                        pace(.zero)
                        continue
                    case .heldByReader:
                        pace(.zero)
                        reason = "the write-ahead log grows, because a program reads the database for a long time"
                    case .outpaced(let pause):
                        pace(pause)
                        reason = "the write-ahead log grows, because more is written than the disk takes; transactions are slowed down"
                    }
                    guard outcome.logPages >= warnedPages else { continue }
                    logger.warning(reason, metadata: ["pages": "\(outcome.logPages)", "waiting": "\(outcome.waitingPages)"])
                    // Again when it has doubled.
                    warnedPages = outcome.logPages * 2
                } catch {
                    if error.isFatal { fatal.complete(error) }
                    logger.error("the write-ahead log cannot be moved into the database", metadata: ["reason": "\(error)"])
                }
            }
            checkpointer.close()
            stopped.complete(())
        }
    }

    private static let pageBytes: Int64 = 4_096

    /// There are many pages to move. Does not wait.
    func want() {
        request.withLockSignalling { request in
            if request == .idle { request = .wanted }
        }
    }

    /// The writer has done the rest, or will not.
    func finished() {
        request.withLock { request in
            if request == .leftToWriter { request = .idle }
        }
    }

    /// False when this thread is to end.
    private func leaveToWriter() -> Bool {
        request.withLock { request in
            if request == .stop { return false }
            request = .leftToWriter
            return true
        }
    }

    /// False when a checkpoint took longer than `duration`; it then ends later.
    func close(atMost duration: Duration) async -> Bool {
        request.withLockBroadcasting { $0 = .stop }
        return await stopped.wait(atMost: duration) != nil
    }
}

/// When the writer asks for a checkpoint: when the log has become long, and again each time that it has grown by a part of that, because a
/// reader or a slow disk held the last one back.
struct LogGrowth: Sendable {
    private var next = Store.checkpointPages

    /// - Parameter pages: of the log, after the last commit.
    mutating func needsCheckpoint(pages: Int) -> Bool {
        if pages < Store.checkpointPages { next = Store.checkpointPages }
        guard pages >= next else { return false }
        next = pages + Store.checkpointPages / 4
        return true
    }
}
