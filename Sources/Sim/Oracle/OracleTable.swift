import PatinaProtocol

/// A replicated table as the oracle sees it: what SQLite does to a value before it is stored, and nothing else.
public struct OracleTable: Hashable, Sendable {
    public var name: String
    /// The columns of the primary key, in its order.
    public var keys: [Column]
    /// The columns outside the key that carry cells, in the order of declaration. Generated columns are left out.
    public var columns: [Column]
    /// True when a scan of the whole table visits rows in the order of the key: an INTEGER PRIMARY KEY or WITHOUT ROWID.
    /// Statements about all rows are allowed for such tables only, because sequence numbers depend on the order of the visits.
    public var scansInKeyOrder: Bool

    public init(name: String, keys: [Column], columns: [Column], scansInKeyOrder: Bool) {
        self.name = name
        self.keys = keys
        self.columns = columns
        self.scansInKeyOrder = scansInKeyOrder
    }

    public struct Column: Hashable, Sendable {
        public var name: String
        public var affinity: Affinity
        public var isNotNull: Bool
        /// What a row holds for which no cell has come.
        public var defaultValue: Value

        public init(_ name: String, _ affinity: Affinity = .none, isNotNull: Bool = false, defaultValue: Value = .null) {
            self.name = name
            self.affinity = affinity
            self.isNotNull = isNotNull
            self.defaultValue = defaultValue
        }

        /// The value as SQLite stores it in this column. Text that looks like a number is not modelled: do not use it in columns of
        /// numeric affinity, nor reals in TEXT columns.
        func stored(_ value: Value) -> Value {
            switch (affinity, value) {
            case (_, .real(let number)) where number.isNaN: .null
            case (.integer, .real(let number)): Int64(exactly: number).map { .integer($0) } ?? value
            case (.real, .integer(let number)): .real(Double(number))
            // A whole number in a REAL column is stored as an integer, which has no negative zero.
            case (.real, .real(let number)) where number == 0: .real(0)
            case (.text, .integer(let number)): .text("\(number)")
            default: value
            }
        }
    }

    /// The kinds of column that are modelled.
    public enum Affinity: Hashable, Sendable {
        case none
        case integer
        case real
        case text
    }
}

/// One row of one table, for ever: also before it exists and after it was deleted.
public struct OracleRowName: Hashable, Sendable {
    /// Index into the oracle's tables.
    public var table: Int
    public var key: [Value]

    public init(table: Int, key: [Value]) {
        self.table = table
        self.key = key
    }

    /// The order in which SQLite scans a primary key, for equal tables.
    static func scanOrder(_ left: OracleRowName, _ right: OracleRowName) -> Bool {
        if left.table != right.table { return left.table < right.table }
        for (one, other) in zip(left.key, right.key) {
            if scanRank(one) != scanRank(other) { return scanRank(one) < scanRank(other) }
            switch OracleValueOrder.withinType(one, other) {
            case 0: continue
            case let sign: return sign < 0
            }
        }
        return left.key.count < right.key.count
    }

    private static func scanRank(_ value: Value) -> Int {
        switch value {
        case .null: 0
        case .integer: 1
        case .real: 2
        case .text: 3
        case .blob: 4
        }
    }
}

/// The order that decides between writes of equal column version: INTEGER > REAL > TEXT > BLOB > NULL, then numbers by size, text and
/// blobs byte by byte.
enum OracleValueOrder {
    /// Negative, zero or positive, as `left` is less than, equal to or greater than `right`.
    static func compare(_ left: Value, _ right: Value) -> Int {
        let difference = rank(left) - rank(right)
        return difference != 0 ? difference : withinType(left, right)
    }

    private static func rank(_ value: Value) -> Int {
        switch value {
        case .integer: 4
        case .real: 3
        case .text: 2
        case .blob: 1
        case .null: 0
        }
    }

    /// Of two values of one type; 0 for different types.
    static func withinType(_ left: Value, _ right: Value) -> Int {
        switch (left, right) {
        case (.integer(let one), .integer(let other)): one == other ? 0 : one < other ? -1 : 1
        case (.real(let one), .real(let other)): one == other ? 0 : one < other ? -1 : 1
        case (.text(let one), .text(let other)), (.blob(let one), .blob(let other)):
            one == other ? 0 : one.lexicographicallyPrecedes(other) ? -1 : 1
        default: 0
        }
    }

    /// Whether an UPDATE that replaces one by the other changed something: types count, and so do the bits.
    static func isChange(_ old: Value, _ new: Value) -> Bool {
        if case .real(let one) = old, case .real(let other) = new { return one.bitPattern != other.bitPattern }
        return old != new
    }
}
