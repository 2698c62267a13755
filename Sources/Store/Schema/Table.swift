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

    init(
        id: Int64, name: String, keying: Keying, keyColumns: [KeyColumn], columns: [Column], recordNumbers: [Int], recordColumns: Int,
        rowidName: String, mayHaveTombstones: Bool, connection: Connection
    ) {
        self.id = id
        self.name = name
        self.keying = keying
        self.keyColumns = keyColumns
        self.columns = columns
        keyCapture = keyColumns.map { CaptureColumn(hook: $0.hook, affinity: $0.affinity, hasDefault: false) }
        capture = columns.map { CaptureColumn(hook: $0.hook, affinity: $0.affinity, hasDefault: $0.defaultValue != nil) }
        self.rowidName = rowidName
        self.mayHaveTombstones = mayHaveTombstones
        var byName: [String: Int] = [:]
        for (number, column) in columns.enumerated() { byName[column.name] = number }
        columnNumbers = byName
        self.recordNumbers = recordNumbers.elementsEqual(0..<recordColumns) ? nil : recordNumbers
        var byNumber = Array(repeating: -1, count: recordColumns)
        for (column, number) in recordNumbers.enumerated() { byNumber[number] = column }
        columnsByRecordNumber = byNumber
        statements = TableStatements(
            connection: connection, name: name, keying: keying, keys: keyColumns.map(\.name), columns: columns.map(\.name), rowid: rowidName
        )
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

/// The SQL of one table, compiled on first use.
final class TableStatements {
    private unowned let connection: Connection
    private let table: String
    private let clock: String
    private let tombstone: String
    private let keying: Keying
    private let keys: [String]
    private let columns: [String]
    private let rowid: String

    init(connection: Connection, name: String, keying: Keying, keys: [String], columns: [String], rowid: String) {
        self.connection = connection
        table = quoted(name)
        clock = quoted(Table.clockTable(of: name))
        tombstone = quoted(Table.tombstoneTable(of: name))
        self.keying = keying
        self.keys = keys.map(quoted)
        self.columns = columns.map(quoted)
        self.rowid = keying == .rowidAlias ? quoted(keys[0]) : rowid
    }

    private var cache: [PreparedStatement?] = Array(repeating: nil, count: Kind.allCases.count)
    /// Inserts and updates of some of the columns, by the numbers of those columns.
    private var partialInserts: [[Int]: PreparedStatement] = [:]
    private var partialUpdates: [[Int]: PreparedStatement] = [:]

    enum Kind: Int, CaseIterable {
        case readClock, writeClock, deleteClock, readTombstone, writeTombstone, deleteTombstone, findRow, readValues, readForSync,
            insertWhole, insertUnlessThere, deleteRow
    }

    func drop() {
        cache = Array(repeating: nil, count: Kind.allCases.count)
        partialInserts.removeAll()
        partialUpdates.removeAll()
    }

    func callAsFunction(_ kind: Kind) throws(StoreError) -> PreparedStatement {
        if let known = cache[kind.rawValue] { return known }
        let statement = try connection.prepareUncached(sql(kind))
        cache[kind.rawValue] = statement
        return statement
    }

    /// Parameters: the key columns, then the given columns.
    func insert(_ numbers: [Int]) throws(StoreError) -> PreparedStatement {
        if numbers.count == columns.count { return try self(.insertWhole) }
        if let known = partialInserts[numbers] { return known }
        let statement = try connection.prepareUncached(insertSQL(numbers))
        partialInserts[numbers] = statement
        return statement
    }

    /// Parameters: the rowid or the key columns, then the given columns.
    func update(_ numbers: [Int]) throws(StoreError) -> PreparedStatement {
        if let known = partialUpdates[numbers] { return known }
        let first = keying == .packedKey ? keys.count + 1 : 2
        let assignments = numbers.enumerated().map { "\(columns[$1]) = ?\(first + $0)" }.joined(separator: ", ")
        let statement = try connection.prepareUncached("UPDATE \(table) SET \(assignments) WHERE \(whereRow)")
        partialUpdates[numbers] = statement
        return statement
    }

    /// Names the row by its rowid as `?1`, or by its key columns from `?1`.
    private var whereRow: String { keying == .packedKey ? whereKey : "\(rowid) = ?1" }
    private var whereKey: String { keys.enumerated().map { "\($1) = ?\($0 + 1)" }.joined(separator: " AND ") }

    private func insertSQL(_ numbers: [Int]) -> String {
        let names = keys + numbers.map { columns[$0] }
        let parameters = names.indices.map { "?\($0 + 1)" }.joined(separator: ", ")
        return "INSERT INTO \(table) (\(names.joined(separator: ", "))) VALUES (\(parameters))"
    }

    private func sql(_ kind: Kind) -> String {
        switch kind {
        case .readClock: return "SELECT clock FROM \(clock) WHERE key = ?1"
        case .writeClock: return "INSERT OR REPLACE INTO \(clock) VALUES (?1, ?2)"
        case .deleteClock: return "DELETE FROM \(clock) WHERE key = ?1"
        case .readTombstone: return "SELECT length, site, version, sequence FROM \(tombstone) WHERE key = ?1"
        case .writeTombstone: return "INSERT OR REPLACE INTO \(tombstone) VALUES (?1, ?2, ?3, ?4, ?5)"
        case .deleteTombstone: return "DELETE FROM \(tombstone) WHERE key = ?1"
        case .insertWhole: return insertSQL(Array(columns.indices))
        case .deleteRow: return "DELETE FROM \(table) WHERE \(whereRow)"
        case .insertUnlessThere: return insertSQL(Array(columns.indices)) + " ON CONFLICT (\(keys.joined(separator: ", "))) DO NOTHING"
        case .findRow:
            // Parameters: the key columns. Columns: rowid, key columns. An index answers it, where the key has one.
            let row = keying == .packedKey ? "0" : rowid
            return "SELECT \(row)\(keys.map { ", \($0)" }.joined()) FROM \(table) WHERE \(whereKey)"
        case .readValues:
            // Parameters: the rowid, or the key columns. Columns: the columns.
            return "SELECT \(columns.isEmpty ? "0" : columns.joined(separator: ", ")) FROM \(table) WHERE \(whereRow)"
        case .readForSync:
            // Parameters: the rowid, or the key columns. Columns: the columns, then the key columns.
            return "SELECT \((columns + keys).joined(separator: ", ")) FROM \(table) WHERE \(whereRow)"
        }
    }
}
