/// The compact form that changesets and clock records share for the numbers of a few cells of one row.
///
/// A transaction mostly writes neighbouring columns with equal column versions and consecutive sequence numbers, so each of the
/// three lists has a short form, chosen by the low three bits of the run's head (`docs/wire-format.md`).
public struct CellNumbers: Hashable, Sendable {
    public var column: Int
    public var columnVersion: UInt64
    public var sequence: UInt64

    @inlinable
    public init(column: Int, columnVersion: UInt64, sequence: UInt64) {
        self.column = column
        self.columnVersion = columnVersion
        self.sequence = sequence
    }
}

public enum CellRun {
    /// Column versions, sequence numbers and causal lengths stay below this, so that adding one never overflows.
    public static let counterLimit: UInt64 = 1 << 56

    /// Appends `head, columns, column versions, sequence numbers`.
    @inlinable
    public static func append(_ cells: UnsafeBufferPointer<CellNumbers>, to bytes: inout [UInt8]) {
        var (columnsFollow, versionsEqual, sequencesFollow) = (true, true, true)
        var index = 1
        while index < cells.count {
            let (previous, cell) = (cells[index - 1], cells[index])
            if cell.column != previous.column + 1 { columnsFollow = false }
            if cell.columnVersion != previous.columnVersion { versionsEqual = false }
            if cell.sequence != previous.sequence &+ 1 { sequencesFollow = false }
            index += 1
        }
        let shape = (columnsFollow ? 1 : 0) | (versionsEqual ? 2 : 0) | (sequencesFollow ? 4 : 0)
        appendVarint(UInt64(cells.count << 3 | shape), to: &bytes)
        guard let first = cells.first else { return }
        if columnsFollow {
            appendVarint(UInt64(first.column), to: &bytes)
        } else {
            for cell in cells { appendVarint(UInt64(cell.column), to: &bytes) }
        }
        if versionsEqual {
            appendVarint(first.columnVersion, to: &bytes)
        } else {
            for cell in cells { appendVarint(cell.columnVersion, to: &bytes) }
        }
        if sequencesFollow {
            appendVarint(first.sequence, to: &bytes)
        } else {
            for cell in cells { appendVarint(cell.sequence, to: &bytes) }
        }
    }

    /// Appends the run of an inserted row: columns 0 to `count` - 1, column version 1, sequence numbers from `sequence`.
    @inlinable
    public static func appendFresh(count: Int, sequence: UInt64, to bytes: inout [UInt8]) {
        appendVarint(UInt64(count << 3 | 7), to: &bytes)
        guard count > 0 else { return }
        bytes.append(0)
        bytes.append(1)
        appendVarint(sequence, to: &bytes)
    }

    /// Reads a run. Columns lie below `columnLimit` and are distinct when they are consecutive; the caller checks others.
    public static func read(columnLimit: Int, from reader: inout ByteReader, into cells: inout [CellNumbers]) throws(MalformedInput) {
        try read(try reader.readVarint(), columnLimit: columnLimit, from: &reader, into: &cells)
    }

    /// As above, with the run's head read already.
    public static func read(_ head: UInt64, columnLimit: Int, from reader: inout ByteReader, into cells: inout [CellNumbers])
        throws(MalformedInput)
    {
        cells.removeAll(keepingCapacity: true)
        guard head >> 3 <= UInt64(columnLimit) else { throw MalformedInput("a row has \(head >> 3) cells in \(columnLimit) columns") }
        let count = Int(head >> 3)
        guard count > 0 else { return }
        cells.reserveCapacity(count)
        if head & 1 != 0 {
            let first = try reader.readCount(limit: columnLimit - count, of: "column")
            for index in 0..<count { cells.append(CellNumbers(column: first + index, columnVersion: 0, sequence: 0)) }
        } else {
            for _ in 0..<count {
                cells.append(CellNumbers(column: try reader.readCount(limit: columnLimit - 1, of: "column"), columnVersion: 0, sequence: 0))
            }
        }
        if head & 2 != 0 {
            let version = try readCounter(&reader)
            for index in 0..<count { cells[index].columnVersion = version }
        } else {
            for index in 0..<count { cells[index].columnVersion = try readCounter(&reader) }
        }
        if head & 4 != 0 {
            let sequence = try readCounter(&reader)
            for index in 0..<count { cells[index].sequence = sequence + UInt64(index) }
        } else {
            for index in 0..<count { cells[index].sequence = try readCounter(&reader) }
        }
    }

    /// A varint below `counterLimit`.
    public static func readCounter(_ reader: inout ByteReader) throws(MalformedInput) -> UInt64 {
        let value = try reader.readVarint()
        guard value < counterLimit else { throw MalformedInput("counter \(value) is over the limit of 2^56") }
        return value
    }
}

/// LEB128, as `ByteWriter.writeVarint`, onto a plain array.
@inlinable
public func appendVarint(_ value: UInt64, to bytes: inout [UInt8]) {
    var rest = value
    while rest >= 0x80 {
        bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
        rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
}
