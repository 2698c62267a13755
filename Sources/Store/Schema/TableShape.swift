import PatinaProtocol

/// A table as SQLite describes it: what schema files are compared by.
struct TableShape: Hashable {
    var name: String
    var sql: String
    var isWithoutRowid: Bool
    var isStrict: Bool
    var columns: [ColumnShape]
    var indexes: [IndexShape]
    var hasForeignKey: Bool

    /// The columns of the primary key, in its order.
    var keyColumns: [ColumnShape] { columns.filter { $0.keyPosition > 0 }.sorted { $0.keyPosition < $1.keyPosition } }
    /// True when the primary key is another name of the rowid.
    var isRowidAlias: Bool { !isWithoutRowid && keyColumns.count == 1 && !indexes.contains { $0.origin == .primaryKey } }
}

struct ColumnShape: Hashable {
    enum Kind: Int64 {
        case ordinary = 0
        case hidden = 1
        case virtualGenerated = 2
        case storedGenerated = 3
    }

    var number: Int64
    var name: String
    var type: String
    var isNotNull: Bool
    /// The text of the DEFAULT clause.
    var defaultText: String?
    /// From 1; 0 outside the primary key.
    var keyPosition: Int64
    var kind: Kind
}

struct IndexShape: Hashable {
    enum Origin: String {
        case created = "c"
        case unique = "u"
        case primaryKey = "pk"
    }

    var name: String
    var isUnique: Bool
    var origin: Origin
    /// Collations of the indexed columns.
    var collations: [String]
    /// Nil for the indexes that SQLite makes by itself.
    var sql: String?
}

extension Connection {
    /// The tables of the main database that are users', in ascending order of name.
    func userTableNames() throws(StoreError) -> [String] {
        let statement = try prepareUncached(
            """
            SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'
              AND instr(name, '\(Table.reservedInfix)') = 0 ORDER BY name
            """)
        var names: [String] = []
        while try statement.step() { names.append(statement.text(0)) }
        return names
    }

    /// The shape of a table; nil when there is none of that name.
    func shape(of table: String) throws(StoreError) -> TableShape? {
        let list = try prepareUncached(
            """
            SELECT l.wr, l.strict, s.sql, (SELECT count(*) FROM pragma_foreign_key_list(s.name))
            FROM sqlite_schema AS s, pragma_table_list(s.name) AS l
            WHERE s.type = 'table' AND s.name = ?1 AND l.schema = 'main'
            """)
        try list.bind(1, text: table)
        guard try list.step() else { return nil }
        var shape = TableShape(
            name: table, sql: list.text(2), isWithoutRowid: list.integer(0) != 0, isStrict: list.integer(1) != 0, columns: [], indexes: [],
            hasForeignKey: list.integer(3) > 0)
        list.reset()

        let columns = try prepareUncached("SELECT cid, name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1)")
        try columns.bind(1, text: table)
        while try columns.step() {
            shape.columns.append(
                ColumnShape(
                    number: columns.integer(0), name: columns.text(1), type: columns.text(2), isNotNull: columns.integer(3) != 0,
                    defaultText: columns.isNull(4) ? nil : columns.text(4), keyPosition: columns.integer(5),
                    kind: ColumnShape.Kind(rawValue: columns.integer(6)) ?? .hidden))
        }
        let indexes = try prepareUncached(
            """
            SELECT l.name, l."unique", l.origin, s.sql, (SELECT group_concat(coll) FROM pragma_index_xinfo(l.name) WHERE key = 1)
            FROM pragma_index_list(?1) AS l LEFT JOIN sqlite_schema AS s ON s.name = l.name AND s.type = 'index'
            WHERE instr(l.name, '\(Table.reservedInfix)') = 0 ORDER BY l.name
            """)
        try indexes.bind(1, text: table)
        while try indexes.step() {
            shape.indexes.append(
                IndexShape(
                    name: indexes.text(0), isUnique: indexes.integer(1) != 0,
                    origin: IndexShape.Origin(rawValue: indexes.text(2)) ?? .created,
                    collations: indexes.text(4).split(separator: ",").map(String.init), sql: indexes.isNull(3) ? nil : indexes.text(3)))
        }
        return shape
    }
}
