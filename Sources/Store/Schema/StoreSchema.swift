import PatinaProtocol

extension Store {
    /// Brings the database's tables in line with schema files, in one transaction: creates tables, adds columns, creates, replaces and
    /// drops indexes of the tables that the files declare. Tables that no file declares are left alone.
    ///
    /// Throws `StoreError.schema` with file and line for what cannot be parsed, replicated, or done without losing data. A column
    /// that is added sends nothing to anybody. A table that exists already, and is not replicated yet, becomes replicated with its rows.
    public func applySchema(_ files: [SchemaFile]) throws(StoreError) -> SchemaReport {
        try checkUsable()
        let script = try SchemaScript(files)
        let plan = try SchemaPlan(script, connection, catalog)
        var report = SchemaReport()
        if plan.isEmpty { return report }
        let adoption = try write(changesMemory: true) { () throws(StoreError) in
            for table in plan.tables { try apply(table, script, &report) }
            try reloadCatalog()
            return try adoptRows(report.adoptedTables)
        }
        if let adoption { committed(adoption) }
        report.adoption = adoption?.version == nil ? nil : adoption
        report.sort()
        return report
    }

    private func apply(_ plan: SchemaPlan.TablePlan, _ script: SchemaScript, _ report: inout SchemaReport) throws(StoreError) {
        let shape = plan.table.shape
        switch plan.step {
        case .create:
            try run(shape.sql, plan.table)
            try makeReplicated(shape)
            report.createdTables.append(shape.name)
        case .adopt:
            try makeReplicated(shape)
            report.adoptedTables.append(shape.name)
        case .addColumns(let columns):
            try execute("DROP INDEX IF EXISTS \(quoted(Table.guardIndex(of: shape.name)))")
            for column in columns {
                guard let text = plan.table.columnTexts[column.name] else {
                    throw plan.table.error("column '\(column.name)' cannot be found in the text of table '\(shape.name)'")
                }
                try run("ALTER TABLE \(quoted(shape.name)) ADD COLUMN \(text)", plan.table, column: column.name)
                report.addedColumns.append("\(shape.name).\(column.name)")
            }
            try execute(guardIndex(shape))
        case nil: break
        }
        for index in plan.droppedIndexes {
            try execute("DROP INDEX \(quoted(index.name))")
            report.droppedIndexes.append(index.name)
        }
        for index in plan.createdIndexes {
            guard let sql = index.sql else { continue }
            let place = script.indexPlaces[index.name] ?? (plan.table.file, plan.table.line)
            do throws(StoreError) {
                try execute(sql)
            } catch {
                throw .schema(file: place.file, line: place.line, message: error.description)
            }
            report.createdIndexes.append(index.name)
        }
    }

    private func execute(_ sql: String) throws(StoreError) { try connection.execute(sql) }

    private func run(_ sql: String, _ table: SchemaScript.Declaration, column: String? = nil) throws(StoreError) {
        do throws(StoreError) {
            try execute(sql)
        } catch {
            if error.isFatal { throw error }
            throw table.error(error.description, column: column)
        }
    }

    // MARK: Clocks and guards

    /// Gives a table what it needs beside itself: clock records, tombstones, and the guards against writers that are not us.
    private func makeReplicated(_ shape: TableShape) throws(StoreError) {
        let clock = quoted(Table.clockTable(of: shape.name))
        if shape.keying == .packedKey {
            try execute("CREATE TABLE \(clock) (key BLOB NOT NULL PRIMARY KEY, clock BLOB NOT NULL) WITHOUT ROWID")
        } else {
            try execute("CREATE TABLE \(clock) (key INTEGER PRIMARY KEY, clock BLOB NOT NULL)")
        }
        try execute(
            """
            CREATE TABLE \(quoted(Table.tombstoneTable(of: shape.name))) (key BLOB NOT NULL PRIMARY KEY, length INTEGER NOT NULL,
                site INTEGER NOT NULL, version INTEGER NOT NULL, sequence INTEGER NOT NULL) WITHOUT ROWID
            """)
        try execute(guardIndex(shape))
        // Inserts and updates have to maintain the index; a deletion without WHERE need not, so that it gets a trigger.
        try execute(
            """
            CREATE TRIGGER \(quoted(Table.guardTrigger(of: shape.name))) BEFORE DELETE ON \(quoted(shape.name))
            WHEN \(Connection.guardFunction)() BEGIN SELECT 1; END
            """)
        let insert = try connection.prepareUncached("INSERT INTO __patina_tables (name) VALUES (?1)")
        try insert.bind(1, text: shape.name)
        try insert.run()
    }

    /// An index that is always empty, and that nobody can maintain who does not know its function. It names every column, because an
    /// update of a column that no index names would not look at it.
    private func guardIndex(_ shape: TableShape) -> String {
        let columns = shape.columns.filter { $0.kind == .ordinary }.map { quoted($0.name) }
        // In groups, because SQLite bounds the depth of an expression.
        let groups = stride(from: 0, to: columns.count, by: 40).map { start in
            "(" + columns[start..<min(start + 40, columns.count)].map { "\($0) IS NOT \($0)" }.joined(separator: " OR ") + ")"
        }
        return """
            CREATE INDEX \(quoted(Table.guardIndex(of: shape.name))) ON \(quoted(shape.name)) (\(quoted(shape.keyColumns[0].name)))
            WHERE \(Connection.guardFunction)() AND (\(groups.joined(separator: " OR ")))
            """
    }

    // MARK: Adoption

    /// Makes the rows of tables that were there already one local version, as if they had been inserted now.
    private func adoptRows(_ names: [String]) throws(StoreError) -> TransactionOutcome? {
        guard !names.isEmpty else { return nil }
        context.beginTransaction()
        for name in names {
            guard let index = catalog.index(of: name) else { continue }
            let table = catalog.tables[index]
            let rowid = table.keying == .packedKey ? "0" : table.keying == .rowidAlias ? quoted(table.keyColumns[0].name) : table.rowidName
            let columns = (table.keyColumns.map(\.name) + table.columns.map(\.name)).map(quoted).joined(separator: ", ")
            let rows = try connection.prepareUncached("SELECT \(rowid), \(columns) FROM \(quoted(name))")
            while try rows.step() {
                context.buffer.recordAdopted(rows, from: 1, table, index: index, rowid: rows.integer(0))
            }
        }
        return try flush([])
    }
}

extension SchemaPlan {
    var isEmpty: Bool { tables.allSatisfy { $0.step == nil && $0.droppedIndexes.isEmpty && $0.createdIndexes.isEmpty } }
}
