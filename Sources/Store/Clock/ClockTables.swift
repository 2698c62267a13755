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
        switch bytes.withUnsafeBytes({ overlay.clock(table, rowid: rowid, UnsafeRawBufferPointer(rebasing: $0[key]), hash: hash) }) {
        case .record(let range): return try decode(overlay.bytes[range], table, hash: hash)
        case .dropped: return nil
        case .unknown: break
        }
        let statement = try table.statements(.readClock)
        try bindKey(statement, table, rowid: rowid, bytes, key)
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        return try decode(statement.blob(0)[...], table, hash: hash)
    }

    /// A record whose key is known to be right.
    func decodeUnchecked(_ record: ArraySlice<UInt8>, _ table: Table) throws(StoreError) -> (clock: RowClock, hash: UInt32?) {
        do {
            let (clock, hash) = try ClockRecord.decode(
                record, keying: table.keying, columns: table.columnsByRecordNumber.count, sites: sites.count)
            return (table.current(clock), hash)
        } catch {
            throw .corrupt(message: "a clock record of table \(table.name) is damaged: \(error.reason)")
        }
    }

    private func decode(_ record: ArraySlice<UInt8>, _ table: Table, hash: UInt64?) throws(StoreError) -> RowClock {
        let decoded: (clock: RowClock, hash: UInt32?)
        do {
            decoded = try ClockRecord.decode(record, keying: table.keying, columns: table.columnsByRecordNumber.count, sites: sites.count)
        } catch {
            throw .corrupt(message: "a clock record of table \(table.name) is damaged: \(error.reason)")
        }
        if let stored = decoded.hash, let hash, stored != UInt32(truncatingIfNeeded: hash) {
            throw .corrupt(
                message: "a clock record of table \(table.name) belongs to another row; were the rows renumbered by a dump and restore?")
        }
        return table.current(decoded.clock)
    }

    func write(_ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>, record: [UInt8]) throws(StoreError) {
        try makeWay(for: table, rowid: rowid, bytes, key)
        let statement = try table.statements(.writeClock)
        try bindKey(statement, table, rowid: rowid, bytes, key)
        try statement.bind(2, blob: record)
        try statement.run()
    }

    func delete(_ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>) throws(StoreError) {
        try makeWay(for: table, rowid: rowid, bytes, key)
        let statement = try table.statements(.deleteClock)
        try bindKey(statement, table, rowid: rowid, bytes, key)
        try statement.run()
    }

    /// True when the overlay has an opinion about the row's clock.
    func isOverlaid(_ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>) -> Bool {
        let found = bytes.withUnsafeBytes { overlay.clock(table, rowid: rowid, UnsafeRawBufferPointer(rebasing: $0[key]), hash: nil) }
        if case .unknown = found { return false }
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
        let statement = try table.statements(.writeTombstone)
        try bindPacked(statement, bytes, key)
        try statement.bind(2, causalLength)
        try statement.bind(3, sentinel.site)
        try statement.bind(4, sentinel.version)
        try statement.bind(5, sentinel.sequence)
        try statement.run()
        table.mayHaveTombstones = true
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
