import PatinaProtocol

/// The rows that a version touched, as stored with the version, so that the version can be served again:
///
/// for each table: its id (varint), the number of live rows (varint), for each of them its rowid (the difference to the one before,
/// ZigZag) or, for `Keying.packedKey`, its packed key; then the number of deleted rows (varint) and their packed keys.
/// Keys have a varint length.
///
/// An entry is a hint: what the row still holds of the version is in its clock. Rows that were written since simply have nothing left.
struct KeyListBuilder {
    private struct Group {
        let table: Int64
        var rows: [UInt8] = []
        var rowCount = 0
        var lastRowid: Int64 = 0
        var deleted: [UInt8] = []
        var deletedCount = 0
    }

    private var groups: [Group] = []
    /// What precedes the rows of a table, about.
    private static let headBytes = 16

    var isEmpty: Bool { groups.isEmpty }

    mutating func addRow(_ table: Table, rowid: Int64, key: UnsafeRawBufferPointer) {
        let group = groupIndex(table)
        groups[group].rowCount += 1
        if table.keying == .packedKey {
            appendVarint(UInt64(key.count), to: &groups[group].rows)
            groups[group].rows.append(contentsOf: key)
        } else {
            let difference = rowid &- groups[group].lastRowid
            appendVarint(UInt64(bitPattern: difference << 1 ^ difference >> 63), to: &groups[group].rows)
            groups[group].lastRowid = rowid
        }
    }

    mutating func addDeleted(_ table: Table, key: UnsafeRawBufferPointer) {
        let group = groupIndex(table)
        groups[group].deletedCount += 1
        appendVarint(UInt64(key.count), to: &groups[group].deleted)
        groups[group].deleted.append(contentsOf: key)
    }

    /// Adds a row of another list.
    mutating func add(_ row: ListedRow, of table: Table) {
        switch row {
        case .rowid(let rowid): addRow(table, rowid: rowid, key: UnsafeRawBufferPointer(start: nil, count: 0))
        case .packedKey(let key): key.withUnsafeBytes { addRow(table, rowid: 0, key: $0) }
        case .deleted(let key): key.withUnsafeBytes { addDeleted(table, key: $0) }
        }
    }

    /// The list of one row, and nothing else.
    static func ofOneRow(_ table: Table, rowid: Int64, key: UnsafeRawBufferPointer) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(headBytes + (table.keying == .packedKey ? key.count : 0))
        appendVarint(UInt64(table.id), to: &bytes)
        bytes.append(1)
        if table.keying == .packedKey {
            appendVarint(UInt64(key.count), to: &bytes)
            bytes.append(contentsOf: key)
        } else {
            appendVarint(UInt64(bitPattern: rowid << 1 ^ rowid >> 63), to: &bytes)
        }
        bytes.append(0)
        return bytes
    }

    /// The list of one row that was deleted, and nothing else.
    static func ofOneDeletion(_ table: Table, key: UnsafeRawBufferPointer) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(headBytes + key.count)
        appendVarint(UInt64(table.id), to: &bytes)
        bytes.append(0)
        bytes.append(1)
        appendVarint(UInt64(key.count), to: &bytes)
        bytes.append(contentsOf: key)
        return bytes
    }

    private mutating func groupIndex(_ table: Table) -> Int {
        if let last = groups.indices.last, groups[last].table == table.id { return last }
        if let known = groups.firstIndex(where: { $0.table == table.id }) { return known }
        groups.append(Group(table: table.id))
        return groups.count - 1
    }

    func finish() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(groups.reduce(0) { $0 + $1.rows.count + $1.deleted.count + Self.headBytes })
        for group in groups {
            appendVarint(UInt64(group.table), to: &bytes)
            appendVarint(UInt64(group.rowCount), to: &bytes)
            bytes.append(contentsOf: group.rows)
            appendVarint(UInt64(group.deletedCount), to: &bytes)
            bytes.append(contentsOf: group.deleted)
        }
        return bytes
    }
}

/// A row of a key list.
enum ListedRow: Hashable {
    case rowid(Int64)
    case packedKey([UInt8])
    case deleted([UInt8])
}

enum KeyList {
    /// The ids of the tables that a list names.
    static func tables(_ bytes: [UInt8], in catalog: Catalog) throws(MalformedInput) -> [Int64] {
        if KeyPages.isHead(bytes) { return try KeyPages.tables(ofHead: bytes) }
        var reader = ByteReader(bytes)
        var tables: [Int64] = []
        while !reader.isAtEnd {
            let table = Int64(bitPattern: try reader.readVarint())
            guard let keying = catalog.keying(ofID: table) else { throw MalformedInput("a key list names the unknown table \(table)") }
            for _ in 0..<(try reader.readCount(limit: reader.remaining, of: "number of listed rows")) {
                if keying == .packedKey { _ = try reader.readBytes() } else { _ = try reader.readSignedVarint() }
            }
            for _ in 0..<(try reader.readCount(limit: reader.remaining, of: "number of listed deletions")) { _ = try reader.readBytes() }
            tables.append(table)
        }
        return tables
    }

    /// Calls `body` with each row's table id and the row, in the order of the list.
    static func forEach(_ bytes: [UInt8], in catalog: Catalog, _ body: (Int64, ListedRow) -> Void) throws(MalformedInput) {
        var reader = ByteReader(bytes)
        while !reader.isAtEnd {
            let table = Int64(bitPattern: try reader.readVarint())
            guard let keying = catalog.keying(ofID: table) else { throw MalformedInput("a key list names the unknown table \(table)") }
            var rowid: Int64 = 0
            for _ in 0..<(try reader.readCount(limit: reader.remaining, of: "number of listed rows")) {
                if keying == .packedKey {
                    body(table, .packedKey(Array(try reader.readBytes())))
                } else {
                    rowid &+= try reader.readSignedVarint()
                    body(table, .rowid(rowid))
                }
            }
            for _ in 0..<(try reader.readCount(limit: reader.remaining, of: "number of listed deletions")) {
                body(table, .deleted(Array(try reader.readBytes())))
            }
        }
    }
}
