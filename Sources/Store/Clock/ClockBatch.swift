import CSQLite
import PatinaProtocol

/// Clock records of one table on their way to it, many in one statement: starting and ending a statement costs SQLite several times what
/// it costs to write a row.
///
/// Whoever fills it has to call `finish`, and may not look at these clocks before.
struct ClockBatch {
    private struct Item {
        let rowid: Int64
        /// The packed key and the record, within `bytes`.
        let key: Range<Int>
        let record: Range<Int>
        let isNew: Bool
    }

    private let clocks: ClockTables
    private var table: Table?
    private var items: [Item] = []
    private var bytes: [UInt8] = []

    init(_ clocks: ClockTables) { self.clocks = clocks }

    /// As `ClockTables.write`: what the overlay has an opinion about is folded before.
    mutating func write(
        _ table: Table, rowid: Int64, key: UnsafeRawBufferPointer, record: UnsafeRawBufferPointer, isNew: Bool
    ) throws(StoreError) {
        if clocks.isOverlaid(table, rowid: rowid, key: key) {
            try finish()
            try clocks.fold()
        }
        try put(table, rowid: rowid, key: key, record: record, isNew: isNew)
    }

    /// As `ClockTables.put`.
    mutating func put(
        _ table: Table, rowid: Int64, key: UnsafeRawBufferPointer, record: UnsafeRawBufferPointer, isNew: Bool
    ) throws(StoreError) {
        if self.table !== table {
            try finish()
            self.table = table
        }
        let start = bytes.count
        if table.keying == .packedKey { bytes.append(contentsOf: key) }
        let middle = bytes.count
        bytes.append(contentsOf: record)
        items.append(Item(rowid: rowid, key: start..<middle, record: middle..<bytes.count, isNew: isNew))
        if items.count == TableSQL.clocksTogether { try flush() }
    }

    /// Writes what is left.
    mutating func finish() throws(StoreError) {
        if !items.isEmpty { try flush() }
    }

    private mutating func flush() throws(StoreError) {
        guard let table else { return }
        try bytes.withBytes { (all) throws(StoreError) in
            var rest = items[...]
            while rest.count >= TableSQL.fewClocksTogether {
                let isWhole = rest.count >= TableSQL.clocksTogether
                let part = rest.prefix(isWhole ? TableSQL.clocksTogether : TableSQL.fewClocksTogether)
                rest = rest.dropFirst(part.count)
                // The statement that also replaces clocks costs more, even where there is none.
                if part.allSatisfy(\.isNew) {
                    try run(try table.statements(isWhole ? .insertManyClocks : .insertSomeClocks), part, table, all)
                    if Int(sqlite3_changes(clocks.connection.handle)) == part.count { continue }
                }
                try run(try table.statements(isWhole ? .putManyClocks : .putSomeClocks), part, table, all)
            }
            for item in rest {
                try clocks.put(
                    table, rowid: item.rowid, UnsafeRawBufferPointer(rebasing: all[item.key]),
                    UnsafeRawBufferPointer(rebasing: all[item.record]), isNew: item.isNew)
            }
        }
        items.removeAll(keepingCapacity: true)
        bytes.removeAll(keepingCapacity: true)
    }

    private func run(
        _ statement: PreparedStatement, _ items: ArraySlice<Item>, _ table: Table, _ all: UnsafeRawBufferPointer
    ) throws(StoreError) {
        var index: Int32 = 1
        for item in items {
            if table.keying == .packedKey {
                try statement.bindBorrowed(index, blob: UnsafeRawBufferPointer(rebasing: all[item.key]))
            } else {
                try statement.bind(index, item.rowid)
            }
            try statement.bindBorrowed(index + 1, blob: UnsafeRawBufferPointer(rebasing: all[item.record]))
            index += 2
        }
        try statement.run()
    }
}
