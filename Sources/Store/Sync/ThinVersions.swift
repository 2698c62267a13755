import PatinaProtocol

/// What a version that is here may lack, because it was dropped here, or at the node that it came from.
struct ThinVersions {
    private let names: [(name: DroppedName, table: Int64)]

    /// A version that lacks nothing.
    static let none = ThinVersions(names: [])

    private init(names: [(name: DroppedName, table: Int64)]) { self.names = names }

    /// False when no version at all may lack anything.
    static func areThere(_ connection: Connection) throws(StoreError) -> Bool {
        let statement = try connection.statement(.anyThinVersion)
        defer { statement.reset() }
        return try statement.step()
    }

    init(_ connection: Connection, site: Int, _ version: UInt64) throws(StoreError) {
        let statement = try connection.statement(
            """
            SELECT d.table_name, d.column_name, t.table_id FROM __patina_dropped AS d CROSS JOIN __patina_thin AS t
            ON t.dropped = d.id AND t.site = ?1 AND t.first <= ?2 AND t.last >= ?2 ORDER BY 1, 2, 3
            """)
        try statement.bind(1, site)
        try statement.bind(2, version)
        var names: [(name: DroppedName, table: Int64)] = []
        while try statement.step() {
            names.append((DroppedName(table: statement.text(0), column: statement.text(1)), statement.integer(2)))
        }
        self.names = names
    }

    /// The names as a chunk carries them: for each table the columns that are dropped; none for a table that is dropped as a whole.
    func omitted(_ version: StoredVersion, in catalog: Catalog) throws(MalformedInput) -> [Changeset.Table] {
        guard !names.isEmpty else { return [] }
        let listed = try KeyList.tables(version.keys, in: catalog)
        var result: [Changeset.Table] = []
        for (name, table) in names where table == 0 || listed.contains(table) {
            if result.last?.name != name.table {
                result.append(Changeset.Table(name: name.table, columns: name.column.isEmpty ? [] : [name.column]))
            } else if let last = result.last, !last.columns.isEmpty, last.columns.last != name.column {
                result[result.count - 1].columns.append(name.column)
            }
        }
        return result
    }
}

extension Changeset {
    /// What the chunk may lack.
    var omittedNames: [DroppedName] {
        omitted.flatMap { table in
            table.columns.isEmpty ? [DroppedName(table: table.name)] : table.columns.map { DroppedName(table: table.name, column: $0) }
        }
    }
}
