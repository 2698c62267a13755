import PatinaProtocol

/// The chunks of one version, put together: rows in the order of their first sequence number, numbered as the local tables are.
struct AssembledVersion {
    struct Row {
        var change: RowChange
        let table: Table
        let key: [Value]
        /// The sequence number of a cell that was left out, when no other cell is there: it shows that the row exists.
        var existence: UInt64?
    }

    private(set) var rows: [Row] = []
    private var index = RowIndex()
    /// What was left out because it is dropped here, or was left out by the node that the chunks came from.
    private(set) var lost: Set<DroppedName> = []

    /// Adds the rows of a chunk, without what is dropped here. Throws `MergeFailure.unknown` for tables and columns that are neither in
    /// the catalog nor dropped; refuses keys that cannot be stored unchanged, and sequence numbers outside the chunk.
    /// - Parameter isWhole: the chunk accounts for all of its range, so that what it lacks is lost here as well.
    mutating func add(_ changeset: Changeset, of id: ChunkID, catalog: Catalog, isWhole: Bool) throws(MergeFailure) {
        var tables: [(table: Table, columns: [Int])?] = []
        for described in changeset.tables {
            guard let table = catalog.table(named: described.name) else {
                let name = DroppedName(table: described.name)
                guard catalog.dropped.contains(name) else { throw .unknown("unknown table \(described.name)") }
                lost.insert(name)
                tables.append(nil)
                continue
            }
            var columns: [Int] = []
            for name in described.columns {
                if let number = table.columnNumbers[name] {
                    columns.append(number)
                    continue
                }
                let dropped = DroppedName(table: described.name, column: name)
                guard catalog.dropped.contains(dropped) else { throw .unknown("unknown column \(described.name).\(name)") }
                lost.insert(dropped)
                columns.append(-1)
            }
            tables.append((table, columns))
        }
        if isWhole { lost.formUnion(changeset.omittedNames) }
        rows.reserveCapacity(rows.count + changeset.rows.count)
        index.reserve(rows.count + changeset.rows.count)
        for row in changeset.rows {
            guard let (table, columns) = tables[row.table] else { continue }
            try add(row, table, columns, id.sequences)
        }
    }

    /// As `add`; returns what the schema does not know in place of throwing it.
    mutating func addKnown(_ changeset: Changeset, of id: ChunkID, catalog: Catalog, isWhole: Bool) throws(MergeFailure) -> String? {
        do throws(MergeFailure) {
            try add(changeset, of: id, catalog: catalog, isWhole: isWhole)
            return nil
        } catch {
            guard case .unknown(let reason) = error else { throw error }
            return reason
        }
    }

    private mutating func add(_ row: RowChange, _ table: Table, _ columns: [Int], _ sequences: ClosedRange<UInt64>) throws(MergeFailure) {
        var change = row
        if let sentinel = row.sentinel, !sequences.contains(sentinel.sequence) { throw .refused("a sentinel lies outside its chunk") }
        for offset in change.cells.indices {
            guard sequences.contains(change.cells[offset].sequence) else { throw .refused("a cell lies outside its chunk") }
            let column = columns[change.cells[offset].column]
            // Written only where it differs, because the first write copies the cells.
            if column != change.cells[offset].column { change.cells[offset].column = column }
        }
        // A row stays although all of its cells go: that it exists is known from it.
        var existence: UInt64?
        if change.cells.contains(where: { $0.column < 0 }) {
            existence = change.cells.reduce(UInt64.max) { min($0, $1.sequence) }
            change.cells.removeAll { $0.column < 0 }
        }
        let hash = row.key.withUnsafeBytes { keyHash($0) }
        let known = index.find(hash) {
            rows[$0].table === table && rows[$0].change.key == row.key && rows[$0].change.causalLength == row.causalLength
        }
        guard let known else {
            rows.append(Row(change: change, table: table, key: try Self.decodeKey(row.key, table), existence: existence))
            index.insert(hash, rows.count - 1)
            return
        }
        // A piece of a row whose other pieces were in other chunks, or the same piece again.
        if let existence { rows[known].existence = min(existence, rows[known].existence ?? existence) }
        rows[known].change.sentinel = rows[known].change.sentinel ?? change.sentinel
        for cell in change.cells where !rows[known].change.cells.contains(where: { $0.column == cell.column }) {
            rows[known].change.cells.append(cell)
        }
    }

    private static func decodeKey(_ bytes: [UInt8], _ table: Table) throws(MergeFailure) -> [Value] {
        let values: [Value]
        do { values = try PackedKey.decode(bytes) } catch { throw .refused("table \(table.name): \(error.reason)") }
        guard values.count == table.keyColumns.count else {
            throw .refused("table \(table.name) has \(table.keyColumns.count) key columns, a key has \(values.count)")
        }
        for (value, column) in zip(values, table.keyColumns) {
            if value == .null { throw .refused("table \(table.name): key column \(column.name) is NULL") }
            guard column.affinity.keepsUnchanged(value) else {
                throw .refused("table \(table.name): key column \(column.name) cannot hold the key's value unchanged")
            }
        }
        if table.keying == .rowidAlias {
            guard case .integer = values[0] else { throw .refused("table \(table.name): the key is not an INTEGER") }
        }
        return values
    }

    /// Lower causal lengths first, where pieces of a row come from peers that knew different ones.
    mutating func sortForMerge() {
        for index in rows.indices where rows[index].change.causalLength == 1 {
            // A peer that dropped a column let its cell stand for the row; here is the cell.
            guard let sentinel = rows[index].change.sentinel else { continue }
            if rows[index].change.cells.contains(where: { $0.sequence == sentinel.sequence }) { rows[index].change.sentinel = nil }
        }
        guard rows.contains(where: { $0.change.causalLength != rows[0].change.causalLength }) else { return }
        let order = rows.indices.sorted { (rows[$0].change.causalLength, $0) < (rows[$1].change.causalLength, $1) }
        rows = order.map { rows[$0] }
    }
}
