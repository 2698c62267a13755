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
        let ends = writtenEnds
        do throws(StoreError) {
            try write { () throws(StoreError) in try writeRanges(of: postponed.sites) }
        } catch {
            writtenEnds = ends
            throw error
        }
        postponed = PostponedRanges()
    }

    /// Writes the ranges of complete versions that these lie in, as the ledger knows them.
    func writeRanges(of completed: [(site: Int, versions: IntervalSet)]) throws(StoreError) {
        for (site, versions) in completed {
            guard let entry = ledger[sites.actors[site]] else { continue }
            // Ranges may lag behind; they must not once a version beyond them is written.
            var end = UInt64.max
            if site == ownSite {
                try writeOwnRanges()
            } else {
                end = writtenEnd(of: site)
                if let last = versions.max, last > end { try writeRangesPastEnd(of: site, entry) }
            }
            var written: UInt64 = 0
            for range in versions.ranges where range.upperBound > written && range.upperBound <= end {
                let whole = entry.completeRange(holding: range.upperBound)
                try Bookkeeping.writeRange(connection, site: site, whole)
                written = whole.upperBound
            }
        }
    }

    // MARK: Versions that are found by their rows

    /// So many versions of other actors lie past the written ranges at most, and are found by their rows when the database is opened.
    static var foundByRowLimit: Int { 512 }

    /// True when these versions, which have rows, need no range yet: all lie past what is written of their sites, as
    /// `Bookkeeping.readComplete` expects, and not too many do.
    func areFoundByRows(_ completed: [(site: Int, versions: IntervalSet)]) -> Bool {
        var count = foundByRow
        for (site, versions) in completed {
            guard let first = versions.ranges.first?.lowerBound, first > writtenEnd(of: site) else { return false }
            for range in versions.ranges { count += Int(clamping: range.upperBound - range.lowerBound + 1) }
            if count > Self.foundByRowLimit { return false }
        }
        return true
    }

    /// Notes versions whose ranges are not written.
    func leaveToRows(_ completed: [(site: Int, versions: IntervalSet)]) {
        for (_, versions) in completed {
            for range in versions.ranges { foundByRow += Int(clamping: range.upperBound - range.lowerBound + 1) }
        }
    }

    /// Versions of other actors past the written ranges, as far as the ledger goes.
    func countPastEnds() -> Int {
        var count: UInt64 = 0
        for (site, actor) in sites.actors.enumerated() where site != ownSite {
            guard let entry = ledger[actor] else { continue }
            let end = writtenEnd(of: site)
            count += max(entry.contiguous, end) - end
            for range in entry.beyond.ranges where range.lowerBound > end { count += range.upperBound - range.lowerBound + 1 }
        }
        return Int(clamping: count)
    }

    /// Writes, for each other actor, the ranges past those that are written.
    func writeRangesPastEnds() throws(StoreError) {
        for (site, actor) in sites.actors.enumerated() where site != ownSite {
            if let entry = ledger[actor] { try writeRangesPastEnd(of: site, entry) }
        }
    }

    private func writeRangesPastEnd(of site: Int, _ entry: LedgerEntry) throws(StoreError) {
        let end = writtenEnd(of: site)
        var last = end
        if entry.contiguous > end {
            try Bookkeeping.writeRange(connection, site: site, 1...entry.contiguous)
            last = entry.contiguous
        }
        for range in entry.beyond.ranges where range.upperBound > end {
            try Bookkeeping.writeRange(connection, site: site, range)
            last = range.upperBound
        }
        if site >= writtenEnds.count { writtenEnds += Array(repeating: 0, count: site + 1 - writtenEnds.count) }
        writtenEnds[site] = last
    }

    private func writtenEnd(of site: Int) -> UInt64 { site < writtenEnds.count ? writtenEnds[site] : 0 }

    /// Rows that the connection has written so far.
    var writtenRows: Int64 { sqlite3_total_changes64(connection.handle) }
}
