import CSQLite
import PatinaProtocol

extension ClockTables {
    /// Brings everything that the overlay holds into the tables, in the order of their pages, within the open transaction. Costs about a
    /// table write for each row that changed since the last time, however often it changed.
    func fold() throws(StoreError) {
        guard overlay.last > overlay.folded else { return }
        for position in overlay.sortedPositions() {
            let entry = overlay.entries[position]
            // A table that is gone took its clocks along.
            guard let table = catalog.table(withID: entry.table) else { continue }
            switch entry.kind {
            case .rowidClock, .keyClock: try foldClock(entry, table)
            case .tombstone: try foldTombstone(entry, table)
            }
        }
        for id in overlay.largeLogs {
            let trim = try connection.statement("UPDATE __patina_versions SET clocks = NULL WHERE id = ?1")
            try trim.bind(1, id)
            try trim.run()
        }
        try Bookkeeping.writeMeta(connection, "folded", overlay.last)
        overlay.restart(at: overlay.last)
    }

    private func foldClock(_ entry: ClockOverlay.Entry, _ table: Table) throws(StoreError) {
        let statement = try table.statements(entry.record.isEmpty ? .deleteClock : .writeClock)
        if entry.kind == .rowidClock { try statement.bind(1, entry.rowid) } else { try bind(entry.key, to: statement, 1) }
        if !entry.record.isEmpty { try bind(entry.record, to: statement, 2) }
        try statement.run()
    }

    private func foldTombstone(_ entry: ClockOverlay.Entry, _ table: Table) throws(StoreError) {
        let statement = try table.statements(entry.record.isEmpty ? .deleteTombstone : .writeTombstone)
        try bind(entry.key, to: statement, 1)
        if !entry.record.isEmpty {
            let tombstone = try decodeTombstone(overlay.bytes[entry.record], table)
            guard let sentinel = tombstone.sentinel else { preconditionFailure("a tombstone has a sentinel") }
            try statement.bind(2, tombstone.causalLength)
            try statement.bind(3, sentinel.site)
            try statement.bind(4, sentinel.version)
            try statement.bind(5, sentinel.sequence)
        }
        try statement.run()
    }

    private func bind(_ range: Range<Int>, to statement: PreparedStatement, _ index: Int32) throws(StoreError) {
        try statement.check(overlay.bytes.withUnsafeBytes { statement.bindBlob(index, UnsafeRawBufferPointer(rebasing: $0[range])) })
    }

    /// Brings the overlay in line with what the connection sees: only what is new since the last time, or everything.
    ///
    /// - Parameter fromStart: forget what is there, because it may be of a transaction that was taken back.
    func refresh(fromStart: Bool) throws(StoreError) {
        guard let folded = try Bookkeeping.readMeta(connection, "folded") else {
            throw .corrupt(message: "\(connection.name): the database does not say which clocks are folded")
        }
        if fromStart || folded != overlay.folded { overlay.restart(at: folded) }
        let site = Int(folded >> Int64(Bookkeeping.versionBits))
        let statement = try connection.statement("SELECT id, clocks FROM __patina_versions WHERE id > ?1 AND id <= ?2 ORDER BY id")
        try statement.bind(1, overlay.last)
        try statement.bind(2, Bookkeeping.versionID(site, Bookkeeping.lastVersion))
        defer { statement.reset() }
        while try statement.step() {
            let id = statement.integer(0)
            guard !statement.isNull(1) else {
                overlay.took(id, logBytes: nil)
                continue
            }
            do {
                try ClockLog.replay(statement.blob(1), of: id, into: overlay)
            } catch {
                throw .corrupt(
                    message: "\(connection.name): the clocks of version \(Bookkeeping.version(ofID: id)) are damaged: \(error.reason)")
            }
        }
        for entry in overlay.entries where entry.kind == .tombstone { catalog.table(withID: entry.table)?.mayHaveTombstones = true }
    }
}

extension Store {
    /// Clocks and tombstones as they are now.
    var clocks: ClockTables { ClockTables(sites: sites, overlay: overlay, connection: connection, catalog: catalog) }

    /// How many clocks may wait in memory.
    var unfoldedLimit: Int { options.simulated ? min(options.unfoldedClocks, 1_024) : options.unfoldedClocks }

    /// Brings the clocks that local versions left in their logs into their tables (`docs/crdt.md`, "Clocks that are not folded yet").
    /// Happens by itself now and then; maintenance may do it when there is nothing else to do.
    public func foldClocks() throws(StoreError) {
        try checkUsable()
        guard overlay.last > overlay.folded else { return }
        try write { () throws(StoreError) in
            context.setCapturing(false)
            try clocks.fold()
            context.setCapturing(true)
        }
    }

    /// A database that was restored under another identity: the logs of the one that wrote them are folded once and for all.
    func foldClocksOfFormerIdentity() throws(StoreError) {
        guard Int(overlay.folded >> Int64(Bookkeeping.versionBits)) != ownSite else { return }
        let start = Bookkeeping.versionID(ownSite, ledger.head(of: actor))
        try write { () throws(StoreError) in
            context.setCapturing(false)
            try clocks.fold()
            try Bookkeeping.writeMeta(connection, "folded", start)
            overlay.restart(at: start)
            context.setCapturing(true)
        }
    }

    /// Reads the overlay again, if it has changed since it had made that many changes: what it holds may have been taken back.
    func restoreClocks(changes: Int) throws(StoreError) {
        if overlay.changes != changes { try clocks.refresh(fromStart: true) }
    }
}
