import Logging
import PatinaProtocol

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Writes down what a node handles and wants, on a thread of its own.
///
/// The event loop encodes each event into memory, which takes a few microseconds, and never waits: when the disk is too far behind,
/// or the log has reached its limit, the recording ends and says so, in the log file and in the agent's log, and the node goes on.
final class EventRecorder: Sendable {
    /// The thread is woken for this much; less waits for the flush period.
    private static let pieceBytes = 256 * 1_024

    private struct State: Sendable {
        var writer: EventLogWriter?
        var hasBegun = false
        /// Nothing more will be written once the writer is empty.
        var isOver = false
        var events: UInt64 = 0
    }

    private enum Work: Sendable {
        case write([UInt8])
        /// The last bytes, and why there are no more.
        case end([UInt8], EventLogRecord.End?, events: UInt64, hasBegun: Bool)
    }

    private let configuration: RecordingConfiguration
    private let logger: Logger
    /// Of the file.
    let path: String
    private let state = Monitor(State())
    private let stopped = OneShot<Void>()

    /// Makes the file and starts the thread that writes it.
    ///
    /// - Throws: `RuntimeError.recording` when the directory cannot be written, or a bound makes no sense.
    convenience init(_ configuration: RecordingConfiguration, logger: Logger) throws(RuntimeError) {
        self.init(configuration, file: try EventLogFile(in: configuration.directory), logger: logger)
    }

    init(_ configuration: RecordingConfiguration, file: EventLogFile, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        path = file.path
        startThread(named: "patina-recorder") { [self] in
            run(file)
            file.close()
            stopped.complete(())
        }
    }

    // MARK: On the event loop

    /// The node begins its life.
    func begin(_ node: NodeConfiguration, ledger: VersionLedger, members: [MemberRecord], wall: Int64, now: Instant) {
        let header = EventLogHeader(
            build: configuration.build, wall: wall, start: now, detail: configuration.detail, configuration: node, ledger: ledger,
            members: members)
        let limit = configuration.limitBytes
        state.withLockSignalling { state in
            state.writer = EventLogWriter(header, limitBytes: limit)
            state.hasBegun = true
            state.isOver = state.isOver || state.writer == nil
        }
    }

    /// The node has handled an event.
    func append(_ event: Event, now: Instant, effects: [Effect]) {
        let isUrgent = state.withLock { state in
            guard !state.isOver, state.writer != nil else { return false }
            if state.writer?.count ?? 0 > configuration.waitingBytes {
                state.writer?.finish(.diskTooSlow)
                state.isOver = true
            } else if state.writer?.append(event, now: now, effects: effects) == true {
                state.events += 1
            } else {
                state.isOver = true
            }
            return state.isOver || state.writer?.count ?? 0 >= Self.pieceBytes
        }
        if isUrgent { state.withLockSignalling { _ in } }
    }

    /// The node's life is over.
    func end() {
        state.withLockSignalling { state in
            state.writer?.finish(.shutdown)
            state.isOver = true
        }
    }

    // MARK: Elsewhere

    /// Ends the recording, and waits until everything is written; false when that took longer than `duration`.
    func close(atMost duration: Duration) async -> Bool {
        end()
        return await stopped.wait(atMost: duration) != nil
    }

    /// Takes the file away again: the node did not start.
    func discard(atMost duration: Duration) async {
        _ = await close(atMost: duration)
        unlink(path)
    }

    private func run(_ file: EventLogFile) {
        var bytes = 0
        while true {
            let work = next()
            let piece: [UInt8]
            switch work {
            case .write(let part), .end(let part, _, _, _): piece = part
            }
            if let reason = file.write(piece) {
                state.withLock { $0.isOver = true }
                logger.error("the recording ends: it cannot be written", metadata: ["file": "\(file.path)", "reason": "\(reason)"])
                return
            }
            bytes += piece.count
            guard case .end(_, let end, let events, let hasBegun) = work else { continue }
            guard hasBegun else { return }
            let metadata: Logger.Metadata = ["file": "\(file.path)", "events": "\(events)", "bytes": "\(bytes)"]
            switch end {
            case .shutdown: logger.info("the recording is complete", metadata: metadata)
            case .limitReached, .diskTooSlow, .recordTooLarge, nil:
                let words = end?.words ?? "the beginning is larger than the limit"
                logger.warning("the recording ends: \(words); the node goes on", metadata: metadata)
            }
            return
        }
    }

    /// Waits until there is enough to write, some has waited for long enough, or the recording is over.
    private func next() -> Work {
        while true {
            let deadline = Instant.now + configuration.flushPeriod
            let work = state.waitWithDeadline { state -> Monitor<State>.Outcome<Work> in
                if state.isOver {
                    return .done(.end(state.writer?.take() ?? [], state.writer?.end, events: state.events, hasBegun: state.hasBegun))
                }
                guard let waiting = state.writer?.count, waiting >= Self.pieceBytes || waiting > 0 && Instant.now >= deadline else {
                    return .waiting(until: deadline)
                }
                return .done(.write(state.writer?.take() ?? []))
            }
            if let work { return work }
        }
    }
}
