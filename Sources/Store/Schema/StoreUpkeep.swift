import CSQLite
import PatinaProtocol

/// What one step of `Store.upkeep` did.
public struct StoreUpkeep: Hashable, Sendable {
    /// For the node's copy of the ledger.
    public var changes: [LedgerChange] = []
    /// Another step has something to do.
    public var hasMore = false

    public init() {}
}

/// What there is to do for `Store.upkeep`. After opening a database it is assumed that there is something.
struct UpkeepState {
    /// The waiting version that was tried last; nil when all of them were tried with the present schema.
    var retried: (site: Int, version: UInt64)? = (-1, 0)
    var mayHaveCleanup = true

    static let nothing = UpkeepState(retried: nil, mayHaveCleanup: false)

    mutating func schemaChanged() {
        retried = (-1, 0)
        mayHaveCleanup = true
    }
}

extension Store {
    /// True when `upkeep` has something to do: right after opening, and after the schema changed.
    public var needsUpkeep: Bool { upkeepState.retried != nil || upkeepState.mayHaveCleanup }

    /// Does a bounded part of what a change of the schema leaves to be done, in one short transaction: merges versions that waited for
    /// it, then clears away what was dropped. To be called whenever there is nothing better to do, until it says that there is no more.
    /// When it is cut off by a crash, it goes on after the next start.
    public func upkeep() throws(StoreError) -> StoreUpkeep {
        try checkUsable()
        var done = StoreUpkeep()
        if let last = upkeepState.retried {
            done.changes = try retryWaiting(after: last)
        } else if upkeepState.mayHaveCleanup {
            try cleanUp()
        }
        done.hasMore = needsUpkeep
        return done
    }

    /// Versions that are tried in one step.
    private static let retriedVersions = 32
    /// Rows that are deleted, or clock records that are looked at, in one step.
    private static let cleanedRows = 500

    private func retryWaiting(after last: (site: Int, version: UInt64)) throws(StoreError) -> [LedgerChange] {
        let statement = try connection.statement(
            """
            SELECT site, version FROM __patina_waiting WHERE (site, version) > (?1, ?2)
            ORDER BY site, version LIMIT \(Self.retriedVersions)
            """
        )
        try statement.bind(1, last.site)
        try statement.bind(2, last.version)
        var versions: [(site: Int, version: UInt64)] = []
        while try statement.step() { versions.append((Int(statement.integer(0)), statement.unsigned(1))) }
        guard let end = versions.last else {
            upkeepState.retried = nil
            return []
        }
        upkeepState.retried = end
        var batch = ApplyBatch(store: self, usesSavepoints: true)
        return try write(changesMemory: true) { () throws(StoreError) in
            context.setCapturing(false)
            for (site, version) in versions { try batch.retry(site: site, version: version) }
            try batch.writeRanges()
            context.setCapturing(true)
            return batch.changes
        }
    }

    // MARK: Clean-up

    private func cleanUp() throws(StoreError) {
        let jobs = try connection.statement("SELECT id, kind, name, cursor FROM __patina_cleanup ORDER BY id LIMIT 1")
        guard try jobs.step() else {
            upkeepState.mayHaveCleanup = false
            return
        }
        let (id, kind, name) = (jobs.integer(0), CleanupKind(rawValue: Int(jobs.integer(1))), jobs.text(2))
        let cursor = jobs.isNull(3) ? nil : jobs.value(3)
        jobs.reset()
        try write(changesMemory: true) { () throws(StoreError) in
            context.setCapturing(false)
            defer { context.setCapturing(true) }
            let isDone =
                switch kind {
                case .emptyTable: try emptyTable(name)
                case .sweepClocks: try sweepClocks(name, job: id, after: cursor)
                case nil: true
                }
            if isDone { try connection.execute("DELETE FROM __patina_cleanup WHERE id = \(id)") }
        }
    }

    /// Deletes some rows of a table that is out of sight; drops it once it is empty. Returns true when it is gone.
    private func emptyTable(_ name: String) throws(StoreError) -> Bool {
        guard let shape = try connection.shape(of: name) else { return true }
        let key = shape.isWithoutRowid ? shape.keyColumns.map { quoted($0.name) }.joined(separator: ", ") : shape.rowidName ?? "rowid"
        try connection.execute(
            "DELETE FROM \(quoted(name)) WHERE (\(key)) IN (SELECT \(key) FROM \(quoted(name)) LIMIT \(Self.cleanedRows))")
        guard sqlite3_changes64(connection.handle) < Int64(Self.cleanedRows) else { return false }
        try connection.execute("DROP TABLE \(quoted(name))")
        try reloadCatalog()
        return true
    }

    /// Rids some clock records of the cells of dropped columns. Returns true after the last.
    private func sweepClocks(_ name: String, job: Int64, after cursor: Value?) throws(StoreError) -> Bool {
        guard let table = catalog.table(named: name), table.recordNumbers != nil else { return true }
        let condition = cursor == nil ? "" : "WHERE key > ?1"
        let records = try connection.prepareUncached(
            "SELECT key, clock FROM \(quoted(table.clockTable)) \(condition) ORDER BY key LIMIT \(Self.cleanedRows)")
        if let cursor { try records.bind(1, cursor) }
        let update = try connection.prepareUncached("UPDATE \(quoted(table.clockTable)) SET clock = ?2 WHERE key = ?1")
        var rewritten: [(key: Value, record: [UInt8])] = []
        var last: Value?
        var count = 0
        var record: [UInt8] = []
        while try records.step() {
            count += 1
            let key = records.value(0)
            last = key
            let stored = records.blob(1)
            let decoded = try clocks.decode(stored[...], table)
            ClockRecord.encode(table.recorded(decoded.clock), hash: decoded.hash, into: &record)
            if record != stored { rewritten.append((key, record)) }
        }
        for (key, record) in rewritten {
            try update.bind(1, key)
            try update.bind(2, blob: record)
            try update.run()
        }
        guard count == Self.cleanedRows, let last else { return true }
        let progress = try connection.prepareUncached("UPDATE __patina_cleanup SET cursor = ?2 WHERE id = ?1")
        try progress.bind(1, job)
        try progress.bind(2, last)
        try progress.run()
        return false
    }
}
