import PatinaProtocol

/// What has to be done to a database so that it has the declared tables. Columns and tables are never taken away.
struct SchemaPlan {
    enum Step {
        case create
        /// The table is there, without clocks: its rows become one local version.
        case adopt
        case addColumns([ColumnShape])
    }

    struct TablePlan {
        var table: SchemaScript.Declaration
        /// Nil when the table itself stays as it is.
        var step: Step?
        var droppedIndexes: [IndexShape] = []
        var createdIndexes: [IndexShape] = []
    }

    private(set) var tables: [TablePlan] = []

    init(_ script: SchemaScript, _ connection: Connection, _ catalog: Catalog) throws(StoreError) {
        for table in script.tables {
            guard let present = try connection.shape(of: table.shape.name) else {
                tables.append(TablePlan(table: table, step: .create, createdIndexes: Self.declaredIndexes(table.shape)))
                continue
            }
            try Self.checkKey(table, present)
            let added = try Self.addedColumns(table, present)
            var plan = TablePlan(table: table, step: added.isEmpty ? nil : .addColumns(added))
            if catalog.table(named: table.shape.name) == nil {
                guard added.isEmpty else {
                    throw table.error("table '\(table.shape.name)' exists, is not replicated yet, and lacks column '\(added[0].name)'")
                }
                plan.step = .adopt
            }
            let (old, new) = (Self.declaredIndexes(present), Self.declaredIndexes(table.shape))
            plan.droppedIndexes = old.filter { index in !new.contains { $0.name == index.name && $0.sql == index.sql } }
            plan.createdIndexes = new.filter { index in !old.contains { $0.name == index.name && $0.sql == index.sql } }
            tables.append(plan)
        }
    }

    private static func declaredIndexes(_ shape: TableShape) -> [IndexShape] { shape.indexes.filter { $0.origin == .created } }

    private static func checkKey(_ table: SchemaScript.Declaration, _ present: TableShape) throws(StoreError) {
        let name = table.shape.name
        guard table.shape.keyColumns.map(\.name) == present.keyColumns.map(\.name) else {
            let (old, new) = (
                present.keyColumns.map(\.name).joined(separator: ", "), table.shape.keyColumns.map(\.name).joined(separator: ", ")
            )
            throw table.error("won't change the primary key of table '\(name)' from (\(old)) to (\(new))")
        }
        guard table.shape.keying == present.keying, table.shape.isStrict == present.isStrict else {
            throw table.error("won't change whether table '\(name)' is STRICT or WITHOUT ROWID, or what its primary key is made of")
        }
    }

    /// The columns that the declared table has and the present one has not. Refuses every other difference.
    private static func addedColumns(_ table: SchemaScript.Declaration, _ present: TableShape) throws(StoreError) -> [ColumnShape] {
        let name = table.shape.name
        for column in present.columns {
            guard let declared = table.shape.columns.first(where: { $0.name == column.name }) else {
                throw table.error("won't remove column without the destructive flag set (table: '\(name)', column: '\(column.name)')")
            }
            let difference: String
            if declared.type.uppercased() != column.type.uppercased() {
                difference = "type from '\(column.type)' to '\(declared.type)'"
            } else if declared.defaultText != column.defaultText {
                difference = "default from \(column.defaultText ?? "none") to \(declared.defaultText ?? "none")"
            } else if declared.isNotNull != column.isNotNull {
                difference = declared.isNotNull ? "constraint to NOT NULL" : "constraint from NOT NULL"
            } else if declared.kind != column.kind {
                difference = "kind: a column becomes or stops being generated only in a new table"
            } else {
                continue
            }
            throw table.error(
                "won't change column without the destructive flag set (table: '\(name)', column: '\(column.name)'): \(difference)",
                column: column.name)
        }
        return table.shape.columns.filter { column in !present.columns.contains { $0.name == column.name } }
    }
}
