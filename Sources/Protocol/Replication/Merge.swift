/// What a node knows about one row besides its values: how often it was deleted and resurrected, and who wrote each cell.
///
/// Origins are a site (an index into the node's list of actors), a version of that actor, and a sequence number within it.
public struct RowClock: Hashable, Sendable {
    /// 0: never heard of; odd: the row exists; even: it is deleted.
    public var causalLength: UInt64
    /// Who created, deleted or resurrected the row last, where that was recorded.
    public var sentinel: SentinelClock?
    /// In ascending order of column. Empty for a deleted row.
    public var cells: [CellClock]

    public init(causalLength: UInt64 = 0, sentinel: SentinelClock? = nil, cells: [CellClock] = []) {
        self.causalLength = causalLength
        self.sentinel = sentinel
        self.cells = cells
    }

    public var exists: Bool { causalLength & 1 == 1 }

    /// Where the cell of `column` is in `cells`, or where it would be inserted.
    public func position(of column: Int) -> (index: Int, isPresent: Bool) {
        // Rows that were written whole have a cell for each column, at its own index.
        if column < cells.count, cells[column].column == column { return (column, true) }
        var (low, high) = (0, cells.count)
        while low < high {
            let middle = (low + high) / 2
            if cells[middle].column < column { low = middle + 1 } else { high = middle }
        }
        return (low, low < cells.count && cells[low].column == column)
    }
}

public struct SentinelClock: Hashable, Sendable {
    public var site: Int
    public var version: UInt64
    public var sequence: UInt64
    /// True when a cell of a resurrected row arrived before the resurrection itself: a stand-in that any real one replaces.
    public var isDerived: Bool

    public init(site: Int, version: UInt64, sequence: UInt64, isDerived: Bool = false) {
        self.site = site
        self.version = version
        self.sequence = sequence
        self.isDerived = isDerived
    }
}

public struct CellClock: Hashable, Sendable {
    public var column: Int
    public var columnVersion: UInt64
    public var site: Int
    public var version: UInt64
    public var sequence: UInt64

    @inlinable
    public init(column: Int, columnVersion: UInt64, site: Int, version: UInt64, sequence: UInt64) {
        self.column = column
        self.columnVersion = columnVersion
        self.site = site
        self.version = version
        self.sequence = sequence
    }
}

/// What is to be done after a row of another node's version met the local row.
public struct MergeDecision: Hashable, Sendable {
    public enum RowAction: Hashable, Sendable {
        /// The row's existence does not change. Winning cells, if any, are written to the row that is there.
        case keep
        /// There is no row: insert one with the winning cells; its other columns take their defaults.
        case insert
        /// The row that is there missed its deletion: delete it, and insert one with the winning cells; its other columns take their
        /// defaults.
        case replace
        case delete
    }

    public var action: RowAction = .keep
    /// Indexes into the incoming cells of those whose values are to be written, ascending.
    public var winners: [Int] = []
    /// True when the row's clock changed and has to be stored.
    public var changesClock = false
    /// How many of the incoming changes won, counted as cr-sqlite's `crsql_rows_impacted`.
    public var impact = 0

    public init() {}
}

/// The merge rule: a pure function of the local row and one incoming row. `docs/crdt.md` explains it.
public enum Merge {
    /// - Parameters:
    ///   - local: what is known of the row; becomes what is known afterwards. `causalLength` 0 when nothing is.
    ///   - incoming: the row as its version left it, with all its pieces; columns are numbered as in `local`.
    ///   - site: index of the incoming version's actor in `sites`.
    ///   - reversesTies: a mistake for the simulator's tests: of equal column versions the lesser value wins.
    ///   - keepsMissedValues: as cr-sqlite, which merges cell by cell: a row that missed its deletion keeps its values, below every cell of
    ///     the resurrected row. Nodes then differ for ever about a column that the resurrection has no cell of, so only
    ///     comparisons do it.
    ///   - localValue: the value that the local row has in a column; asked only where column versions are equal.
    public static func merge<Failure: Error>(
        into local: inout RowClock, _ incoming: RowChange, site: Int, version: UInt64, sites: [ActorID], reversesTies: Bool = false,
        keepsMissedValues: Bool = false, localValue: (_ column: Int) throws(Failure) -> Value
    ) throws(Failure) -> MergeDecision {
        var decision = MergeDecision()
        if incoming.causalLength < local.causalLength { return decision }
        if incoming.causalLength & 1 == 0 {
            mergeDeletion(into: &local, incoming, site: site, version: version, sites: sites, &decision)
            return decision
        }
        mergeExistence(
            into: &local, incoming, site: site, version: version, sites: sites, keepsMissedValues: keepsMissedValues, &decision)
        for (index, cell) in incoming.cells.enumerated() {
            let clock = CellClock(
                column: cell.column, columnVersion: cell.columnVersion, site: site, version: version, sequence: cell.sequence)
            let position = local.position(of: cell.column)
            guard position.isPresent else {
                local.cells.insert(clock, at: position.index)
                decision.winners.append(index)
                continue
            }
            let present = local.cells[position.index]
            if cell.columnVersion < present.columnVersion { continue }
            if cell.columnVersion == present.columnVersion {
                switch cell.value.mergeOrdering(to: try localValue(cell.column)) {
                case .less: if !reversesTies { continue }
                case .equal: if sites[site] <= sites[present.site] { continue }
                case .greater: if reversesTies { continue }
                }
            }
            local.cells[position.index] = clock
            decision.winners.append(index)
        }
        decision.impact += decision.winners.count
        if !decision.winners.isEmpty { decision.changesClock = true }
        return decision
    }

    private static func mergeDeletion(
        into local: inout RowClock, _ incoming: RowChange, site: Int, version: UInt64, sites: [ActorID], _ decision: inout MergeDecision
    ) {
        guard let sentinel = incoming.sentinel else { preconditionFailure("a deletion without a sentinel passed the codec") }
        let clock = SentinelClock(site: site, version: version, sequence: sentinel.sequence)
        if incoming.causalLength > local.causalLength {
            if local.exists { decision.action = .delete }
            local = RowClock(causalLength: sentinel.columnVersion, sentinel: clock)
            decision.changesClock = true
            decision.impact = 1
        } else if outranks(clock, local.sentinel, sites) {
            // Two nodes deleted the same row: the greater actor's deletion is the one that is remembered.
            local.causalLength = sentinel.columnVersion
            local.sentinel = clock
            decision.changesClock = true
        }
    }

    /// The incoming row exists and is at least as new as the local one: settles existence, causal length and sentinel.
    private static func mergeExistence(
        into local: inout RowClock, _ incoming: RowChange, site: Int, version: UInt64, sites: [ActorID], keepsMissedValues: Bool,
        _ decision: inout MergeDecision
    ) {
        let sentinel = incoming.sentinel.map { SentinelClock(site: site, version: version, sequence: $0.sequence) }
        guard incoming.causalLength > local.causalLength else {
            // Concurrent creations or resurrections. cr-sqlite keeps the first that arrives, so that nodes disagree about which
            // version still holds the row's existence, and a third node may be offered it by neither.
            if let sentinel, outranks(sentinel, local.sentinel, sites) {
                local.sentinel = sentinel
                decision.changesClock = true
            }
            return
        }
        if !local.exists { decision.action = .insert } else if !keepsMissedValues { decision.action = .replace }
        decision.changesClock = true
        if let sentinel, let columnVersion = incoming.sentinel?.columnVersion {
            local.causalLength = columnVersion
            local.sentinel = sentinel
            decision.impact += 1
        } else {
            let wasKnown = local.causalLength > 0
            local.causalLength = incoming.causalLength
            if wasKnown || incoming.causalLength > 1 {
                // The lowest, in whatever order the pieces came. No cell is left when all were of columns that this node has dropped.
                let sequence = incoming.cells.reduce(UInt64.max) { min($0, $1.sequence) }
                local.sentinel = SentinelClock(
                    site: site, version: version, sequence: incoming.cells.isEmpty ? 0 : sequence, isDerived: true)
                decision.impact += 1
            }
        }
        // The row missed its deletion. What it holds is gone where the deletion came first, so it goes here as well.
        guard keepsMissedValues else { return local.cells.removeAll() }
        for index in local.cells.indices { local.cells[index].columnVersion = 0 }
        // A cell that resurrects the row is not compared with what the row holds.
        if incoming.sentinel == nil, let first = incoming.cells.first { local.cells.removeAll { $0.column == first.column } }
    }

    /// True when `sentinel` replaces `present`, both with the same causal length.
    private static func outranks(_ sentinel: SentinelClock, _ present: SentinelClock?, _ sites: [ActorID]) -> Bool {
        guard let present, !present.isDerived else { return true }
        if sites[sentinel.site] != sites[present.site] { return sites[sentinel.site] > sites[present.site] }
        return false
    }
}
