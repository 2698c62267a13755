import PatinaProtocol

/// What one version left of its work on one row: the row's causal length at that version's end, and the cells and the sentinel that
/// name the version.
public struct OracleEvent: Hashable, Sendable {
    public var row: OracleRowName
    /// Index of the writer among the oracle's actors.
    public var writer: Int
    public var version: UInt64
    /// Odd: the row exists; even: it is deleted.
    public var length: UInt64
    /// Sequence number of the sentinel, if the version created or deleted the row in a way that leaves one.
    public var sentinel: UInt64?
    public var cells: [Cell]

    public init(row: OracleRowName, writer: Int, version: UInt64, length: UInt64, sentinel: UInt64?, cells: [Cell]) {
        self.row = row
        self.writer = writer
        self.version = version
        self.length = length
        self.sentinel = sentinel
        self.cells = cells
    }

    public struct Cell: Hashable, Sendable {
        /// Index among the table's columns outside the key.
        public var column: Int
        public var columnVersion: UInt64
        public var sequence: UInt64
        public var value: Value

        public init(column: Int, columnVersion: UInt64, sequence: UInt64, value: Value) {
            self.column = column
            self.columnVersion = columnVersion
            self.sequence = sequence
            self.value = value
        }
    }
}

/// Where a cell or a sentinel comes from.
public struct OracleOrigin: Hashable, Sendable {
    /// Index among the oracle's actors.
    public var writer: Int
    public var version: UInt64
    public var sequence: UInt64
}

/// What a node must hold of one row.
public struct OracleRow: Hashable, Sendable {
    /// 0: the node has never heard of it.
    public var length: UInt64 = 0
    public var sentinel: OracleOrigin?
    /// True when the sentinel stands in for one that has not come yet.
    public var sentinelIsDerived = false
    /// By column; nil where no write is known, and the row holds the default. Empty for a row that does not exist.
    public var cells: [Cell?] = []

    public var exists: Bool { length % 2 == 1 }

    public struct Cell: Hashable, Sendable {
        public var columnVersion: UInt64
        public var value: Value
        public var origin: OracleOrigin
    }
}

/// The rule of merging, said as what wins among everything that is known, not as steps.
struct OracleRule {
    /// Ranks of the actors: the greater identity has the greater rank.
    let ranks: [Int]
    var mutation: OracleMutation?

    /// The row that follows from the events, given in the order in which the node came to have them.
    ///
    /// The order matters for one thing only: the sentinel that stands in for one that has not come is of the event that came first.
    func row(from events: ArraySlice<OracleEvent>, columns: Int) -> OracleRow {
        let length = mutation == .ignoreCausalLength ? (events.last?.length ?? 0) : (events.map(\.length).max() ?? 0)
        var row = OracleRow()
        guard length > 0, let first = events.firstIndex(where: { $0.length == length }) else { return row }
        row.length = length
        let present = events.filter { $0.length == length }

        for event in present {
            guard let sequence = event.sentinel, mutation != .dropSentinel else { continue }
            let origin = OracleOrigin(writer: event.writer, version: event.version, sequence: sequence)
            if row.sentinel == nil || beats(origin, row.sentinel!) { row.sentinel = origin }
        }
        if length % 2 == 0 { return row }
        if row.sentinel == nil, length > 1, let sequence = events[first].cells.map(\.sequence).min() {
            row.sentinel = OracleOrigin(writer: events[first].writer, version: events[first].version, sequence: sequence)
            row.sentinelIsDerived = true
        }

        row.cells = Array(repeating: nil, count: columns)
        for event in present {
            for write in event.cells {
                let cell = OracleRow.Cell(
                    columnVersion: write.columnVersion, value: write.value,
                    origin: OracleOrigin(writer: event.writer, version: event.version, sequence: write.sequence))
                if let other = row.cells[write.column], !beats(cell, other) { continue }
                row.cells[write.column] = cell
            }
        }
        return row
    }

    private func beats(_ left: OracleRow.Cell, _ right: OracleRow.Cell) -> Bool {
        if left.columnVersion != right.columnVersion {
            return (left.columnVersion > right.columnVersion) != (mutation == .lesserColumnVersion)
        }
        let order = mutation == .ignoreValues ? 0 : OracleValueOrder.compare(left.value, right.value)
        if order != 0 { return (order > 0) != (mutation == .lesserValue) }
        return beats(left.origin, right.origin)
    }

    private func beats(_ left: OracleOrigin, _ right: OracleOrigin) -> Bool {
        (ranks[left.writer] > ranks[right.writer]) != (mutation == .reverseTieBreak && left.writer != right.writer)
    }
}

/// A mistake that is put into the oracle, to show that a comparison with it can fail.
enum OracleMutation: String, CaseIterable, Sendable {
    /// Of equal writes, that of the lesser actor wins.
    case reverseTieBreak
    /// Of equal column versions, the lesser value wins.
    case lesserValue
    /// Of equal column versions, the actor alone decides.
    case ignoreValues
    /// The lesser column version wins.
    case lesserColumnVersion
    /// The last to arrive decides whether the row exists.
    case ignoreCausalLength
    /// Real sentinels are not kept.
    case dropSentinel
    /// An UPDATE that changes nothing raises the column version.
    case countUnchanged
    /// ROLLBACK TO gives back sequence numbers.
    case reuseSequences
    /// A key change takes over cells as they are.
    case keyChangeKeepsColumnVersions
    /// REPLACE overwrites the row instead of deleting it first.
    case replaceInPlace
    /// A failed transaction uses up a version.
    case failureCounts
}
