import CSQLite
import PatinaProtocol

/// What a store does when nobody waits for it.
public enum MaintenanceTask: Hashable, Sendable, CaseIterable {
    /// Brings the clocks that local versions left in their logs into their tables (`docs/crdt.md`, "Clocks that are not folded yet").
    case clocks
    /// Removes tombstones that are older than `StoreOptions.tombstoneRetention`.
    case tombstones
    /// Removes the key lists of versions of which nothing is left.
    case keyLists
    /// Gives free pages back to the file system.
    case vacuum
    /// Writes down which versions are known although nothing of them won.
    case ledger
}

/// Where a pass over the database stands. In memory only: a pass that is cut short begins again.
struct MaintenanceCursor {
    /// The table and key behind which tombstones have not been looked at.
    var tombstone: (table: Int64, key: [UInt8])?
    /// The version behind which key lists have not been looked at, and how many rows of the next one have been.
    var version: (id: Int64, rows: Int) = (-1, 0)
}

extension Store {
    /// Rows, versions or tombstones that one step looks at.
    static var maintenanceRows: Int { 256 }
    /// Free pages that are kept for what comes next, and pages that one step gives back.
    static var keptFreePages: Int64 { 256 }
    static var vacuumPages: Int64 { 64 }

    /// Does one bounded step of a task: a few hundred rows or pages, and at most one commit. Deterministic; the age of things is told by
    /// `StoreOptions.wallClock`.
    ///
    /// - Returns: true when there is more to do at once; false when the pass is over, and the next one may wait.
    public func maintain(_ task: MaintenanceTask) throws(StoreError) -> Bool {
        try checkUsable()
        do throws(StoreError) {
            switch task {
            case .clocks: return try foldClocks(rows: Self.maintenanceRows)
            case .tombstones: return try collectTombstones()
            case .keyLists: return try removeKeyLists()
            case .vacuum: return try vacuum()
            case .ledger:
                try writePostponedRanges()
                return false
            }
        } catch {
            note(error)
            throw error
        }
    }

    // MARK: Free pages

    private func vacuum() throws(StoreError) -> Bool {
        let free = try connection.integer("PRAGMA freelist_count")
        guard free > Self.keptFreePages else { return false }
        try connection.execute("PRAGMA incremental_vacuum(\(min(free - Self.keptFreePages, Self.vacuumPages)))")
        // A database that was not made by us may not know how.
        let left = try connection.integer("PRAGMA freelist_count")
        return left < free && left > Self.keptFreePages
    }

    // MARK: Key lists

    private func removeKeyLists() throws(StoreError) -> Bool {
        var budget = Self.maintenanceRows
        var superseded: [Int64] = []
        let statement = try connection.statement(
            "SELECT id, timestamp, last_sequence, keys FROM __patina_versions WHERE id > ?1 ORDER BY id LIMIT ?2")
        try statement.bind(1, maintenance.version.id)
        try statement.bind(2, budget)
        var isAtEnd = true
        while try statement.step() {
            guard budget > 0 else {
                statement.reset()
                isAtEnd = false
                break
            }
            let id = statement.integer(0)
            let site = Int(id >> Int64(Bookkeeping.versionBits))
            let version = Bookkeeping.version(ofID: id)
            // The newest version of an actor tells how far its clock had come, and one that is not folded has the only clocks of its rows.
            let isFolded = site != ownSite || id <= overlay.folded
            if isFolded, site < sites.count, ledger.head(of: sites.actors[site]) != version {
                let stored = StoredVersion(
                    actor: sites.actors[site], site: site, version: version, timestamp: HybridTimestamp(ntp64: statement.unsigned(1)),
                    lastSequence: statement.unsigned(2), keys: statement.blob(3))
                switch try isSuperseded(stored, from: maintenance.version.rows, budget: &budget) {
                case .yes: superseded.append(id)
                case .no: break
                case .unknown(let rows):
                    statement.reset()
                    maintenance.version.rows = rows
                    try remove(superseded)
                    return true
                }
            }
            budget -= 1
            maintenance.version = (id, 0)
        }
        try remove(superseded)
        if isAtEnd, budget > 0 {
            maintenance.version = (-1, 0)
            return false
        }
        return true
    }

    private enum Superseded {
        case yes, no
        /// The budget ended after so many rows, or before this sequence number where there are pages; nothing is left so far.
        case unknown(rows: Int)
    }

    private func isSuperseded(_ stored: StoredVersion, from first: Int, budget: inout Int) throws(StoreError) -> Superseded {
        if KeyPages.isHead(stored.keys) { return try isSupersededPage(stored, from: first, budget: &budget) }
        var listed: [(table: Int64, row: ListedRow)] = []
        let last = first + max(1, budget)
        var count = 0
        do {
            try KeyList.forEach(stored.keys, in: catalog) { table, row in
                if count >= first, count < last { listed.append((table, row)) }
                count += 1
            }
        } catch {
            // Not ours to judge: `verify` names it.
            return .no
        }
        budget -= listed.count
        var part = KeyListBuilder()
        for entry in listed {
            guard let table = catalog.table(withID: entry.table) else { return .no }
            part.add(entry.row, of: table)
        }
        var rest = stored
        rest.keys = part.finish()
        // What may lack something that was dropped is not empty to a node that still has it; `VersionRows` knows.
        let thin = try ThinVersions(connection, site: stored.site, stored.version)
        guard try VersionRows(rest, clocks: clocks, thin: thin).isEmpty else { return .no }
        return count > last ? .unknown(rows: last) : .yes
    }

    /// The same of a version with pages, one page at a time: `first` is a sequence number.
    private func isSupersededPage(_ stored: StoredVersion, from first: Int, budget: inout Int) throws(StoreError) -> Superseded {
        guard let page = try KeyPages.page(connection, stored, holding: UInt64(first)) else { return .no }
        budget -= KeyPages.pageRows
        var part = stored
        part.keys = page.keys
        guard try VersionRows(part, clocks: clocks, thin: nil, within: page.sequences).isEmpty else { return .no }
        if page.sequences.upperBound < stored.lastSequence { return .unknown(rows: Int(page.sequences.upperBound) + 1) }
        do {
            guard try ThinVersions(connection, site: stored.site, stored.version).omitted(stored, in: catalog).isEmpty else { return .no }
        } catch let error as StoreError {
            throw error
        } catch {
            return .no
        }
        return .yes
    }

    /// A complete version without a row is empty. It must be in a range for that.
    private func remove(_ versions: [Int64]) throws(StoreError) {
        guard !versions.isEmpty else { return }
        let (ends, found) = (writtenEnds, foundByRow)
        var isWritten = false
        defer { if !isWritten { (writtenEnds, foundByRow) = (ends, found) } }
        try write { () throws(StoreError) in
            try writeOwnRanges()
            if foundByRow > 0 {
                try writeRangesPastEnds()
                foundByRow = 0
            }
            let delete = try connection.statement("DELETE FROM __patina_versions WHERE id = ?1")
            for id in versions {
                try delete.bind(1, id)
                try delete.run()
                try KeyPages.delete(connection, id: id)
            }
        }
        isWritten = true
    }
}
