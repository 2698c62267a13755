import PatinaProtocol

/// The simulator's own record of what was acknowledged, kept outside of the stores: what `no-acked-write-lost` compares them with.
///
/// Verified for every node that is up at the end:
/// - every acknowledged version, also one of a node that is down for ever, is complete in its ledger;
/// - every cell holds a value that an acknowledged write put there, or the column's default;
/// - that write is the last one by its own node to that cell: a node's later write or deletion always wins over its earlier ones;
/// - a row that was written and is absent was deleted by a node that has not written it again since;
/// - a counter is at least what any one node added to it, and at most what all added together. More cannot be said: the last writer
///   wins, so increments that did not know of each other are lost, and that is no mistake of the merge.
///
/// A transaction that the storage refused at its commit may be there after a restart or may not: nobody was told either way. What it
/// wrote is accepted, and not asked for.
///
/// Not verified, because no record outside of the merge can know it: which of several concurrent writes by different nodes has to win.
/// That all nodes agree on the winner is what `converged` says; that it is the right one is tested against recorded vectors.
/// Rows of tables that no workload writes are not looked at.
struct AcknowledgedWrites {
    struct Entry {
        let host: Int
        /// Nil: nobody knows whether it was committed.
        let version: UInt64?
        let write: RowWrite

        var isCertain: Bool { version != nil }
        var isDeletion: Bool { write.kind == .delete }
    }

    private struct RowKey: Hashable {
        let table: Int
        let key: UInt64
    }

    /// Acknowledged versions by host.
    private(set) var versions: [Int: (actor: ActorID, versions: IntervalSet)] = [:]
    private var rows: [RowKey: [Entry]] = [:]
    /// Rows that nothing is said of.
    private var exempted: Set<RowKey> = []

    /// Notes a transaction. Versions of one host come in ascending order.
    mutating func record(host: Int, actor: ActorID, version: UInt64, rows written: [RowWrite]) {
        versions[host, default: (actor, IntervalSet())].versions.insert(version)
        for write in written {
            self.rows[RowKey(table: write.table, key: write.key), default: []].append(Entry(host: host, version: version, write: write))
        }
    }

    /// Takes rows out of the judgement: nobody knows whether these writes happened.
    mutating func exempt(_ writes: [RowWrite]) {
        for write in writes { exempted.insert(RowKey(table: write.table, key: write.key)) }
    }

    /// Notes a transaction of which nobody knows whether it was committed.
    mutating func recordUncertain(host: Int, rows written: [RowWrite]) {
        for write in written {
            rows[RowKey(table: write.table, key: write.key), default: []].append(Entry(host: host, version: nil, write: write))
        }
    }

    /// The first acknowledged version that a ledger does not have in full; nil when it has all.
    func missing(from ledger: VersionLedger, onlyHost: Int? = nil) -> String? {
        for host in versions.keys.sorted() where onlyHost == nil || host == onlyHost {
            guard let (actor, versions) = versions[host] else { continue }
            let lacking = versions.subtracting(ledger[actor]?.complete ?? IntervalSet())
            if !lacking.isEmpty { return "acknowledged versions \(lacking) of node:\(host)" }
        }
        return nil
    }

    /// Looks at the rows of one table as one node has them: the key number, and the mark of each value column.
    ///
    /// - Returns: what is wrong with the first wrong row; nil when all are right.
    func wrong(table: Int, rows present: [(key: UInt64, marks: [UInt64])]) -> String? {
        var seen: Set<UInt64> = []
        for (key, marks) in present {
            seen.insert(key)
            guard !exempted.contains(RowKey(table: table, key: key)) else { continue }
            let entries = rows[RowKey(table: table, key: key)] ?? []
            if case .count(let column)? = entries.first?.write.kind {
                // Nothing else writes such a table.
                if let problem = wrongCount(marks[column], entries: entries) { return "key \(key): \(problem)" }
                continue
            }
            for (column, mark) in marks.enumerated() where mark != 0 {
                if let problem = wrong(mark: mark, column: column, entries: entries) { return "key \(key), column \(column): \(problem)" }
            }
        }
        // unordered: sorted before it is looked at.
        let written = rows.keys.filter { $0.table == table && !seen.contains($0.key) && !exempted.contains($0) }.map(\.key).sorted()
        for key in written {
            let entries = rows[RowKey(table: table, key: key)] ?? []
            let isExplained = entries.indices.contains { index in
                entries[index].isDeletion
                    && !entries[(index + 1)...].contains { $0.host == entries[index].host && $0.isCertain && !$0.isDeletion }
            }
            if !isExplained, let last = entries.last(where: { $0.isCertain && !$0.isDeletion }) {
                return "key \(key) is gone, though nobody deleted it after write \(last.write.number), "
                    + "version \(last.version ?? 0) of node:\(last.host)"
            }
        }
        return nil
    }

    private func wrong(mark: UInt64, column: Int, entries: [Entry]) -> String? {
        guard let index = entries.firstIndex(where: { $0.write.number == mark }), writes(entries[index], column) else {
            return "holds write \(mark), which nobody was told had succeeded"
        }
        let origin = entries[index]
        let later = entries[(index + 1)...].first { $0.host == origin.host && $0.isCertain && ($0.isDeletion || writes($0, column)) }
        guard let later else { return nil }
        let version = origin.version.map { "version \($0)" } ?? "of unknown fate"
        return "holds write \(mark), \(version) of node:\(origin.host), though the same node wrote \(later.write.number) "
            + "in version \(later.version ?? 0) after it"
    }

    /// What is wrong with a counter.
    private func wrongCount(_ count: UInt64, entries: [Entry]) -> String? {
        guard count <= UInt64(entries.count) else { return "counts \(count), though all nodes together added \(entries.count) only" }
        var additions: [Int: UInt64] = [:]
        for entry in entries where entry.isCertain {
            additions[entry.host, default: 0] += 1
            if let own = additions[entry.host], own > count { return "counts \(count), though node:\(entry.host) alone added more" }
        }
        return nil
    }

    private func writes(_ entry: Entry, _ column: Int) -> Bool {
        switch entry.write.kind {
        case .upsert(let columns): columns >> UInt64(column) & 1 == 1
        case .count, .delete: false
        }
    }
}
