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
    /// For each table of the present chunk its index there and those of its columns (-1: not there yet), by catalog index.
    private var wireTables: [Int: WireTable] = [:]
    private var scratch: [CellNumbers] = []

    private struct WireTable {
        let index: Int
        var columns: [Int]
    }

    init(actor: ActorID, version: UInt64, timestamp: HybridTimestamp, lastSequence: UInt64, from start: UInt64, chunkBytes: Int) {
        self.actor = actor
        self.version = version
        self.timestamp = timestamp
        self.lastSequence = lastSequence
        self.start = start
        self.chunkBytes = chunkBytes
    }

    /// Bytes of the chunks that are finished.
    var finishedBytes: Int { chunks.reduce(0) { $0 + $1.body.count } }

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
        guard let first = [sentinel, cells.first?.sequence].compactMap({ $0 }).min() else { return }
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

    /// What a row costs beside its key and values, about.
    private static let rowBytes = 12

    private mutating func append(
        _ table: Table, index: Int, key: UnsafeRawBufferPointer, causalLength: UInt64, sentinel: UInt64?,
        cells: UnsafeBufferPointer<CellNumbers>, values: UnsafeRawBufferPointer
    ) {
        var wire =
            wireTables[index]
            ?? WireTable(index: writer.addTable(named: table.name), columns: Array(repeating: -1, count: table.columns.count))
        scratch.removeAll(keepingCapacity: true)
        var isNew = wireTables[index] == nil
        for cell in cells {
            if wire.columns[cell.column] < 0 {
                wire.columns[cell.column] = writer.addColumn(named: table.columns[cell.column].name, table: wire.index)
                isNew = true
            }
            scratch.append(CellNumbers(column: wire.columns[cell.column], columnVersion: cell.columnVersion, sequence: cell.sequence))
        }
        if isNew { wireTables[index] = wire }
        scratch.withUnsafeBufferPointer { cells in
            writer.appendRow(
                table: wire.index, key: key, causalLength: causalLength,
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
