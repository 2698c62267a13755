import CSQLite
import PatinaProtocol

/// The clocks and tombstones as they are now: the only way to them. What the overlay says comes first, then the tables.
///
/// Writing goes to the tables; whoever writes what the overlay has an opinion about makes it fold first. Local versions write to their log
/// instead (`TransactionWriter`).
struct ClockTables {
    /// Knows how many sites there are.
    let sites: SiteTable
    let overlay: ClockOverlay
    let connection: Connection
    let catalog: Catalog

    // MARK: Live rows

    /// The clock of a live row; nil when it has none. `key` is the row's packed key within `bytes`, of which `hash` is the hash; a clock
    /// that is found by rowid needs neither, and without the hash nobody checks that it belongs to the row.
    func read(_ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>, hash: UInt64?) throws(StoreError) -> RowClock? {
        guard let found = try readUnchecked(table, rowid: rowid, bytes, key, hash: hash) else { return nil }
        if let stored = found.hash, let hash { try check(stored, isOf: hash, table) }
        return found.clock
    }

    /// The same, with the hash of the key that the record is of, where it says so. Whether that is the row's key is the caller's business.
    func readUnchecked(
        _ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>, hash: UInt64? = nil
    ) throws(StoreError) -> FoundClock? {
        try readUnchecked(table, rowid: rowid, bytes, key, hash: hash) { $0 }
    }

    /// As above, with cells as the caller wants to have them.
    @inline(__always)
    func readUnchecked<Cell>(
        _ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>, hash: UInt64?, _ make: (CellClock) -> Cell
    ) throws(StoreError) -> DecodedClock<Cell>? {
        switch bytes.withUnsafeBytes({ overlay.clock(table, rowid: rowid, UnsafeRawBufferPointer(rebasing: $0[key]), hash: hash) }) {
        case .record(let range):
            return try overlay.bytes.withBytes { (all) throws(StoreError) in
                try decode(UnsafeRawBufferPointer(rebasing: all[range]), table, make)
            }
        case .dropped: return nil
        case .unknown: break
        }
        let statement = try table.statements(.readClock)
        try bindKey(statement, table, rowid: rowid, bytes, key)
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        return try decode(statement.bytes(0), table, make)
    }

    /// Reads many clocks from the table of a table whose rows are found by rowid, in few statements. The overlay is not asked.
    ///
    /// - Returns: for each rowid its clock; nil where there is none.
    @inline(__always)
    func readStored<Cell>(
        _ table: Table, rowids: ArraySlice<Int64>, _ make: (CellClock) -> Cell
    ) throws(StoreError) -> [DecodedClock<Cell>?] {
        var found: [DecodedClock<Cell>?] = []
        found.reserveCapacity(rowids.count)
        var rest = rowids
        while !rest.isEmpty {
            let isMany = rest.count > TableSQL.fewClocksRead
            let width = isMany ? TableSQL.clocksRead : TableSQL.fewClocksRead
            let statement = try table.statements(isMany ? .readManyClocks : .readSomeClocks)
            let part = rest.prefix(width)
            var index: Int32 = 1
            for rowid in part {
                try statement.bind(index, rowid)
                index += 1
            }
            while Int(index) <= width {
                try statement.bind(index, .null)
                index += 1
            }
            defer { statement.reset() }
            for _ in part {
                guard try statement.step() else { preconditionFailure("a left join has a row for each on its left") }
                found.append(statement.isNull(0) ? nil : try decode(statement.bytes(0), table, make))
            }
            rest = rest.dropFirst(part.count)
        }
        return found
    }

    /// Throws unless the hash that a record carries is that of the row's key.
    func check(_ stored: UInt32, isOf hash: UInt64, _ table: Table) throws(StoreError) {
        guard stored == UInt32(truncatingIfNeeded: hash) else {
            throw .corrupt(
                message: "a clock record of table \(table.name) belongs to another row; were the rows renumbered by a dump and restore?")
        }
    }

    /// What a record says, whosever it is.
    func decode(_ record: ArraySlice<UInt8>, _ table: Table) throws(StoreError) -> FoundClock {
        try record.withUnsafeBufferPointer { (bytes) throws(StoreError) in try decode(UnsafeRawBufferPointer(bytes), table) { $0 } }
    }

    /// As above, with cells as the caller wants to have them.
    @inline(__always)
    private func decode<Cell>(
        _ record: UnsafeRawBufferPointer, _ table: Table, _ make: (CellClock) -> Cell
    ) throws(StoreError) -> DecodedClock<Cell> {
        do {
            let (columns, sites) = (table.columnsByRecordNumber.count, sites.count)
            guard table.recordNumbers != nil else {
                return try ClockRecord.decode(record, keying: table.keying, columns: columns, sites: sites, make)
            }
            let recorded = try ClockRecord.decode(record, keying: table.keying, columns: columns, sites: sites) { $0 }
            let clock = table.current(recorded.clock)
            return DecodedClock(
                causalLength: clock.causalLength, sentinel: clock.sentinel, cells: clock.cells.map(make), hash: recorded.hash)
        } catch {
            throw .corrupt(message: "a clock record of table \(table.name) is damaged: \(error.reason)")
        }
    }

    /// - Parameter isNew: the row probably has no clock yet. Decides what is tried first, not what comes of it.
    func write(_ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>, record: [UInt8], isNew: Bool) throws(StoreError) {
        try bytes.withBytes { (all) throws(StoreError) in
            try record.withBytes { (record) throws(StoreError) in
                try write(table, rowid: rowid, key: UnsafeRawBufferPointer(rebasing: all[key]), record: record, isNew: isNew)
            }
        }
    }

    /// As above, with the packed key and the record wherever they are.
    func write(
        _ table: Table, rowid: Int64, key: UnsafeRawBufferPointer, record: UnsafeRawBufferPointer, isNew: Bool
    ) throws(StoreError) {
        if isOverlaid(table, rowid: rowid, key: key) { try fold() }
        try put(table, rowid: rowid, key, record, isNew: isNew)
    }

    /// Writes a record to the table. An INSERT OR REPLACE would do, but SQLite opens a savepoint for each of them where there is an index,
    /// such as a guard, and that costs more than the rest.
    func put(
        _ table: Table, rowid: Int64, _ key: UnsafeRawBufferPointer, _ record: UnsafeRawBufferPointer, isNew: Bool
    ) throws(StoreError) {
        if try put(table, rowid: rowid, key, record, isNew ? .insertClock : .updateClock) { return }
        _ = try put(table, rowid: rowid, key, record, isNew ? .updateClock : .insertClock)
    }

    /// True when the statement had something to do.
    private func put(
        _ table: Table, rowid: Int64, _ key: UnsafeRawBufferPointer, _ record: UnsafeRawBufferPointer, _ kind: TableStatements.Kind
    ) throws(StoreError) -> Bool {
        let statement = try table.statements(kind)
        if table.keying == .packedKey { try statement.bindBorrowed(1, blob: key) } else { try statement.bind(1, rowid) }
        try statement.bindBorrowed(2, blob: record)
        try statement.run()
        return sqlite3_changes(connection.handle) > 0
    }

    func delete(_ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>) throws(StoreError) {
        try makeWay(for: table, rowid: rowid, bytes, key)
        let statement = try table.statements(.deleteClock)
        try bindKey(statement, table, rowid: rowid, bytes, key)
        try statement.run()
    }

    /// True when the overlay has an opinion about the row's clock.
    func isOverlaid(_ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>) -> Bool {
        bytes.withUnsafeBytes { isOverlaid(table, rowid: rowid, key: UnsafeRawBufferPointer(rebasing: $0[key])) }
    }

    /// As above, with the packed key wherever it is.
    func isOverlaid(_ table: Table, rowid: Int64, key: UnsafeRawBufferPointer) -> Bool {
        if case .unknown = overlay.clock(table, rowid: rowid, key, hash: nil) { return false }
        return true
    }

    private func makeWay(for table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>) throws(StoreError) {
        if isOverlaid(table, rowid: rowid, bytes, key) { try fold() }
    }

    private func bindKey(_ statement: PreparedStatement, _ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>)
        throws(StoreError)
    {
        switch table.keying {
        case .rowid, .rowidAlias: try statement.bind(1, rowid)
        case .packedKey: try bindPacked(statement, bytes, key)
        }
    }

    private func bindPacked(_ statement: PreparedStatement, _ bytes: [UInt8], _ key: Range<Int>) throws(StoreError) {
        try statement.check(bytes.withUnsafeBytes { statement.bindBlob(1, UnsafeRawBufferPointer(rebasing: $0[key])) })
    }

    // MARK: Tombstones

    func readTombstone(_ table: Table, _ bytes: [UInt8], _ key: Range<Int>, hash: UInt64? = nil) throws(StoreError) -> RowClock? {
        switch bytes.withUnsafeBytes({ overlay.tombstone(table, UnsafeRawBufferPointer(rebasing: $0[key]), hash: hash) }) {
        case .record(let range): return try decodeTombstone(overlay.bytes[range], table)
        case .dropped: return nil
        case .unknown: break
        }
        let statement = try table.statements(.readTombstone)
        try bindPacked(statement, bytes, key)
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        return try tombstone(table, statement.unsigned(0), site: statement.integer(1), statement.unsigned(2), statement.unsigned(3))
    }

    private func tombstone(_ table: Table, _ causalLength: UInt64, site: Int64, _ version: UInt64, _ sequence: UInt64) throws(StoreError)
        -> RowClock
    {
        guard site >= 0, site < sites.count else {
            throw .corrupt(message: "a tombstone of table \(table.name) names the unknown site \(site)")
        }
        return RowClock(causalLength: causalLength, sentinel: SentinelClock(site: Int(site), version: version, sequence: sequence))
    }

    /// A tombstone as the overlay keeps it.
    func decodeTombstone(_ record: ArraySlice<UInt8>, _ table: Table) throws(StoreError) -> RowClock {
        var reader = ByteReader(record)
        do {
            let numbers = (try reader.readVarint(), try reader.readVarint(), try reader.readVarint(), try reader.readVarint())
            return try tombstone(table, numbers.0, site: Int64(clamping: numbers.1), numbers.2, numbers.3)
        } catch let error as MalformedInput {
            throw .corrupt(message: "a tombstone of table \(table.name) is damaged: \(error.reason)")
        } catch let error as StoreError {
            throw error
        } catch {
            throw .corrupt(message: "a tombstone of table \(table.name) is damaged")
        }
    }

    func writeTombstone(
        _ table: Table, _ bytes: [UInt8], _ key: Range<Int>, causalLength: UInt64, _ sentinel: SentinelClock
    ) throws(StoreError) {
        try makeWayForTombstone(table, bytes, key)
        try put(table, tombstone: bytes, key, causalLength: causalLength, sentinel)
        table.mayHaveTombstones = true
    }

    /// Writes a tombstone to the table, as `put` does a clock.
    func put(
        _ table: Table, tombstone bytes: [UInt8], _ key: Range<Int>, causalLength: UInt64, _ sentinel: SentinelClock
    ) throws(StoreError) {
        try bytes.withBytes { (all) throws(StoreError) in
            let key = UnsafeRawBufferPointer(rebasing: all[key])
            if try put(table, tombstone: key, causalLength, sentinel, .insertTombstone) { return }
            _ = try put(table, tombstone: key, causalLength, sentinel, .updateTombstone)
        }
    }

    private func put(
        _ table: Table, tombstone key: UnsafeRawBufferPointer, _ causalLength: UInt64, _ sentinel: SentinelClock,
        _ kind: TableStatements.Kind
    ) throws(StoreError) -> Bool {
        let statement = try table.statements(kind)
        try statement.bindBorrowed(1, blob: key)
        try statement.bind(2, causalLength)
        try statement.bind(3, sentinel.site)
        try statement.bind(4, sentinel.version)
        try statement.bind(5, sentinel.sequence)
        try statement.run()
        return sqlite3_changes(connection.handle) > 0
    }

    func deleteTombstone(_ table: Table, _ bytes: [UInt8], _ key: Range<Int>) throws(StoreError) {
        try makeWayForTombstone(table, bytes, key)
        let statement = try table.statements(.deleteTombstone)
        try bindPacked(statement, bytes, key)
        try statement.run()
    }

    private func makeWayForTombstone(_ table: Table, _ bytes: [UInt8], _ key: Range<Int>) throws(StoreError) {
        let found = bytes.withUnsafeBytes { overlay.tombstone(table, UnsafeRawBufferPointer(rebasing: $0[key]), hash: nil) }
        if case .unknown = found { return }
        try fold()
    }
}

extension [UInt8] {
    /// `withUnsafeBytes`, with the errors that the body throws.
    @inline(__always)
    func withBytes<Result, Failure>(_ body: (UnsafeRawBufferPointer) throws(Failure) -> Result) throws(Failure) -> Result {
        try withUnsafeBufferPointer { (bytes) throws(Failure) in try body(UnsafeRawBufferPointer(bytes)) }
    }
}
