import PatinaProtocol

/// Cuts the rows of one version into chunks of about `Limits.chunkBytes`, at cells where a row is larger.
///
/// Rows come in ascending order of sequence number and do not overlap: whoever has rows that do hands them over in pieces. Each chunk
/// claims all sequence numbers from the end of the one before it up to its own last cell, overwritten ones included.
struct ChunkCutter {
    let actor: ActorID
    let version: UInt64
    let timestamp: HybridTimestamp
    let lastSequence: UInt64
    let chunkBytes: Int
    private(set) var chunks: [Chunk] = []

    /// What may be missing in the version, because it was dropped here.
    var omitted: [Changeset.Table] = []

    private var writer = ChangesetWriter()
    /// The first sequence number of the chunk that is being filled.
    private var start: UInt64
    /// The tables of the present chunk.
    private var wireTables: [WireTable] = []
    private var scratch: [CellNumbers] = []

    private struct WireTable {
        /// Index in the catalog.
        let table: Int
        /// The index of each column in the chunk; -1: not there yet.
        var columns: [Int]
        /// True when all columns are there, under their own numbers.
        var isInOrder = false
    }

    init(actor: ActorID, version: UInt64, timestamp: HybridTimestamp, lastSequence: UInt64, from start: UInt64, chunkBytes: Int) {
        self.actor = actor
        self.version = version
        self.timestamp = timestamp
        self.lastSequence = lastSequence
        self.start = start
        self.chunkBytes = chunkBytes
    }

    /// Takes the chunks that are finished so far.
    mutating func takeChunks() -> [Chunk] {
        if chunks.isEmpty { return [] }
        defer { chunks = [] }
        return chunks
    }

    /// Adds a row, or a piece of one.
    /// - Parameters:
    ///   - sentinel: its sequence number, if the version recorded one and it belongs to this piece.
    ///   - cells: by table column number, in ascending order of sequence number.
    ///   - values: their values in that order, as `ValueCodec` encodes them.
    mutating func add(
        _ table: Table, index: Int, key: UnsafeRawBufferPointer, causalLength: UInt64, sentinel: UInt64?,
        cells: UnsafeBufferPointer<CellNumbers>,
        values: UnsafeRawBufferPointer
    ) {
        guard let first = Self.first(sentinel, cells.first?.sequence) else { return }
        let size = Self.rowBytes + key.count + 3 * cells.count + values.count
        if writer.byteCount + size > chunkBytes, !writer.isEmpty { cut(before: first) }
        if size <= chunkBytes || cells.count < 2 {
            append(table, index: index, key: key, causalLength: causalLength, sentinel: sentinel, cells: cells, values: values)
            return
        }
        // A row that is larger than a chunk: as many cells at a time as fit, at least one.
        var sentinel = sentinel
        var (cell, value) = (0, 0)
        while cell < cells.count {
            let (firstCell, firstValue) = (cell, value)
            repeat {
                value += encodedSize(values, at: value)
                cell += 1
            } while cell < cells.count
                && value - firstValue + encodedSize(values, at: value) + 3 * (cell - firstCell) + key.count + Self.rowBytes <= chunkBytes
            if !writer.isEmpty { cut(before: cells[firstCell].sequence) }
            append(
                table, index: index, key: key, causalLength: causalLength, sentinel: sentinel,
                cells: UnsafeBufferPointer(rebasing: cells[firstCell..<cell]),
                values: UnsafeRawBufferPointer(rebasing: values[firstValue..<value]))
            sentinel = nil
        }
    }

    /// Adds a row that was inserted whole: a cell for each column in order, column versions 1, sequence numbers from `sequence` on.
    mutating func addInserted(
        _ table: Table, index: Int, key: UnsafeRawBufferPointer, causalLength: UInt64, sentinel: UInt64?, sequence: UInt64,
        values: UnsafeRawBufferPointer
    ) {
        let columns = table.columns.count
        let size = Self.rowBytes + key.count + 3 * columns + values.count
        if columns > 0, size <= chunkBytes, let first = Self.first(sentinel, sequence) {
            if writer.byteCount + size > chunkBytes, !writer.isEmpty { cut(before: first) }
            let wire = wholeWireIndex(table, index)
            if wireTables[wire].isInOrder {
                writer.appendInsertedRow(
                    table: wire, key: key, causalLength: causalLength, sentinelSequence: sentinel, columns: columns, sequence: sequence,
                    values: values)
                return
            }
        }
        withUnsafeTemporaryAllocation(of: CellNumbers.self, capacity: columns) { numbers in
            for column in 0..<columns {
                let cell = CellNumbers(column: column, columnVersion: 1, sequence: sequence + UInt64(column))
                numbers.initializeElement(at: column, to: cell)
            }
            let cells = UnsafeBufferPointer(rebasing: numbers[..<columns])
            add(table, index: index, key: key, causalLength: causalLength, sentinel: sentinel, cells: cells, values: values)
        }
    }

    private static func first(_ sentinel: UInt64?, _ cell: UInt64?) -> UInt64? {
        guard let sentinel, let cell else { return sentinel ?? cell }
        return min(sentinel, cell)
    }

    /// The place of a table in the chunk.
    private mutating func wireIndex(_ table: Table, _ index: Int) -> Int {
        if let known = wireTables.lastIndex(where: { $0.table == index }) { return known }
        wireTables.append(WireTable(table: index, columns: Array(repeating: -1, count: table.columns.count)))
        return writer.addTable(encodedName: table.wireName)
    }

    /// The place of a table in the chunk, with all of its columns.
    private mutating func wholeWireIndex(_ table: Table, _ index: Int) -> Int {
        if let known = wireTables.lastIndex(where: { $0.table == index }) {
            for column in table.columnOrder where !wireTables[known].isInOrder { addColumn(column, table, known) }
            return known
        }
        wireTables.append(WireTable(table: index, columns: table.columnOrder, isInOrder: true))
        return writer.addTable(
            encodedName: table.wireName, encodedColumns: table.allWireColumns, columnCount: table.columnOrder.count)
    }

    private mutating func addColumn(_ column: Int, _ table: Table, _ wire: Int) {
        if wireTables[wire].columns[column] < 0 {
            wireTables[wire].columns[column] = writer.addColumn(encodedName: table.wireColumns[column], table: wire)
        }
        guard column == table.columns.count - 1, !wireTables[wire].isInOrder else { return }
        wireTables[wire].isInOrder = wireTables[wire].columns.indices.allSatisfy { wireTables[wire].columns[$0] == $0 }
    }

    /// What a row costs beside its key and values, about.
    private static let rowBytes = 12

    private mutating func append(
        _ table: Table, index: Int, key: UnsafeRawBufferPointer, causalLength: UInt64, sentinel: UInt64?,
        cells: UnsafeBufferPointer<CellNumbers>, values: UnsafeRawBufferPointer
    ) {
        let wire = wireIndex(table, index)
        scratch.removeAll(keepingCapacity: true)
        for cell in cells {
            addColumn(cell.column, table, wire)
            let column = wireTables[wire].columns[cell.column]
            scratch.append(CellNumbers(column: column, columnVersion: cell.columnVersion, sequence: cell.sequence))
        }
        scratch.withUnsafeBufferPointer { cells in
            writer.appendRow(
                table: wire, key: key, causalLength: causalLength,
                sentinel: sentinel.map { RowChange.Sentinel(columnVersion: causalLength, sequence: $0) }, cells: cells, values: values)
        }
    }

    /// Finishes the present chunk; the next one begins with `sequence`.
    private mutating func cut(before sequence: UInt64) {
        finish(at: sequence - 1)
        start = sequence
    }

    /// Finishes the last chunk, which claims everything up to `end`.
    mutating func finish(at end: UInt64) {
        guard let id = ChunkID(actor: actor, version: version, sequences: start...end, lastSequence: lastSequence) else {
            preconditionFailure("a chunk lies within its version")
        }
        writer.omitted = omitted
        chunks.append(Chunk(id: id, timestamp: timestamp, body: writer.finish()))
        writer = ChangesetWriter()
        wireTables.removeAll(keepingCapacity: true)
    }
}

/// The length of the encoded value at `offset`.
func encodedSize(_ values: UnsafeRawBufferPointer, at offset: Int) -> Int {
    var position = offset
    func varint() -> Int {
        var (value, shift) = (0, 0)
        while true {
            let byte = values[position]
            position += 1
            value |= Int(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
    }
    guard let tag = ValueCodec.Tag(rawValue: values[position]) else { preconditionFailure("values are encoded by ValueCodec") }
    position += 1
    switch tag {
    case .null: break
    case .integer: _ = varint()
    case .real: position += 8
    case .text, .blob: position += varint()
    }
    return position - offset
}
