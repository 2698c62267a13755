import PatinaProtocol

/// One SQL statement with its parameters.
public struct Statement: Hashable, Sendable {
    public var sql: String
    public var parameters: Parameters

    public init(_ sql: String, _ parameters: Parameters = .none) {
        self.sql = sql
        self.parameters = parameters
    }

    public enum Parameters: Hashable, Sendable {
        case none
        /// Bound to `?1`, `?2`… in order.
        case positional([Value])
        /// Bound by name; the name has its sigil, as in the statement (`:a`, `@a`, `$a`).
        case named([NamedValue])
    }

    public struct NamedValue: Hashable, Sendable {
        public var name: String
        public var value: Value

        public init(name: String, value: Value) {
            self.name = name
            self.value = value
        }
    }
}

/// What one statement of a transaction did.
public struct StatementResult: Hashable, Sendable {
    /// Rows that the statement itself inserted, changed or deleted (`sqlite3_changes64`).
    public var rowsAffected: Int
    public var duration: Duration

    public init(rowsAffected: Int, duration: Duration) {
        self.rowsAffected = rowsAffected
        self.duration = duration
    }
}

/// A committed local transaction.
public struct TransactionOutcome: Hashable, Sendable {
    /// One result for each statement, in order.
    public var results: [StatementResult]
    /// The version that the transaction became; nil when it changed no replicated row.
    public var version: UInt64?
    public var timestamp: HybridTimestamp
    /// The whole version, ready to be broadcast; empty when `version` is nil.
    public var chunks: [Chunk]

    public init(results: [StatementResult], version: UInt64?, timestamp: HybridTimestamp, chunks: [Chunk]) {
        self.results = results
        self.version = version
        self.timestamp = timestamp
        self.chunks = chunks
    }
}
