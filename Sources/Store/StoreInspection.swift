import CSQLite
import PatinaProtocol

extension Store {
    /// A digest of all rows of all replicated tables: equal for equal contents, whatever the order of rows, columns and clocks.
    public func contentFingerprint() throws(StoreError) -> Fingerprint {
        try checkUsable()
        var total = Fingerprint.zero
        for table in catalog.tables {
            // By name, because nodes may have declared their columns in different orders.
            let names = (table.keyColumns.map(\.name) + table.columns.map(\.name)).sorted()
            let statement = try connection.statement("SELECT \(names.map(quoted).joined(separator: ", ")) FROM \(quoted(table.name))")
            let labels = names.map { Array($0.utf8) }
            var head = Fingerprint.Hasher(seed: 0x726F_7773)
            head.combine(table.name)
            while try statement.step() {
                var hasher = head
                for (index, label) in labels.enumerated() {
                    hasher.combine(label)
                    statement.combine(Int32(index), into: &hasher)
                }
                total += hasher.finish()
            }
        }
        return total
    }
}

extension PreparedStatement {
    /// As `combine(value(index))`, without a copy of the bytes.
    fileprivate func combine(_ index: Int32, into hasher: inout Fingerprint.Hasher) {
        switch sqlite3_column_type(handle, index) {
        case SQLITE_TEXT:
            hasher.combine(3)
            hasher.combine(textBytes(index))
        case SQLITE_BLOB:
            hasher.combine(4)
            hasher.combine(bytes(index))
        default: hasher.combine(value(index))
        }
    }
}

extension Fingerprint.Hasher {
    mutating func combine(_ value: Value) {
        switch value {
        case .null: combine(0)
        case .integer(let number):
            combine(1)
            combine(UInt64(bitPattern: number))
        case .real(let number):
            combine(2)
            combine(number.bitPattern)
        case .text(let bytes):
            combine(3)
            combine(bytes)
        case .blob(let bytes):
            combine(4)
            combine(bytes)
        }
    }
}
