import PatinaProtocol

extension Store {
    /// Brings the database's tables in line with schema files, in one transaction: creates tables, adds columns, creates, replaces and
    /// drops indexes of the tables that the files declare. Tables that no file declares are left alone.
    ///
    /// Throws `StoreError.schema` with file and line for what cannot be parsed or replicated, or would lose data. A column that is added
    /// sends nothing to anybody. A table that exists already, and is not replicated yet, becomes replicated with its rows.
    ///
    /// What was dropped is cleared away, and changes of peers that waited for this schema are merged, step by step in `upkeep`.
    ///
    /// - Parameter allowDestructive: also drops columns that are no longer declared and tables that `DROP TABLE IF EXISTS` names, and
    ///   changes columns: what they held is lost on this node.
    public func applySchema(_ files: [SchemaFile], allowDestructive: Bool = false) throws(StoreError) -> SchemaReport {
        try checkUsable()
        let script = try SchemaScript(files)
        let plan = try SchemaPlan(script, connection, catalog, allowDestructive: allowDestructive)
        var report = SchemaReport()
        if plan.isEmpty { return report }
        let adoption = try write(changesMemory: true) { () throws(StoreError) in
            // Records are about the columns as they were.
            try clocks.fold()
            for table in plan.tables { try apply(table, script, &report) }
            for name in plan.droppedTables { try dropTable(name, &report) }
            for name in plan.foregoneTables { _ = try SchemaBookkeeping.noteDropped(connection, DroppedName(table: name)) }
            try reloadCatalog()
            return try adoptRows(report.adoptedTables)
        }
        if let adoption { committed(adoption) }
        upkeepState.schemaChanged()
        report.adoption = adoption?.version == nil ? nil : adoption
        report.sort()
        return report
    }

    private func apply(_ plan: SchemaPlan.TablePlan, _ script: SchemaScript, _ report: inout SchemaReport) throws(StoreError) {
        let shape = plan.table.shape
        var created = plan.createdIndexes
        switch plan.step {
        case .create:
            try run(shape.sql, plan.table)
            try makeReplicated(shape)
            report.createdTables.append(shape.name)
        case .adopt:
            try makeReplicated(shape)
            report.adoptedTables.append(shape.name)
        case .addColumns(let columns):
            try dropGuards(shape.name)
            for column in columns {
                guard let text = plan.table.columnTexts[column.name] else {
                    throw plan.table.error("column '\(column.name)' cannot be found in the text of table '\(shape.name)'")
                }
                try run("ALTER TABLE \(quoted(shape.name)) ADD COLUMN \(text)", plan.table, column: column.name)
                report.addedColumns.append("\(shape.name).\(column.name)")
            }
            try makeGuards(shape)
            try registerColumns(shape)
        case .rebuild(let rebuild):
            try self.rebuild(plan.table, rebuild, &report)
            created = shape.createdIndexes
        case nil: break
        }
        for index in plan.droppedIndexes {
            try connection.execute("DROP INDEX IF EXISTS \(quoted(index.name))")
            report.droppedIndexes.append(index.name)
        }
        for index in created {
            guard let sql = index.sql else { continue }
            let place = script.indexPlaces[index.name] ?? (plan.table.file, plan.table.line)
            do throws(StoreError) {
                try connection.execute(sql)
            } catch {
                if error.isFatal { throw error }
                throw .schema(file: place.file, line: place.line, message: error.description)
            }
        }
        report.createdIndexes += plan.createdIndexes.map(\.name)
    }

    func run(_ sql: String, _ table: SchemaScript.Declaration, column: String? = nil) throws(StoreError) {
        do throws(StoreError) {
            try connection.execute(sql)
        } catch {
            if error.isFatal { throw error }
            throw table.error(error.description, column: column)
        }
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
