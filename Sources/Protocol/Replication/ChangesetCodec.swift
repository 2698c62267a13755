/// The body of a chunk as bytes: `docs/wire-format.md`.
public enum ChangesetCodec {
    /// The first byte of a body. A reader that does not know it refuses the body.
    public static let format: UInt8 = 1

    /// The field behind the rows that names what was omitted.
    static let omittedField: UInt64 = 16

    public static func encode(_ changeset: Changeset) -> [UInt8] {
        var writer = ChangesetWriter()
        writer.omitted = changeset.omitted
        for table in changeset.tables {
            let index = writer.addTable(named: table.name)
            for column in table.columns { _ = writer.addColumn(named: column, table: index) }
        }
        var numbers: [CellNumbers] = []
        var values: [UInt8] = []
        for row in changeset.rows {
            numbers.removeAll(keepingCapacity: true)
            values.removeAll(keepingCapacity: true)
            for cell in row.cells {
                numbers.append(CellNumbers(column: cell.column, columnVersion: cell.columnVersion, sequence: cell.sequence))
                ValueCodec.append(cell.value, to: &values)
            }
            row.key.withUnsafeBytes { key in
                numbers.withUnsafeBufferPointer { cells in
                    values.withUnsafeBytes { values in
                        writer.appendRow(
                            table: row.table, key: key, causalLength: row.causalLength, sentinel: row.sentinel, cells: cells, values: values
                        )
                    }
                }
            }
        }
        return writer.finish()
    }

    /// Reads a body. What it returns is consistent: every index lies in its list, names and the cells of a row are distinct,
    /// a deletion has a sentinel and no cells, any other row has a sentinel or a cell. Behind the last row come fields, each with a
    /// number and a length; unknown ones, and bytes that are no field, are those of a later version and are skipped.
    public static func decode(_ bytes: [UInt8]) throws(MalformedInput) -> Changeset {
        var reader = ByteReader(bytes)
        let format = try reader.readByte()
        guard format == Self.format else { throw MalformedInput("a changeset has the unknown format \(format)") }
        var changeset = Changeset()
        changeset.tables = try readTables(&reader)
        let rowCount = try reader.readCount(limit: reader.remaining, of: "number of rows")
        var rows = RowReader(tables: changeset.tables)
        // A lying count must not take memory that the body cannot fill.
        changeset.rows.reserveCapacity(min(rowCount, 4_096))
        for _ in 0..<rowCount { changeset.rows.append(try rows.read(&reader)) }
        while !reader.isAtEnd {
            guard let number = try? reader.readVarint(), let field = try? reader.readBytes() else { break }
            guard number == omittedField else { continue }
            var content = ByteReader(Array(field))
            changeset.omitted = try readTables(&content)
        }
        return changeset
    }

    private static func readTables(_ reader: inout ByteReader) throws(MalformedInput) -> [Changeset.Table] {
        let tableCount = try reader.readCount(limit: reader.remaining, of: "number of tables")
        var names = Set<String>()
        var tables: [Changeset.Table] = []
        for _ in 0..<tableCount {
            let table = try readTable(&reader)
            guard names.insert(table.name).inserted else { throw MalformedInput("a changeset names table \(table.name) twice") }
            tables.append(table)
        }
        return tables
    }

    private static func readTable(_ reader: inout ByteReader) throws(MalformedInput) -> Changeset.Table {
        var table = Changeset.Table(name: try reader.readString(), columns: [])
        let columnCount = try reader.readCount(limit: reader.remaining, of: "number of columns")
        var names = Set<String>()
        for _ in 0..<columnCount {
            let name = try reader.readString()
            guard names.insert(name).inserted else { throw MalformedInput("table \(table.name) has column \(name) twice in a changeset") }
            table.columns.append(name)
        }
        return table
    }
}

/// Reads rows, with buffers that live from row to row.
private struct RowReader {
    let tables: [Changeset.Table]
    private var numbers: [CellNumbers] = []
    /// For each column the last row that wrote it, to find a column that is written twice.
    private var lastRow: [Int]
    private var row = 0

    init(tables: [Changeset.Table]) {
        self.tables = tables
        lastRow = Array(repeating: 0, count: tables.reduce(0) { max($0, $1.columns.count) })
    }

    mutating func read(_ reader: inout ByteReader) throws(MalformedInput) -> RowChange {
        row += 1
        let head = try reader.readVarint()
        guard head >> 3 < UInt64(tables.count) else { throw MalformedInput("a row names table \(head >> 3) of \(tables.count)") }
        let table = Int(head >> 3)
        let key = Array(try reader.readBytes())
        var causalLength: UInt64 = 1
        if head & RowFlags.causalLength != 0 { causalLength = try CellRun.readCounter(&reader) }
        guard causalLength >= 1 else { throw MalformedInput("a row has the causal length 0") }
        var sentinel: RowChange.Sentinel?
        if head & RowFlags.sentinel != 0 {
            sentinel = RowChange.Sentinel(columnVersion: causalLength, sequence: try CellRun.readCounter(&reader))
            if head & RowFlags.sentinelVersion != 0 {
                let version = try CellRun.readCounter(&reader)
                guard version >= 1, version & 1 == causalLength & 1 else {
                    throw MalformedInput("a sentinel of version \(version) does not fit the causal length \(causalLength)")
                }
                sentinel?.columnVersion = version
            }
        }
        try CellRun.read(columnLimit: tables[table].columns.count, from: &reader, into: &numbers)
        if causalLength & 1 == 0 {
            guard sentinel != nil, numbers.isEmpty else { throw MalformedInput("a deletion needs a sentinel and no cells") }
        } else {
            guard sentinel != nil || !numbers.isEmpty else { throw MalformedInput("a row has neither a sentinel nor a cell") }
        }
        var change = RowChange(table: table, key: key, causalLength: causalLength, sentinel: sentinel, cells: [])
        change.cells.reserveCapacity(numbers.count)
        for cell in numbers {
            guard lastRow[cell.column] != row else { throw MalformedInput("a row has column \(cell.column) twice") }
            lastRow[cell.column] = row
            change.cells.append(
                CellChange(
                    column: cell.column, columnVersion: cell.columnVersion, sequence: cell.sequence,
                    value: try ValueCodec.read(from: &reader)))
        }
        return change
    }
}
