import CSQLite
import PatinaProtocol

/// Why a version could not be merged.
enum MergeFailure: Error {
    /// The chunk is at fault, or our schema: it may be offered again. Nothing was written.
    case refused(String)
    /// Our schema does not have a table or column of the chunk. Nothing was written.
    case unknown(String)
    /// A row could not be stored, after others had been.
    case constraint(String)
    case store(StoreError)
}

/// Merges the rows of one version of another actor: a look at its clock, a decision in memory, one write.
///
/// The row itself is read only where two cells have equal column versions.
struct RowMerger {
    let catalog: Catalog
    let clocks: ClockTables
    let site: Int
    let version: UInt64
    /// Nil when tombstones are kept for ever.
    var window: TombstoneWindow?
    /// See `StoreOptions.reversesTies`.
    var reversesTies = false
    /// As cr-sqlite, for the replay of what was recorded of it; see `Merge.merge`.
    var keepsMissedValues = false
    private(set) var keys = KeyListBuilder()
    /// How many changes won, counted as cr-sqlite does.
    private(set) var impact = 0
    private var record: [UInt8] = []
    /// The last row was new: so may be the next.
    private var expectsNewRows = true

    init(catalog: Catalog, clocks: ClockTables, site: Int, version: UInt64) {
        self.catalog = catalog
        self.clocks = clocks
        self.site = site
        self.version = version
    }

    /// Merges a row. Its cells are numbered as in the table.
    /// - Parameter existence: the sequence number of a cell that shows that the row exists and was left out.
    mutating func merge(_ row: RowChange, into table: Table, key: [Value], existence: UInt64? = nil) throws(MergeFailure) {
        do throws(StoreError) {
            try mergeRow(row, table, key, existence)
        } catch {
            throw Self.failure(error, table)
        }
    }

    private static func failure(_ error: StoreError, _ table: Table) -> MergeFailure {
        switch error {
        case .sqlite(let code, let message, _) where [SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_TOOBIG].contains(code & 0xFF):
            .constraint("table \(table.name): \(message)")
        case .statementRefused(let message, _): .constraint(message)
        default: .store(error)
        }
    }

    /// What is there of a row.
    private struct LocalRow {
        var clock: RowClock
        /// Nil when there is no live row.
        var rowid: Int64?
        var hasTombstone = false
    }

    private mutating func mergeRow(_ row: RowChange, _ table: Table, _ key: [Value], _ existence: UInt64?) throws(StoreError) {
        let hash = row.key.withUnsafeBytes { keyHash($0) }
        if window == nil, expectsNewRows, try insertNew(row, table, key, hash) { return }
        var local = try readLocal(row, table, key, hash)
        if let window, try !mayMerge(row, table, &local, window) { return }
        var values: PreparedStatement?
        defer { values?.reset() }
        let decision = try Merge.merge(
            into: &local.clock, row, site: site, version: version, sites: clocks.sites.actors, reversesTies: reversesTies,
            keepsMissedValues: keepsMissedValues,
            localValue: { (column: Int) throws(StoreError) -> Value in
                if let values { return values.value(Int32(column)) }
                let read = try table.statements(.readValues)
                values = read
                _ = try bindRow(read, table, local.rowid ?? 0, key)
                return try read.step() ? read.value(Int32(column)) : .null
            })
        values?.reset()
        expectsNewRows = decision.action == .insert
        impact += decision.impact
        guard decision.changesClock else { return }
        if let existence, local.clock.exists, local.clock.cells.isEmpty, local.clock.sentinel == nil {
            local.clock.sentinel = SentinelClock(site: site, version: version, sequence: existence)
        }
        try write(decision, row, table, key, &local)
        let keyRange = 0..<row.key.count
        guard local.clock.exists else {
            guard let sentinel = local.clock.sentinel else { preconditionFailure("a deleted row has a sentinel") }
            try clocks.writeTombstone(table, row.key, keyRange, causalLength: local.clock.causalLength, sentinel)
            row.key.withUnsafeBytes { keys.addDeleted(table, key: $0) }
            return
        }
        guard let rowid = local.rowid else { preconditionFailure("a live row has a rowid") }
        ClockRecord.encode(
            table.recorded(local.clock), hash: table.keying == .rowid ? UInt32(truncatingIfNeeded: hash) : nil, into: &record)
        try clocks.write(table, rowid: rowid, row.key, keyRange, record: record, isNew: decision.action == .insert)
        row.key.withUnsafeBytes { keys.addRow(table, rowid: rowid, key: $0) }
    }

    /// What the age of tombstones has to say. False when the row must be left as it is; throws when the version must be refused.
    private func mayMerge(
        _ row: RowChange, _ table: Table, _ local: inout LocalRow, _ window: TombstoneWindow
    ) throws(StoreError) -> Bool {
        switch try window.verdict(row, of: table, local: local.clock, clocks.connection) {
        case .merge: return true
        case .mergeWithoutTombstone:
            try clocks.deleteTombstone(table, row.key, 0..<row.key.count)
            local = LocalRow(clock: RowClock(), rowid: nil)
            return true
        case .ignore: return false
        case .refuse(let reason): throw .statementRefused(message: reason, sql: "")
        }
    }

    /// Inserts a row that its version wrote whole, unless there is one, or was, with its key: one look at the index, one write of the
    /// row and one of its clock. What it does is what `Merge` decides about a row that nobody ever heard of.
    private mutating func insertNew(_ row: RowChange, _ table: Table, _ key: [Value], _ hash: UInt64) throws(StoreError) -> Bool {
        guard table.recordNumbers == nil, row.causalLength == 1, row.sentinel == nil, !row.cells.isEmpty,
            row.cells.count == table.columns.count,
            row.cells.indices.allSatisfy({ row.cells[$0].column == $0 })
        else { return false }
        let keyRange = 0..<row.key.count
        if table.mayHaveTombstones, try clocks.readTombstone(table, row.key, keyRange, hash: hash) != nil { return false }
        let insert = try table.statements(.insertUnlessThere)
        for offset in key.indices { try insert.bindBorrowed(Int32(offset + 1), key[offset]) }
        for offset in row.cells.indices { try insert.bindBorrowed(Int32(key.count + offset + 1), row.cells[offset].value) }
        try withExtendedLifetime((row, key)) { () throws(StoreError) in try insert.run() }
        insert.forgetBorrowed()
        guard sqlite3_changes(insert.connection.handle) > 0 else {
            expectsNewRows = false
            return false
        }
        let rowid = table.keying == .packedKey ? 0 : sqlite3_last_insert_rowid(insert.connection.handle)
        ClockRecord.encodeInserted(
            row.cells, site: site, version: version, hash: table.keying == .rowid ? UInt32(truncatingIfNeeded: hash) : nil, into: &record)
        try clocks.write(table, rowid: rowid, row.key, keyRange, record: record, isNew: true)
        row.key.withUnsafeBytes { keys.addRow(table, rowid: rowid, key: $0) }
        impact += row.cells.count
        return true
    }

    /// Inserts the rows of a version that has nothing but inserted rows, as long as none of them is there or was. Returns how many it
    /// inserted: the rest needs a closer look.
    mutating func insert(_ inserted: InsertedRows) throws(MergeFailure) -> Int {
        guard window == nil else { return 0 }
        let table = inserted.table
        do throws(StoreError) {
            let statement = try table.statements(.insertUnlessThere)
            defer { statement.forgetBorrowed() }
            var done = 0
            var batch = ClockBatch(clocks)
            while done < inserted.rows.count {
                let start = done
                let body = inserted.rows[start].body
                try inserted.bodies[body].withBytes { (bytes) throws(StoreError) in
                    while done < inserted.rows.count, inserted.rows[done].body == body,
                        try insert(inserted.rows[done], bytes, table, statement, &batch)
                    { done += 1 }
                }
                if done == start || done < inserted.rows.count && inserted.rows[done].body == body { break }
            }
            try batch.finish()
            return done
        } catch {
            throw Self.failure(error, table)
        }
    }

    /// False, and nothing happened, when there is or was a row with its key.
    private mutating func insert(
        _ row: InsertedRows.Row, _ body: UnsafeRawBufferPointer, _ table: Table, _ statement: PreparedStatement, _ batch: inout ClockBatch
    ) throws(StoreError) -> Bool {
        let key = UnsafeRawBufferPointer(rebasing: body[row.key])
        if table.mayHaveTombstones {
            let copy = Array(key)
            if try clocks.readTombstone(table, copy, 0..<copy.count) != nil { return false }
        }
        try InsertedRows.bind(row, body, of: table, to: statement)
        try statement.run()
        guard sqlite3_changes(clocks.connection.handle) > 0 else { return false }
        let rowid = table.keying == .packedKey ? 0 : sqlite3_last_insert_rowid(clocks.connection.handle)
        ClockRecord.encodeFresh(
            columns: table.columns.count, sequence: row.sequence, site: site, version: version, causalLength: 1, sentinel: nil,
            hash: table.keying == .rowid ? UInt32(truncatingIfNeeded: keyHash(key)) : nil, into: &record)
        try record.withBytes { (record) throws(StoreError) in
            try batch.write(table, rowid: rowid, key: key, record: record, isNew: true)
        }
        keys.addRow(table, rowid: rowid, key: key)
        impact += table.columns.count
        return true
    }

    private func readLocal(_ row: RowChange, _ table: Table, _ key: [Value], _ hash: UInt64) throws(StoreError) -> LocalRow {
        let find = try table.statements(.findRow)
        for offset in key.indices { try find.bind(Int32(offset + 1), key[offset]) }
        defer { find.reset() }
        guard try find.step() else {
            if table.mayHaveTombstones, let tombstone = try clocks.readTombstone(table, row.key, 0..<row.key.count, hash: hash) {
                return LocalRow(clock: tombstone, rowid: nil, hasTombstone: true)
            }
            return LocalRow(clock: RowClock(), rowid: nil)
        }
        if !Self.isFoundByBytes(key, table) {
            // SQLite finds 1 where 1.0 is asked for: the same row to SQLite, two rows to everybody who compares packed keys.
            var stored: [UInt8] = [UInt8(table.keyColumns.count)]
            for offset in table.keyColumns.indices { find.appendKeyColumn(Int32(1 + offset), to: &stored) }
            guard stored == row.key else {
                throw .statementRefused(
                    message: "table \(table.name): the key equals that of another row in SQLite's eyes, but not byte by byte", sql: "")
            }
        }
        let rowid = find.integer(0)
        guard let clock = try clocks.read(table, rowid: rowid, row.key, 0..<row.key.count, hash: hash) else {
            // A row without a clock was written behind our back; it counts as created once, and every cell that comes wins.
            return LocalRow(clock: RowClock(causalLength: 1), rowid: rowid)
        }
        return LocalRow(clock: clock, rowid: rowid)
    }

    /// True when SQLite finds only rows whose key has the same bytes: no number among the key's values that has a twin of another type.
    private static func isFoundByBytes(_ key: [Value], _ table: Table) -> Bool {
        table.keying == .rowidAlias
            || key.allSatisfy { value in
                switch value {
                case .text, .blob: true
                case .null, .integer, .real: false
                }
            }
    }

    /// Brings the row itself, and the record that its existence moves away from, in line with the decision.
    private func write(_ decision: MergeDecision, _ row: RowChange, _ table: Table, _ key: [Value], _ local: inout LocalRow)
        throws(StoreError)
    {
        let keyRange = 0..<row.key.count
        switch decision.action {
        case .insert:
            if local.hasTombstone { try clocks.deleteTombstone(table, row.key, keyRange) }
            try insertWinners(decision, row, table, key, &local)
        case .replace:
            try deleteRow(row, table, key, &local)
            try insertWinners(decision, row, table, key, &local)
        case .keep:
            guard let rowid = local.rowid, !decision.winners.isEmpty else { return }
            let winners =
                decision.winners.count == 1
                ? decision.winners : decision.winners.sorted { row.cells[$0].column < row.cells[$1].column }
            let update = try table.statements.update(winners.map { row.cells[$0].column })
            let first = try bindRow(update, table, rowid, key)
            for (offset, winner) in winners.enumerated() { try update.bind(first + Int32(offset), row.cells[winner].value) }
            try update.run()
        case .delete: try deleteRow(row, table, key, &local)
        }
    }

    private func insertWinners(_ decision: MergeDecision, _ row: RowChange, _ table: Table, _ key: [Value], _ local: inout LocalRow)
        throws(StoreError)
    {
        let winners = decision.winners.sorted { row.cells[$0].column < row.cells[$1].column }
        let insert = try table.statements.insert(winners.map { row.cells[$0].column })
        for (offset, value) in key.enumerated() { try insert.bind(Int32(offset + 1), value) }
        for (offset, winner) in winners.enumerated() { try insert.bind(Int32(key.count + offset + 1), row.cells[winner].value) }
        try insert.run()
        local.rowid = table.keying == .packedKey ? 0 : sqlite3_last_insert_rowid(insert.connection.handle)
    }

    private func deleteRow(_ row: RowChange, _ table: Table, _ key: [Value], _ local: inout LocalRow) throws(StoreError) {
        guard let rowid = local.rowid else { return }
        let delete = try table.statements(.deleteRow)
        _ = try bindRow(delete, table, rowid, key)
        try delete.run()
        try clocks.delete(table, rowid: rowid, row.key, 0..<row.key.count)
        local.rowid = nil
    }

    /// Binds what names the row, and returns the number of the next parameter.
    private func bindRow(_ statement: PreparedStatement, _ table: Table, _ rowid: Int64, _ key: [Value]) throws(StoreError) -> Int32 {
        guard table.keying == .packedKey else {
            try statement.bind(1, rowid)
            return 2
        }
        for (offset, value) in key.enumerated() { try statement.bind(Int32(offset + 1), value) }
        return Int32(key.count + 1)
    }
}
