import PatinaProtocol

/// Versions that wait for the schema. Their chunks are buffered like those of versions in part, so that the ledger knows that they are
/// here: sync does not bring them again, and others can have them from us, byte for byte. What they wait for is a table or column that
/// we do not have yet, or the cells of one that the peer which they came from has dropped and we have not.
extension Store {
    /// Versions that wait for the schema, or for cells that a peer had dropped.
    public var waitingVersions: Int { waiting.versions }
    /// Bytes of their chunks.
    public var waitingBytes: Int { waiting.bytes }

    /// The sequence numbers that a chunk accounts for; nil: all of its range. A chunk that may lack cells which we want accounts for those
    /// that it has, so that the others are still asked for. Refuses a chunk that accounts for nothing.
    func claimed(by changeset: Changeset, of id: ChunkID) throws(MergeFailure) -> IntervalSet? {
        let wanted = changeset.omittedNames.filter { catalog.has($0) }
        guard let first = wanted.first else { return nil }
        var claimed = IntervalSet()
        for row in changeset.rows {
            // In a table with columns such a sentinel stands for a cell that was dropped (`Table.current`).
            let isStandIn =
                row.causalLength == 1 && !(catalog.table(named: changeset.tables[row.table].name)?.columns.isEmpty ?? true)
            if let sentinel = row.sentinel, !isStandIn { claimed.insert(sentinel.sequence...sentinel.sequence) }
            for cell in row.cells { claimed.insert(cell.sequence...cell.sequence) }
        }
        claimed = claimed.intersection(IntervalSet(id.sequences))
        guard claimed.isEmpty else { return claimed }
        let name = first.column.isEmpty ? "table \(first.table)" : "column \(first.table).\(first.column)"
        throw .refused("the peer has dropped \(name), of which cells are wanted here")
    }

    /// Counts a chunk that is about to be buffered, if its version waits, or begins to. Refuses it over the bounds.
    func countWaiting(_ chunk: Chunk, site: Int, reason: String?) throws(MergeFailure) {
        do throws(StoreError) {
            let known = waiting.versions > 0 ? try SchemaBookkeeping.waitingBytes(connection, site: site, version: chunk.id.version) : nil
            guard reason != nil || known != nil else { return }
            let fits =
                waiting.bytes + chunk.body.count <= options.limits.waitingBytes
                && (known != nil || waiting.versions < options.limits.waitingVersions)
            guard fits else {
                throw .statementRefused(
                    message: "\(reason ?? "its version waits for the schema"); \(waiting.versions) versions wait already", sql: "")
            }
            try SchemaBookkeeping.setWaiting(
                connection, site: site, version: chunk.id.version, bytes: (known ?? 0) + chunk.body.count)
            waiting.bytes += chunk.body.count
            if known == nil { waiting.versions += 1 }
        } catch {
            if case .statementRefused(let message, _) = error { throw .refused(message) }
            throw .store(error)
        }
    }

    /// The versions are complete, or empty.
    func stopWaiting(_ site: Int, _ versions: ClosedRange<UInt64>) throws(StoreError) {
        guard waiting.versions > 0 else { return }
        try SchemaBookkeeping.deleteWaiting(connection, site: site, versions)
        waiting = try SchemaBookkeeping.readWaitingTotals(connection)
    }

    /// Remembers what a version that has just been merged lacks, so that it is not served as if it were whole. What we had not heard of
    /// before is taken as dropped from now on: the schema that has lost it is the newer one.
    func noteLost(_ names: Set<DroppedName>, site: Int, version: UInt64) throws(StoreError) {
        guard !names.isEmpty else { return }
        for name in names.sorted() {
            let id = try SchemaBookkeeping.noteDropped(connection, name, active: !catalog.has(name))
            if !catalog.has(name), catalog.dropped.insert(name).inserted { upkeepState.schemaChanged() }
            try SchemaBookkeeping.addThin(connection, dropped: id, site: site, version...version, table: 0)
        }
    }
}

extension ApplyBatch {
    /// Merges a version that waits, if the schema fits it by now. Otherwise what its chunks account for may have grown.
    mutating func retry(site: Int, version: UInt64) throws(StoreError) {
        let actor = store.sites.actors[site]
        let pieces = try Bookkeeping.readBuffered(store.connection, site: site, actor: actor, version...version, withBodies: true)
        guard let last = pieces.last?.chunk else { return }
        do throws(MergeFailure) {
            var assembled = AssembledVersion()
            var received = IntervalSet()
            var unknown: String?
            for piece in pieces {
                let changeset = try Self.decode(piece.chunk)
                var claimed = piece.claimed
                if claimed != nil, !changeset.omittedNames.contains(where: { store.catalog.has($0) }) {
                    // What the chunk lacks is not wanted here any more.
                    claimed = nil
                    try inStore { () throws(StoreError) in try Bookkeeping.bufferChunk(store.connection, site: site, piece.chunk) }
                    store.ledger.apply(.buffered(piece.chunk.id))
                    changes.append(.buffered(piece.chunk.id))
                }
                for range in claimed?.ranges ?? [piece.chunk.id.sequences] { received.insert(range) }
                unknown =
                    try assembled.addKnown(changeset, of: piece.chunk.id, catalog: store.catalog, isWhole: claimed == nil) ?? unknown
            }
            guard unknown == nil, received.contains(0...last.id.lastSequence) else { return }
            try finish(&assembled, last, site, hadPartial: true)
        } catch {
            // It goes on waiting; a constraint that fails may hold once the schema changes again.
            if case .store(let error) = error { throw error }
        }
    }
}
