import CSQLite
import PatinaProtocol

extension Store {
    /// Merges or buffers chunks from peers and notes empty versions, all in one transaction, or in none when everything is known.
    func apply(_ chunks: [Chunk], _ empties: [EmptyVersions]) throws(StoreError) -> StoreResult {
        var batch = ApplyBatch(store: self, usesSavepoints: false)
        let news = chunks.filter { !ledger.contains($0.id) }
        let emptied = empties.compactMap(clamped).filter { !isKnown($0) }
        if news.isEmpty, emptied.isEmpty { return .applied(changes: [], refused: []) }
        do throws(StoreError) {
            return try commit(&batch, news, emptied)
        } catch {
            guard case .constraintFailed = batch.outcome else { throw error }
            // Rows of one chunk break a constraint of ours. Again, with a savepoint around each version, to keep the others.
            batch = ApplyBatch(store: self, usesSavepoints: true)
            return try commit(&batch, news, emptied)
        }
    }

    private func commit(_ batch: inout ApplyBatch, _ chunks: [Chunk], _ empties: [EmptyVersions]) throws(StoreError) -> StoreResult {
        var (isPostponed, isFoundByRows) = (false, false)
        let result = try write(changesMemory: true) { () throws(StoreError) in
            context.setCapturing(false)
            let before = writtenRows
            var rest = chunks[...]
            while let chunk = rest.first {
                // The pieces of a version mostly come one behind the other.
                let pieces = rest.prefix { $0.id.actor == chunk.id.actor && $0.id.version == chunk.id.version }
                rest = rest.dropFirst(pieces.count)
                if try batch.applyTogether(pieces) { continue }
                for piece in pieces { try batch.apply(piece) }
            }
            for empty in empties { try batch.apply(empty) }
            // Nothing but knowledge: the transaction ends without a write.
            isPostponed = writtenRows == before && batch.isPostponable && postponed.count < PostponedRanges.limit
            // Or all that became complete can be told from its rows: a page less to touch.
            isFoundByRows = !isPostponed && batch.isPostponable && batch.allHaveRows && postponed.isEmpty && areFoundByRows(batch.completed)
            if !isPostponed, !isFoundByRows {
                try batch.writeRanges()
                if foundByRow >= Self.foundByRowLimit / 2 {
                    try writeRangesPastEnds()
                    foundByRow = 0
                }
            }
            context.setCapturing(true)
            return StoreResult.applied(changes: batch.changes, refused: batch.refused)
        }
        if isFoundByRows { leaveToRows(batch.completed) }
        if isPostponed { postponed.add(batch.completed) } else { postponed = PostponedRanges() }
        return result
    }

    /// Cuts what a peer says to the version numbers that exist.
    private func clamped(_ empty: EmptyVersions) -> EmptyVersions? {
        let (first, last) = (max(empty.versions.lowerBound, 1), min(empty.versions.upperBound, Bookkeeping.lastVersion))
        return first <= last ? EmptyVersions(actor: empty.actor, versions: first...last) : nil
    }

    private func isKnown(_ empty: EmptyVersions) -> Bool { ledger[empty.actor]?.incomplete(in: empty.versions).isEmpty ?? false }
}

/// One `apply` operation on its way: works within an open transaction and changes the store's ledger as it goes. When the transaction
/// fails, the store reads its memory anew.
struct ApplyBatch {
    enum Outcome { case open, constraintFailed }

    let store: Store
    let usesSavepoints: Bool
    var changes: [LedgerChange] = []
    private(set) var refused: [RefusedChunk] = []
    private(set) var outcome = Outcome.open
    /// The versions that became complete, by site, in ascending order of site.
    private(set) var completed: [(site: Int, versions: IntervalSet)] = []
    /// Each of them has a row.
    private(set) var allHaveRows = true

    init(store: Store, usesSavepoints: Bool) {
        self.store = store
        self.usesSavepoints = usesSavepoints
    }

    /// Merges a version of which all pieces are there at once, without buffering any of them. False, and nothing happened, when that is not
    /// the plain case: the pieces are then to be applied one by one.
    mutating func applyTogether(_ pieces: ArraySlice<Chunk>) throws(StoreError) -> Bool {
        guard !usesSavepoints, let last = pieces.last, last.id.version <= Bookkeeping.lastVersion,
            last.id.lastSequence < CellRun.counterLimit, store.ledger[last.id.actor]?.partials[last.id.version] == nil,
            pieces.allSatisfy({ $0.id.lastSequence == last.id.lastSequence && !store.ledger.contains($0.id) })
        else { return false }
        var received = IntervalSet()
        for piece in pieces { received.insert(piece.id.sequences) }
        guard received.contains(0...last.id.lastSequence) else { return false }
        let inserted = InsertedRows(pieces, catalog: store.catalog)
        guard inserted != nil || pieces.count > 1 else { return false }
        do throws(MergeFailure) {
            var assembled = AssembledVersion()
            // Decoded only when it must be.
            if inserted == nil, !assemble(pieces, &assembled) { return false }
            let site = try inStore { () throws(StoreError) in try store.sites.makeOrdinal(of: last.id.actor, store.connection) }
            if let inserted {
                try finish(inserted, pieces, last, site)
            } else {
                try finish(&assembled, last, site, hadPartial: false)
            }
            return true
        } catch {
            switch error {
            case .store(let error): throw error
            case .refused(let reason), .unknown(let reason), .constraint(let reason):
                // Rows were written: from the start again, with savepoints and one by one.
                outcome = .constraintFailed
                throw .statementRefused(message: reason, sql: "")
            }
        }
    }

    /// Puts the pieces of a version together. False when they are not the plain case.
    private func assemble(_ pieces: ArraySlice<Chunk>, _ assembled: inout AssembledVersion) -> Bool {
        do throws(MergeFailure) {
            for piece in pieces {
                let changeset = try Self.decode(piece)
                guard try store.claimed(by: changeset, of: piece.id) == nil else { return false }
                try assembled.add(changeset, of: piece.id, catalog: store.catalog, isWhole: true)
            }
            return true
        } catch {
            return false
        }
    }

    mutating func apply(_ chunk: Chunk) throws(StoreError) {
        // Also when an earlier chunk of the batch brought it.
        if store.ledger.contains(chunk.id) { return }
        do throws(MergeFailure) {
            try merge(chunk)
        } catch {
            switch error {
            case .refused(let reason), .unknown(let reason): refused.append(RefusedChunk(id: chunk.id, reason: reason))
            case .constraint(let reason):
                guard usesSavepoints else {
                    outcome = .constraintFailed
                    throw .statementRefused(message: reason, sql: "")
                }
                refused.append(RefusedChunk(id: chunk.id, reason: reason))
            case .store(let error): throw error
            }
        }
    }

    mutating func apply(_ empty: EmptyVersions) throws(StoreError) {
        let entry = store.ledger[empty.actor]
        guard !(entry?.incomplete(in: empty.versions).isEmpty ?? false) else { return }
        let site = try store.sites.makeOrdinal(of: empty.actor, store.connection)
        let hasPartials = entry?.partials.keys.contains { empty.versions.contains($0) } ?? false
        if hasPartials {
            try Bookkeeping.deleteChunks(store.connection, site: site, empty.versions)
            try store.stopWaiting(site, empty.versions)
        }
        complete(empty.actor, site, empty.versions, hasRow: false)
    }

    /// Writes the ranges of complete versions that grew, now or earlier.
    func writeRanges() throws(StoreError) { try store.writeRanges(of: PostponedRanges.union(store.postponed.sites, completed)) }

    /// Our own versions decide about the numbers of those to come.
    var isPostponable: Bool { !completed.isEmpty && completed.allSatisfy { $0.site != store.ownSite } }

    private mutating func complete(_ actor: ActorID, _ site: Int, _ versions: ClosedRange<UInt64>, hasRow: Bool) {
        if !hasRow { allHaveRows = false }
        store.ledger.apply(.completed(actor, versions: versions))
        changes.append(.completed(actor, versions: versions))
        if let index = completed.firstIndex(where: { $0.site == site }) {
            completed[index].versions.insert(versions)
        } else {
            completed.append((site, IntervalSet(versions)))
        }
    }

    // MARK: One chunk

    private mutating func merge(_ chunk: Chunk) throws(MergeFailure) {
        let id = chunk.id
        guard id.version <= Bookkeeping.lastVersion else {
            throw .refused("version \(id.version) is over the limit of \(Bookkeeping.lastVersion)")
        }
        guard id.lastSequence < CellRun.counterLimit else { throw .refused("sequence number \(id.lastSequence) is over the limit") }
        let partial = store.ledger[id.actor]?.partials[id.version]
        if let partial, partial.lastSequence != id.lastSequence {
            throw .refused("other chunks say that the version ends at sequence number \(partial.lastSequence)")
        }
        let changeset = try Self.decode(chunk)
        let claimed = try store.claimed(by: changeset, of: id)
        var received = partial?.received ?? IntervalSet()
        for range in claimed?.ranges ?? [id.sequences] { received.insert(range) }
        var assembled = AssembledVersion()
        var unknown = try assembled.addKnown(changeset, of: id, catalog: store.catalog, isWhole: claimed == nil)
        let site = try inStore { () throws(StoreError) in try store.sites.makeOrdinal(of: id.actor, store.connection) }
        if unknown == nil, received.contains(0...id.lastSequence), partial != nil, !(id.isComplete && claimed == nil) {
            let buffered = try inStore { () throws(StoreError) in
                try Bookkeeping.readBuffered(store.connection, site: site, actor: id.actor, id.version...id.version, withBodies: true)
            }
            for piece in buffered where unknown == nil {
                unknown = try assembled.addKnown(
                    try Self.decode(piece.chunk), of: piece.chunk.id, catalog: store.catalog, isWhole: piece.claimed == nil)
            }
        }
        if let unknown {
            try hold(chunk, claimed, site, waitsFor: unknown)
            return
        }
        guard received.contains(0...id.lastSequence) else {
            try hold(chunk, claimed, site, waitsFor: claimed == nil ? nil : "cells that the peer has dropped")
            return
        }
        try finish(&assembled, chunk, site, hadPartial: partial != nil)
    }

    /// Merges a version of which everything is there.
    mutating func finish(_ assembled: inout AssembledVersion, _ chunk: Chunk, _ site: Int, hadPartial: Bool) throws(MergeFailure) {
        let version = chunk.id.version
        var hasRow = false
        try withSavepoint { (batch: inout ApplyBatch) throws(MergeFailure) in
            hasRow = try batch.merge(&assembled, chunk, site, hadPartial: hadPartial)
        }
        try inStore { () throws(StoreError) in
            if hadPartial { try store.stopWaiting(site, version...version) }
            try store.noteLost(assembled.lost, site: site, version: version)
        }
        complete(chunk.id.actor, site, version...version, hasRow: hasRow)
        store.clock.observe(chunk.timestamp, wall: store.options.wallClock())
    }

    /// Merges a version of inserted rows: without decoding it, unless one of the rows is there already.
    private mutating func finish(_ inserted: InsertedRows, _ pieces: ArraySlice<Chunk>, _ last: Chunk, _ site: Int) throws(MergeFailure) {
        var merger = RowMerger(catalog: store.catalog, clocks: store.clocks, site: site, version: last.id.version)
        merger.reversesTies = store.options.reversesTies
        merger.window = store.tombstoneWindow(written: last.timestamp)
        let done = try merger.insert(inserted)
        if done < inserted.rows.count {
            var assembled = AssembledVersion()
            guard assemble(pieces, &assembled) else { throw .refused("the chunks of a version do not fit each other") }
            // A key that comes twice was put together: then the rows that are inserted meet themselves, which changes nothing.
            let rest = assembled.rows.count == inserted.rows.count ? assembled.rows[done...] : assembled.rows[...]
            for row in rest { try merger.merge(row.change, into: row.table, key: row.key, existence: row.existence) }
        }
        if !merger.keys.isEmpty { try writeVersion(merger, last, site, rows: inserted.rows.count) }
        complete(last.id.actor, site, last.id.version...last.id.version, hasRow: !merger.keys.isEmpty)
        store.clock.observe(last.timestamp, wall: store.options.wallClock())
    }

    /// Writes the row of a merged version, and the pages of its key list if it has so many rows.
    private func writeVersion(_ merger: RowMerger, _ chunk: Chunk, _ site: Int, rows: Int) throws(MergeFailure) {
        try inStore { () throws(StoreError) in
            var stored = StoredVersion(
                actor: chunk.id.actor, site: site, version: chunk.id.version, timestamp: chunk.timestamp,
                lastSequence: chunk.id.lastSequence, keys: merger.keys.finish())
            if rows > KeyPages.rowLimit { stored.keys = try KeyPages.write(stored, clocks: store.clocks) }
            try Bookkeeping.insertVersion(
                store.connection, site: site, version: stored.version, timestamp: stored.timestamp, lastSequence: stored.lastSequence,
                keys: stored.keys)
        }
    }

    /// Keeps a chunk until the rest of its version, or the schema for it, is there.
    private mutating func hold(_ chunk: Chunk, _ claimed: IntervalSet?, _ site: Int, waitsFor reason: String?) throws(MergeFailure) {
        try store.countWaiting(chunk, site: site, reason: reason)
        try inStore { () throws(StoreError) in
            try Bookkeeping.bufferChunk(store.connection, site: site, chunk, claimed: claimed)
        }
        for change in chunk.id.changes(claiming: claimed) {
            store.ledger.apply(change)
            changes.append(change)
        }
    }

    /// True when the version got a row.
    private func merge(_ version: inout AssembledVersion, _ chunk: Chunk, _ site: Int, hadPartial: Bool) throws(MergeFailure) -> Bool {
        version.sortForMerge()
        var merger = RowMerger(catalog: store.catalog, clocks: store.clocks, site: site, version: chunk.id.version)
        merger.reversesTies = store.options.reversesTies
        merger.window = store.tombstoneWindow(written: chunk.timestamp)
        for row in version.rows { try merger.merge(row.change, into: row.table, key: row.key, existence: row.existence) }
        if hadPartial {
            try inStore { () throws(StoreError) in
                try Bookkeeping.deleteChunks(store.connection, site: site, chunk.id.version...chunk.id.version)
            }
        }
        // A version that lost every cell has nothing to serve: it is complete, and empty.
        let hasRow = !merger.keys.isEmpty || !version.lost.isEmpty
        if hasRow { try writeVersion(merger, chunk, site, rows: version.rows.count) }
        return hasRow
    }

    private mutating func withSavepoint(_ body: (inout ApplyBatch) throws(MergeFailure) -> Void) throws(MergeFailure) {
        guard usesSavepoints else { return try body(&self) }
        let changes = store.overlay.changes
        try inStore { () throws(StoreError) in try store.connection.statement("SAVEPOINT one_version").run() }
        do throws(MergeFailure) {
            try body(&self)
        } catch {
            try inStore { () throws(StoreError) in
                try store.connection.statement("ROLLBACK TO one_version").run()
                try store.connection.statement("RELEASE one_version").run()
                try store.restoreClocks(changes: changes)
            }
            throw error
        }
        try inStore { () throws(StoreError) in try store.connection.statement("RELEASE one_version").run() }
    }

    static func decode(_ chunk: Chunk) throws(MergeFailure) -> Changeset {
        do { return try ChangesetCodec.decode(chunk.body) } catch { throw .refused(error.reason) }
    }

    func inStore<Result>(_ body: () throws(StoreError) -> Result) throws(MergeFailure) -> Result {
        do { return try body() } catch { throw .store(error) }
    }
}

extension LedgerEntry {
    /// The range of complete versions that a complete version lies in.
    func completeRange(holding version: UInt64) -> ClosedRange<UInt64> {
        if version <= contiguous { return 1...contiguous }
        guard let range = beyond.ranges.first(where: { $0.contains(version) }) else {
            preconditionFailure("version \(version) is complete")
        }
        return range
    }
}
