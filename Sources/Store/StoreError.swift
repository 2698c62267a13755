/// Why the store refused or failed.
public enum StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    /// SQLite said no: an extended result code, its message, and the statement it was about when there is one.
    case sqlite(code: Int32, message: String, sql: String?)
    /// A schema file cannot be applied. `line` counts from 1.
    case schema(file: String, line: Int, message: String)
    /// The file is not a database of ours, or contradicts itself.
    case corrupt(message: String)
    /// A query that would write.
    case notReadOnly
    /// A statement that `transact` does not run, and why.
    case statementRefused(message: String, sql: String)
    /// A parameter that does not fit the statement.
    case parameter(message: String, sql: String)
    /// A value or a transaction over a bound of `Limits`.
    case tooLarge(message: String)
    /// Another thread called `Interrupter.interrupt()`.
    case interrupted
    /// Too much waits for the database already; the caller may try again later.
    case busy(message: String)
    /// The store or reader was closed.
    case closed

    /// True when the storage itself is broken (I/O error, corruption): retrying is pointless, and what SQLite knows in memory may differ
    /// from what is on the disk. The store is of no more use; opening the database again finds everything that was acknowledged.
    public var isFatal: Bool {
        switch self {
        case .corrupt: true
        case .sqlite(let code, _, _): [7, 10, 11, 14, 26].contains(code & 0xFF)
        case .schema, .notReadOnly, .statementRefused, .parameter, .tooLarge, .interrupted, .busy, .closed: false
        }
    }

    /// True when the disk is full. The transaction has left no trace; the same may succeed once there is room. Reading goes on.
    public var isOutOfSpace: Bool {
        if case .sqlite(let code, _, _) = self { code & 0xFF == 13 } else { false }
    }

    public var description: String {
        switch self {
        case .sqlite(_, let message, _): message
        case .schema(let file, let line, let message): "\(file):\(line): \(message)"
        case .corrupt(let message): message
        case .notReadOnly: "statement is not readonly"
        case .statementRefused(let message, _): message
        case .parameter(let message, _): message
        case .tooLarge(let message): message
        case .interrupted: "interrupted"
        case .busy(let message): message
        case .closed: "the store is closed"
        }
    }
}
