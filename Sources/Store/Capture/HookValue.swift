import CSQLite
import Glibc
import PatinaProtocol

/// A value that the preupdate hook sees. The bytes belong to SQLite and live until the hook returns.
enum HookValue {
    case null
    case integer(Int64)
    case real(Double)
    case text(UnsafeRawBufferPointer)
    case blob(UnsafeRawBufferPointer)

    init(_ value: OpaquePointer?) {
        switch sqlite3_value_type(value) {
        case SQLITE_INTEGER: self = .integer(sqlite3_value_int64(value))
        case SQLITE_FLOAT: self = .real(sqlite3_value_double(value))
        case SQLITE_TEXT:
            // As text, SQLite would make a copy that ends with a zero.
            let base =
                sqlite3_value_encoding(value) == SQLITE_UTF8
                ? sqlite3_value_blob(value) : sqlite3_value_text(value).map { UnsafeRawPointer($0) }
            self = .text(UnsafeRawBufferPointer(start: base, count: Int(sqlite3_value_bytes(value))))
        case SQLITE_BLOB:
            let base = sqlite3_value_blob(value)
            self = .blob(UnsafeRawBufferPointer(start: base, count: Int(sqlite3_value_bytes(value))))
        default: self = .null
        }
    }

    /// SQLite stores a REAL without a fraction as an integer, and the hook sees it as it is stored.
    func normalized(_ affinity: Affinity) -> HookValue {
        if case .integer(let number) = self, affinity == .real { return .real(Double(number)) }
        return self
    }

    /// Undoes what SQLite does to old values when virtual columns shift its indexes; see `HookIndexes.oldReadsAsReal`.
    var wholeNumberAsInteger: HookValue {
        if case .real(let number) = self, let whole = Int64(exactly: number) { return .integer(whole) }
        return self
    }

    /// Equal in type and in bits. For SQLite 0.0 and -0.0 are equal, but then a node that replaces one by the other would hold another row
    /// than its peers, for ever.
    func isEqual(_ other: HookValue) -> Bool {
        switch (self, other) {
        case (.null, .null): true
        case (.integer(let left), .integer(let right)): left == right
        case (.real(let left), .real(let right)): left.bitPattern == right.bitPattern
        case (.text(let left), .text(let right)), (.blob(let left), .blob(let right)):
            left.count == right.count && left.elementsMatch(right)
        default: false
        }
    }

    func isEqual(_ value: Value) -> Bool {
        switch (self, value) {
        case (.text(let bytes), .text(let other)), (.blob(let bytes), .blob(let other)): bytes.elementsEqual(other)
        case (.integer(let left), .integer(let right)): left == right
        case (.real(let left), .real(let right)): left.bitPattern == right.bitPattern
        case (.null, .null): true
        default: false
        }
    }

    func append(to bytes: inout [UInt8]) {
        switch self {
        case .null: ValueCodec.appendNull(to: &bytes)
        case .integer(let number): ValueCodec.append(integer: number, to: &bytes)
        case .real(let number): ValueCodec.append(real: number, to: &bytes)
        case .text(let content): ValueCodec.append(.text, content, to: &bytes)
        case .blob(let content): ValueCodec.append(.blob, content, to: &bytes)
        }
    }

    func appendKeyColumn(to bytes: inout [UInt8]) {
        switch self {
        case .null: bytes.append(PackedKey.KeyType.null.rawValue)
        case .integer(let number): PackedKey.append(integer: number, to: &bytes)
        case .real(let number): PackedKey.append(real: number, to: &bytes)
        case .text(let content): PackedKey.append(.text, content, to: &bytes)
        case .blob(let content): PackedKey.append(.blob, content, to: &bytes)
        }
    }
}

extension UnsafeRawBufferPointer {
    /// True when the bytes are equal, given that their number is.
    fileprivate func elementsMatch(_ other: UnsafeRawBufferPointer) -> Bool {
        guard let left = baseAddress, let right = other.baseAddress else { return true }
        return memcmp(left, right, count) == 0
    }
}

/// The values of the row that the preupdate hook is called for.
struct HookValues {
    let connection: OpaquePointer

    func old(_ index: HookIndexes) -> HookValue {
        var value: OpaquePointer?
        guard sqlite3_preupdate_old(connection, index.old, &value) == SQLITE_OK else { return .null }
        let read = HookValue(value)
        return index.oldReadsAsReal ? read.wholeNumberAsInteger : read
    }

    func inserted(_ index: HookIndexes) -> HookValue { new(index.inserted) }
    func updated(_ index: HookIndexes) -> HookValue { new(index.updated) }

    private func new(_ index: Int32) -> HookValue {
        var value: OpaquePointer?
        guard sqlite3_preupdate_new(connection, index, &value) == SQLITE_OK else { return .null }
        return HookValue(value)
    }

    func isUnchanged(_ index: HookIndexes, _ affinity: Affinity) -> Bool {
        let new = updated(index).normalized(affinity)
        return old(index).normalized(affinity).isEqual(index.oldReadsAsReal ? new.wholeNumberAsInteger : new)
    }

    enum Change {
        case unchanged, changed
        /// SQLite shows NULL as the old value of a column that was added after the row was written, whatever its default. Whether
        /// the row really held NULL is known when its clock is read.
        case doubtful
    }

    /// Whether an update changed a column, and the new value.
    func change(_ number: Int, of table: Table) -> (Change, HookValue) {
        let column = table.capture[number]
        let before = old(column.hook).normalized(column.affinity)
        let after = updated(column.hook).normalized(column.affinity)
        if column.hasDefault, case .null = before, let defaultValue = table.columns[number].defaultValue {
            if case .null = after { return (.doubtful, after) }
            return (after.isEqual(defaultValue) ? .doubtful : .changed, after)
        }
        return (before.isEqual(column.hook.oldReadsAsReal ? after.wholeNumberAsInteger : after) ? .unchanged : .changed, after)
    }
}
