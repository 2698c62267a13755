import PatinaProtocol

/// What the open transaction makes of one primary key: the state that its events add up to.
struct PendingRow {
    /// Where the row's clock was before the transaction.
    enum Origin: Equatable {
        /// Never heard of.
        case none
        case clock(rowid: Int64)
        case tombstone
    }

    /// A cell and, when the transaction wrote it, its value.
    struct Cell {
        var clock: CellClock
        /// Where the value is in the capture buffer; empty for a cell that the transaction left alone.
        var value: Range<Int>

        init(clock: CellClock, value: Range<Int>) {
            self.clock = clock
            self.value = value
        }

        /// A cell that was there before.
        init(_ clock: CellClock) { self.init(clock: clock, value: 0..<0) }
    }

    /// The clock of a row that was there before.
    typealias Found = DecodedClock<Cell>

    let table: Int
    /// Where the packed key is in the capture buffer.
    let key: Range<Int>
    let hash: UInt64
    let origin: Origin
    var rowid: Int64
    var causalLength: UInt64
    var sentinel: SentinelClock?
    /// Set while the row is a plain insert that nothing followed: column versions are 1, sequence numbers count from here, and
    /// `freshValues` has the values in order. Saves the cells of the most common row of all.
    var freshSequence: UInt64?
    var freshValues: Range<Int> = 0..<0
    /// In ascending order of column; empty while `freshSequence` is set.
    var cells: [Cell] = []

    var exists: Bool { causalLength & 1 == 1 }
}

/// A local transaction, folded: for each primary key that it touched one row, and the numbers of its version.
struct FoldedTransaction {
    var rows: [PendingRow] = []
    var version: UInt64
    /// Index of our own actor.
    var site: Int
    /// Sequence numbers that were used, those of overwritten cells included.
    var nextSequence: UInt64 = 0

    /// True when the transaction wrote this cell or sentinel.
    func wrote(_ sentinel: SentinelClock) -> Bool { sentinel.site == site && sentinel.version == version }
    func wrote(_ cell: CellClock) -> Bool { cell.site == site && cell.version == version }
}
