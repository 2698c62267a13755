import PatinaProtocol

/// The chunks of one version, put together: rows in the order of their first sequence number, numbered as the local tables are.
struct AssembledVersion {
    struct Row {
        var change: RowChange
        let table: Table
        let key: [Value]
    }

    private(set) var rows: [Row] = []
    private var index = RowIndex()

    /// Adds the rows of a chunk. Refuses tables and columns that are not in the catalog, keys that cannot be stored unchanged, and
    /// sequence numbers outside the chunk.
    mutating func add(_ changeset: Changeset, of id: ChunkID, catalog: Catalog) throws(MergeFailure) {
        var tables: [(table: Table, columns: [Int])] = []
        for described in changeset.tables {
            guard let table = catalog.table(named: described.name) else { throw .refused("unknown table \(described.name)") }
            var columns: [Int] = []
            for name in described.columns {
                guard let number = table.columnNumbers[name] else { throw .refused("unknown column \(described.name).\(name)") }
                columns.append(number)
            }
            tables.append((table, columns))
        }
        rows.reserveCapacity(rows.count + changeset.rows.count)
        for row in changeset.rows { try add(row, tables[row.table].table, tables[row.table].columns, id.sequences) }
    }

    private mutating func add(_ row: RowChange, _ table: Table, _ columns: [Int], _ sequences: ClosedRange<UInt64>) throws(MergeFailure) {
        var change = row
        if let sentinel = row.sentinel, !sequences.contains(sentinel.sequence) { throw .refused("a sentinel lies outside its chunk") }
        for offset in change.cells.indices {
            guard sequences.contains(change.cells[offset].sequence) else { throw .refused("a cell lies outside its chunk") }
            change.cells[offset].column = columns[change.cells[offset].column]
        }
        let hash = row.key.withUnsafeBytes { keyHash($0) }
        let known = index.find(hash) {
            rows[$0].table === table && rows[$0].change.key == row.key && rows[$0].change.causalLength == row.causalLength
        }
        guard let known else {
            rows.append(Row(change: change, table: table, key: try Self.decodeKey(row.key, table)))
            index.insert(hash, rows.count - 1)
            return
        }
        // A piece of a row whose other pieces were in other chunks, or the same piece again.
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
        guard rows.contains(where: { $0.change.causalLength != rows[0].change.causalLength }) else { return }
        let order = rows.indices.sorted { (rows[$0].change.causalLength, $0) < (rows[$1].change.causalLength, $1) }
        rows = order.map { rows[$0] }
    }
}
