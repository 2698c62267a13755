import PatinaProtocol

/// Changes of the schema that lose data on this node. What goes is put out of sight under a name of ours, which costs the same however
/// large it is; `upkeep` clears it away in bounded steps.
extension Store {
    /// Gives a table its declared columns: the rows move into a new table with the same rowids, so that their clocks still fit.
    func rebuild(_ table: SchemaScript.Declaration, _ change: TableRebuild, _ report: inout SchemaReport) throws(StoreError) {
        let (shape, present) = (table.shape, change.present)
        let id = try tableID(shape.name)
        try dropGuards(shape.name)
        for index in present.createdIndexes { try connection.execute("DROP INDEX \(quoted(index.name))") }
        let old = try putAside(shape.name)
        try run(shape.sql, table)
        let kept = shape.columns.filter { column in
            column.kind == .ordinary && present.columns.contains { $0.name == column.name && $0.kind == .ordinary }
        }
        let names = kept.map { quoted($0.name) }.joined(separator: ", ")
        let usesRowid = shape.keying == .rowid
        let (target, source) = usesRowid ? ("\(shape.rowidName ?? ""), ", "\(present.rowidName ?? ""), ") : ("", "")
        do throws(StoreError) {
            try connection.execute("INSERT INTO \(quoted(shape.name)) (\(target)\(names)) SELECT \(source)\(names) FROM \(quoted(old))")
        } catch {
            if error.isFatal { throw error }
            let column = change.changed.first { error.description.contains("\(shape.name).\($0)") }
            throw table.error(
                "the rows of table '\(shape.name)' do not fit its new columns (\(error.description)): change the rows first", column: column
            )
        }
        try makeGuards(shape)
        try registerColumns(shape)
        for name in change.dropped where present.replicatedColumns.contains(where: { $0.name == name }) {
            try noteDropped(DroppedName(table: shape.name, column: name), table: id)
        }
        if !change.dropped.isEmpty { try SchemaBookkeeping.addCleanup(connection, kind: .sweepClocks, name: shape.name) }
        if !change.redefaulted.isEmpty { try applyDefaults(of: change.redefaulted, shape) }
        report.droppedColumns += change.dropped.map { "\(shape.name).\($0)" }
        report.changedColumns += change.changed.map { "\(shape.name).\($0)" }
        report.addedColumns += change.added.map { "\(shape.name).\($0.name)" }
    }

    func dropTable(_ name: String, _ report: inout SchemaReport) throws(StoreError) {
        let id = try tableID(name)
        for part in [name, Table.clockTable(of: name), Table.tombstoneTable(of: name)] { try dropGuards(part) }
        for index in try connection.shape(of: name)?.createdIndexes ?? [] { try connection.execute("DROP INDEX \(quoted(index.name))") }
        for part in [name, Table.clockTable(of: name), Table.tombstoneTable(of: name)] { _ = try putAside(part) }
        // Its number stays, so that key lists can still be read.
        try connection.execute("UPDATE __patina_tables SET name = NULL WHERE id = \(id)")
        try noteDropped(DroppedName(table: name), table: id)
        report.droppedTables.append(name)
    }

    private func tableID(_ name: String) throws(StoreError) -> Int64 {
        guard let table = catalog.table(named: name) else { preconditionFailure("only replicated tables are changed") }
        return table.id
    }

    /// Renames a table to a name of ours and has `upkeep` clear it away. Returns the name.
    private func putAside(_ name: String) throws(StoreError) -> String {
        let number = try connection.integer("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = '__patina_cleanup'")
        let aside = "\(Table.reservedInfix)_discarded_\(number)"
        // Views of other programs are not to follow the table to its new name.
        try connection.execute("PRAGMA legacy_alter_table = ON")
        try connection.execute("ALTER TABLE \(quoted(name)) RENAME TO \(quoted(aside))")
        try connection.execute("PRAGMA legacy_alter_table = OFF")
        try SchemaBookkeeping.addCleanup(connection, kind: .emptyTable, name: aside)
        return aside
    }

    /// From now on changes of peers for it are left out, and every version that is here may lack cells of it.
    private func noteDropped(_ name: DroppedName, table: Int64) throws(StoreError) {
        let dropped = try SchemaBookkeeping.noteDropped(connection, name)
        for (site, actor) in sites.actors.enumerated() {
            for range in ledger[actor]?.complete.ranges ?? [] {
                try SchemaBookkeeping.addThin(connection, dropped: dropped, site: site, range, table: table)
            }
        }
    }

    /// Rows without a cell of a column hold its default, on every node, whenever it got the column: so also after the default changed.
    private func applyDefaults(of names: [String], _ shape: TableShape) throws(StoreError) {
        // The catalog as it was tells which numbers the columns have in the records.
        guard let before = catalog.table(named: shape.name) else { preconditionFailure("only replicated tables are changed") }
        for name in names {
            guard let column = shape.columns.first(where: { $0.name == name }), let number = before.columnNumbers[name] else { continue }
            let value = try Catalog.constantDefault(of: column, in: shape)
            if value == nil, column.isNotNull || !(column.defaultText ?? "NULL").isConstantDefault { continue }
            let keys = shape.keyColumns.map(\.name)
            let rowid = shape.keying == .rowidAlias ? quoted(keys[0]) : shape.rowidName ?? ""
            let row =
                shape.keying == .packedKey
                ? keys.enumerated().map { "\(quoted($1)) = ?\($0 + 2)" }.joined(separator: " AND ") : "\(rowid) = ?2"
            let update = try connection.prepareUncached("UPDATE \(quoted(shape.name)) SET \(quoted(name)) = ?1 WHERE \(row)")
            let records = try connection.prepareUncached("SELECT key, clock FROM \(quoted(Table.clockTable(of: shape.name)))")
            while try records.step() {
                let clock = try clocks.decode(records.blob(1)[...], before).clock
                if clock.position(of: number).isPresent { continue }
                try update.bind(1, value ?? .null)
                if shape.keying == .packedKey {
                    let key: [Value]
                    do { key = try PackedKey.decode(records.blob(0)) } catch {
                        throw .corrupt(message: "a clock record of table \(shape.name) has a damaged key: \(error.reason)")
                    }
                    for (offset, value) in key.enumerated() { try update.bind(Int32(offset + 2), value) }
                } else {
                    try update.bind(2, records.integer(0))
                }
                try update.run()
            }
        }
    }
}

extension String {
    /// The text of a DEFAULT clause that has the same value whenever it is looked at.
    fileprivate var isConstantDefault: Bool { !contains("(") && !uppercased().hasPrefix("CURRENT_") }
}
