import PatinaProtocol

/// Replays the events of a transaction in order, cell by cell, as cr-sqlite's triggers would have applied them.
struct TransactionFolder {
    private let buffer: CaptureBuffer
    private let tables: [Table]
    private let clocks: ClockTables
    private(set) var result: FoldedTransaction
    private var index = RowIndex()
    /// The events that were taken back and are being applied, the outermost first: the position of the last of them, and the rows that
    /// they touched as these were before.
    private var undone: [(end: Int, rows: [(row: Int, before: PendingRow)])] = []
    /// False while the rows are few enough to be searched one by one.
    private let usesIndex: Bool
    private static let searchedRows = 6
    /// The clocks that the next events will ask for, read together.
    private var ahead = ClocksAhead()

    init(_ buffer: CaptureBuffer, tables: [Table], clocks: ClockTables, site: Int, version: UInt64) {
        self.buffer = buffer
        self.tables = tables
        self.clocks = clocks
        result = FoldedTransaction(version: version, site: site)
        result.rows.reserveCapacity(buffer.events.count)
        usesIndex = buffer.events.count > Self.searchedRows
        if usesIndex { index.reserve(buffer.events.count) }
    }

    mutating func fold() throws(StoreError) -> FoldedTransaction {
        for (position, event) in buffer.events.enumerated() {
            try ahead.reach(position, buffer, tables, clocks)
            if case .undone(let count) = event.kind {
                undone.append((end: position + count, rows: []))
                continue
            }
            try apply(event)
            while let span = undone.last, span.end == position {
                for (row, before) in span.rows.reversed() { result.rows[row] = before }
                undone.removeLast()
            }
        }
        return result
    }

    private mutating func apply(_ event: CaptureBuffer.Event) throws(StoreError) {
        switch event.kind {
        case .insert:
            let row = try find(event.table, event.key, rowid: event.rowid, isNewRow: true)
            insert(row, rowid: event.rowid, values: event.payload)
        case .update:
            let row = try find(event.table, event.key, rowid: event.rowid, isNewRow: false)
            try update(row, payload: event.payload)
        case .delete:
            delete(try find(event.table, event.key, rowid: event.rowid, isNewRow: false))
        case .move:
            try move(event)
        case .undone: break
        }
    }

    private mutating func takeSequence() -> UInt64 {
        defer { result.nextSequence += 1 }
        return result.nextSequence
    }

    // MARK: Events

    private mutating func insert(_ row: Int, rowid: Int64, values: Range<Int>) {
        createRow(row, rowid: rowid, alwaysWithSentinel: false)
        let count = tables[result.rows[row].table].columns.count
        let sequence = result.nextSequence
        result.nextSequence += UInt64(count)
        result.rows[row].freshSequence = sequence
        result.rows[row].freshValues = values
    }

    /// Makes a row exist: an even causal length becomes odd. Its cells are the caller's business.
    private mutating func createRow(_ row: Int, rowid: Int64, alwaysWithSentinel: Bool) {
        let table = tables[result.rows[row].table]
        let isResurrection = result.rows[row].causalLength > 0
        result.rows[row].causalLength += 1
        result.rows[row].rowid = rowid
        result.rows[row].cells = []
        result.rows[row].sentinel = nil
        // A row that is all key has nothing else to say that it exists.
        guard alwaysWithSentinel || isResurrection || table.columns.isEmpty else { return }
        let sequence = takeSequence()
        result.rows[row].sentinel = SentinelClock(site: result.site, version: result.version, sequence: sequence)
    }

    private mutating func update(_ row: Int, payload: Range<Int>) throws(StoreError) {
        materialize(row)
        var position = payload.lowerBound
        while position < payload.upperBound {
            let head = buffer.readVarint(&position)
            let value = buffer.skipValue(&position)
            let column = Int(head >> 1)
            if head & 1 != 0, !isRealChange(row, column, value) { continue }
            write(row, column, value)
        }
    }

    private mutating func delete(_ row: Int) {
        // A row that slipped in without a clock counts as created once.
        let length = result.rows[row].causalLength
        result.rows[row].causalLength = length == 0 ? 2 : length + 1
        let sequence = takeSequence()
        result.rows[row].sentinel = SentinelClock(site: result.site, version: result.version, sequence: sequence)
        result.rows[row].freshSequence = nil
        result.rows[row].cells = []
    }

    /// The old key is deleted; the new key is created and takes over the cells with their column versions raised by one, so that it
    /// wins over what other nodes may have under that key; then the changed columns are written. A column without a cell holds its default
    /// under the new key as well, and gets none; as with cr-sqlite, it uses a sequence number up all the same.
    private mutating func move(_ event: CaptureBuffer.Event) throws(StoreError) {
        let old = try find(event.table, event.key, rowid: event.rowid, isNewRow: false)
        materialize(old)
        let moved = result.rows[old].cells
        // A row that slipped in without a clock may hold anything.
        let hasClock = result.rows[old].sentinel != nil || !moved.isEmpty
        var changes: [(column: Int, isChanged: Bool, value: Range<Int>)] = []
        var position = event.payload.lowerBound
        while position < event.payload.upperBound {
            let head = buffer.readVarint(&position)
            let value = buffer.skipValue(&position)
            let column = Int(head >> 2)
            let isChanged = head & 1 != 0 && (head & 2 == 0 || isRealChange(old, column, value))
            changes.append((column, isChanged, value))
        }
        delete(old)
        let new = try find(event.table, event.newKey, rowid: event.newRowid, isNewRow: true)
        let rowid = tables[event.table].keying == .rowidAlias ? event.newRowid : event.rowid
        createRow(new, rowid: rowid, alwaysWithSentinel: true)
        for change in changes {
            let sequence = takeSequence()
            let cell = moved.first { $0.clock.column == change.column }
            if cell == nil && hasClock { continue }
            let clock = CellClock(
                column: change.column, columnVersion: (cell?.clock.columnVersion ?? 0) + 1, site: result.site, version: result.version,
                sequence: sequence)
            result.rows[new].cells.append(PendingRow.Cell(clock: clock, value: change.value))
        }
        for change in changes where change.isChanged { write(new, change.column, change.value) }
    }

    // MARK: Cells

    private mutating func write(_ row: Int, _ column: Int, _ value: Range<Int>) {
        let sequence = takeSequence()
        let position = result.rows[row].cells.firstIndex { $0.clock.column >= column } ?? result.rows[row].cells.count
        var clock = CellClock(column: column, columnVersion: 1, site: result.site, version: result.version, sequence: sequence)
        if position < result.rows[row].cells.count, result.rows[row].cells[position].clock.column == column {
            clock.columnVersion = result.rows[row].cells[position].clock.columnVersion + 1
            result.rows[row].cells[position] = PendingRow.Cell(clock: clock, value: value)
        } else {
            result.rows[row].cells.insert(PendingRow.Cell(clock: clock, value: value), at: position)
        }
    }

    /// Settles a doubtful change (`HookValues.Change.doubtful`): a column without a cell was never written, so it held its default.
    private func isRealChange(_ row: Int, _ column: Int, _ value: Range<Int>) -> Bool {
        let wasWritten = result.rows[row].cells.contains { $0.clock.column == column }
        let isNull = buffer.bytes[value.lowerBound] == ValueCodec.Tag.null.rawValue
        // NULL over NULL, or the default over the default, is no change.
        return isNull != wasWritten
    }

    /// Turns a plain insert into cells of its own.
    private mutating func materialize(_ row: Int) {
        guard let first = result.rows[row].freshSequence else { return }
        result.rows[row].freshSequence = nil
        var position = result.rows[row].freshValues.lowerBound
        let count = tables[result.rows[row].table].columns.count
        result.rows[row].cells = (0..<count).map { column in
            let clock = CellClock(
                column: column, columnVersion: 1, site: result.site, version: result.version, sequence: first + UInt64(column))
            // An insert that was taken back has no values any more, and nobody looks at them.
            let hasValue = position < result.rows[row].freshValues.upperBound
            return PendingRow.Cell(clock: clock, value: hasValue ? buffer.skipValue(&position) : 0..<0)
        }
    }

    // MARK: Rows

    /// The row of a key that an event is about to change, read from its clock or tombstone the first time.
    private mutating func find(_ table: Int, _ key: Range<Int>, rowid: Int64, isNewRow: Bool) throws(StoreError) -> Int {
        let hash = buffer.hash(of: key)
        let known = usesIndex ? index.find(hash) { isRow($0, table, key, hash) } : result.rows.indices.first { isRow($0, table, key, hash) }
        let row: Int
        if let known { row = known } else { row = try read(table, key, hash, rowid: rowid, isNewRow: isNewRow) }
        if !undone.isEmpty { undone[undone.count - 1].rows.append((row, result.rows[row])) }
        return row
    }

    private mutating func read(_ table: Int, _ key: Range<Int>, _ hash: UInt64, rowid: Int64, isNewRow: Bool) throws(StoreError) -> Int {
        var row = PendingRow(table: table, key: key, hash: hash, origin: .none, rowid: rowid, causalLength: 0)
        if isNewRow {
            if tables[table].mayHaveTombstones, let tombstone = try clocks.readTombstone(tables[table], buffer.bytes, key) {
                row = PendingRow(
                    table: table, key: key, hash: hash, origin: .tombstone, rowid: rowid, causalLength: tombstone.causalLength,
                    sentinel: tombstone.sentinel)
            }
        } else if let clock = try readClock(tables[table], key, hash, rowid: rowid) {
            row = PendingRow(
                table: table, key: key, hash: hash, origin: .clock(rowid: rowid), rowid: rowid, causalLength: clock.causalLength,
                sentinel: clock.sentinel, cells: clock.cells)
        } else {
            row.causalLength = 1
        }
        result.rows.append(row)
        if usesIndex { index.insert(hash, result.rows.count - 1) }
        return result.rows.count - 1
    }

    private mutating func readClock(_ table: Table, _ key: Range<Int>, _ hash: UInt64, rowid: Int64) throws(StoreError) -> PendingRow.Found?
    {
        let found: PendingRow.Found?
        if let known = ahead.take(rowid, of: table) {
            found = known
        } else {
            found = try clocks.readUnchecked(table, rowid: rowid, buffer.bytes, key, hash: hash) { PendingRow.Cell($0) }
        }
        if let stored = found?.hash { try clocks.check(stored, isOf: hash, table) }
        return found
    }

    private func isRow(_ row: Int, _ table: Int, _ key: Range<Int>, _ hash: UInt64) -> Bool {
        result.rows[row].hash == hash && result.rows[row].table == table && buffer.isEqual(result.rows[row].key, key)
    }
}

extension CaptureBuffer {
    func hash(of key: Range<Int>) -> UInt64 { bytes.withUnsafeBytes { keyHash(UnsafeRawBufferPointer(rebasing: $0[key])) } }

    func isEqual(_ left: Range<Int>, _ right: Range<Int>) -> Bool { left == right || bytes[left] == bytes[right] }

    /// Reads a varint that the buffer itself wrote.
    func readVarint(_ position: inout Int) -> UInt64 { Self.readVarint(bytes, &position) }

    static func readVarint(_ bytes: [UInt8], _ position: inout Int) -> UInt64 {
        var (value, shift): (UInt64, UInt64) = (0, 0)
        while true {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
    }

    /// The extent of the encoded value at `position`, which moves behind it.
    func skipValue(_ position: inout Int) -> Range<Int> { Self.skipValue(bytes, &position) }

    static func skipValue(_ bytes: [UInt8], _ position: inout Int) -> Range<Int> {
        let start = position
        guard let tag = ValueCodec.Tag(rawValue: bytes[position]) else { preconditionFailure("the capture buffer holds encoded values") }
        position += 1
        switch tag {
        case .null: break
        case .integer: _ = readVarint(bytes, &position)
        case .real: position += 8
        case .text, .blob: position += Int(readVarint(bytes, &position))
        }
        return start..<position
    }
}
