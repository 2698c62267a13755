import PatinaProtocol

/// What a local version did to clocks and tombstones, as stored with the version until it is folded into their tables.
///
/// For each clock or tombstone, in the order in which they changed:
///
/// | field | form |
/// |---|---|
/// | table id × 8 + 4 if by packed key + operation (0 clock, 1 clock dropped, 2 tombstone, 3 tombstone dropped) | varint |
/// | the rowid, as the difference to the one before, ZigZag; or the packed key behind its length | varint; bytes |
/// | a clock: its record, behind its length | bytes |
/// | a tombstone: causal length, sequence number (its site and version are those of the log) | varints |
struct ClockLog {
    private(set) var bytes: [UInt8] = []
    private var lastRowid: Int64 = 0

    init() {}

    /// - Parameter rows: about how many rows it is for.
    init(rows: Int) { bytes.reserveCapacity(Self.rowBytes * rows) }

    /// What a row takes, about.
    private static let rowBytes = 40

    private enum Operation: UInt64 {
        case clock, droppedClock, tombstone, droppedTombstone
    }

    private static let byKey: UInt64 = 4

    mutating func set(_ table: Table, rowid: Int64, _ key: UnsafeRawBufferPointer, record: [UInt8]) {
        appendPlace(.clock, table, rowid, key)
        appendVarint(UInt64(record.count), to: &bytes)
        bytes.append(contentsOf: record)
    }

    mutating func drop(_ table: Table, rowid: Int64, _ key: UnsafeRawBufferPointer) { appendPlace(.droppedClock, table, rowid, key) }

    mutating func setTombstone(_ table: Table, _ key: UnsafeRawBufferPointer, causalLength: UInt64, sequence: UInt64) {
        appendKey(.tombstone, table, key)
        appendVarint(causalLength, to: &bytes)
        appendVarint(sequence, to: &bytes)
    }

    mutating func dropTombstone(_ table: Table, _ key: UnsafeRawBufferPointer) { appendKey(.droppedTombstone, table, key) }

    private mutating func appendPlace(_ operation: Operation, _ table: Table, _ rowid: Int64, _ key: UnsafeRawBufferPointer) {
        guard table.keying != .packedKey else { return appendKey(operation, table, key) }
        appendVarint(UInt64(table.id) << 3 | operation.rawValue, to: &bytes)
        let difference = rowid &- lastRowid
        appendVarint(UInt64(bitPattern: difference << 1 ^ difference >> 63), to: &bytes)
        lastRowid = rowid
    }

    private mutating func appendKey(_ operation: Operation, _ table: Table, _ key: UnsafeRawBufferPointer) {
        appendVarint(UInt64(table.id) << 3 | Self.byKey | operation.rawValue, to: &bytes)
        appendVarint(UInt64(key.count), to: &bytes)
        bytes.append(contentsOf: key)
    }

    /// Does to the overlay what the version `id` did. Never traps, whatever the bytes.
    static func replay(_ bytes: [UInt8], of id: Int64, into overlay: ClockOverlay) throws(MalformedInput) {
        var reader = ByteReader(bytes)
        var rowid: Int64 = 0
        var tombstone: [UInt8] = []
        while !reader.isAtEnd {
            let head = try reader.readVarint()
            let table = Int64(head >> 3)
            guard let operation = Operation(rawValue: head & 3) else { throw MalformedInput("an unknown change of a clock") }
            if head & byKey == 0 {
                guard operation == .clock || operation == .droppedClock else { throw MalformedInput("a tombstone without a key") }
                rowid &+= try reader.readSignedVarint()
                overlay.set(table, rowid: rowid, operation == .clock ? try readRecord(&reader) : [], of: id)
                continue
            }
            let key = try reader.readBytes()
            switch operation {
            case .clock: overlay.set(table, .keyClock, key, try readRecord(&reader), of: id)
            case .droppedClock: overlay.set(table, .keyClock, key, [], of: id)
            case .tombstone:
                tombstone.removeAll(keepingCapacity: true)
                appendVarint(try reader.readVarint(), to: &tombstone)
                appendVarint(UInt64(id >> Int64(Bookkeeping.versionBits)), to: &tombstone)
                appendVarint(Bookkeeping.version(ofID: id), to: &tombstone)
                appendVarint(try reader.readVarint(), to: &tombstone)
                overlay.set(table, .tombstone, key, tombstone[...], of: id)
            case .droppedTombstone: overlay.set(table, .tombstone, key, [], of: id)
            }
        }
        overlay.took(id, logBytes: bytes.count)
    }

    private static func readRecord(_ reader: inout ByteReader) throws(MalformedInput) -> ArraySlice<UInt8> {
        let record = try reader.readBytes()
        if record.isEmpty { throw MalformedInput("an empty clock record") }
        return record
    }
}
