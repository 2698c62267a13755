import CSQLite
import PatinaProtocol

extension ClockTables {
    /// Brings everything that the overlay holds into the tables, in the order of their pages, within the open transaction. Costs about a
    /// table write for each row that changed since the last time, however often it changed.
    func fold() throws(StoreError) {
        guard overlay.last > overlay.folded else { return }
        try fold(overlay.sortedPositions()[...])
        try finishFolding(through: overlay.last)
        overlay.restart(at: overlay.last)
    }

    /// A part of `fold`, within the open transaction: brings so many of the clocks into the tables, in the order of their pages. Until a
    /// pass is through, versions and overlay are as before, and go before the tables, which may be ahead of `folded`. What local versions
    /// change meanwhile waits for the next pass.
    ///
    /// - Returns: false when a pass has ended.
    func foldStep(_ limit: Int) throws(StoreError) -> Bool {
        guard overlay.last > overlay.folded else { return false }
        overlay.noteStep()
        var pass = overlay.pass ?? FoldPass(positions: overlay.sortedPositions(), end: overlay.last)
        let next = min(pass.positions.count, pass.done + max(1, limit))
        try fold(pass.positions[pass.done..<next])
        pass.done = next
        overlay.pass = pass
        guard next == pass.positions.count else { return true }
        try finishFolding(through: pass.end)
        overlay.retire(through: pass.end)
        return false
    }

    private func fold(_ positions: ArraySlice<Int>) throws(StoreError) {
        var (last, newest): (Table?, Int64) = (nil, .min)
        var batch = ClockBatch(self)
        for position in positions {
            let entry = overlay.entries[position]
            // A table that is gone took its clocks along.
            guard let table = catalog.table(withID: entry.table) else { continue }
            if table !== last { (last, newest) = (table, try newestClock(table)) }
            switch entry.kind {
            case .rowidClock, .keyClock: try foldClock(entry, table, newest: newest, &batch)
            case .tombstone: try foldTombstone(entry, table)
            }
        }
        try batch.finish()
    }

    private func finishFolding(through id: Int64) throws(StoreError) {
        for large in overlay.largeLogs where large <= id {
            let trim = try connection.statement("UPDATE __patina_versions SET clocks = NULL WHERE id = ?1")
            try trim.bind(1, large)
            try trim.run()
        }
        try Bookkeeping.writeMeta(connection, "folded", id)
    }

    /// - Parameter newest: the highest rowid that the table has a clock of. Rows beyond it are new.
    private func foldClock(_ entry: ClockOverlay.Entry, _ table: Table, newest: Int64, _ batch: inout ClockBatch) throws(StoreError) {
        try overlay.bytes.withBytes { (all) throws(StoreError) in
            let key = UnsafeRawBufferPointer(rebasing: all[entry.key])
            if !entry.record.isEmpty {
                let record = UnsafeRawBufferPointer(rebasing: all[entry.record])
                let isNew = entry.kind == .rowidClock && entry.rowid > newest
                return try batch.put(table, rowid: entry.rowid, key: key, record: record, isNew: isNew)
            }
            let statement = try table.statements(.deleteClock)
            if entry.kind == .rowidClock { try statement.bind(1, entry.rowid) } else { try statement.bindBorrowed(1, blob: key) }
            try statement.run()
        }
    }

    /// The highest rowid that a table has a clock of.
    private func newestClock(_ table: Table) throws(StoreError) -> Int64 {
        guard table.keying != .packedKey else { return 0 }
        let statement = try table.statements(.newestClock)
        defer { statement.reset() }
        return try statement.step() ? statement.integer(0) : .min
    }

    private func foldTombstone(_ entry: ClockOverlay.Entry, _ table: Table) throws(StoreError) {
        if !entry.record.isEmpty {
            let tombstone = try decodeTombstone(overlay.bytes[entry.record], table)
            guard let sentinel = tombstone.sentinel else { preconditionFailure("a tombstone has a sentinel") }
            return try put(table, tombstone: overlay.bytes, entry.key, causalLength: tombstone.causalLength, sentinel)
        }
        let statement = try table.statements(.deleteTombstone)
        try overlay.bytes.withBytes { (all) throws(StoreError) in
            try statement.bindBorrowed(1, blob: UnsafeRawBufferPointer(rebasing: all[entry.key]))
            try statement.run()
        }
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

    /// One step of a pass that does the same, of so many rows; see `ClockTables.foldStep`. Returns false when the pass has ended.
    func foldClocks(rows: Int) throws(StoreError) -> Bool {
        try checkUsable()
        guard overlay.last > overlay.folded else { return false }
        return try write { () throws(StoreError) in
            context.setCapturing(false)
            let hasMore = try clocks.foldStep(rows)
            context.setCapturing(true)
            return hasMore
        }
    }

    /// Rows that a local transaction brings into the tables by the way, while a pass is under way: more than a small one adds.
    static var foldedByTheWay: Int { 64 }

    /// What a local transaction does about clocks that wait, before it adds its own: nothing, a step, or, if they would be too many, all.
    func makeRoom(rows: Int) throws(StoreError) {
        if overlay.weight + rows > unfoldedLimit || overlay.bytes.count > Self.unfoldedBytes {
            try clocks.fold()
        } else if overlay.pass != nil || overlay.weight > unfoldedLimit / 2 || overlay.bytes.count > Self.unfoldedBytes / 2 {
            _ = try clocks.foldStep(max(Self.foldedByTheWay, 2 * rows))
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
