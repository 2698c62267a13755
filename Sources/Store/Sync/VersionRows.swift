import PatinaProtocol

/// The rows that still hold something of one version, in the order of its sequence numbers. Only their places and what their clocks say
/// of the version are kept in memory; values are read when their chunk is built.
struct VersionRows {
    /// A row, and what it still holds of the version.
    private struct Row {
        let table: Int
        let row: ListedRow
        let causalLength: UInt64
        /// The sequence number of the sentinel, if the version wrote it.
        let sentinel: UInt64?
        /// The cells that the version wrote, in ascending order of sequence number.
        let cells: [CellNumbers]
        /// Which key the clock is of, where it says so.
        let hash: UInt32?

        var first: UInt64 {
            guard let cell = cells.first?.sequence else { return sentinel ?? 0 }
            return sentinel.map { min($0, cell) } ?? cell
        }

        var last: UInt64 {
            guard let cell = cells.last?.sequence else { return sentinel ?? 0 }
            return sentinel.map { max($0, cell) } ?? cell
        }
    }

    /// A row, or the part of it with certain sequence numbers.
    private struct Piece {
        /// Index in `rows`.
        let row: Int
        let sequences: ClosedRange<UInt64>
    }

    private let stored: StoredVersion
    private let clocks: ClockTables
    let omitted: [Changeset.Table]
    private var rows: [Row] = []
    private var pieces: [Piece] = []

    /// True when nothing is left of the version, for whoever asks.
    var isEmpty: Bool { pieces.isEmpty && omitted.isEmpty }

    /// - Parameters:
    ///   - thin: what the version may lack; nil where that does not matter.
    ///   - sequences: only rows and parts of rows with these sequence numbers; nil: all.
    init(
        _ stored: StoredVersion, clocks: ClockTables, thin: ThinVersions?, within wanted: ClosedRange<UInt64>? = nil
    ) throws(StoreError) {
        self.stored = stored
        self.clocks = clocks
        let catalog = clocks.catalog
        var listed: [(table: Int, row: ListedRow)] = []
        do {
            omitted = try thin?.omitted(stored, in: catalog) ?? []
            try KeyList.forEach(stored.keys, in: catalog) { id, row in
                if let table = catalog.index(ofID: id) { listed.append((table, row)) }
            }
        } catch {
            throw .corrupt(
                message:
                    "\(clocks.connection.name): the key list of version \(stored.version) of \(stored.actor) is damaged: \(error.reason)")
        }
        for (table, row) in listed {
            if let row = try read(row, table, within: wanted) { rows.append(row) }
        }
        // A rowid may be listed twice, when pieces of a row met different causal lengths: both find the same cells.
        if rows.count > 1 { rows.sort { $0.first < $1.first } }
        var (next, overlap): (UInt64, Bool) = (0, false)
        for row in rows {
            if row.first < next { overlap = true }
            next = row.last + 1
        }
        if overlap {
            pieces = Self.interleaved(rows)
        } else {
            pieces = rows.indices.map { Piece(row: $0, sequences: rows[$0].first...rows[$0].last) }
        }
    }

    /// Cuts rows that were written alternately into pieces that follow each other.
    private static func interleaved(_ rows: [Row]) -> [Piece] {
        var items: [(sequence: UInt64, row: Int)] = []
        for (index, row) in rows.enumerated() {
            if let sentinel = row.sentinel { items.append((sentinel, index)) }
            for cell in row.cells { items.append((cell.sequence, index)) }
        }
        items.sort { ($0.sequence, $0.row) < ($1.sequence, $1.row) }
        var pieces: [Piece] = []
        for (offset, item) in items.enumerated() {
            if offset > 0, items[offset - 1].sequence == item.sequence { continue }
            if let last = pieces.last, rows[last.row].table == rows[item.row].table, rows[last.row].row == rows[item.row].row {
                pieces[pieces.count - 1] = Piece(row: last.row, sequences: last.sequences.lowerBound...item.sequence)
            } else {
                pieces.append(Piece(row: item.row, sequences: item.sequence...item.sequence))
            }
        }
        return pieces
    }

    // MARK: Clocks

    /// What a row still holds of the version; nil when nothing.
    private func read(_ row: ListedRow, _ index: Int, within wanted: ClosedRange<UInt64>?) throws(StoreError) -> Row? {
        let table = clocks.catalog.tables[index]
        let found: FoundClock?
        switch row {
        case .deleted(let key): found = try clocks.readTombstone(table, key, 0..<key.count).map { FoundClock($0, hash: nil) }
        // Whether the clock is of this row is checked when the row is read.
        case .rowid(let rowid): found = try clocks.readUnchecked(table, rowid: rowid, [], 0..<0)
        case .packedKey(let key): found = try clocks.readUnchecked(table, rowid: 0, key, 0..<key.count)
        }
        guard let clock = found else { return nil }
        var sentinel: UInt64?
        if let present = clock.sentinel, isOurs(present), wanted?.contains(present.sequence) ?? true { sentinel = present.sequence }
        var cells: [CellNumbers] = []
        var isSorted = true
        for cell in clock.cells where isOurs(cell) && wanted?.contains(cell.sequence) ?? true {
            if cells.isEmpty { cells.reserveCapacity(clock.cells.count) }
            if let last = cells.last, last.sequence > cell.sequence { isSorted = false }
            cells.append(CellNumbers(column: cell.column, columnVersion: cell.columnVersion, sequence: cell.sequence))
        }
        guard sentinel != nil || !cells.isEmpty else { return nil }
        if !isSorted { cells.sort { $0.sequence < $1.sequence } }
        return Row(table: index, row: row, causalLength: clock.causalLength, sentinel: sentinel, cells: cells, hash: clock.hash)
    }

    private func isOurs(_ sentinel: SentinelClock) -> Bool {
        !sentinel.isDerived && sentinel.site == stored.site && sentinel.version == stored.version
    }

    private func isOurs(_ cell: CellClock) -> Bool { cell.site == stored.site && cell.version == stored.version }

    // MARK: Chunks

    /// Adds what lies in `range` to chunks, and hands over those that are finished, until `body` returns false.
    func add(_ range: ClosedRange<UInt64>, to cutter: inout ChunkCutter, _ body: (Chunk) -> Bool) throws(StoreError) -> Bool {
        for piece in pieces where piece.sequences.overlaps(range) {
            try add(piece, within: piece.sequences.clamped(to: range), to: &cutter)
            guard cutter.takeChunks().allSatisfy(body) else { return false }
        }
        return true
    }

    // MARK: Pages

    /// Cuts the rows into key lists of so many rows, in the order of their sequence numbers.
    func forEachPage(
        of count: Int, _ body: (_ first: UInt64, _ keys: [UInt8]) throws(StoreError) -> Void
    ) throws(StoreError) {
        var start = 0
        while start < pieces.count {
            let end = min(pieces.count, start + count)
            var keys = KeyListBuilder()
            for piece in pieces[start..<end] { keys.add(rows[piece.row].row, of: clocks.catalog.tables[rows[piece.row].table]) }
            try body(start == 0 ? 0 : pieces[start].sequences.lowerBound, keys.finish())
            start = end
        }
    }

    private func add(_ piece: Piece, within sequences: ClosedRange<UInt64>, to cutter: inout ChunkCutter) throws(StoreError) {
        let row = rows[piece.row]
        let table = clocks.catalog.tables[row.table]
        if case .deleted(let key) = row.row {
            key.withUnsafeBytes {
                cutter.add(
                    table, index: row.table, key: $0, causalLength: row.causalLength, sentinel: row.sentinel,
                    cells: UnsafeBufferPointer(start: nil, count: 0), values: UnsafeRawBufferPointer(start: nil, count: 0))
            }
            return
        }
        let statement = try table.statements(.readForSync)
        switch row.row {
        case .rowid(let number): try statement.bind(1, number)
        case .packedKey(let key):
            for (offset, value) in try decodeKey(key, table).enumerated() { try statement.bind(Int32(offset + 1), value) }
        case .deleted: return
        }
        guard try statement.step() else { return }
        defer { statement.reset() }
        var key: [UInt8] = [UInt8(table.keyColumns.count)]
        for offset in table.keyColumns.indices { statement.appendKeyColumn(Int32(table.columns.count + offset), to: &key) }
        if let hash = row.hash { try clocks.check(hash, isOf: key.withUnsafeBytes { keyHash($0) }, table) }
        var sentinel = row.sentinel
        if let present = sentinel, !sequences.contains(present) { sentinel = nil }
        let isWhole = row.cells.allSatisfy { sequences.contains($0.sequence) }
        let cells = isWhole ? row.cells : row.cells.filter { sequences.contains($0.sequence) }
        var values: [UInt8] = []
        for cell in cells { statement.appendValue(Int32(cell.column), to: &values) }
        if let first = cells.first?.sequence, Self.isInserted(cells, columns: table.columns.count) {
            key.withUnsafeBytes { key in
                values.withUnsafeBytes {
                    cutter.addInserted(
                        table, index: row.table, key: key, causalLength: row.causalLength, sentinel: sentinel, sequence: first, values: $0)
                }
            }
            return
        }
        key.withUnsafeBytes { key in
            cells.withUnsafeBufferPointer { cells in
                values.withUnsafeBytes {
                    cutter.add(
                        table, index: row.table, key: key, causalLength: row.causalLength, sentinel: sentinel, cells: cells, values: $0)
                }
            }
        }
    }

    /// True when the cells are those of a row that was inserted and not touched since: the cutter need not look at each.
    private static func isInserted(_ cells: [CellNumbers], columns: Int) -> Bool {
        guard cells.count == columns, let first = cells.first?.sequence else { return false }
        return cells.indices.allSatisfy {
            cells[$0].column == $0 && cells[$0].columnVersion == 1 && cells[$0].sequence == first + UInt64($0)
        }
    }

    private func decodeKey(_ key: [UInt8], _ table: Table) throws(StoreError) -> [Value] {
        let values: [Value]
        do { values = try PackedKey.decode(key) } catch {
            throw .corrupt(message: "a key list of table \(table.name): \(error.reason)")
        }
        guard values.count == table.keyColumns.count else {
            throw .corrupt(message: "a key list of table \(table.name) has a key of another table")
        }
        return values
    }
}
