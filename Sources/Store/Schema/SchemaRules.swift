import PatinaProtocol

/// What a table must be like to be replicated. Source: the rules of cr-sqlite and Corrosion; `docs/crdt.md` says why.
enum SchemaRules {
    static func check(_ table: SchemaScript.Declaration, _ indexPlaces: [String: (file: String, line: Int)]) throws(StoreError) {
        let shape = table.shape
        try checkNames(table)
        guard !shape.keyColumns.isEmpty else {
            throw table.error("table '\(shape.name)' has no primary key: rows are told apart by it on all nodes")
        }
        guard shape.keyColumns.count <= 255 else { throw table.error("table '\(shape.name)' has a primary key of more than 255 columns") }
        for column in shape.keyColumns where !column.isNotNull && !shape.isRowidAlias && !shape.isWithoutRowid {
            throw table.error("primary key column '\(column.name)' of table '\(shape.name)' must be NOT NULL", column: column.name)
        }
        for index in shape.indexes {
            if index.origin == .primaryKey {
                for collation in index.collations where collation != "BINARY" {
                    throw table.error(
                        "the primary key of table '\(shape.name)' has the collation \(collation): only BINARY tells equal keys from others")
                }
            } else if index.isUnique {
                let place = indexPlaces[index.name] ?? (table.file, table.line)
                throw .schema(
                    file: place.file, line: place.line,
                    message:
                        "table '\(shape.name)' has a UNIQUE constraint beside its primary key: two nodes could write equal values at once"
                )
            }
        }
        if shape.hasForeignKey {
            throw table.error("table '\(shape.name)' has a foreign key: rows arrive in any order, so that it cannot be enforced")
        }
        for column in shape.replicatedColumns where column.isNotNull && (column.defaultText?.uppercased() ?? "NULL") == "NULL" {
            throw table.error(
                "column '\(column.name)' of table '\(shape.name)' is NOT NULL and has no DEFAULT: a row may arrive before this column does",
                column: column.name)
        }
        guard shape.rowidName != nil else {
            throw table.error("table '\(shape.name)' has columns named rowid, _rowid_ and oid: one of the names must stay free")
        }
    }

    private static func checkNames(_ table: SchemaScript.Declaration) throws(StoreError) {
        let name = table.shape.name
        for reserved in ["__corro", "crsql"] where name.lowercased().hasPrefix(reserved) {
            throw table.error("table '\(name)': names that begin with \(reserved) are reserved")
        }
        guard !name.lowercased().contains(Table.reservedInfix) else {
            throw table.error("table '\(name)': names with \(Table.reservedInfix) are reserved")
        }
    }
}
