import CSQLite
import PatinaProtocol

/// What the open transaction has done to replicated rows so far, event by event, exact under every kind of rollback.
///
/// Keys and values are written once, in the form in which they travel, into one byte array; the events point into it.
struct CaptureBuffer {
    enum Kind {
        /// `payload`: the value of every column, in order.
        case insert
        /// `payload`: for each changed column `number << 1 | doubtful` and its new value.
        case update
        case delete
        /// The row took another primary key. `payload`: for each column `number << 2 | doubtful << 1 | changed` and its new value.
        case move
        /// A rollback took events away that had used up `sequenceCost` sequence numbers.
        case skip
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
        /// How many sequence numbers the event takes, as far as one can tell without its row's clock.
        var sequenceCost: Int
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
        events.removeAll(keepingCapacity: events.count < 4_096)
        bytes.removeAll(keepingCapacity: bytes.count < 1 << 20)
        marks.removeAll(keepingCapacity: true)
        violation = nil
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
        let cost = events[mark.events...].reduce(0) { $0 + $1.sequenceCost }
        events.removeSubrange(mark.events...)
        bytes.removeSubrange(mark.bytes...)
        guard cost > 0 else { return }
        append(.skip, table: 0, rowid: 0, key: 0..<0, payload: 0..<0, cost: cost)
    }

    // MARK: Events

    mutating func recordInsert(_ values: HookValues, _ table: Table, index: Int, rowid: Int64) {
        let key = appendKey(table) { values.inserted($0) }
        let start = bytes.count
        for column in table.capture.indices { append(values.inserted(table.capture[column].hook), column, of: table) }
        append(.insert, table: index, rowid: rowid, key: key, payload: start..<bytes.count, cost: max(1, table.columns.count))
    }

    mutating func recordDelete(_ values: HookValues, _ table: Table, index: Int, rowid: Int64) {
        let key = appendKey(table) { values.old($0) }
        append(.delete, table: index, rowid: rowid, key: key, payload: 0..<0, cost: 1)
    }

    mutating func recordUpdate(_ values: HookValues, _ table: Table, index: Int, rowid: Int64, newRowid: Int64) {
        var moved = table.keying == .rowidAlias && rowid != newRowid
        if table.keying != .rowidAlias {
            for column in table.keyCapture where !values.isUnchanged(column.hook, column.affinity) { moved = true }
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
        var changed = 0
        for number in table.capture.indices {
            let state = values.change(number, of: table)
            if state == .unchanged { continue }
            changed += 1
            appendVarint(UInt64(number) << 1 | (state == .doubtful ? 1 : 0), to: &bytes)
            append(values.updated(table.capture[number].hook), number, of: table)
        }
        guard changed > 0 else {
            bytes.removeSubrange(length...)
            return
        }
        append(.update, table: index, rowid: rowid, key: key, payload: start..<bytes.count, cost: changed)
    }

    private mutating func recordMove(_ values: HookValues, _ table: Table, index: Int, rowid: Int64, newRowid: Int64) {
        let key = appendKey(table) { values.old($0) }
        let newKey = appendKey(table) { values.updated($0) }
        let start = bytes.count
        var cost = 2 + table.columns.count
        for number in table.capture.indices {
            let state = values.change(number, of: table)
            if state != .unchanged { cost += 1 }
            appendVarint(UInt64(number) << 2 | (state == .doubtful ? 2 : 0) | (state == .unchanged ? 0 : 1), to: &bytes)
            append(values.updated(table.capture[number].hook), number, of: table)
        }
        append(.move, table: index, rowid: rowid, newRowid: newRowid, key: key, newKey: newKey, payload: start..<bytes.count, cost: cost)
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
            .insert, table: index, rowid: rowid, key: keyStart..<start, payload: start..<bytes.count, cost: max(1, table.columns.count))
    }

    private mutating func append(
        _ kind: Kind, table: Int, rowid: Int64, newRowid: Int64 = 0, key: Range<Int>, newKey: Range<Int> = 0..<0, payload: Range<Int>,
        cost: Int
    ) {
        events.append(
            Event(
                kind: kind, table: table, rowid: rowid, newRowid: newRowid, key: key, newKey: newKey, payload: payload, sequenceCost: cost))
    }

    private mutating func appendKey(_ table: Table, _ value: (HookIndexes) -> HookValue) -> Range<Int> {
        let start = bytes.count
        bytes.append(UInt8(table.keyColumns.count))
        for column in table.keyCapture { value(column.hook).normalized(column.affinity).appendKeyColumn(to: &bytes) }
        if bytes.count - start > valueLimit / Self.keyShare {
            violation =
                violation ?? .tooLarge(message: "a key of table \(table.name) is over the limit of \(valueLimit / Self.keyShare) bytes")
        }
        return start..<bytes.count
    }

    private mutating func append(_ value: HookValue, _ column: Int, of table: Table) {
        let start = bytes.count
        value.normalized(table.capture[column].affinity).append(to: &bytes)
        if bytes.count - start > valueLimit + 16 {
            violation =
                violation ?? .tooLarge(message: "a value of column \(table.columns[column].name) is over the limit of \(valueLimit) bytes")
        }
    }
}
