import PatinaProtocol

/// How a table's clock records find their rows.
enum Keying: Int, Hashable {
    /// The primary key is the rowid: it cannot be renumbered.
    case rowidAlias
    /// By rowid. Each record carries a hash of the key, because a dump and restore renumbers rowids.
    case rowid
    /// By packed primary key: a WITHOUT ROWID table.
    case packedKey
}

/// The indexes that SQLite's preupdate functions know a column by. Virtual generated columns shift them, differently for each use.
struct HookIndexes: Hashable {
    /// Values before an update or a delete.
    var old: Int32
    /// Values after an insert.
    var inserted: Int32
    /// Values after an update.
    var updated: Int32
    /// SQLite applies the affinity of another column, a REAL one, to the old value: whole numbers arrive as REAL.
    var oldReadsAsReal: Bool
}

/// What capture needs of a column: small and flat, because it is looked at for each value of each row.
struct CaptureColumn {
    let hook: HookIndexes
    let affinity: Affinity
    /// The column has a constant default other than NULL.
    let hasDefault: Bool
}

/// A column of the primary key.
struct KeyColumn {
    let name: String
    let hook: HookIndexes
    let affinity: Affinity
}

/// A replicated column outside the primary key. In memory its number is its place among these, in the order of declaration; on disk it
/// is one that is never given out again (`Table.recordNumbers`).
struct Column {
    let name: String
    let hook: HookIndexes
    let affinity: Affinity
    /// The default, when it is a constant other than NULL.
    let defaultValue: Value?
}

/// A replicated table: what capture, merge and sync need to know of it, and its compiled statements.
final class Table {
    /// In key lists. Never reused.
    let id: Int64
    let name: String
    let keying: Keying
    let keyColumns: [KeyColumn]
    let columns: [Column]
    /// The same columns as capture sees them.
    let keyCapture: [CaptureColumn]
    let capture: [CaptureColumn]
    /// The names of the table and of its columns as they travel; the latter also one behind the other.
    let wireName: [UInt8]
    let wireColumns: [[UInt8]]
    let allWireColumns: [UInt8]
    /// 0, 1, 2… for each column.
    let columnOrder: [Int]
    /// Column numbers by name.
    let columnNumbers: [String: Int]
    /// The numbers by which clock records know the columns, in the order of `columns`; nil as long as they are the same, which is
    /// until a column is dropped.
    let recordNumbers: [Int]?
    /// Columns by the numbers of clock records; -1 for those that were dropped.
    let columnsByRecordNumber: [Int]
    /// A name for the rowid that no column hides. Empty for `packedKey`.
    let rowidName: String
    /// False as long as no row of this table was ever deleted: an insert then need not look for a tombstone.
    var mayHaveTombstones: Bool
    /// What is known of tombstones that were removed; nil until it is read.
    var collected: CollectedTombstones?
    /// The statements of the writing connection; readers make their own.
    let statements: TableStatements
    let description: TableDescription

    init(_ description: TableDescription, mayHaveTombstones: Bool, connection: Connection) {
        id = description.id
        name = description.name
        keying = description.keying
        keyColumns = description.keyColumns
        columns = description.columns
        keyCapture = description.keyCapture
        capture = description.capture
        columnNumbers = description.columnNumbers
        recordNumbers = description.recordNumbers
        columnsByRecordNumber = description.columnsByRecordNumber
        rowidName = description.rowidName
        wireName = description.wireName
        wireColumns = description.wireColumns
        allWireColumns = description.allWireColumns
        columnOrder = description.columnOrder
        self.mayHaveTombstones = mayHaveTombstones
        self.description = description
        statements = TableStatements(connection: connection, sql: description.sql)
    }

    /// The clock as records have it: by numbers that outlive dropped columns.
    func recorded(_ clock: RowClock) -> RowClock {
        guard let recordNumbers else { return clock }
        var result = clock
        for index in result.cells.indices { result.cells[index].column = recordNumbers[result.cells[index].column] }
        result.cells.sort { $0.column < $1.column }
        return result
    }

    /// The clock of a record, without cells of columns that were dropped. When nothing else said that the row exists, one of those
    /// cells becomes the sentinel that a row without columns has.
    func current(_ recorded: RowClock) -> RowClock {
        guard recordNumbers != nil else { return recorded }
        var result = recorded
        result.cells.removeAll { columnsByRecordNumber[$0.column] < 0 }
        if result.cells.isEmpty, result.sentinel == nil,
            let first = recorded.cells.min(by: { ($0.version, $0.sequence, $0.site) < ($1.version, $1.sequence, $1.site) })
        {
            result.sentinel = SentinelClock(site: first.site, version: first.version, sequence: first.sequence)
        }
        for index in result.cells.indices { result.cells[index].column = columnsByRecordNumber[result.cells[index].column] }
        result.cells.sort { $0.column < $1.column }
        return result
    }

    var clockTable: String { Self.clockTable(of: name) }
    var tombstoneTable: String { Self.tombstoneTable(of: name) }

    static let reservedInfix = "__patina"
    static func clockTable(of name: String) -> String { name + "__patina_clock" }
    static func tombstoneTable(of name: String) -> String { name + "__patina_tombstone" }
    static func guardIndex(of name: String) -> String { name + "__patina_guard" }
    static func guardTrigger(of name: String) -> String { name + "__patina_guard_delete" }
}
