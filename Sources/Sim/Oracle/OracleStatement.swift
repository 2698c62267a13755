import PatinaProtocol

/// A local statement, as what it means for rows. `OracleStatement.sql` gives the SQL that does the same.
public enum OracleStatement: Hashable, Sendable {
    /// What happens when the key is taken, or NULL meets NOT NULL.
    public enum Conflict: Hashable, Sendable {
        /// The statement fails, and with it the transaction.
        case abort
        /// The row is left out.
        case ignore
        /// The row in the way is deleted; NULL becomes the default.
        case replace
    }

    /// A value for a column outside the key, by index.
    public struct Assignment: Hashable, Sendable {
        public var column: Int
        public var value: Value

        public init(_ column: Int, _ value: Value) {
            self.column = column
            self.value = value
        }
    }

    /// Inserts a row; columns without an assignment take their default. Assignments are in ascending order of column.
    case insert(OracleRowName, [Assignment], Conflict)
    /// INSERT … ON CONFLICT DO UPDATE SET: `inserting` when the key is free, else `updating`.
    case upsert(OracleRowName, inserting: [Assignment], updating: [Assignment])
    /// Updates one row, if it exists.
    case update(OracleRowName, [Assignment])
    /// Updates all rows of a table that scans in the order of its key.
    case updateAll(table: Int, [Assignment])
    /// Gives a row, if it exists, another key, and sets columns in the same statement.
    case changeKey(OracleRowName, to: [Value], [Assignment], Conflict)
    /// Deletes one row, if it exists.
    case delete(OracleRowName)
    /// Deletes all rows of a table that scans in the order of its key.
    case deleteAll(table: Int)
    case savepoint(Int)
    case rollbackTo(Int)
    case release(Int)
}

/// A transaction fails as a whole; this is the reason, for messages.
public struct OracleRefusal: Error, Hashable, Sendable {
    public var reason: String
}
