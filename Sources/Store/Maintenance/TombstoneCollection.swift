import PatinaProtocol

extension Store {
    /// Looks at some tombstones and removes those whose deletions are older than the retention.
    func collectTombstones() throws(StoreError) -> Bool {
        guard let window = tombstoneWindow(written: .zero) else { return false }
        let now = options.wallClock()
        var budget = Self.maintenanceRows
        // In the order of their ids; a table that is gone meanwhile is simply not met.
        let tables = catalog.tables.sorted { $0.id < $1.id }
        for table in tables {
            let cursor = maintenance.tombstone ?? (Int64.min, [])
            guard table.id >= cursor.table, table.mayHaveTombstones else { continue }
            let after = table.id == cursor.table ? cursor.key : []
            let seen = try collect(window, table, after: after, limit: budget, now: now)
            budget -= seen.count
            guard budget > 0 else {
                maintenance.tombstone = (table.id, seen.last)
                return true
            }
        }
        maintenance.tombstone = nil
        return false
    }

    private func collect(
        _ window: TombstoneWindow, _ table: Table, after key: [UInt8], limit: Int, now: Int64
    ) throws(StoreError) -> (count: Int, last: [UInt8]) {
        let statement = try connection.prepareUncached(
            """
            SELECT t.key, t.length, v.timestamp, t.site, t.version FROM \(quoted(table.tombstoneTable)) AS t
            LEFT JOIN __patina_versions AS v ON v.id = (t.site << \(Bookkeeping.versionBits)) | t.version
            WHERE t.key > ?1 ORDER BY t.key LIMIT ?2
            """)
        try statement.bind(1, blob: key)
        try statement.bind(2, limit)
        var (count, last) = (0, key)
        var old: [[UInt8]] = []
        var (length, newest): (UInt64, Int64) = (0, 0)
        while try statement.step() {
            count += 1
            last = statement.blob(0)
            guard !statement.isNull(2) else { continue }
            let timestamp = HybridTimestamp(ntp64: statement.unsigned(2))
            guard timestamp.unixNanoseconds < now - window.retention else { continue }
            // What is not folded yet may know better.
            let current = try clocks.readTombstone(table, last, 0..<last.count)?.sentinel
            guard let current, current.site == Int(statement.integer(3)), current.version == statement.unsigned(4) else { continue }
            old.append(last)
            length = max(length, statement.unsigned(1))
            newest = max(newest, timestamp.unixNanoseconds)
        }
        guard !old.isEmpty else { return (count, last) }
        try write { () throws(StoreError) in
            context.setCapturing(false)
            for key in old { try clocks.deleteTombstone(table, key, 0..<key.count) }
            try window.noteCollected(connection, table, length: length, newest: newest)
            context.setCapturing(true)
        }
        return (count, last)
    }

    /// Nil when tombstones are kept for ever.
    func tombstoneWindow(written: HybridTimestamp) -> TombstoneWindow? {
        guard let retention = options.tombstoneRetention else { return nil }
        return TombstoneWindow(retention: retention, wall: options.wallClock(), written: written.unixNanoseconds)
    }
}

/// What is known of the tombstones of a table that were removed.
struct CollectedTombstones {
    /// The greatest causal length among them; 0: none was removed.
    var length: UInt64 = 0
    /// When the newest of the deletions happened, in nanoseconds since 1970.
    var newest: Int64 = 0
}

/// What holds for changes and deletions that are far apart in time, once tombstones are removed after `retention`.
///
/// Half of the retention is the *reach*: how late a change may arrive, and how long a node may not hear of a deletion. All nodes have to be
/// configured alike. `docs/crdt.md` has the argument.
struct TombstoneWindow {
    /// Nanoseconds.
    let retention: Int64
    /// The time now, in nanoseconds since 1970.
    let wall: Int64
    /// When the version that is being merged was written, in nanoseconds since 1970.
    let written: Int64

    private var reach: Int64 { retention / 2 }

    init(retention: Duration, wall: Int64, written: Int64) {
        let (seconds, attoseconds) = retention.components
        let nanoseconds = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        self.retention = nanoseconds.overflow ? .max / 4 : min(.max / 4, nanoseconds.partialValue + attoseconds / 1_000_000_000)
        self.wall = wall
        self.written = written
    }

    /// What becomes of an incoming row.
    enum Verdict: Equatable {
        case merge
        /// As if the tombstone that is here were not.
        case mergeWithoutTombstone
        /// The deletion is older than the row by more than the reach.
        case ignore
        case refuse(String)
    }

    /// Decides about a row whose causal length alone would make it lose against a tombstone, or that might have lost against one that is
    /// not here any more, or that deletes a row. Everything else merges as always.
    ///
    /// - Parameter local: the clock of the row here; `exists` when it is live, `causalLength` 0 when nothing is known of it.
    func verdict(_ row: RowChange, of table: Table, local: RowClock, _ connection: Connection) throws(StoreError) -> Verdict {
        if row.causalLength & 1 == 0 {
            guard local.exists, row.causalLength > local.causalLength, written < wall - reach else { return .merge }
            guard let oldest = try oldestWrite(local, connection), written < oldest - reach else { return .merge }
            return .ignore
        }
        if local.exists { return .merge }
        var collected = try readCollected(connection, table)
        var verdict = Verdict.merge
        if local.causalLength > 0 {
            guard row.causalLength < local.causalLength, let sentinel = local.sentinel,
                let deleted = try time(sentinel.site, sentinel.version, connection), written > deleted + reach
            else { return .merge }
            collected.length = max(collected.length, local.causalLength)
            verdict = .mergeWithoutTombstone
        }
        guard row.causalLength < collected.length else { return verdict }
        if local.causalLength == 0, written <= collected.newest + reach {
            return .refuse(
                "table \(table.name): a change that is more than half of the tombstone retention late, of a row that is not here and "
                    + "may have been deleted meanwhile; restore the node that made it from a backup of another one")
        }
        guard isWhole(row) else {
            return .refuse(
                "table \(table.name): a change of a row that is not here; it may have been deleted while the node that made the change "
                    + "was away for longer than half of the tombstone retention: then restore that node from a backup of another one")
        }
        return verdict
    }

    /// An insertion, rather than a change of a row that somebody else inserted.
    private func isWhole(_ row: RowChange) -> Bool {
        if row.causalLength > 1 { return row.sentinel != nil }
        return row.sentinel != nil || row.cells.allSatisfy { $0.columnVersion == 1 }
    }

    private func oldestWrite(_ clock: RowClock, _ connection: Connection) throws(StoreError) -> Int64? {
        var oldest: Int64?
        if let sentinel = clock.sentinel, !sentinel.isDerived, let at = try time(sentinel.site, sentinel.version, connection) {
            oldest = at
        }
        for cell in clock.cells {
            if let at = try time(cell.site, cell.version, connection) { oldest = min(oldest ?? at, at) }
        }
        return oldest
    }

    private func time(_ site: Int, _ version: UInt64, _ connection: Connection) throws(StoreError) -> Int64? {
        let statement = try connection.statement("SELECT timestamp FROM __patina_versions WHERE id = ?1")
        try statement.bind(1, Bookkeeping.versionID(site, version))
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        return HybridTimestamp(ntp64: statement.unsigned(0)).unixNanoseconds
    }

    // MARK: What was collected

    private static func key(_ table: Table, _ what: String) -> String { "collected-\(what)-\(table.id)" }

    private func readCollected(_ connection: Connection, _ table: Table) throws(StoreError) -> CollectedTombstones {
        if let known = table.collected { return known }
        var found = CollectedTombstones()
        if let length = try Bookkeeping.readMeta(connection, Self.key(table, "length")) { found.length = UInt64(bitPattern: length) }
        if let newest = try Bookkeeping.readMeta(connection, Self.key(table, "newest")) { found.newest = newest }
        table.collected = found
        return found
    }

    func noteCollected(_ connection: Connection, _ table: Table, length: UInt64, newest: Int64) throws(StoreError) {
        var collected = try readCollected(connection, table)
        collected.length = max(collected.length, length)
        collected.newest = max(collected.newest, newest)
        try Bookkeeping.writeMeta(connection, Self.key(table, "length"), Int64(bitPattern: collected.length))
        try Bookkeeping.writeMeta(connection, Self.key(table, "newest"), collected.newest)
        table.collected = collected
    }
}
