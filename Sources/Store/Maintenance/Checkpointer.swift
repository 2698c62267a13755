import CSQLite
import PatinaProtocol

/// Moves what the write-ahead log holds into the database, on a connection of its own: while it works, the writer and readers go on.
///
/// Not sendable: one thread owns it.
public final class Checkpointer {
    private let connection: Connection
    private var isClosed = false

    /// What a checkpoint left.
    public struct Outcome: Hashable, Sendable {
        /// Pages in the log.
        public var logPages: Int
        /// Pages that are not in the database yet: written since, or held back because a reader still needs what they replace.
        public var waitingPages: Int

        /// Nothing was found in the log.
        public static let empty = Outcome(logPages: 0, waitingPages: 0)
    }

    init(_ location: StoreLocation, options: StoreOptions) throws(StoreError) {
        connection = try Connection(location, readOnly: false, userStatementLimit: 0)
        do throws(StoreError) {
            try connection.execute("PRAGMA synchronous = \(options.synchronous.rawValue)")
            try connection.execute("PRAGMA cache_size = -256")
            // The log is seen once something was read.
            _ = try connection.integer("SELECT count(*) FROM sqlite_schema")
        } catch {
            connection.close()
            throw error
        }
    }

    deinit { close() }

    /// Moves all pages that no reader holds back. Waits for nobody; takes as long as the disk needs.
    public func run() throws(StoreError) -> Outcome {
        guard !isClosed else { throw .closed }
        return try connection.checkpoint()
    }

    /// Closes the connection. May be called twice.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        connection.close()
    }
}

extension Connection {
    /// A passive checkpoint. When another one runs already, nothing is known and everything is said to wait.
    func checkpoint() throws(StoreError) -> Checkpointer.Outcome {
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
    /// Pages that the writer itself moves at once, so that the log can begin anew: 2 MB to copy, and two syncs.
    public static var ownCheckpointPages: Int { 512 }

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

    /// Pages in the write-ahead log after our last commit, when `StoreOptions.leavesCheckpoints` is set.
    public var logPages: Int { context.logPages }

    /// The last part of a checkpoint: moves what was written while a `Checkpointer` moved the rest. When nothing is left and no reader
    /// is in the log, the next commit begins it anew. Only worth while when at most `ownCheckpointPages` wait.
    public func finishCheckpoint() throws(StoreError) -> Checkpointer.Outcome {
        try checkUsable()
        do throws(StoreError) {
            return try connection.checkpoint()
        } catch {
            note(error)
            throw error
        }
    }
}
