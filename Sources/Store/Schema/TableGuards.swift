import PatinaProtocol

/// What a replicated table has beside itself: clock records, tombstones, and guards against writers that are not us.
extension Store {
    /// Makes all of it, and registers the table.
    func makeReplicated(_ shape: TableShape) throws(StoreError) {
        let clock = quoted(Table.clockTable(of: shape.name))
        if shape.keying == .packedKey {
            try connection.execute("CREATE TABLE \(clock) (key BLOB NOT NULL PRIMARY KEY, clock BLOB NOT NULL) WITHOUT ROWID")
        } else {
            try connection.execute("CREATE TABLE \(clock) (key INTEGER PRIMARY KEY, clock BLOB NOT NULL)")
        }
        try connection.execute(
            """
            CREATE TABLE \(quoted(Table.tombstoneTable(of: shape.name))) (key BLOB NOT NULL PRIMARY KEY, length INTEGER NOT NULL,
                site INTEGER NOT NULL, version INTEGER NOT NULL, sequence INTEGER NOT NULL) WITHOUT ROWID
            """)
        try makeGuards(shape)
        // Clocks are deleted with every row; a trigger would cost a part of that.
        for own in [Table.clockTable(of: shape.name), Table.tombstoneTable(of: shape.name)] {
            try connection.guardOwnTable(own, againstTruncation: false)
        }
        let insert = try connection.prepareUncached("INSERT INTO __patina_tables (name, keying) VALUES (?1, ?2)")
        try insert.bind(1, text: shape.name)
        try insert.bind(2, Int64(shape.keying.rawValue))
        try insert.run()
        try SchemaBookkeeping.revive(connection, DroppedName(table: shape.name))
        try registerColumns(shape)
    }

    /// Gives numbers to new columns and retires those that are gone.
    func registerColumns(_ shape: TableShape) throws(StoreError) {
        let statement = try connection.prepareUncached("SELECT id FROM __patina_tables WHERE name = ?1")
        try statement.bind(1, text: shape.name)
        guard try statement.step() else { preconditionFailure("a replicated table is registered") }
        let id = statement.integer(0)
        statement.reset()
        let names = shape.replicatedColumns.map(\.name)
        try SchemaBookkeeping.registerColumns(connection, table: id, names)
        for name in names { try SchemaBookkeeping.revive(connection, DroppedName(table: shape.name, column: name)) }
    }

    func dropGuards(_ table: String) throws(StoreError) {
        try connection.execute("DROP INDEX IF EXISTS \(quoted(Table.guardIndex(of: table)))")
        try connection.execute("DROP TRIGGER IF EXISTS \(quoted(Table.guardTrigger(of: table)))")
    }

    func makeGuards(_ shape: TableShape) throws(StoreError) { try connection.makeGuards(shape) }
}

extension Connection {
    /// The guards make a program that is not us fail while it compiles a statement that would write.
    ///
    /// - Parameter againstTruncation: also where it deletes all rows at once. Costs a little with each deletion of ours.
    func makeGuards(_ shape: TableShape, againstTruncation: Bool = true) throws(StoreError) {
        guard makesGuards else { return }
        try execute(guardIndex(shape))
        guard againstTruncation else { return }
        // Inserts and updates have to maintain the index, and so have deletions of some rows; one without WHERE need not.
        try execute(
            """
            CREATE TRIGGER \(quoted(Table.guardTrigger(of: shape.name))) BEFORE DELETE ON \(quoted(shape.name))
            WHEN \(Connection.guardFunction)() BEGIN SELECT 1; END
            """)
    }

    /// An index that is always empty, and that nobody can maintain who does not know its function. It names every column, because an
    /// update of a column that no index names would not look at it.
    private func guardIndex(_ shape: TableShape) -> String {
        let columns = shape.columns.filter { $0.kind == .ordinary }.map { quoted($0.name) }
        // In groups, because SQLite bounds the depth of an expression.
        let groups = stride(from: 0, to: columns.count, by: 40).map { start in
            "(" + columns[start..<min(start + 40, columns.count)].map { "\($0) IS NOT \($0)" }.joined(separator: " OR ") + ")"
        }
        return """
            CREATE INDEX \(quoted(Table.guardIndex(of: shape.name))) ON \(quoted(shape.name)) (\(quoted(shape.keyColumns[0].name)))
            WHERE \(Connection.guardFunction)() AND (\(groups.joined(separator: " OR ")))
            """
    }

    /// Guards a table of our own bookkeeping.
    func guardOwnTable(_ name: String, againstTruncation: Bool) throws(StoreError) {
        guard let shape = try shape(of: name) else { preconditionFailure("the table \(name) was just made") }
        try makeGuards(shape, againstTruncation: againstTruncation)
    }
}
