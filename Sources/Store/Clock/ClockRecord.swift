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
        withUnsafeTemporaryAllocation(byteCount: RecordWriter.limit(cells: count), alignment: 4) { memory in
            var writer = RecordWriter(memory)
            writer.appendHead(hash, causalLength, sentinel)
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
                        writer.append(UInt64(first.site))
                        writer.append(first.version)
                        writer.appendRun(UnsafeBufferPointer(rebasing: numbers[..<size]))
                        done += size
                    }
                    start += 1
                }
            }
            bytes.append(contentsOf: writer.written)
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

    /// Reads a record. The hash is nil unless `keying` is by rowid. Never traps, whatever the bytes.
    ///
    /// - Parameter make: what is to be had of each cell.
    @inline(__always)
    static func decode<Cell>(
        _ bytes: UnsafeRawBufferPointer, keying: Keying, columns: Int, sites: Int, _ make: (CellClock) -> Cell
    ) throws(MalformedInput) -> DecodedClock<Cell> {
        var reader = RecordReader(bytes)
        let hash = keying == .rowid ? try reader.readWord() : nil
        let head = try reader.readVarint()
        var clock = DecodedClock<Cell>(causalLength: head >> 2, hash: hash)
        guard head >> 2 & 1 == 1 else { throw MalformedInput("a live row has the causal length \(head >> 2)") }
        switch head & 3 {
        case 0: break
        case 1, 2:
            let site = try reader.readSite(sites)
            clock.sentinel = SentinelClock(
                site: site, version: try reader.readCounter(), sequence: try reader.readCounter(), isDerived: head & 3 == 2)
        default: throw MalformedInput("an unknown kind of sentinel")
        }
        if reader.isAtEnd { return clock }
        var failure: MalformedInput?
        clock.cells = withUnsafeTemporaryAllocation(of: CellClock.self, capacity: columns) { cells in
            do throws(MalformedInput) {
                let count = try reader.readCells(into: cells, sites: sites)
                return Array(unsafeUninitializedCapacity: count) { made, size in
                    for index in 0..<count { made.initializeElement(at: index, to: make(cells[index])) }
                    size = count
                }
            } catch {
                failure = error
                return []
            }
        }
        if let failure { throw failure }
        return clock
    }
}

/// What a record says.
struct DecodedClock<Cell> {
    var causalLength: UInt64
    var sentinel: SentinelClock?
    /// In ascending order of column.
    var cells: [Cell] = []
    /// The low bits of the hash of the key that it is of; nil where records do not say.
    let hash: UInt32?
}

typealias FoundClock = DecodedClock<CellClock>

extension FoundClock {
    var clock: RowClock { RowClock(causalLength: causalLength, sentinel: sentinel, cells: cells) }

    init(_ clock: RowClock, hash: UInt32?) {
        self.init(causalLength: clock.causalLength, sentinel: clock.sentinel, cells: clock.cells, hash: hash)
    }
}

/// Reads a record where it lies; what `ByteReader` and `CellRun` do for bytes of an array.
private struct RecordReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func readWord() throws(MalformedInput) -> UInt32 {
        guard bytes.count - position >= 4 else { throw MalformedInput("truncated: a hash is missing") }
        defer { position += 4 }
        return UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
    }

    @inline(__always)
    mutating func readVarint() throws(MalformedInput) -> UInt64 {
        guard position < bytes.count else { throw MalformedInput("truncated: a byte is missing") }
        let first = bytes[position]
        if first < 0x80 {
            position += 1
            return UInt64(first)
        }
        return try readLongVarint()
    }

    private mutating func readLongVarint() throws(MalformedInput) -> UInt64 {
        var (value, shift): (UInt64, UInt64) = (0, 0)
        while true {
            guard position < bytes.count else { throw MalformedInput("truncated: a byte is missing") }
            let byte = bytes[position]
            position += 1
            if shift == 63, byte > 1 { throw MalformedInput("a varint exceeds 64 bits") }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
    }

    /// A varint below `CellRun.counterLimit`.
    @inline(__always)
    mutating func readCounter() throws(MalformedInput) -> UInt64 {
        let value = try readVarint()
        guard value < CellRun.counterLimit else { throw MalformedInput("counter \(value) is over the limit of 2^56") }
        return value
    }

    mutating func readSite(_ sites: Int) throws(MalformedInput) -> Int {
        let site = try readVarint()
        guard site < UInt64(sites) else { throw MalformedInput("site \(site) of \(sites)") }
        return Int(site)
    }

    private mutating func readColumn(limit: Int) throws(MalformedInput) -> Int {
        let column = try readVarint()
        guard column <= UInt64(limit) else { throw MalformedInput("column: \(column) is over the limit of \(limit)") }
        return Int(column)
    }

    /// Reads the groups of cells up to the end, and puts the cells in ascending order of column. Returns their number.
    ///
    /// - Parameter cells: room for a cell of each column, and no more.
    mutating func readCells(into cells: UnsafeMutableBufferPointer<CellClock>, sites: Int) throws(MalformedInput) -> Int {
        var count = 0
        while !isAtEnd {
            let site = try readSite(sites)
            let version = try readCounter()
            count += try readRun(into: UnsafeMutableBufferPointer(rebasing: cells[count...]), site, version, columnLimit: cells.count)
        }
        // Few, and in a few ascending groups.
        if count <= Self.insertionLimit {
            for index in 1..<max(count, 1) {
                let cell = cells[index]
                var place = index
                while place > 0, cells[place - 1].column > cell.column {
                    cells[place] = cells[place - 1]
                    place -= 1
                }
                if place != index { cells[place] = cell }
            }
        } else {
            var all = UnsafeMutableBufferPointer(rebasing: cells[..<count])
            all.sort { $0.column < $1.column }
        }
        for index in 1..<max(count, 1) where cells[index].column == cells[index - 1].column {
            throw MalformedInput("column \(cells[index].column) has two cells")
        }
        return count
    }

    /// More cells than this are sorted in another way, so that a record with very many cannot take long.
    private static let insertionLimit = 32

    /// Reads a `CellRun` that is not empty. Returns the number of its cells, for which there has to be room.
    private mutating func readRun(
        into cells: UnsafeMutableBufferPointer<CellClock>, _ site: Int, _ version: UInt64, columnLimit: Int
    ) throws(MalformedInput) -> Int {
        let head = try readVarint()
        guard head >> 3 <= UInt64(columnLimit) else { throw MalformedInput("a row has \(head >> 3) cells in \(columnLimit) columns") }
        let count = Int(head >> 3)
        guard count > 0 else { throw MalformedInput("an empty group of cells") }
        guard count <= cells.count else { throw MalformedInput("a row has two cells of one of \(columnLimit) columns") }
        var column = head & 1 != 0 ? try readColumn(limit: columnLimit - count) : 0
        for index in 0..<count {
            if head & 1 == 0 { column = try readColumn(limit: columnLimit - 1) }
            cells.initializeElement(at: index, to: CellClock(column: column, columnVersion: 0, site: site, version: version, sequence: 0))
            column += 1
        }
        var columnVersion = head & 2 != 0 ? try readCounter() : 0
        for index in 0..<count {
            if head & 2 == 0 { columnVersion = try readCounter() }
            cells[index].columnVersion = columnVersion
        }
        var sequence = head & 4 != 0 ? try readCounter() : 0
        for index in 0..<count {
            if head & 4 == 0 { sequence = try readCounter() }
            cells[index].sequence = sequence
            sequence += 1
        }
        return count
    }
}

/// Writes a record into memory that has room for it: an array would be asked for room at each byte.
private struct RecordWriter {
    private let memory: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    private static let longestVarint = 10

    /// What a record of so many cells takes at most, each a group of its own.
    static func limit(cells: Int) -> Int { 4 + 4 * longestVarint + cells * 6 * longestVarint }

    init(_ memory: UnsafeMutableRawBufferPointer) { self.memory = memory }

    var written: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

    @inline(__always)
    mutating func append(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            memory[count] = UInt8(truncatingIfNeeded: rest) | 0x80
            count += 1
            rest >>= 7
        }
        memory[count] = UInt8(truncatingIfNeeded: rest)
        count += 1
    }

    mutating func appendHead(_ hash: UInt32?, _ causalLength: UInt64, _ sentinel: SentinelClock?) {
        if let hash {
            memory.storeBytes(of: hash.littleEndian, toByteOffset: count, as: UInt32.self)
            count += 4
        }
        guard let sentinel else { return append(causalLength << 2) }
        append(causalLength << 2 | (sentinel.isDerived ? 2 : 1))
        append(UInt64(sentinel.site))
        append(sentinel.version)
        append(sentinel.sequence)
    }

    /// As `CellRun.append`.
    mutating func appendRun(_ cells: UnsafeBufferPointer<CellNumbers>) {
        var (columnsFollow, versionsEqual, sequencesFollow) = (true, true, true)
        for index in 1..<max(cells.count, 1) {
            let (previous, cell) = (cells[index - 1], cells[index])
            if cell.column != previous.column + 1 { columnsFollow = false }
            if cell.columnVersion != previous.columnVersion { versionsEqual = false }
            if cell.sequence != previous.sequence &+ 1 { sequencesFollow = false }
        }
        append(UInt64(cells.count << 3 | (columnsFollow ? 1 : 0) | (versionsEqual ? 2 : 0) | (sequencesFollow ? 4 : 0)))
        for index in 0..<(columnsFollow ? min(cells.count, 1) : cells.count) { append(UInt64(cells[index].column)) }
        for index in 0..<(versionsEqual ? min(cells.count, 1) : cells.count) { append(cells[index].columnVersion) }
        for index in 0..<(sequencesFollow ? min(cells.count, 1) : cells.count) { append(cells[index].sequence) }
    }
}
