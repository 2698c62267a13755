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
            var head = Fingerprint.Hasher(seed: 0x726F_7773)
            head.combine(table.name)
            while try statement.step() {
                var hasher = head
                for (index, name) in names.enumerated() {
                    hasher.combine(name)
                    hasher.combine(statement.value(Int32(index)))
                }
                total += hasher.finish()
            }
        }
        return total
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
