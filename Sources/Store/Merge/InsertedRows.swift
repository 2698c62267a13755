import CSQLite
import PatinaProtocol

/// A version all of whose rows were inserted whole into one table, as its chunks have them: the most common large version by far. Only the
/// places of the rows are noted; keys and values go from the chunks' bytes straight into the statements.
///
/// Whatever is not plain, or not valid, makes the initializer return nil: the chunks then go the ordinary way, which also knows what is
/// wrong with them.
struct InsertedRows {
    struct Row {
        /// Index into `bodies`.
        let body: Int
        /// Where the packed key is.
        let key: Range<Int>
        /// The sequence number of its first cell; the others follow.
        let sequence: UInt64
        /// Where its first value is; the others follow.
        let values: Int
    }

    let table: Table
    let bodies: [[UInt8]]
    private(set) var rows: [Row] = []

    init?(_ pieces: ArraySlice<Chunk>, catalog: Catalog) {
        guard let first = pieces.first, let table = first.body.withUnsafeBytes({ Self.table(of: $0, in: catalog) }),
            table.recordNumbers == nil, !table.columns.isEmpty, table.keyColumns.count <= 255
        else { return nil }
        self.table = table
        bodies = pieces.map(\.body)
        for (index, piece) in pieces.enumerated() {
            let isPlain = bodies[index].withUnsafeBytes { body in
                var cursor = ByteCursor(body)
                return addRows(&cursor, index, piece.id.sequences)
            }
            guard isPlain else { return nil }
        }
    }

    /// The table that a body begins with, if it is the only one and ours.
    private static func table(of body: UnsafeRawBufferPointer, in catalog: Catalog) -> Table? {
        var cursor = ByteCursor(body)
        guard cursor.byte() == ChangesetCodec.format, cursor.varint() == 1, let size = cursor.varint(), let name = cursor.take(size) else {
            return nil
        }
        return catalog.table(named: String(decoding: body[name], as: UTF8.self))
    }

    private mutating func addRows(_ cursor: inout ByteCursor, _ body: Int, _ sequences: ClosedRange<UInt64>) -> Bool {
        let columns = table.columns.count
        guard cursor.byte() == ChangesetCodec.format, cursor.varint() == 1, cursor.matches(table.wireName),
            cursor.varint() == UInt64(columns), cursor.matches(table.allWireColumns), let count = cursor.varint(),
            count <= UInt64(cursor.remaining)
        else { return false }
        rows.reserveCapacity(rows.count + Int(count))
        for _ in 0..<count {
            // Table 0, causal length 1, no sentinel; all columns in order, with column version 1 and consecutive sequence numbers.
            guard cursor.varint() == 0, let size = cursor.varint(), let key = cursor.take(size), isPlainKey(cursor.bytes, key),
                cursor.varint() == UInt64(columns << 3 | 7), cursor.varint() == 0, cursor.varint() == 1, let sequence = cursor.varint(),
                sequence >= sequences.lowerBound, sequence <= sequences.upperBound,
                sequences.upperBound - sequence >= UInt64(columns - 1)
            else { return false }
            rows.append(Row(body: body, key: key, sequence: sequence, values: cursor.position))
            for _ in 0..<columns where !cursor.skipValue() { return false }
        }
        return cursor.remaining == 0
    }

    /// True when a key is in the form that equal keys share, and SQLite stores it as it is.
    private func isPlainKey(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: bytes[range]))
        guard cursor.byte() == UInt8(table.keyColumns.count) else { return false }
        for column in table.keyCapture {
            guard let head = cursor.byte(), let number = cursor.number(head >> 3) else { return false }
            switch PackedKey.KeyType(rawValue: head & 7) {
            case .integer:
                guard column.affinity == .integer || column.affinity == .blob else { return false }
            case .text:
                guard column.affinity == .text || column.affinity == .blob, cursor.take(number) != nil else { return false }
            case .blob:
                guard cursor.take(number) != nil else { return false }
            default: return false
            }
            if table.keying == .rowidAlias, head & 7 != PackedKey.KeyType.integer.rawValue { return false }
        }
        return cursor.remaining == 0
    }

    /// Binds the key and the values of a row, which stay where they are, to a statement that takes them in this order.
    static func bind(_ row: Row, _ body: UnsafeRawBufferPointer, of table: Table, to statement: PreparedStatement) throws(StoreError) {
        var key = ByteCursor(UnsafeRawBufferPointer(rebasing: body[row.key]))
        _ = key.byte()
        var index: Int32 = 0
        for _ in table.keyCapture {
            index += 1
            guard let head = key.byte(), let number = key.number(head >> 3) else { preconditionFailure("keys were looked at") }
            if head & 7 == PackedKey.KeyType.integer.rawValue {
                try statement.bind(index, number)
                continue
            }
            guard let content = key.take(number) else { preconditionFailure("keys were looked at") }
            let bytes = UnsafeRawBufferPointer(rebasing: key.bytes[content])
            if head & 7 == PackedKey.KeyType.text.rawValue {
                try statement.bindBorrowed(index, text: bytes)
            } else {
                try statement.bindBorrowed(index, blob: bytes)
            }
        }
        var values = ByteCursor(body, from: row.values)
        for _ in table.columnOrder {
            index += 1
            guard let tag = values.byte().flatMap(ValueCodec.Tag.init) else { preconditionFailure("values were looked at") }
            switch tag {
            case .null: try statement.bind(index, .null)
            case .integer:
                let number = values.varint() ?? 0
                try statement.bind(index, Int64(bitPattern: number >> 1) ^ -Int64(bitPattern: number & 1))
            case .real: try statement.bind(index, .real(Double(bitPattern: values.word() ?? 0)))
            case .text, .blob:
                guard let content = values.varint().flatMap({ values.take($0) }) else { preconditionFailure("values were looked at") }
                let bytes = UnsafeRawBufferPointer(rebasing: body[content])
                if tag == .text { try statement.bindBorrowed(index, text: bytes) } else { try statement.bindBorrowed(index, blob: bytes) }
            }
        }
    }
}

/// Reads from bytes that stay where they are. Nil, whatever the bytes, where there is nothing valid to read.
struct ByteCursor {
    let bytes: UnsafeRawBufferPointer
    private(set) var position: Int

    init(_ bytes: UnsafeRawBufferPointer, from position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    var remaining: Int { bytes.count - position }

    @inline(__always)
    mutating func byte() -> UInt8? {
        guard position < bytes.count else { return nil }
        defer { position += 1 }
        return bytes[position]
    }

    @inline(__always)
    mutating func varint() -> UInt64? {
        guard var byte = byte() else { return nil }
        var value = UInt64(byte & 0x7F)
        var shift: UInt64 = 7
        while byte & 0x80 != 0 {
            guard let next = self.byte(), shift < 63 else { return nil }
            byte = next
            value |= UInt64(byte & 0x7F) << shift
            shift += 7
        }
        return value
    }

    /// Passes over that many bytes.
    @inline(__always)
    mutating func take(_ count: UInt64) -> Range<Int>? {
        guard count <= UInt64(remaining) else { return nil }
        let start = position
        position += Int(count)
        return start..<position
    }

    /// Eight bytes, little endian.
    mutating func word() -> UInt64? {
        take(8).map { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0.lowerBound, as: UInt64.self)) }
    }

    /// A number of a packed key: big endian, in its shortest form.
    mutating func number(_ size: UInt8) -> UInt64? {
        guard size <= 8, let range = take(UInt64(size)) else { return nil }
        var value: UInt64 = 0
        for index in range { value = value << 8 | UInt64(bytes[index]) }
        return size > 0 && bytes[range.lowerBound] == 0 ? nil : value
    }

    /// Passes over exactly these bytes.
    mutating func matches(_ expected: [UInt8]) -> Bool {
        guard let range = take(UInt64(expected.count)) else { return false }
        return expected.withUnsafeBytes { $0.elementsEqual(UnsafeRawBufferPointer(rebasing: bytes[range])) }
    }

    /// Passes over a value.
    @inline(__always)
    mutating func skipValue() -> Bool {
        guard let byte = byte(), let tag = ValueCodec.Tag(rawValue: byte) else { return false }
        switch tag {
        case .null: return true
        case .integer:
            // Ten bytes are ordinary for a number near the limits; the ordinary way reads those.
            return varint() != nil
        case .real: return word().map { !Double(bitPattern: $0).isNaN } ?? false
        case .text, .blob:
            guard let size = varint() else { return false }
            return take(size) != nil
        }
    }
}
