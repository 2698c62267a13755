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
    let description: TableDescription
    /// False as long as no row of this table was ever deleted: an insert then need not look for a tombstone.
    var mayHaveTombstones: Bool
    /// What is known of tombstones that were removed; nil until it is read.
    var collected: CollectedTombstones?
    /// The statements of the writing connection; readers make their own.
    let statements: TableStatements

    init(_ description: TableDescription, mayHaveTombstones: Bool, connection: Connection) {
        self.description = description
        self.mayHaveTombstones = mayHaveTombstones
        statements = TableStatements(connection: connection, sql: description.sql)
    }

    // What the description says; each is one load.
    var id: Int64 { description.id }
    var name: String { description.name }
    var keying: Keying { description.keying }
    var keyColumns: [KeyColumn] { description.keyColumns }
    var columns: [Column] { description.columns }
    var keyCapture: [CaptureColumn] { description.keyCapture }
    var capture: [CaptureColumn] { description.capture }
    var wireName: [UInt8] { description.wireName }
    var wireColumns: [[UInt8]] { description.wireColumns }
    var allWireColumns: [UInt8] { description.allWireColumns }
    var columnOrder: [Int] { description.columnOrder }
    var columnNumbers: [String: Int] { description.columnNumbers }
    var recordNumbers: [Int]? { description.recordNumbers }
    var columnsByRecordNumber: [Int] { description.columnsByRecordNumber }
    var rowidName: String { description.rowidName }

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
