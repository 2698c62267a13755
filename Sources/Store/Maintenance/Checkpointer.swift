import CSQLite
import PatinaProtocol

/// Moves what the write-ahead log holds into the database, on a connection of its own: while it works, the writer and readers go on.
///
/// Not sendable: one thread owns it.
public final class Checkpointer {
    private let connection: Connection
    /// Holds a snapshot while a pass runs, so that the pass moves nothing that was written after it began: what it may move has to be
    /// noted before (`LogMark`).
    private let pin: Connection
    private let marks: ReservationFile?
    private let synchronous: Synchronous
    private var isClosed = false

    /// What a checkpoint left.
    public struct Outcome: Hashable, Sendable {
        /// Pages in the log.
        public var logPages: Int
        /// Pages that are not in the database yet: written since, or held back because a reader still needs what they replace.
        public var waitingPages: Int

        /// Nothing was found in the log.
        public static let empty = Outcome(logPages: 0, waitingPages: 0)

        /// What is left is little enough for the writer, see `Store.ownCheckpointPages(logPages:)`.
        public var isLeftToWriter: Bool { waitingPages <= Store.ownCheckpointPages(logPages: logPages) }
    }

    /// Passes of one `run`, at most.
    public static var passLimit: Int { 8 }

    init(_ location: StoreLocation, options: StoreOptions) throws(StoreError) {
        synchronous = options.synchronous
        connection = try Connection(location, readOnly: false, userStatementLimit: 0)
        do throws(StoreError) {
            pin = try Connection(location, readOnly: true, userStatementLimit: 0)
            marks = options.reservesVersions ? try Store.openReservation(location) : nil
        } catch {
            connection.close()
            throw error
        }
        do throws(StoreError) {
            try connection.execute("PRAGMA synchronous = \(options.synchronous.rawValue)")
            for each in [connection, pin] {
                try each.execute("PRAGMA cache_size = -256")
                // The log is seen once something was read.
                _ = try each.integer("SELECT count(*) FROM sqlite_schema")
            }
        } catch {
            close()
            throw error
        }
    }

    deinit { close() }

    /// Moves all pages that no reader holds back, and what was written meanwhile, again and again until little is left or it does not get
    /// less. Waits for nobody; takes as long as the disk needs. What was moved is durable afterwards, so that the writer, who does the
    /// rest, does not have to wait until the disk has all of it.
    public func run() throws(StoreError) -> Outcome {
        guard !isClosed else { throw .closed }
        var outcome = try pass()
        for _ in 1..<Self.passLimit {
            // Some pages are always written meanwhile; another pass costs as much as they do.
            guard outcome.waitingPages > Self.fewPages else { break }
            let next = try pass()
            let isLess = next.waitingPages < outcome.waitingPages
            outcome = next
            if !isLess { break }
        }
        return outcome
    }

    /// So few pages are not worth a pass beside the writer.
    private static let fewPages = 16

    private func pass() throws(StoreError) -> Outcome {
        try pin.execute("BEGIN")
        let moved: Checkpointer.Outcome
        do throws(StoreError) {
            _ = try pin.integer("SELECT count(*) FROM sqlite_schema")
            moved = try connection.checkpoint(noting: marks, index: LogIndex(pin), synchronous)
            try pin.execute("COMMIT")
        } catch {
            pin.rollBack()
            throw error
        }
        // SQLite does so only when nothing waits.
        if moved.waitingPages > 0 { try connection.sync(connection.databaseFile) }
        guard let index = LogIndex(pin) else { return moved }
        // The writer has gone on.
        let now = index.position
        return Outcome(logPages: Int(now.frames), waitingPages: max(0, Int(now.frames) - Int(index.moved)))
    }

    /// Closes the connections. May be called twice.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        pin.close()
        connection.close()
        marks?.close()
    }
}

extension Connection {
    /// A passive checkpoint. When another one runs already, nothing is known and everything is said to wait.
    ///
    /// Where `index` says that the log is at present, nobody may be able to move more: either nobody else writes, or a reader holds that
    /// snapshot.
    func checkpoint(
        noting marks: ReservationFile?, index: LogIndex?, _ synchronous: Synchronous
    ) throws(StoreError) -> Checkpointer.Outcome {
        guard let marks, let index else { return try checkpoint() }
        let position = index.position
        guard position.frames > 0 else { return .empty }
        let wasWhole = try marks.readMark().flatMap { $0.salts == position.salts && $0.isWhole ? $0.frames : nil }
        if let wasWhole, wasWhole >= position.frames { return try checkpoint() }
        // The mark vouches for frames that are durable. With `full` each commit has seen to that.
        if synchronous == .normal { try sync(logFile) }
        // That the database can do without the log must not be believed any more, whatever happens.
        try marks.write(LogMark(salts: position.salts, frames: position.frames, isWhole: false), durably: wasWhole != nil)
        let outcome = try checkpoint()
        if outcome.logPages > 0, outcome.waitingPages == 0 {
            try marks.write(LogMark(salts: position.salts, frames: position.frames, isWhole: true), durably: false)
        }
        return outcome
    }

    private func checkpoint() throws(StoreError) -> Checkpointer.Outcome {
        var (log, moved): (Int32, Int32) = (-1, -1)
        let code = sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_PASSIVE, &log, &moved)
        guard code == SQLITE_OK || code & 0xFF == SQLITE_BUSY else { throw error(code, sql: nil) }
        guard log > 0 else { return .empty }
        return Checkpointer.Outcome(logPages: Int(log), waitingPages: Int(log - max(0, moved)))
    }
}

extension Store {
    /// Pages of the write-ahead log from which on somebody should move them: 4 MB. A longer log makes reads slower and opening longer.
    public static var checkpointPages: Int { 1_024 }
    /// The same for a store without a `Checkpointer`, which moves them itself after a commit; fewer in a simulation, so that small
    /// databases meet checkpoints too.
    private static func ownCheckpointPages(_ options: StoreOptions) -> Int { options.simulated ? 200 : 1_000 }

    /// Pages that the writer moves at once, so that the log can begin anew: half a megabyte to copy, and two syncs of as much. More only
    /// when the log has become long because the disk does not keep up with the writer: a thirty-second of the log, at most 2 MB.
    public static func ownCheckpointPages(logPages: Int) -> Int { min(512, max(128, logPages / 32)) }

    /// A connection that moves the log's pages beside this one; see `StoreOptions.leavesCheckpoints`.
    public func makeCheckpointer() throws(StoreError) -> Checkpointer {
        try checkUsable()
        return try Checkpointer(location, options: options)
    }

    /// `StoreOptions.leavesCheckpoints`, of a database that has a log.
    public var leavesCheckpoints: Bool {
        if case .memory = location { return false }
        return options.leavesCheckpoints
    }

    /// Pages in the write-ahead log after our last commit.
    public var logPages: Int { context.logPages }

    /// The last part of a checkpoint: moves what was written while a `Checkpointer` moved the rest. When nothing is left and no reader
    /// is in the log, the next commit begins it anew. Not to be called while a `Checkpointer` runs. Does nothing when so much has been
    /// written since that it would take long: then that is for the `Checkpointer` again.
    public func finishCheckpoint() throws(StoreError) -> Checkpointer.Outcome {
        try checkUsable()
        if let index = LogIndex(connection) {
            let outcome = Checkpointer.Outcome(logPages: Int(index.frames), waitingPages: Int(index.frames) - Int(index.moved))
            guard outcome.isLeftToWriter else { return outcome }
        }
        do throws(StoreError) {
            return try moveLog()
        } catch {
            note(error)
            throw error
        }
    }

    private func moveLog() throws(StoreError) -> Checkpointer.Outcome {
        try connection.checkpoint(noting: reservation, index: LogIndex(connection), options.synchronous)
    }

    /// Right after a commit, where nobody else moves the log. The transaction has succeeded, whatever comes of it; what failed is tried
    /// again after the next.
    func moveLongLog() {
        guard !options.leavesCheckpoints, context.logPages >= Self.ownCheckpointPages(options) else { return }
        context.forgetLog()
        do throws(StoreError) { _ = try moveLog() } catch { note(error) }
    }

    /// SQLite takes the log away with the last connection, and moves it before. Then it is moved with its mark, as always.
    func moveLogAtEnd() {
        guard failure == nil, reservation != nil, !connection.isInTransaction else { return }
        _ = try? moveLog()
    }
}
