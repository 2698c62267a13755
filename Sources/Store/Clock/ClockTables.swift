import CSQLite
import PatinaProtocol

/// Reads and writes the clock records and tombstones of the writing connection.
struct ClockTables {
    /// Knows how many sites there are.
    let sites: SiteTable

    // MARK: Live rows

    /// The clock of a live row; nil when it has none. `key` is the row's packed key within `bytes`.
    func read(_ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>, hash: UInt64) throws(StoreError) -> RowClock? {
        let statement = try table.statements(.readClock)
        try bindKey(statement, table, rowid: rowid, bytes, key)
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        return try decode(statement.blob(0), table, hash: hash)
    }

    /// A record whose key is known to be right.
    func decodeUnchecked(_ record: [UInt8], _ table: Table) throws(StoreError) -> (clock: RowClock, hash: UInt32?) {
        do {
            let (clock, hash) = try ClockRecord.decode(
                record, keying: table.keying, columns: table.columnsByRecordNumber.count, sites: sites.count)
            return (table.current(clock), hash)
        } catch {
            throw .corrupt(message: "a clock record of table \(table.name) is damaged: \(error.reason)")
        }
    }

    /// A record read by other means, checked against the hash of the row's key.
    func decode(_ record: [UInt8], _ table: Table, hash: UInt64) throws(StoreError) -> RowClock {
        let decoded: (clock: RowClock, hash: UInt32?)
        do {
            decoded = try ClockRecord.decode(record, keying: table.keying, columns: table.columnsByRecordNumber.count, sites: sites.count)
        } catch {
            throw .corrupt(message: "a clock record of table \(table.name) is damaged: \(error.reason)")
        }
        if let stored = decoded.hash, stored != UInt32(truncatingIfNeeded: hash) {
            throw .corrupt(
                message: "a clock record of table \(table.name) belongs to another row; were the rows renumbered by a dump and restore?")
        }
        return table.current(decoded.clock)
    }

    func write(_ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>, record: [UInt8]) throws(StoreError) {
        let statement = try table.statements(.writeClock)
        try bindKey(statement, table, rowid: rowid, bytes, key)
        try statement.bind(2, blob: record)
        try statement.run()
    }

    func delete(_ table: Table, rowid: Int64, _ bytes: [UInt8], _ key: Range<Int>) throws(StoreError) {
        let statement = try table.statements(.deleteClock)
        try bindKey(statement, table, rowid: rowid, bytes, key)
        try statement.run()
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

    func readTombstone(_ table: Table, _ bytes: [UInt8], _ key: Range<Int>) throws(StoreError) -> RowClock? {
        let statement = try table.statements(.readTombstone)
        try bindPacked(statement, bytes, key)
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        let site = statement.integer(1)
        guard site >= 0, site < sites.count else {
            throw .corrupt(message: "a tombstone of table \(table.name) names the unknown site \(site)")
        }
        return RowClock(
            causalLength: statement.unsigned(0),
            sentinel: SentinelClock(site: Int(site), version: statement.unsigned(2), sequence: statement.unsigned(3)))
    }

    func writeTombstone(
        _ table: Table, _ bytes: [UInt8], _ key: Range<Int>, causalLength: UInt64, _ sentinel: SentinelClock
    ) throws(StoreError) {
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
        let statement = try table.statements(.deleteTombstone)
        try bindPacked(statement, bytes, key)
        try statement.run()
    }
}
