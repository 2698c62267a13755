import PatinaProtocol

/// What has to be done to a database so that it has the declared tables. What would lose data is planned only when it is allowed.
struct SchemaPlan {
    enum Step {
        case create
        /// The table is there, without clocks: its rows become one local version.
        case adopt
        case addColumns([ColumnShape])
        /// Columns go or change: the rows move to a new table.
        case rebuild(TableRebuild)
    }

    struct TablePlan {
        var table: SchemaScript.Declaration
        /// Nil when the table itself stays as it is.
        var step: Step?
        var droppedIndexes: [IndexShape] = []
        var createdIndexes: [IndexShape] = []
    }

    private(set) var tables: [TablePlan] = []
    /// Replicated tables that go.
    private(set) var droppedTables: [String] = []
    /// Tables that the files say are dropped and that are not here: changes of peers for them are left out from now on.
    private(set) var foregoneTables: [String] = []

    var isEmpty: Bool {
        droppedTables.isEmpty && foregoneTables.isEmpty
            && tables.allSatisfy { $0.step == nil && $0.droppedIndexes.isEmpty && $0.createdIndexes.isEmpty }
    }

    init(_ script: SchemaScript, _ connection: Connection, _ catalog: Catalog, allowDestructive: Bool) throws(StoreError) {
        for table in script.tables {
            guard let present = try connection.shape(of: table.shape.name) else {
                tables.append(TablePlan(table: table, step: .create, createdIndexes: table.shape.createdIndexes))
                continue
            }
            try Self.checkKey(table, present)
            let change = try Self.change(table, present, allowDestructive: allowDestructive)
            var plan = TablePlan(table: table)
            let isReplicated = catalog.table(named: table.shape.name) != nil
            if !isReplicated {
                guard change.isEmpty, change.added.isEmpty else {
                    let column = change.added.first?.name ?? change.dropped.first ?? change.changed[0]
                    throw table.error(
                        """
                        table '\(table.shape.name)' exists, is not replicated yet, and differs in column '\(column)': declare the \
                        columns that it has, or rename or drop it with sqlite3
                        """)
                }
                plan.step = .adopt
            } else if !change.isEmpty {
                plan.step = .rebuild(change)
            } else if !change.added.isEmpty {
                plan.step = .addColumns(change.added)
            }
            let (old, new) = (present.createdIndexes, table.shape.createdIndexes)
            plan.droppedIndexes = old.filter { index in !new.contains { $0.name == index.name && $0.sql == index.sql } }
            plan.createdIndexes = new.filter { index in !old.contains { $0.name == index.name && $0.sql == index.sql } }
            tables.append(plan)
        }
        for dropped in script.droppedTables {
            if catalog.table(named: dropped.name) == nil {
                guard try connection.shape(of: dropped.name) == nil else {
                    throw .schema(
                        file: dropped.file, line: dropped.line,
                        message: "won't drop table '\(dropped.name)': it is not replicated; drop it with sqlite3")
                }
                if !catalog.dropped.contains(DroppedName(table: dropped.name)) { foregoneTables.append(dropped.name) }
                continue
            }
            guard allowDestructive else {
                throw .schema(
                    file: dropped.file, line: dropped.line,
                    message: "won't drop table without the destructive flag set (table: '\(dropped.name)'): \(Self.advice)")
            }
            if !droppedTables.contains(dropped.name) { droppedTables.append(dropped.name) }
        }
    }

    private static let advice = "to lose its data here, reload with --allow-destructive or set db.allow_destructive_schema"

    private static func checkKey(_ table: SchemaScript.Declaration, _ present: TableShape) throws(StoreError) {
        let name = table.shape.name
        guard table.shape.keyColumns.map(\.name) == present.keyColumns.map(\.name) else {
            let (old, new) = (
                present.keyColumns.map(\.name).joined(separator: ", "), table.shape.keyColumns.map(\.name).joined(separator: ", ")
            )
            throw table.error("won't change the primary key of table '\(name)' from (\(old)) to (\(new)): \(newTableAdvice)")
        }
        for (new, old) in zip(table.shape.keyColumns, present.keyColumns) where new.type.uppercased() != old.type.uppercased() {
            throw table.error(
                "won't change the type of primary key column '\(new.name)' of table '\(name)': \(newTableAdvice)", column: new.name)
        }
        guard table.shape.keying == present.keying, table.shape.isStrict == present.isStrict else {
            throw table.error(
                """
                won't change whether table '\(name)' is STRICT or WITHOUT ROWID, or what its primary key is made of: \(newTableAdvice)
                """)
        }
    }

    private static let newTableAdvice = "declare a table of another name and copy the rows"

    /// How the declared table's columns differ from those of the present one. Refuses what would lose data, unless it is allowed.
    private static func change(
        _ table: SchemaScript.Declaration, _ present: TableShape, allowDestructive: Bool
    ) throws(StoreError) -> TableRebuild {
        let name = table.shape.name
        var change = TableRebuild(present: present)
        for column in present.columns {
            guard let declared = table.shape.columns.first(where: { $0.name == column.name }) else {
                guard allowDestructive else {
                    throw table.error(
                        "won't remove column without the destructive flag set (table: '\(name)', column: '\(column.name)'): \(advice)")
                }
                change.dropped.append(column.name)
                continue
            }
            guard let difference = difference(column, declared, table, present) else { continue }
            guard declared.kind == column.kind || allowDestructive, (declared.kind == .ordinary) == (column.kind == .ordinary) else {
                throw table.error(
                    "won't let column '\(column.name)' of table '\(name)' become, or stop being, generated: "
                        + "declare a column of another name",
                    column: column.name)
            }
            guard allowDestructive else {
                throw table.error(
                    """
                    won't change column without the destructive flag set (table: '\(name)', column: '\(column.name)'): \(difference); \
                    to do it, reload with --allow-destructive or set db.allow_destructive_schema
                    """, column: column.name)
            }
            change.changed.append(column.name)
            if column.kind == .ordinary, declared.defaultText != column.defaultText { change.redefaulted.append(column.name) }
        }
        change.added = table.shape.columns.filter { column in !present.columns.contains { $0.name == column.name } }
        return change
    }

    /// In words; nil when there is none.
    private static func difference(
        _ column: ColumnShape, _ declared: ColumnShape, _ table: SchemaScript.Declaration, _ present: TableShape
    ) -> String? {
        if declared.kind != column.kind { return "it becomes, or stops being, generated" }
        if declared.type.uppercased() != column.type.uppercased() { return "type from '\(column.type)' to '\(declared.type)'" }
        if declared.defaultText != column.defaultText {
            return "default from \(column.defaultText ?? "none") to \(declared.defaultText ?? "none")"
        }
        if declared.isNotNull != column.isNotNull { return declared.isNotNull ? "constraint to NOT NULL" : "constraint from NOT NULL" }
        guard declared.kind != .ordinary else { return nil }
        let old = SQLScanner.definitions(of: Array(present.sql.utf8)).first { $0.name == column.name }
        let new = SQLScanner.definitions(of: Array(table.shape.sql.utf8)).first { $0.name == column.name }
        guard let old, let new else { return nil }
        let oldWords = SQLScanner.words(of: Array(Array(present.sql.utf8)[old.range]))
        return oldWords == SQLScanner.words(of: Array(Array(table.shape.sql.utf8)[new.range])) ? nil : "its expression"
    }
}

/// The differences between a table and its declaration.
struct TableRebuild {
    let present: TableShape
    var dropped: [String] = []
    var changed: [String] = []
    /// Of the changed columns those with another default.
    var redefaulted: [String] = []
    var added: [ColumnShape] = []

    /// True when columns can simply be added.
    var isEmpty: Bool { dropped.isEmpty && changed.isEmpty }
}

extension TableShape {
    /// The indexes that CREATE INDEX made.
    var createdIndexes: [IndexShape] { indexes.filter { $0.origin == .created } }
}
