import PatinaProtocol

/// The clocks that the next few events of a transaction ask for, read in one statement: starting and ending a statement costs SQLite more
/// than reading a row of a few bytes. What the overlay has an opinion about is left to `ClockTables.read`.
///
/// Nothing of a transaction is written before all of its events are applied, so that reading early finds what reading late would.
struct ClocksAhead {
    /// Events that are looked at together.
    private static let events = 32
    /// Fewer clocks are read one by one.
    private static let fewest = 3

    /// Events before this one have been looked at.
    private var end = 0
    private var table: Table?
    /// What was read and not asked for yet; the next one is at the end.
    private var rowids: [Int64] = []
    private var clocks: [PendingRow.Found?] = []

    /// Called with the position of each event, in order, before it is applied.
    @inline(__always)
    mutating func reach(
        _ position: Int, _ buffer: CaptureBuffer, _ tables: [Table], _ stored: ClockTables
    ) throws(StoreError) {
        if position >= end { try look(from: position, buffer, tables, stored) }
    }

    private mutating func look(
        from position: Int, _ buffer: CaptureBuffer, _ tables: [Table], _ stored: ClockTables
    ) throws(StoreError) {
        end = min(position + Self.events, buffer.events.count)
        table = nil
        rowids.removeAll(keepingCapacity: true)
        clocks.removeAll(keepingCapacity: true)
        guard end - position >= Self.fewest else { return }
        for event in buffer.events[position..<end].reversed() where event.kind == .update || event.kind == .delete {
            let candidate = tables[event.table]
            guard candidate.keying != .packedKey, table == nil || table === candidate,
                !stored.isOverlaid(candidate, rowid: event.rowid, key: UnsafeRawBufferPointer(start: nil, count: 0))
            else { continue }
            table = candidate
            rowids.append(event.rowid)
        }
        guard let table, rowids.count >= Self.fewest else {
            rowids.removeAll(keepingCapacity: true)
            return
        }
        clocks = try stored.readStored(table, rowids: rowids[...]) { PendingRow.Cell($0) }
    }

    /// Takes the clock of a row that one of these events changes, so that whoever changes it need not copy it; nil when it was not read,
    /// `.some(nil)` when there is none.
    mutating func take(_ rowid: Int64, of table: Table) -> PendingRow.Found?? {
        guard self.table === table, let index = rowids.lastIndex(of: rowid) else { return nil }
        rowids.remove(at: index)
        return .some(clocks.remove(at: index))
    }
}
