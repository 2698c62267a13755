import PatinaProtocol

/// The clock of one live row as it is stored, one blob a row:
///
/// | field | form |
/// |---|---|
/// | low 32 bits of the key's hash | 4 bytes, little endian; only for `Keying.rowid` |
/// | causal length × 4 + sentinel (0 none, 1 real, 2 derived) | varint |
/// | sentinel: site, version, sequence | varints, if there is one |
/// | for each (site, version) that wrote cells: site, version | varints |
/// | … and the cells | a `CellRun` |
///
/// A row that one transaction wrote whole takes about ten bytes, whatever the number of columns.
enum ClockRecord {
    static func encode(_ clock: RowClock, hash: UInt32?, into bytes: inout [UInt8]) {
        encode(causalLength: clock.causalLength, sentinel: clock.sentinel, count: clock.cells.count, hash: hash, into: &bytes) {
            clock.cells[$0]
        }
    }

    /// - Parameter cell: the cell at an index below `count`, in ascending order of column.
    @inline(__always)
    static func encode(
        causalLength: UInt64, sentinel: SentinelClock?, count: Int, hash: UInt32?, into bytes: inout [UInt8], cell: (Int) -> CellClock
    ) {
        bytes.removeAll(keepingCapacity: true)
        appendHead(hash, causalLength, sentinel, to: &bytes)
        withUnsafeTemporaryAllocation(of: CellNumbers.self, capacity: count) { numbers in
            var (start, done) = (0, 0)
            while done < count {
                let first = cell(start)
                let isOfEarlierGroup = (0..<start).contains { cell($0).site == first.site && cell($0).version == first.version }
                if !isOfEarlierGroup {
                    var size = 0
                    for index in start..<count {
                        let next = cell(index)
                        guard next.site == first.site, next.version == first.version else { continue }
                        numbers.initializeElement(
                            at: size, to: CellNumbers(column: next.column, columnVersion: next.columnVersion, sequence: next.sequence))
                        size += 1
                    }
                    appendVarint(UInt64(first.site), to: &bytes)
                    appendVarint(first.version, to: &bytes)
                    CellRun.append(UnsafeBufferPointer(rebasing: numbers[..<size]), to: &bytes)
                    done += size
                }
                start += 1
            }
        }
    }

    /// The record of a row that one version wrote whole, with column versions 1.
    static func encodeFresh(
        columns: Int, sequence: UInt64, site: Int, version: UInt64, causalLength: UInt64, sentinel: SentinelClock?, hash: UInt32?,
        into bytes: inout [UInt8]
    ) {
        bytes.removeAll(keepingCapacity: true)
        appendHead(hash, causalLength, sentinel, to: &bytes)
        guard columns > 0 else { return }
        appendVarint(UInt64(site), to: &bytes)
        appendVarint(version, to: &bytes)
        CellRun.appendFresh(count: columns, sequence: sequence, to: &bytes)
    }

    /// The record of a row that one version inserted, with a cell for each column in order.
    static func encodeInserted(_ cells: [CellChange], site: Int, version: UInt64, hash: UInt32?, into bytes: inout [UInt8]) {
        bytes.removeAll(keepingCapacity: true)
        appendHead(hash, 1, nil, to: &bytes)
        appendVarint(UInt64(site), to: &bytes)
        appendVarint(version, to: &bytes)
        withUnsafeTemporaryAllocation(of: CellNumbers.self, capacity: cells.count) { numbers in
            for index in cells.indices {
                let cell = CellNumbers(
                    column: cells[index].column, columnVersion: cells[index].columnVersion, sequence: cells[index].sequence)
                numbers.initializeElement(at: index, to: cell)
            }
            CellRun.append(UnsafeBufferPointer(rebasing: numbers[..<cells.count]), to: &bytes)
        }
    }

    private static func appendHead(_ hash: UInt32?, _ causalLength: UInt64, _ sentinel: SentinelClock?, to bytes: inout [UInt8]) {
        if let hash { withUnsafeBytes(of: hash.littleEndian) { bytes.append(contentsOf: $0) } }
        guard let sentinel else {
            appendVarint(causalLength << 2, to: &bytes)
            return
        }
        appendVarint(causalLength << 2 | (sentinel.isDerived ? 2 : 1), to: &bytes)
        appendVarint(UInt64(sentinel.site), to: &bytes)
        appendVarint(sentinel.version, to: &bytes)
        appendVarint(sentinel.sequence, to: &bytes)
    }

    /// Reads a record. The hash is nil unless `keying` is by rowid.
    static func decode(_ bytes: ArraySlice<UInt8>, keying: Keying, columns: Int, sites: Int) throws(MalformedInput) -> (
        clock: RowClock, hash: UInt32?
    ) {
        var reader = ByteReader(bytes)
        var hash: UInt32?
        if keying == .rowid {
            let slice = try reader.read(count: 4)
            hash = slice.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        }
        let head = try reader.readVarint()
        var clock = RowClock(causalLength: head >> 2)
        guard clock.exists else { throw MalformedInput("a live row has the causal length \(head >> 2)") }
        switch head & 3 {
        case 0: break
        case 1, 2:
            let site = try readSite(&reader, sites)
            clock.sentinel = SentinelClock(
                site: site, version: try CellRun.readCounter(&reader), sequence: try CellRun.readCounter(&reader), isDerived: head & 3 == 2)
        default: throw MalformedInput("an unknown kind of sentinel")
        }
        var numbers: [CellNumbers] = []
        var isAscending = true
        while !reader.isAtEnd {
            let site = try readSite(&reader, sites)
            let version = try CellRun.readCounter(&reader)
            let run = try reader.readVarint()
            if run & 7 == 7, run >> 3 > 0, run >> 3 <= UInt64(columns) {
                // Neighbouring columns with equal column versions and consecutive sequence numbers: most groups by far.
                let count = Int(run >> 3)
                let first = try reader.readCount(limit: columns - count, of: "column")
                let columnVersion = try CellRun.readCounter(&reader)
                let sequence = try CellRun.readCounter(&reader)
                if let last = clock.cells.last, last.column >= first { isAscending = false }
                if clock.cells.isEmpty { clock.cells.reserveCapacity(columns) }
                for offset in 0..<count {
                    clock.cells.append(
                        CellClock(
                            column: first + offset, columnVersion: columnVersion, site: site, version: version,
                            sequence: sequence + UInt64(offset)))
                }
                continue
            }
            try CellRun.read(run, columnLimit: columns, from: &reader, into: &numbers)
            guard !numbers.isEmpty else { throw MalformedInput("an empty group of cells") }
            if clock.cells.isEmpty { clock.cells.reserveCapacity(columns) }
            for cell in numbers {
                if let last = clock.cells.last, last.column >= cell.column { isAscending = false }
                clock.cells.append(
                    CellClock(column: cell.column, columnVersion: cell.columnVersion, site: site, version: version, sequence: cell.sequence)
                )
            }
        }
        if !isAscending {
            clock.cells.sort { $0.column < $1.column }
            for index in clock.cells.indices.dropFirst() where clock.cells[index].column == clock.cells[index - 1].column {
                throw MalformedInput("column \(clock.cells[index].column) has two cells")
            }
        }
        return (clock, hash)
    }

    private static func readSite(_ reader: inout ByteReader, _ sites: Int) throws(MalformedInput) -> Int {
        let site = try reader.readVarint()
        guard site < UInt64(sites) else { throw MalformedInput("site \(site) of \(sites)") }
        return Int(site)
    }
}
