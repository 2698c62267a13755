/// The SQL of one table, compiled on first use.
final class TableStatements {
    private unowned let connection: Connection
    private let sql: TableSQL

    init(connection: Connection, sql: TableSQL) {
        self.connection = connection
        self.sql = sql
    }

    @exclusivity(unchecked) private var cache: [PreparedStatement?] = Array(repeating: nil, count: Kind.allCases.count)
    /// Inserts and updates of some of the columns, by the numbers of those columns.
    private var partialInserts: [[Int]: PreparedStatement] = [:]
    private var partialUpdates: [[Int]: PreparedStatement] = [:]

    enum Kind: Int, CaseIterable {
        case readClock, newestClock, insertClock, updateClock, deleteClock, readTombstone, insertTombstone, updateTombstone,
            deleteTombstone, findRow, readValues, readForSync, insertWhole, insertUnlessThere, deleteRow,
            insertManyClocks, insertSomeClocks, putManyClocks, putSomeClocks, readManyClocks, readSomeClocks
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
        if numbers.count == sql.columns.count { return try self(.insertWhole) }
        if let known = partialInserts[numbers] { return known }
        let statement = try connection.prepareUncached(sql.insert(numbers))
        partialInserts[numbers] = statement
        return statement
    }

    /// Parameters: the rowid or the key columns, then the given columns.
    func update(_ numbers: [Int]) throws(StoreError) -> PreparedStatement {
        if let known = partialUpdates[numbers] { return known }
        let statement = try connection.prepareUncached(sql.update(numbers))
        partialUpdates[numbers] = statement
        return statement
    }
}

/// The text of the statements of one table.
struct TableSQL {
    private let table: String
    private let clock: String
    private let tombstone: String
    private let keying: Keying
    private let keys: [String]
    let columns: [String]
    private let rowid: String

    /// Clocks that one statement writes at most, and those that the next smaller one does.
    static let clocksTogether = 32
    static let fewClocksTogether = 4
    /// Clocks that one statement reads at most, and those that the next smaller one does.
    static let clocksRead = 32
    static let fewClocksRead = 8

    init(name: String, keying: Keying, keys: [String], columns: [String], rowid: String) {
        table = quoted(name)
        clock = quoted(Table.clockTable(of: name))
        tombstone = quoted(Table.tombstoneTable(of: name))
        self.keying = keying
        self.keys = keys.map(quoted)
        self.columns = columns.map(quoted)
        self.rowid = keying == .rowidAlias ? quoted(keys[0]) : rowid
    }

    /// Names the row by its rowid as `?1`, or by its key columns from `?1`.
    private var whereRow: String { keying == .packedKey ? whereKey : "\(rowid) = ?1" }
    private var whereKey: String { keys.enumerated().map { "\($1) = ?\($0 + 1)" }.joined(separator: " AND ") }

    func insert(_ numbers: [Int]) -> String {
        let names = keys + numbers.map { columns[$0] }
        let parameters = names.indices.map { "?\($0 + 1)" }.joined(separator: ", ")
        return "INSERT INTO \(table) (\(names.joined(separator: ", "))) VALUES (\(parameters))"
    }

    /// Parameters: for each of so many clocks its key and its record. Those that are there stay.
    private func insertClocks(_ count: Int) -> String { "INSERT OR IGNORE INTO \(clock) VALUES \(Self.rows(count, width: 2))" }

    /// The same, for clocks that may be there.
    private func putClocks(_ count: Int) -> String {
        "INSERT INTO \(clock) (key, clock) VALUES \(Self.rows(count, width: 2)) ON CONFLICT (key) DO UPDATE SET clock = excluded.clock"
    }

    /// Parameters: so many rowids. One row for each of them, in that order: its clock, or NULL.
    private func readClocks(_ count: Int) -> String {
        "SELECT c.clock FROM (VALUES \(Self.rows(count, width: 1))) AS wanted LEFT JOIN \(clock) AS c ON c.key = wanted.column1"
    }

    /// `(?1, ?2), (?3, ?4)`…
    private static func rows(_ count: Int, width: Int) -> String {
        (0..<count).map { row in "(\((1...width).map { "?\(row * width + $0)" }.joined(separator: ", ")))" }.joined(separator: ", ")
    }

    func update(_ numbers: [Int]) -> String {
        let first = keying == .packedKey ? keys.count + 1 : 2
        let assignments = numbers.enumerated().map { "\(columns[$1]) = ?\(first + $0)" }.joined(separator: ", ")
        return "UPDATE \(table) SET \(assignments) WHERE \(whereRow)"
    }

    func callAsFunction(_ kind: TableStatements.Kind) -> String {
        switch kind {
        case .readClock: return "SELECT clock FROM \(clock) WHERE key = ?1"
        case .newestClock: return "SELECT key FROM \(clock) ORDER BY key DESC LIMIT 1"
        case .insertClock: return "INSERT OR IGNORE INTO \(clock) VALUES (?1, ?2)"
        case .updateClock: return "UPDATE \(clock) SET clock = ?2 WHERE key = ?1"
        case .deleteClock: return "DELETE FROM \(clock) WHERE key = ?1"
        case .readTombstone: return "SELECT length, site, version, sequence FROM \(tombstone) WHERE key = ?1"
        case .insertTombstone: return "INSERT OR IGNORE INTO \(tombstone) VALUES (?1, ?2, ?3, ?4, ?5)"
        case .updateTombstone: return "UPDATE \(tombstone) SET length = ?2, site = ?3, version = ?4, sequence = ?5 WHERE key = ?1"
        case .deleteTombstone: return "DELETE FROM \(tombstone) WHERE key = ?1"
        case .insertWhole: return insert(Array(columns.indices))
        case .deleteRow: return "DELETE FROM \(table) WHERE \(whereRow)"
        case .insertUnlessThere: return insert(Array(columns.indices)) + " ON CONFLICT (\(keys.joined(separator: ", "))) DO NOTHING"
        case .insertManyClocks: return insertClocks(Self.clocksTogether)
        case .insertSomeClocks: return insertClocks(Self.fewClocksTogether)
        case .putManyClocks: return putClocks(Self.clocksTogether)
        case .putSomeClocks: return putClocks(Self.fewClocksTogether)
        case .readManyClocks: return readClocks(Self.clocksRead)
        case .readSomeClocks: return readClocks(Self.fewClocksRead)
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
