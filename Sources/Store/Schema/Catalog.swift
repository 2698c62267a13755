import PatinaProtocol

/// The replicated tables of a database, as one connection uses them. Made anew whenever the schema changes.
final class Catalog {
    /// In ascending order of name.
    let tables: [Table]
    private let indexes: [String: Int]
    private let indexesByID: [Int64: Int]
    /// How the rows of every table that ever was are named in key lists, the dropped ones included.
    let keyings: [Int64: Keying]
    /// What was dropped: changes of peers for it are left out.
    var dropped: Set<DroppedName>
    /// SQLite's own counter of schema changes, at the time of loading.
    let schemaVersion: Int64

    /// A catalog of a database with a template's schema.
    convenience init(_ template: StoreTemplate, _ connection: Connection, isEmpty: Bool) throws(StoreError) {
        var tables: [Table] = []
        for description in template.tables {
            let hasTombstones = try isEmpty ? false : Self.hasTombstones(description.name, connection)
            tables.append(Table(description, mayHaveTombstones: hasTombstones, connection: connection))
        }
        self.init(
            tables: tables, keyings: template.keyings, dropped: try isEmpty ? [] : SchemaBookkeeping.readDropped(connection),
            schemaVersion: template.schemaVersion)
    }

    private init(tables: [Table], keyings: [Int64: Keying], dropped: Set<DroppedName>, schemaVersion: Int64) {
        self.tables = tables
        self.keyings = keyings
        self.dropped = dropped
        self.schemaVersion = schemaVersion
        var (names, ids): ([String: Int], [Int64: Int]) = ([:], [:])
        for (index, table) in tables.enumerated() {
            names[table.name] = index
            ids[table.id] = index
        }
        indexes = names
        indexesByID = ids
    }

    func index(of name: String) -> Int? { indexes[name] }
    func table(named name: String) -> Table? { indexes[name].map { tables[$0] } }
    func index(ofID id: Int64) -> Int? { indexesByID[id] }
    func table(withID id: Int64) -> Table? { indexesByID[id].map { tables[$0] } }

    /// True when there is such a table or column.
    func has(_ name: DroppedName) -> Bool {
        guard let table = table(named: name.table) else { return false }
        return name.column.isEmpty || table.columnNumbers[name.column] != nil
    }

    func keying(ofID id: Int64) -> Keying? { keyings[id] }

    static func load(from connection: Connection) throws(StoreError) -> Catalog {
        let version = try connection.integer("PRAGMA schema_version")
        let statement = try connection.prepareUncached("SELECT id, name, keying FROM __patina_tables ORDER BY name, id")
        var known: [(id: Int64, name: String)] = []
        var keyings: [Int64: Keying] = [:]
        while try statement.step() {
            if !statement.isNull(1) { known.append((statement.integer(0), statement.text(1))) }
            guard let keying = Keying(rawValue: Int(statement.integer(2))) else {
                throw .corrupt(message: "\(connection.name): table \(statement.integer(0)) has an unknown kind of key")
            }
            keyings[statement.integer(0)] = keying
        }
        var tables: [Table] = []
        for (id, name) in known {
            // A table that was dropped by hand keeps its records; it is as if the schema were not there yet.
            guard let shape = try connection.shape(of: name) else { continue }
            let description = try describe(id, shape, connection)
            tables.append(Table(description, mayHaveTombstones: try hasTombstones(name, connection), connection: connection))
        }
        return Catalog(
            tables: tables, keyings: keyings, dropped: try SchemaBookkeeping.readDropped(connection), schemaVersion: version)
    }

    private static func hasTombstones(_ table: String, _ connection: Connection) throws(StoreError) -> Bool {
        try connection.integer("SELECT EXISTS (SELECT 1 FROM \(quoted(Table.tombstoneTable(of: table))))") != 0
    }

    private static func describe(_ id: Int64, _ shape: TableShape, _ connection: Connection) throws(StoreError) -> TableDescription {
        let storage = HookNumbering(shape)
        var keyColumns: [KeyColumn] = []
        for column in shape.keyColumns {
            keyColumns.append(KeyColumn(name: column.name, hook: storage.indexes(of: column), affinity: shape.affinity(of: column)))
        }
        var columns: [Column] = []
        var recordNumbers: [Int] = []
        let registered = try SchemaBookkeeping.readColumns(connection, table: id)
        for column in shape.replicatedColumns {
            // A column that somebody added by hand is not replicated before a schema file declares it.
            guard let number = registered.firstIndex(of: column.name) else { continue }
            recordNumbers.append(number)
            columns.append(
                Column(
                    name: column.name, hook: storage.indexes(of: column), affinity: shape.affinity(of: column),
                    defaultValue: try constantDefault(of: column, in: shape)))
        }
        return TableDescription(
            id: id, name: shape.name, keying: shape.keying, keyColumns: keyColumns, columns: columns, recordNumbers: recordNumbers,
            recordColumns: registered.count, rowidName: shape.rowidName ?? "")
    }

    /// The value that a column has in rows that were never given one. Only constants: other defaults are not stored in rows that
    /// exist when the column is added, because SQLite refuses to add such a column.
    static func constantDefault(of column: ColumnShape, in shape: TableShape) throws(StoreError) -> Value? {
        guard let text = column.defaultText, text.uppercased() != "NULL" else { return nil }
        if text.contains("(") || text.uppercased().hasPrefix("CURRENT_") { return nil }
        // A scratch table applies the affinity.
        let scratch = try Connection.scratch()
        defer { scratch.close() }
        try scratch.execute("CREATE TABLE scratch (value \(column.type) DEFAULT \(text))")
        try scratch.execute("INSERT INTO scratch DEFAULT VALUES")
        let statement = try scratch.prepareUncached("SELECT value FROM scratch")
        guard try statement.step() else { return nil }
        let value = statement.value(0)
        return value == .null ? nil : value
    }
}

extension TableShape {
    /// Everything that is replicated beside the key: neither key nor generated.
    var replicatedColumns: [ColumnShape] { columns.filter { $0.keyPosition == 0 && $0.kind == .ordinary } }

    var keying: Keying { isWithoutRowid ? .packedKey : isRowidAlias ? .rowidAlias : .rowid }

    func affinity(of column: ColumnShape) -> Affinity { Affinity(declaredType: column.type, strict: isStrict) }

    /// A name of the rowid that no column has taken; nil when there is none left.
    var rowidName: String? {
        if isWithoutRowid { return "" }
        let names = Set(columns.map { $0.name.lowercased() })
        return ["rowid", "_rowid_", "oid"].first { !names.contains($0) }
    }
}

/// Works out the preupdate indexes of a table's columns. Observed with SQLite 3.40 (`docs/crdt.md`, traps).
private struct HookNumbering {
    private let shape: TableShape

    init(_ shape: TableShape) { self.shape = shape }

    func indexes(of column: ColumnShape) -> HookIndexes {
        let declared = Int32(column.number)
        let stored = Int32(shape.columns.count { $0.number < column.number && $0.kind != .virtualGenerated })
        if shape.isWithoutRowid { return HookIndexes(old: declared, inserted: declared, updated: stored, oldReadsAsReal: false) }
        let neighbour = shape.columns[Int(stored)]
        let misread = stored != declared && shape.affinity(of: neighbour) == .real && shape.affinity(of: column) != .real
        return HookIndexes(old: stored, inserted: stored, updated: stored, oldReadsAsReal: misread)
    }
}

extension Catalog {
    /// Lets go of the compiled statements, so that the connection can close.
    func dropStatements() {
        for table in tables { table.statements.drop() }
    }
}
