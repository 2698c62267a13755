import PatinaProtocol

/// The rows that still hold something of one version, in the order of its sequence numbers. Only their places are kept in memory;
/// values are read when their chunk is built.
struct VersionRows {
    /// A row, or the part of it with certain sequence numbers.
    private struct Piece {
        let table: Int
        let row: ListedRow
        let sequences: ClosedRange<UInt64>
    }

    private let stored: StoredVersion
    private let clocks: ClockTables
    let omitted: [Changeset.Table]
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
        var (rows, overlap): ([(table: Int, row: ListedRow, sequences: [UInt64])], Bool) = ([], false)
        for (table, row) in listed {
            var sequences = try self.sequences(of: row, catalog.tables[table])
            if let wanted { sequences.removeAll { !wanted.contains($0) } }
            guard !sequences.isEmpty else { continue }
            sequences.sort()
            rows.append((table, row, sequences))
        }
        // A rowid may be listed twice, when pieces of a row met different causal lengths: both find the same cells.
        rows.sort { $0.sequences[0] < $1.sequences[0] }
        var next: UInt64 = 0
        for row in rows {
            if row.sequences[0] < next { overlap = true }
            next = (row.sequences.last ?? 0) + 1
        }
        if overlap {
            pieces = Self.interleaved(rows.map { ($0.table, $0.row, $0.sequences) })
        } else {
            pieces = rows.map { Piece(table: $0.table, row: $0.row, sequences: $0.sequences[0]...($0.sequences.last ?? 0)) }
        }
    }

    /// Cuts rows that were written alternately into pieces that follow each other.
    private static func interleaved(_ rows: [(table: Int, row: ListedRow, sequences: [UInt64])]) -> [Piece] {
        var items: [(sequence: UInt64, row: Int)] = []
        for (index, row) in rows.enumerated() {
            for sequence in row.sequences { items.append((sequence, index)) }
        }
        items.sort { ($0.sequence, $0.row) < ($1.sequence, $1.row) }
        var pieces: [Piece] = []
        for (offset, item) in items.enumerated() {
            if offset > 0, items[offset - 1].sequence == item.sequence { continue }
            if let last = pieces.last, last.table == rows[item.row].table, last.row == rows[item.row].row {
                pieces[pieces.count - 1] = Piece(table: last.table, row: last.row, sequences: last.sequences.lowerBound...item.sequence)
            } else {
                pieces.append(Piece(table: rows[item.row].table, row: rows[item.row].row, sequences: item.sequence...item.sequence))
            }
        }
        return pieces
    }

    // MARK: Clocks

    /// The sequence numbers of the version that a row still holds.
    private func sequences(of row: ListedRow, _ table: Table) throws(StoreError) -> [UInt64] {
        let clock: RowClock?
        switch row {
        case .deleted(let key):
            guard let sentinel = try clocks.readTombstone(table, key, 0..<key.count)?.sentinel, isOurs(sentinel) else { return [] }
            return [sentinel.sequence]
        // Whether the clock is of this row is checked when the row is read.
        case .rowid(let rowid): clock = try clocks.read(table, rowid: rowid, [], 0..<0, hash: nil)
        case .packedKey(let key): clock = try clocks.read(table, rowid: 0, key, 0..<key.count, hash: nil)
        }
        guard let clock else { return [] }
        var result: [UInt64] = []
        if let sentinel = clock.sentinel, isOurs(sentinel) { result.append(sentinel.sequence) }
        for cell in clock.cells where isOurs(cell) { result.append(cell.sequence) }
        return result
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
            for piece in pieces[start..<end] { keys.add(piece.row, of: clocks.catalog.tables[piece.table]) }
            try body(start == 0 ? 0 : pieces[start].sequences.lowerBound, keys.finish())
            start = end
        }
    }

    private func add(_ piece: Piece, within sequences: ClosedRange<UInt64>, to cutter: inout ChunkCutter) throws(StoreError) {
        let table = clocks.catalog.tables[piece.table]
        if case .deleted(let key) = piece.row {
            guard let tombstone = try clocks.readTombstone(table, key, 0..<key.count), let sentinel = tombstone.sentinel else { return }
            key.withUnsafeBytes {
                cutter.add(
                    table, index: piece.table, key: $0, causalLength: tombstone.causalLength, sentinel: sentinel.sequence,
                    cells: UnsafeBufferPointer(start: nil, count: 0), values: UnsafeRawBufferPointer(start: nil, count: 0))
            }
            return
        }
        let statement = try table.statements(.readForSync)
        var rowid: Int64 = 0
        switch piece.row {
        case .rowid(let number):
            rowid = number
            try statement.bind(1, number)
        case .packedKey(let key):
            for (offset, value) in try decodeKey(key, table).enumerated() { try statement.bind(Int32(offset + 1), value) }
        case .deleted: return
        }
        guard try statement.step() else { return }
        defer { statement.reset() }
        var key: [UInt8] = [UInt8(table.keyColumns.count)]
        for offset in table.keyColumns.indices { statement.appendKeyColumn(Int32(table.columns.count + offset), to: &key) }
        guard let clock = try clocks.read(table, rowid: rowid, key, 0..<key.count, hash: key.withUnsafeBytes { keyHash($0) }) else {
            return
        }
        var sentinel: UInt64?
        if let present = clock.sentinel, isOurs(present), sequences.contains(present.sequence) { sentinel = present.sequence }
        let cells = clock.cells.filter { isOurs($0) && sequences.contains($0.sequence) }.sorted { $0.sequence < $1.sequence }
        var values: [UInt8] = []
        var numbers: [CellNumbers] = []
        for cell in cells {
            numbers.append(CellNumbers(column: cell.column, columnVersion: cell.columnVersion, sequence: cell.sequence))
            statement.appendValue(Int32(cell.column), to: &values)
        }
        key.withUnsafeBytes { key in
            numbers.withUnsafeBufferPointer { cells in
                values.withUnsafeBytes {
                    cutter.add(
                        table, index: piece.table, key: key, causalLength: clock.causalLength, sentinel: sentinel, cells: cells, values: $0)
                }
            }
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
