import Glibc
import PatinaProtocol

/// What local versions did to clocks and tombstones since these were last brought into their tables: newer than the tables, and in
/// the way of every look at them (`ClockTables`).
///
/// Everything here is also in the database, in the rows of the versions (`ClockLog`), so that it can be read again at any time.
/// Clocks are kept as records, in one byte array; an entry without a record says that the table's is no longer valid.
final class ClockOverlay {
    enum Kind: UInt8 {
        /// A clock record that is found by rowid, one that is found by packed key, a tombstone.
        case rowidClock, keyClock, tombstone
    }

    struct Entry {
        /// The table's id.
        let table: Int64
        let kind: Kind
        /// Of a `rowidClock`, otherwise 0.
        let rowid: Int64
        /// Of the others: where the packed key is in `bytes`.
        let key: Range<Int>
        fileprivate let hash: UInt64
        /// Where the record is in `bytes`; empty when it was dropped.
        fileprivate(set) var record: Range<Int>
        /// Row id of the version that changed it last.
        fileprivate(set) var version: Int64
    }

    enum Finding {
        /// The table is to be asked.
        case unknown
        case dropped
        /// Where the record is in `bytes`.
        case record(Range<Int>)
    }

    // Looked at for every row by the one thread that owns the store, never from within a change of theirs: checking that costs as much.
    @exclusivity(unchecked) private(set) var entries: [Entry] = []
    @exclusivity(unchecked) private(set) var bytes: [UInt8] = []
    @exclusivity(unchecked) private var index = RowIndex()
    /// Row id of the newest version whose clocks are in the tables, and of the newest one that is here.
    @exclusivity(unchecked) private(set) var folded: Int64 = 0
    @exclusivity(unchecked) private(set) var last: Int64 = 0
    /// Versions whose log is large enough to be worth deleting once it is folded.
    private(set) var largeLogs: [Int64] = []
    /// Counts the changes, so that a rollback knows whether the content has to be read again.
    @exclusivity(unchecked) private(set) var changes = 0
    /// Versions without a log.
    @exclusivity(unchecked) private var directVersions: [Int64] = []
    /// A pass of `ClockTables.foldStep` that is under way.
    @exclusivity(unchecked) var pass: FoldPass?

    /// What a version without a log counts: it has to be passed over when the overlay is read again.
    private static let directWeight = 16
    /// Bytes from which on a log lies on pages of its own.
    private static let largeLog = 2_048

    /// How much there is: entries, and a share for each version that wrote past the overlay.
    var weight: Int { entries.count + directVersions.count * Self.directWeight }

    // MARK: Reading

    func clock(_ table: Table, rowid: Int64, _ key: UnsafeRawBufferPointer, hash: UInt64?) -> Finding {
        if entries.isEmpty { return .unknown }
        guard table.keying == .packedKey else { return find(table.id, rowid: rowid) }
        return find(table.id, .keyClock, key, hash ?? keyHash(key))
    }

    func tombstone(_ table: Table, _ key: UnsafeRawBufferPointer, hash: UInt64?) -> Finding {
        entries.isEmpty ? .unknown : find(table.id, .tombstone, key, hash ?? keyHash(key))
    }

    private func find(_ table: Int64, rowid: Int64) -> Finding {
        let hash = Self.hash(table, rowid)
        return finding(index.find(hash) { entries[$0].kind == .rowidClock && entries[$0].rowid == rowid && entries[$0].table == table })
    }

    private func find(_ table: Int64, _ kind: Kind, _ key: UnsafeRawBufferPointer, _ keyHash: UInt64) -> Finding {
        finding(position(table, kind, key, Self.hash(table, kind, keyHash)))
    }

    private func finding(_ position: Int?) -> Finding {
        guard let position else { return .unknown }
        let record = entries[position].record
        return record.isEmpty ? .dropped : .record(record)
    }

    private func position(_ table: Int64, _ kind: Kind, _ key: UnsafeRawBufferPointer, _ hash: UInt64) -> Int? {
        index.find(hash) { candidate in
            let entry = entries[candidate]
            guard entry.kind == kind, entry.table == table, entry.key.count == key.count else { return false }
            guard let wanted = key.baseAddress else { return true }
            return bytes.withUnsafeBytes { all in all.baseAddress.map { memcmp($0 + entry.key.lowerBound, wanted, key.count) == 0 } ?? false
            }
        }
    }

    private static func hash(_ table: Int64, _ rowid: Int64) -> UInt64 {
        let mixed = (UInt64(bitPattern: rowid) ^ UInt64(bitPattern: table) << 48) &* 0x9E37_79B9_7F4A_7C15
        return mixed ^ mixed >> 32
    }

    private static func hash(_ table: Int64, _ kind: Kind, _ keyHash: UInt64) -> UInt64 {
        keyHash &+ (UInt64(bitPattern: table) << 2 | UInt64(kind.rawValue)) &* 0x9E37_79B9_7F4A_7C15
    }

    // MARK: Changing

    /// Sets or, with an empty record, drops a clock that is found by rowid.
    func set(_ table: Int64, rowid: Int64, _ record: ArraySlice<UInt8>, of version: Int64) {
        let hash = Self.hash(table, rowid)
        let known = index.find(hash) { entries[$0].kind == .rowidClock && entries[$0].rowid == rowid && entries[$0].table == table }
        let range = append(record)
        if let known {
            entries[known].record = range
            entries[known].version = version
        } else {
            insert(Entry(table: table, kind: .rowidClock, rowid: rowid, key: 0..<0, hash: hash, record: range, version: version))
        }
    }

    /// Sets or drops a clock that is found by key, or a tombstone.
    func set(_ table: Int64, _ kind: Kind, _ key: ArraySlice<UInt8>, _ record: ArraySlice<UInt8>, of version: Int64) {
        let hash = Self.hash(table, kind, key.withUnsafeBytes { keyHash($0) })
        let known = key.withUnsafeBytes { position(table, kind, $0, hash) }
        let range = append(record)
        if let known {
            entries[known].record = range
            entries[known].version = version
        } else {
            insert(Entry(table: table, kind: kind, rowid: 0, key: append(key), hash: hash, record: range, version: version))
        }
    }

    private func append(_ content: ArraySlice<UInt8>) -> Range<Int> {
        let start = bytes.count
        bytes.append(contentsOf: content)
        return start..<bytes.count
    }

    private func insert(_ entry: Entry) {
        entries.append(entry)
        index.insert(entry.hash, entries.count - 1)
    }

    /// A version's log, if it has one, is in.
    func took(_ id: Int64, logBytes: Int?) {
        changes += 1
        last = max(last, id)
        guard let logBytes else {
            directVersions.append(id)
            return
        }
        if logBytes > Self.largeLog { largeLogs.append(id) }
    }

    /// Everything up to the version `id` is in the tables.
    func restart(at id: Int64) {
        changes += 1
        entries.removeAll(keepingCapacity: entries.count < 32_768)
        bytes.removeAll(keepingCapacity: bytes.count < 2 << 20)
        index = RowIndex()
        largeLogs.removeAll()
        directVersions.removeAll(keepingCapacity: true)
        pass = nil
        folded = id
        last = id
    }

    /// Everything up to the version `id` is in the tables; what later versions changed stays.
    func retire(through id: Int64) {
        let (old, oldBytes, newest) = (entries, bytes, last)
        let rest = (direct: directVersions.filter { $0 > id }, large: largeLogs.filter { $0 > id })
        restart(at: id)
        for entry in old where entry.version > id {
            let key = append(oldBytes[entry.key])
            let record = append(oldBytes[entry.record])
            insert(
                Entry(
                    table: entry.table, kind: entry.kind, rowid: entry.rowid, key: key, hash: entry.hash, record: record,
                    version: entry.version))
        }
        (directVersions, largeLogs) = rest
        last = newest
    }

    /// Something was written to the tables ahead of `folded`. After a rollback the pass has to begin again.
    func noteStep() { changes += 1 }

    // MARK: All of it

    /// The entries in the order of the tables' pages.
    func sortedPositions() -> [Int] {
        bytes.withUnsafeBytes { all in
            entries.indices.sorted { left, right in
                let (a, b) = (entries[left], entries[right])
                if a.table != b.table { return a.table < b.table }
                if a.kind != b.kind { return a.kind.rawValue < b.kind.rawValue }
                if a.kind == .rowidClock { return a.rowid < b.rowid }
                return Self.precedes(all, a.key, b.key)
            }
        }
    }

    private static func precedes(_ all: UnsafeRawBufferPointer, _ left: Range<Int>, _ right: Range<Int>) -> Bool {
        guard let base = all.baseAddress else { return false }
        let order = memcmp(base + left.lowerBound, base + right.lowerBound, min(left.count, right.count))
        return order != 0 ? order < 0 : left.count < right.count
    }

    /// Equal in what it says, whatever the order in which it was said.
    func isEqual(to other: ClockOverlay) -> Bool {
        guard entries.count == other.entries.count, folded == other.folded else { return false }
        return zip(sortedPositions(), other.sortedPositions()).allSatisfy { mine, theirs in
            let (left, right) = (entries[mine], other.entries[theirs])
            return left.table == right.table && left.kind == right.kind && left.rowid == right.rowid
                && bytes[left.key] == other.bytes[right.key]
                && bytes[left.record] == other.bytes[right.record]
        }
    }
}

/// A pass that brings an overlay into the tables step by step: what it held at the beginning, in the order of their pages.
struct FoldPass {
    /// Positions of the entries.
    let positions: [Int]
    /// How many of them are in the tables.
    var done = 0
    /// Row id of the newest version at the beginning.
    let end: Int64
}
