import CSQLite
import PatinaProtocol

/// Versions that are complete although nothing of them was written, because nothing of them won: known in memory, and written to
/// `__patina_ledger` with the next merge that writes anything, or after a while. A crash in between loses nothing but the knowledge: sync
/// brings the versions again, and they lose again.
struct PostponedRanges {
    /// In ascending order of site.
    private(set) var sites: [(site: Int, versions: IntervalSet)] = []
    /// Additions since the last time that they were written.
    private(set) var count = 0

    /// So many additions are written at the latest.
    static let limit = 64

    var isEmpty: Bool { sites.isEmpty }

    mutating func add(_ completed: [(site: Int, versions: IntervalSet)]) {
        count += 1
        sites = Self.union(sites, completed)
    }

    static func union(
        _ left: [(site: Int, versions: IntervalSet)], _ right: [(site: Int, versions: IntervalSet)]
    ) -> [(site: Int, versions: IntervalSet)] {
        var result = left
        for (site, versions) in right {
            if let index = result.firstIndex(where: { $0.site == site }) {
                for range in versions.ranges { result[index].versions.insert(range) }
            } else {
                result.append((site, versions))
            }
        }
        return result.sorted { $0.site < $1.site }
    }
}

extension Store {
    /// Writes what is known of versions of which nothing won. Does nothing when there is nothing of the kind.
    func writePostponedRanges() throws(StoreError) {
        guard !postponed.isEmpty else { return }
        try write { () throws(StoreError) in try writeRanges(of: postponed.sites) }
        postponed = PostponedRanges()
    }

    /// Writes the ranges of complete versions that these lie in, as the ledger knows them.
    func writeRanges(of completed: [(site: Int, versions: IntervalSet)]) throws(StoreError) {
        for (site, versions) in completed {
            guard let entry = ledger[sites.actors[site]] else { continue }
            // The ranges of our own actor may lag behind; they must not once a version beyond them is written.
            if site == ownSite { try writeOwnRanges() }
            var written: UInt64 = 0
            for range in versions.ranges where range.upperBound > written {
                let whole = entry.completeRange(holding: range.upperBound)
                try Bookkeeping.writeRange(connection, site: site, whole)
                written = whole.upperBound
            }
        }
    }

    /// Rows that the connection has written so far.
    var writtenRows: Int64 { sqlite3_total_changes64(connection.handle) }
}
