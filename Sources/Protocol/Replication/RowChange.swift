/// What one version did to one row: its causal length and the cells it wrote.
///
/// Source: cr-sqlite's change rows, grouped by row. `docs/crdt.md` has the rules.
public struct RowChange: Hashable, Sendable {
    /// Index into `Changeset.tables`.
    public var table: Int
    /// The primary key, packed as by cr-sqlite's `crsql_pack_columns`.
    public var key: [UInt8]
    /// Odd: the row exists; even: it is deleted. Grows with every deletion and resurrection.
    public var causalLength: UInt64
    /// The creation or deletion itself, when this version recorded one (cr-sqlite's column `-1`).
    public var sentinel: Sentinel?
    public var cells: [CellChange]

    public init(table: Int, key: [UInt8], causalLength: UInt64, sentinel: Sentinel?, cells: [CellChange]) {
        self.table = table
        self.key = key
        self.causalLength = causalLength
        self.sentinel = sentinel
        self.cells = cells
    }

    public struct Sentinel: Hashable, Sendable {
        public var columnVersion: UInt64
        public var sequence: UInt64
        public init(columnVersion: UInt64, sequence: UInt64) {
            self.columnVersion = columnVersion
            self.sequence = sequence
        }
    }
}

/// One cell that a version wrote.
public struct CellChange: Hashable, Sendable {
    /// Index into the table's `columns`.
    public var column: Int
    public var columnVersion: UInt64
    public var sequence: UInt64
    public var value: Value

    public init(column: Int, columnVersion: UInt64, sequence: UInt64, value: Value) {
        self.column = column
        self.columnVersion = columnVersion
        self.sequence = sequence
        self.value = value
    }
}

/// The decoded body of a chunk.
public struct Changeset: Hashable, Sendable {
    /// Every table that a row names, with the columns that its cells name. Names, not numbers, because nodes may have
    /// declared their columns in different orders.
    public var tables: [Table]
    public var rows: [RowChange]
    /// What the node that cut the chunk has dropped: sequence numbers of the chunk that no cell here has may be those of cells of
    /// these columns, or, where no column is named, of any in the table. Empty for nearly every chunk.
    public var omitted: [Table]

    public init(tables: [Table] = [], rows: [RowChange] = [], omitted: [Table] = []) {
        self.tables = tables
        self.rows = rows
        self.omitted = omitted
    }

    public struct Table: Hashable, Sendable {
        public var name: String
        public var columns: [String]
        public init(name: String, columns: [String]) {
            self.name = name
            self.columns = columns
        }
    }
}
