import CSQLite
import PatinaProtocol

/// What the open transaction has done to replicated rows so far, event by event, exact under every kind of rollback.
///
/// Keys and values are written once, in the form in which they travel, into one byte array; the events point into it.
struct CaptureBuffer {
    enum Kind: Equatable {
        /// `payload`: the value of every column, in order; of an event that was taken back, nothing.
        case insert
        /// `payload`: for each changed column `number << 1 | doubtful` and its new value.
        case update
        case delete
        /// The row took another primary key. `payload`: for each column `number << 2 | doubtful << 1 | changed` and its new value.
        case move
        /// The next `count` events were taken back. They used up sequence numbers all the same, as many as they would have with their
        /// rows' clocks: so they stay, without their values.
        case undone(count: Int)
    }

    struct Event {
        var kind: Kind
        /// Index into the catalog's tables.
        var table: Int
        /// The row before the event; for an insert the new row.
        var rowid: Int64
        /// The row after a move.
        var newRowid: Int64
        var key: Range<Int>
        /// The key after a move.
        var newKey: Range<Int>
        var payload: Range<Int>
    }

    private(set) var events: [Event] = []
    /// Packed keys and encoded values.
    private(set) var bytes: [UInt8] = []
    /// Why the transaction must not commit, once something happened that cannot be replicated.
    private(set) var violation: StoreError?
    /// The buffer's length when savepoint number n was opened.
    private var marks: [(events: Int, bytes: Int)] = []
    private let valueLimit: Int
    /// A key may have this part of a value's limit: a chunk carries at least a key and a value, and must fit a message.
    private static let keyShare = 16

    init(valueLimit: Int) { self.valueLimit = valueLimit }

    var isEmpty: Bool { events.isEmpty }

    mutating func clear() {
        violation = nil
        marks.removeAll(keepingCapacity: true)
        if events.isEmpty, bytes.isEmpty { return }
        events.removeAll(keepingCapacity: events.count < 4_096)
        bytes.removeAll(keepingCapacity: bytes.count < 1 << 20)
    }

    // MARK: Savepoints

    mutating func savepointOpened(_ number: Int) {
        while marks.count <= number { marks.append((events.count, bytes.count)) }
        marks[number] = (events.count, bytes.count)
    }

    mutating func rolledBack(to number: Int) {
        // A savepoint from before the buffer was enlisted: it began empty.
        let mark = number < marks.count ? marks[number] : (events: 0, bytes: 0)
        guard mark.events < events.count else { return }
        let undone = Array(events[mark.events...])
        let kept = Array(bytes[mark.bytes...])
        events.removeSubrange(mark.events...)
        bytes.removeSubrange(mark.bytes...)
        append(.undone(count: undone.count), table: 0, rowid: 0, key: 0..<0, payload: 0..<0)
        for event in undone { appendUndone(event, kept, from: mark.bytes) }
        // The same savepoint may be rolled back to again, which takes back what comes from here on.
        while marks.count <= number { marks.append((0, 0)) }
        marks[number] = (events.count, bytes.count)
    }

    /// Appends an event that was taken back: its keys, and which columns it changed, and whether to NULL.
    private mutating func appendUndone(_ event: Event, _ content: [UInt8], from offset: Int) {
        func moved(_ range: Range<Int>) -> Range<Int> {
            let start = bytes.count
            bytes.append(contentsOf: content[(range.lowerBound - offset)..<(range.upperBound - offset)])
            return start..<bytes.count
        }
        var undone = event
        undone.key = event.key.isEmpty ? 0..<0 : moved(event.key)
        undone.newKey = event.newKey.isEmpty ? 0..<0 : moved(event.newKey)
        undone.payload = 0..<0
        if !event.payload.isEmpty, event.kind == .update || event.kind == .move {
            let start = bytes.count
            var position = event.payload.lowerBound - offset
            while position < event.payload.upperBound - offset {
                appendVarint(Self.readVarint(content, &position), to: &bytes)
                let value = Self.skipValue(content, &position)
                if content[value.lowerBound] == ValueCodec.Tag.null.rawValue {
                    ValueCodec.appendNull(to: &bytes)
                } else {
                    ValueCodec.append(integer: 0, to: &bytes)
                }
            }
            undone.payload = start..<bytes.count
        }
        events.append(undone)
    }

    // MARK: Events

    mutating func recordInsert(_ values: HookValues, _ table: Table, index: Int, rowid: Int64) {
        let key = appendKey(table) { values.inserted($0) }
        let start = bytes.count
        appendAll(values, table)
        append(.insert, table: index, rowid: rowid, key: key, payload: start..<bytes.count)
    }

    /// Appends the value of every column. They are put together beside the buffer, which is asked for room once.
    private mutating func appendAll(_ values: HookValues, _ table: Table) {
        let columns = table.capture
        withUnsafeTemporaryAllocation(of: HookValue.self, capacity: columns.count) { row in
            var size = 0
            for number in columns.indices {
                let value = values.inserted(columns[number].hook).normalized(columns[number].affinity)
                row.initializeElement(at: number, to: value)
                size += value.encodedLimit
                if value.contentBytes > valueLimit { noteTooLarge(number, of: table) }
            }
            withUnsafeTemporaryAllocation(byteCount: size, alignment: 1) { memory in
                var writer = EncodedValues(memory)
                for number in columns.indices { writer.append(row[number]) }
                bytes.append(contentsOf: writer.written)
            }
        }
    }

    private mutating func noteTooLarge(_ column: Int, of table: Table) {
        violation =
            violation ?? .tooLarge(message: "a value of column \(table.columns[column].name) is over the limit of \(valueLimit) bytes")
    }

    mutating func recordDelete(_ values: HookValues, _ table: Table, index: Int, rowid: Int64) {
        let key = appendKey(table) { values.old($0) }
        append(.delete, table: index, rowid: rowid, key: key, payload: 0..<0)
    }

    /// - Parameter scope: what alone may have changed; nil: anything.
    mutating func recordUpdate(
        _ values: HookValues, _ table: Table, index: Int, rowid: Int64, newRowid: Int64, scope: UpdatedColumns.Scope?
    ) {
        var moved = table.keying == .rowidAlias && rowid != newRowid
        if table.keying != .rowidAlias {
            if scope?.mayChangeKey ?? true {
                for column in table.keyCapture where !values.isUnchanged(column.hook, column.affinity) { moved = true }
            }
            if rowid != newRowid {
                violation = violation ?? .statementRefused(message: "the rowid of a row of \(table.name) was changed", sql: "")
            }
        }
        if moved {
            recordMove(values, table, index: index, rowid: rowid, newRowid: newRowid)
            return
        }
        let length = bytes.count
        let key = appendKey(table) { values.old($0) }
        let start = bytes.count
        if let scope {
            for number in scope.columns { recordChange(values, table, number) }
        } else {
            for number in table.capture.indices { recordChange(values, table, number) }
        }
        guard bytes.count > start else {
            bytes.removeSubrange(length...)
            return
        }
        append(.update, table: index, rowid: rowid, key: key, payload: start..<bytes.count)
    }

    @inline(__always)
    private mutating func recordChange(_ values: HookValues, _ table: Table, _ number: Int) {
        let (state, value) = values.change(number, of: table)
        if state == .unchanged { return }
        appendVarint(UInt64(number) << 1 | (state == .doubtful ? 1 : 0), to: &bytes)
        append(value, number, of: table)
    }

    private mutating func recordMove(_ values: HookValues, _ table: Table, index: Int, rowid: Int64, newRowid: Int64) {
        let key = appendKey(table) { values.old($0) }
        let newKey = appendKey(table) { values.updated($0) }
        let start = bytes.count
        for number in table.capture.indices {
            let (state, value) = values.change(number, of: table)
            appendVarint(UInt64(number) << 2 | (state == .doubtful ? 2 : 0) | (state == .unchanged ? 0 : 1), to: &bytes)
            append(value, number, of: table)
        }
        append(.move, table: index, rowid: rowid, newRowid: newRowid, key: key, newKey: newKey, payload: start..<bytes.count)
    }

    /// A row was written through an incremental blob handle, of which SQLite reports no new value.
    mutating func recordBlobWrite(_ table: Table) {
        violation = violation ?? .statementRefused(message: "a row of \(table.name) was written through a blob handle", sql: "")
    }

    /// An existing row of a table that becomes replicated. The statement's columns are the key columns, then the columns.
    mutating func recordAdopted(_ row: PreparedStatement, from first: Int32, _ table: Table, index: Int, rowid: Int64) {
        let keyStart = bytes.count
        bytes.append(UInt8(table.keyColumns.count))
        for offset in table.keyColumns.indices { row.appendKeyColumn(first + Int32(offset), to: &bytes) }
        let start = bytes.count
        for offset in table.columns.indices { row.appendValue(first + Int32(table.keyColumns.count + offset), to: &bytes) }
        append(
            .insert, table: index, rowid: rowid, key: keyStart..<start, payload: start..<bytes.count)
    }

    private mutating func append(
        _ kind: Kind, table: Int, rowid: Int64, newRowid: Int64 = 0, key: Range<Int>, newKey: Range<Int> = 0..<0, payload: Range<Int>
    ) {
        events.append(Event(kind: kind, table: table, rowid: rowid, newRowid: newRowid, key: key, newKey: newKey, payload: payload))
    }

    private mutating func appendKey(_ table: Table, _ value: (HookIndexes) -> HookValue) -> Range<Int> {
        let start = bytes.count
        bytes.append(UInt8(table.keyColumns.count))
        for (position, column) in table.keyCapture.enumerated() {
            let present = value(column.hook).normalized(column.affinity)
            if column.affinity == .blob, case .real(let number) = present, Int64(exactly: number) != nil {
                // SQLite takes it for the same key as the integer, and everybody who compares bytes does not.
                violation =
                    violation
                    ?? .statementRefused(
                        message:
                            "key column \(table.keyColumns[position].name) of table \(table.name) has no type, and \(number) would be the "
                            + "same key as the integer for SQLite: write the integer, or declare a type", sql: "")
            }
            present.appendKeyColumn(to: &bytes)
        }
        if bytes.count - start > valueLimit / Self.keyShare {
            violation =
                violation ?? .tooLarge(message: "a key of table \(table.name) is over the limit of \(valueLimit / Self.keyShare) bytes")
        }
        return start..<bytes.count
    }

    private mutating func append(_ value: HookValue, _ column: Int, of table: Table) {
        value.normalized(table.capture[column].affinity).append(to: &bytes)
        if value.contentBytes > valueLimit { noteTooLarge(column, of: table) }
    }
}
