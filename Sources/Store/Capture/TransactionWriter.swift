import PatinaProtocol

/// Stores the clocks of a folded transaction and builds its chunks from the capture buffer, without reading anything back.
struct TransactionWriter {
    let buffer: CaptureBuffer
    let folded: FoldedTransaction
    let tables: [Table]
    let clocks: ClockTables
    let chunkBytes: Int
    /// False: everything goes to the tables at once.
    let logsClocks: Bool

    /// From so many inserted rows on, their clocks go to the table at once: they are neighbours there, as the rows are.
    private static let directInserts = 64
    /// Enough for most clock records.
    private static let recordBytes = 64

    /// Writes the clocks and tombstones to their tables or, in the order in which they are to be replayed, into a log. Returns the key
    /// list of the version, the log unless everything went to the tables, and the last sequence number; nil when the transaction, all in
    /// all, wrote nothing.
    func writeClocks() throws(StoreError) -> (keys: [UInt8], clocks: [UInt8]?, lastSequence: UInt64)? {
        var log = logsClocks ? ClockLog(rows: min(folded.rows.count, Self.directInserts)) : ClockLog()
        let insertsAlone =
            folded.rows.count >= Self.directInserts && folded.rows.allSatisfy { $0.freshSequence != nil && $0.origin == .none }
        // First what goes, then what comes: a new row may have the rowid of an old one.
        for row in folded.rows where isTouched(row) {
            let table = tables[row.table]
            switch row.origin {
            case .none: break
            case .clock(let rowid):
                let staysInPlace = row.exists && (table.keying == .packedKey || row.rowid == rowid)
                if staysInPlace { break }
                if logsClocks {
                    withKey(row) { log.drop(table, rowid: rowid, $0) }
                } else {
                    try clocks.delete(table, rowid: rowid, buffer.bytes, row.key)
                }
            case .tombstone:
                if !row.exists { break }
                if logsClocks {
                    withKey(row) { log.dropTombstone(table, $0) }
                } else {
                    try clocks.deleteTombstone(table, buffer.bytes, row.key)
                }
            }
        }
        var keys = KeyListBuilder()
        var keysOfOne: [UInt8]?
        let isOne = folded.rows.count == 1
        var last: UInt64?
        var record: [UInt8] = []
        record.reserveCapacity(Self.recordBytes)
        var batch = ClockBatch(clocks)
        for row in folded.rows where isTouched(row) {
            let table = tables[row.table]
            last = max(last ?? 0, lastSequence(of: row))
            guard row.exists else {
                guard let sentinel = row.sentinel else { preconditionFailure("a deleted row has a sentinel") }
                if logsClocks {
                    withKey(row) { log.setTombstone(table, $0, causalLength: row.causalLength, sequence: sentinel.sequence) }
                    table.mayHaveTombstones = true
                } else {
                    try clocks.writeTombstone(table, buffer.bytes, row.key, causalLength: row.causalLength, sentinel)
                }
                withKey(row) { key in
                    if isOne { keysOfOne = KeyListBuilder.ofOneDeletion(table, key: key) } else { keys.addDeleted(table, key: key) }
                }
                continue
            }
            encode(row, table, into: &record)
            if !logsClocks || insertsAlone && !clocks.isOverlaid(table, rowid: row.rowid, buffer.bytes, row.key) {
                try buffer.bytes.withBytes { (all) throws(StoreError) in
                    try record.withBytes { (record) throws(StoreError) in
                        try batch.write(
                            table, rowid: row.rowid, key: UnsafeRawBufferPointer(rebasing: all[row.key]), record: record,
                            isNew: row.freshSequence != nil)
                    }
                }
            } else {
                withKey(row) { log.set(table, rowid: row.rowid, $0, record: record) }
            }
            withKey(row) { key in
                if isOne {
                    keysOfOne = KeyListBuilder.ofOneRow(table, rowid: row.rowid, key: key)
                } else {
                    keys.addRow(table, rowid: row.rowid, key: key)
                }
            }
        }
        try batch.finish()
        return last.map { (keysOfOne ?? keys.finish(), log.bytes.isEmpty ? nil : log.bytes, $0) }
    }

    private func isTouched(_ row: PendingRow) -> Bool {
        if row.freshSequence != nil { return true }
        if let sentinel = row.sentinel, folded.wrote(sentinel) { return true }
        return row.cells.contains { folded.wrote($0.clock) }
    }

    private func lastSequence(of row: PendingRow) -> UInt64 {
        var last: UInt64 = 0
        if let sentinel = row.sentinel, folded.wrote(sentinel) { last = sentinel.sequence }
        if let fresh = row.freshSequence {
            let count = UInt64(tables[row.table].columns.count)
            return count == 0 ? last : fresh + count - 1
        }
        for cell in row.cells where folded.wrote(cell.clock) { last = max(last, cell.clock.sequence) }
        return last
    }

    private func encode(_ row: PendingRow, _ table: Table, into record: inout [UInt8]) {
        let hash = table.keying == .rowid ? UInt32(truncatingIfNeeded: row.hash) : nil
        if let fresh = row.freshSequence, table.recordNumbers == nil {
            ClockRecord.encodeFresh(
                columns: table.columns.count, sequence: fresh, site: folded.site, version: folded.version, causalLength: row.causalLength,
                sentinel: row.sentinel, hash: hash, into: &record)
        } else {
            guard table.recordNumbers != nil else {
                row.cells.withUnsafeBufferPointer { cells in
                    ClockRecord.encode(
                        causalLength: row.causalLength, sentinel: row.sentinel, count: cells.count, hash: hash, into: &record
                    ) { cells[$0].clock }
                }
                return
            }
            var clock = RowClock(causalLength: row.causalLength, sentinel: row.sentinel, cells: row.cells.map(\.clock))
            if let fresh = row.freshSequence {
                clock.cells = table.columns.indices.map {
                    CellClock(
                        column: $0, columnVersion: 1, site: folded.site, version: folded.version, sequence: fresh + UInt64($0))
                }
            }
            ClockRecord.encode(table.recorded(clock), hash: hash, into: &record)
        }
    }

    private func withKey(_ row: PendingRow, _ body: (UnsafeRawBufferPointer) -> Void) {
        buffer.bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[row.key])) }
    }

    // MARK: Chunks

    func makeChunks(actor: ActorID, timestamp: HybridTimestamp, lastSequence: UInt64) -> [Chunk] {
        let whole = ChunkID(actor: actor, version: folded.version, sequences: 0...lastSequence, lastSequence: lastSequence)
        if let whole, let body = bodyOfOneCell() { return [Chunk(id: whole, timestamp: timestamp, body: body)] }
        var cutter = ChunkCutter(
            actor: actor, version: folded.version, timestamp: timestamp, lastSequence: lastSequence, from: 0, chunkBytes: chunkBytes)
        buffer.bytes.withUnsafeBytes { bytes in
            if rowsFollowEachOther {
                for row in folded.rows where isTouched(row) { add(row, only: nil, to: &cutter, bytes) }
            } else {
                addInterleaved(to: &cutter, bytes)
            }
        }
        cutter.finish(at: lastSequence)
        return cutter.chunks
    }

    /// The body of the only chunk, when the transaction wrote one cell and nothing else.
    private func bodyOfOneCell() -> [UInt8]? {
        guard folded.rows.count == 1, folded.rows[0].freshSequence == nil, folded.rows[0].exists else { return nil }
        let row = folded.rows[0]
        if let sentinel = row.sentinel, folded.wrote(sentinel) { return nil }
        guard let written = onlyCell(of: row, within: nil) else { return nil }
        let table = tables[row.table]
        return buffer.bytes.withUnsafeBytes { bytes in
            ChangesetWriter.body(
                encodedTable: table.wireName, encodedColumn: table.wireColumns[written.clock.column],
                key: UnsafeRawBufferPointer(rebasing: bytes[row.key]), causalLength: row.causalLength,
                columnVersion: written.clock.columnVersion, sequence: written.clock.sequence,
                value: UnsafeRawBufferPointer(rebasing: bytes[written.value]))
        }
    }

    /// True when the sequence numbers of each row lie behind those of the row before: nearly always.
    private var rowsFollowEachOther: Bool {
        var next: UInt64 = 0
        for row in folded.rows where isTouched(row) {
            guard firstSequence(of: row) >= next else { return false }
            next = lastSequence(of: row) + 1
        }
        return true
    }

    private func firstSequence(of row: PendingRow) -> UInt64 {
        var first = row.freshSequence ?? .max
        if let sentinel = row.sentinel, folded.wrote(sentinel) { first = min(first, sentinel.sequence) }
        for cell in row.cells where folded.wrote(cell.clock) { first = min(first, cell.clock.sequence) }
        return first
    }

    /// Rows that were written alternately: their pieces go out in the order of the sequence numbers.
    private func addInterleaved(to cutter: inout ChunkCutter, _ bytes: UnsafeRawBufferPointer) {
        var items: [(sequence: UInt64, row: Int)] = []
        for (index, row) in folded.rows.enumerated() where isTouched(row) {
            if let sentinel = row.sentinel, folded.wrote(sentinel) { items.append((sentinel.sequence, index)) }
            if let fresh = row.freshSequence {
                for column in tables[row.table].columns.indices { items.append((fresh + UInt64(column), index)) }
            }
            for cell in row.cells where folded.wrote(cell.clock) { items.append((cell.clock.sequence, index)) }
        }
        items.sort { $0.sequence < $1.sequence }
        var start = 0
        while start < items.count {
            var end = start + 1
            while end < items.count, items[end].row == items[start].row { end += 1 }
            add(folded.rows[items[start].row], only: items[start].sequence...items[end - 1].sequence, to: &cutter, bytes)
            start = end
        }
    }

    /// Adds what the transaction wrote to a row, or only the part with the given sequence numbers.
    private func add(_ row: PendingRow, only sequences: ClosedRange<UInt64>?, to cutter: inout ChunkCutter, _ bytes: UnsafeRawBufferPointer)
    {
        let table = tables[row.table]
        let key = UnsafeRawBufferPointer(rebasing: bytes[row.key])
        var sentinel: UInt64?
        if let clock = row.sentinel, folded.wrote(clock), sequences?.contains(clock.sequence) ?? true { sentinel = clock.sequence }
        if let fresh = row.freshSequence, sequences == nil {
            cutter.addInserted(
                table, index: row.table, key: key, causalLength: row.causalLength, sentinel: sentinel, sequence: fresh,
                values: UnsafeRawBufferPointer(rebasing: bytes[row.freshValues]))
            return
        }
        if row.freshSequence == nil, let cell = onlyCell(of: row, within: sequences) {
            let number = CellNumbers(column: cell.clock.column, columnVersion: cell.clock.columnVersion, sequence: cell.clock.sequence)
            withUnsafePointer(to: number) {
                cutter.add(
                    table, index: row.table, key: key, causalLength: row.causalLength, sentinel: sentinel,
                    cells: UnsafeBufferPointer(start: $0, count: 1), values: UnsafeRawBufferPointer(rebasing: bytes[cell.value]))
            }
            return
        }
        var written = cells(of: row, bytes).filter { folded.wrote($0.clock) && sequences?.contains($0.clock.sequence) ?? true }
        written.sort { $0.clock.sequence < $1.clock.sequence }
        var numbers: [CellNumbers] = []
        var values: [UInt8] = []
        for cell in written {
            numbers.append(CellNumbers(column: cell.clock.column, columnVersion: cell.clock.columnVersion, sequence: cell.clock.sequence))
            values.append(contentsOf: bytes[cell.value])
        }
        numbers.withUnsafeBufferPointer { cells in
            values.withUnsafeBytes {
                cutter.add(table, index: row.table, key: key, causalLength: row.causalLength, sentinel: sentinel, cells: cells, values: $0)
            }
        }
    }

    /// The cell that the transaction wrote to the row, within the given sequence numbers; nil when it is not exactly one.
    private func onlyCell(of row: PendingRow, within sequences: ClosedRange<UInt64>?) -> PendingRow.Cell? {
        row.cells.withUnsafeBufferPointer { cells in
            var found: Int?
            for index in cells.indices where folded.wrote(cells[index].clock) {
                if let sequences, !sequences.contains(cells[index].clock.sequence) { continue }
                if found != nil { return nil }
                found = index
            }
            return found.map { cells[$0] }
        }
    }

    private func cells(of row: PendingRow, _ bytes: UnsafeRawBufferPointer) -> [PendingRow.Cell] {
        guard let fresh = row.freshSequence else { return row.cells }
        var position = row.freshValues.lowerBound
        return tables[row.table].columns.indices.map { column in
            let start = position
            position += encodedSize(bytes, at: start)
            let clock = CellClock(
                column: column, columnVersion: 1, site: folded.site, version: folded.version, sequence: fresh + UInt64(column))
            return PendingRow.Cell(clock: clock, value: start..<position)
        }
    }
}
