/// Builds the body of a chunk row by row (`docs/wire-format.md`), from values that are encoded already.
public struct ChangesetWriter: Sendable {
    /// The description of a table: its name, and so far its columns, as they travel.
    private struct Description {
        let name: [UInt8]
        var columns: [UInt8]
        var columnCount: Int
    }

    private var tables: [Description] = []
    private var rows: [UInt8] = []
    private var rowCount = 0
    private var headerBytes = 0
    /// What a row takes beside its key, cells and values, at most but for very large numbers.
    private static let rowBytes = 24

    public init() {}

    public var isEmpty: Bool { rowCount == 0 }
    /// About how long the body is so far.
    public var byteCount: Int { rows.count + headerBytes + 4 }

    /// What whoever writes the body has dropped, and cells of which may be missing in it.
    public var omitted: [Changeset.Table] = []

    /// Adds a table and returns its index in the body. Names must not repeat.
    public mutating func addTable(named name: String) -> Int { addTable(encodedName: Self.encodedName(name)) }

    /// Adds a column to a table and returns its index there. Names must not repeat within a table.
    public mutating func addColumn(named name: String, table: Int) -> Int {
        addColumn(encodedName: Self.encodedName(name), table: table)
    }

    /// A name as it travels, for whoever adds it to many bodies.
    public static func encodedName(_ name: String) -> [UInt8] {
        var bytes: [UInt8] = []
        appendVarint(UInt64(name.utf8.count), to: &bytes)
        bytes.append(contentsOf: name.utf8)
        return bytes
    }

    /// As `addTable(named:)`, together with columns, whose encoded names follow each other in `encodedColumns`.
    public mutating func addTable(encodedName name: [UInt8], encodedColumns: [UInt8] = [], columnCount: Int = 0) -> Int {
        tables.append(Description(name: name, columns: encodedColumns, columnCount: columnCount))
        headerBytes += name.count + encodedColumns.count + 1
        return tables.count - 1
    }

    /// As `addColumn(named:table:)`.
    public mutating func addColumn(encodedName name: [UInt8], table: Int) -> Int {
        tables[table].columns.append(contentsOf: name)
        tables[table].columnCount += 1
        headerBytes += name.count
        return tables[table].columnCount - 1
    }

    /// Adds a row. `values` holds the values of `cells` in their order, each as `ValueCodec` encodes it.
    public mutating func appendRow(
        table: Int, key: UnsafeRawBufferPointer, causalLength: UInt64, sentinel: RowChange.Sentinel?,
        cells: UnsafeBufferPointer<CellNumbers>, values: UnsafeRawBufferPointer
    ) {
        rowCount += 1
        // Of a body of one row at once as much as it needs.
        if rows.isEmpty { rows.reserveCapacity(Self.rowBytes + key.count + 3 * cells.count + values.count) }
        let sentinelDiffers = sentinel.map { $0.columnVersion != causalLength } ?? false
        let flags =
            (causalLength != 1 ? RowFlags.causalLength : 0) | (sentinel != nil ? RowFlags.sentinel : 0)
            | (sentinelDiffers ? RowFlags.sentinelVersion : 0)
        appendVarint(UInt64(table) << 3 | flags, to: &rows)
        appendVarint(UInt64(key.count), to: &rows)
        rows.append(contentsOf: key)
        if causalLength != 1 { appendVarint(causalLength, to: &rows) }
        if let sentinel {
            appendVarint(sentinel.sequence, to: &rows)
            if sentinelDiffers { appendVarint(sentinel.columnVersion, to: &rows) }
        }
        CellRun.append(cells, to: &rows)
        rows.append(contentsOf: values)
    }

    /// Adds a row with a cell for each of the table's columns in order, column versions 1, sequence numbers from `sequence` on.
    public mutating func appendInsertedRow(
        table: Int, key: UnsafeRawBufferPointer, causalLength: UInt64, sentinelSequence: UInt64?, columns: Int, sequence: UInt64,
        values: UnsafeRawBufferPointer
    ) {
        rowCount += 1
        if rows.isEmpty { rows.reserveCapacity(Self.rowBytes + key.count + values.count) }
        let flags = (causalLength != 1 ? RowFlags.causalLength : 0) | (sentinelSequence != nil ? RowFlags.sentinel : 0)
        appendVarint(UInt64(table) << 3 | flags, to: &rows)
        appendVarint(UInt64(key.count), to: &rows)
        rows.append(contentsOf: key)
        if causalLength != 1 { appendVarint(causalLength, to: &rows) }
        if let sentinelSequence { appendVarint(sentinelSequence, to: &rows) }
        CellRun.appendFresh(count: columns, sequence: sequence, to: &rows)
        rows.append(contentsOf: values)
    }

    /// The body of a chunk with a single cell, as adding it to an empty writer would make it: what most transactions of one statement are.
    public static func body(
        encodedTable name: [UInt8], encodedColumn column: [UInt8], key: UnsafeRawBufferPointer, causalLength: UInt64, columnVersion: UInt64,
        sequence: UInt64, value: UnsafeRawBufferPointer
    ) -> [UInt8] {
        // Five single bytes and six numbers beside the names, the key and the value.
        let limit = 5 + 6 * longestVarint + name.count + column.count + key.count + value.count
        return Array(unsafeUninitializedCapacity: limit) { memory, count in
            func append(_ byte: UInt8) {
                memory.initializeElement(at: count, to: byte)
                count += 1
            }
            func append(_ content: UnsafeRawBufferPointer) {
                UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: memory[count...])).copyMemory(from: content)
                count += content.count
            }
            func append(number: UInt64) {
                var rest = number
                while rest >= 0x80 {
                    append(UInt8(truncatingIfNeeded: rest) | 0x80)
                    rest >>= 7
                }
                append(UInt8(truncatingIfNeeded: rest))
            }
            append(ChangesetCodec.format)
            append(1)
            name.withUnsafeBytes { append($0) }
            append(1)
            column.withUnsafeBytes { append($0) }
            append(1)
            append(UInt8(causalLength != 1 ? RowFlags.causalLength : 0))
            append(number: UInt64(key.count))
            append(key)
            if causalLength != 1 { append(number: causalLength) }
            // A `CellRun` of one cell, the first column.
            append(number: 1 << 3 | 7)
            append(number: 0)
            append(number: columnVersion)
            append(number: sequence)
            append(value)
        }
    }

    private static let longestVarint = 10

    /// The whole body.
    public func finish() -> [UInt8] {
        var body: [UInt8] = []
        body.reserveCapacity(byteCount + 8)
        body.append(ChangesetCodec.format)
        appendVarint(UInt64(tables.count), to: &body)
        for table in tables {
            body.append(contentsOf: table.name)
            appendVarint(UInt64(table.columnCount), to: &body)
            body.append(contentsOf: table.columns)
        }
        appendVarint(UInt64(rowCount), to: &body)
        body.append(contentsOf: rows)
        guard !omitted.isEmpty else { return body }
        var field: [UInt8] = []
        appendVarint(UInt64(omitted.count), to: &field)
        for table in omitted {
            field.append(contentsOf: Self.encodedName(table.name))
            appendVarint(UInt64(table.columns.count), to: &field)
            for column in table.columns { field.append(contentsOf: Self.encodedName(column)) }
        }
        appendVarint(ChangesetCodec.omittedField, to: &body)
        appendVarint(UInt64(field.count), to: &body)
        body.append(contentsOf: field)
        return body
    }
}

/// The low three bits of a row's head say which optional fields follow.
enum RowFlags {
    /// A causal length other than 1.
    static let causalLength: UInt64 = 1
    static let sentinel: UInt64 = 2
    /// A sentinel whose column version is not the causal length (old cr-sqlite histories).
    static let sentinelVersion: UInt64 = 4
}
