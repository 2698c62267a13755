import CSQLite
import PatinaProtocol
import PatinaStore

/// Finds out whether a store takes a schema, and what SQLite makes of its tables.
struct SchemaProbe: Sendable {
    let schema: [SchemaFile]
    /// What the store made of the schema, which has rules of its own about what a replicated table may be.
    let template: StoreTemplate
    /// The tables of the schema, sorted.
    let tables: [String]
    private let shapes: [TableShape]

    init(_ schema: [SchemaFile]) throws(StoreError) {
        self.schema = schema
        template = try StoreTemplate(schema)
        tables = template.tableNames
        shapes = try Self.examine(schema, tables)
    }

    /// Nil when there is no such table.
    func shape(of table: String) -> TableShape? { shapes.first { $0.name == table } }

    /// Asks a plain database with the same tables for their columns.
    private static func examine(_ schema: [SchemaFile], _ tables: [String]) throws(StoreError) -> [TableShape] {
        var opened: OpaquePointer?
        let code = sqlite3_open_v2(":memory:", &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nil)
        guard code == SQLITE_OK, let database = opened else { throw .closed }
        defer { sqlite3_close_v2(database) }
        for file in schema where sqlite3_exec(database, file.text, nil, nil, nil) != SQLITE_OK {
            throw .schema(file: file.path, line: 1, message: String(cString: sqlite3_errmsg(database)))
        }
        return tables.map { table in
            var columns: [TableShape.Column] = []
            var statement: OpaquePointer?
            let sql = "SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid"
            guard sqlite3_prepare_v2(database, sql, -1, &statement, nil) == SQLITE_OK else {
                preconditionFailure("SQLite lacks pragma_table_info: \(String(cString: sqlite3_errmsg(database)))")
            }
            defer { sqlite3_finalize(statement) }
            sqlite3_bind_text(statement, 1, table, -1, patina_sqlite3_transient())
            while sqlite3_step(statement) == SQLITE_ROW {
                columns.append(
                    TableShape.Column(
                        name: text(statement, 0), content: TableShape.content(ofType: text(statement, 1)),
                        keyPosition: Int(sqlite3_column_int(statement, 2))))
            }
            return TableShape(
                name: table, keys: columns.filter { $0.keyPosition > 0 }.sorted { $0.keyPosition < $1.keyPosition },
                values: columns.filter { $0.keyPosition == 0 })
        }
    }

    private static func text(_ statement: OpaquePointer?, _ column: Int32) -> String {
        sqlite3_column_text(statement, column).map { String(cString: $0) } ?? ""
    }
}

/// Everything follows from the schema.
extension SchemaProbe: Hashable {
    static func == (left: SchemaProbe, right: SchemaProbe) -> Bool { left.schema == right.schema }
    func hash(into hasher: inout Hasher) { hasher.combine(schema) }
}
