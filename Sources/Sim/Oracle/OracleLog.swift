import PatinaProtocol

/// What every node of a run wrote, as it left the writer, and by it what the tables must hold in the end. Behind `matches-oracle`.
///
/// The content of the versions is taken from their chunks; what follows from them is said by `OracleRule`, which shares no code with the
/// merge. That statements become the right versions is not looked at here: the property tests of the store do that.
struct OracleLog {
    private struct Table {
        let name: String
        var columns: [String]
    }

    private var tables: [Table] = []
    /// Writers in the order in which they first wrote.
    private var actors: [ActorID] = []
    private var written: [[UInt64: [OracleEvent]]] = []
    var mutation: OracleMutation?

    /// Notes a version that was committed. Again: the number was given out twice, and the last one counts.
    mutating func record(actor: ActorID, version: UInt64, chunks: [Chunk]) throws(MalformedInput) {
        var events: [OracleEvent] = []
        let writer = index(of: actor)
        for chunk in chunks {
            let changeset = try ChangesetCodec.decode(chunk.body)
            for row in changeset.rows {
                let table = index(ofTable: changeset.tables[row.table].name)
                let names = changeset.tables[row.table].columns
                let name = OracleRowName(table: table, key: try PackedKey.decode(row.key))
                let cells = row.cells.map { cell in
                    OracleEvent.Cell(
                        column: index(ofColumn: names[cell.column], table), columnVersion: cell.columnVersion, sequence: cell.sequence,
                        value: cell.value)
                }
                events.append(
                    OracleEvent(
                        row: name, writer: writer, version: version, length: row.causalLength, sentinel: row.sentinel?.sequence,
                        cells: cells))
            }
        }
        written[writer][version] = events
    }

    private mutating func index(of actor: ActorID) -> Int {
        if let index = actors.firstIndex(of: actor) { return index }
        actors.append(actor)
        written.append([:])
        return actors.count - 1
    }

    private mutating func index(ofTable name: String) -> Int {
        if let index = tables.firstIndex(where: { $0.name == name }) { return index }
        tables.append(Table(name: name, columns: []))
        return tables.count - 1
    }

    private mutating func index(ofColumn name: String, _ table: Int) -> Int {
        if let index = tables[table].columns.firstIndex(of: name) { return index }
        tables[table].columns.append(name)
        return tables[table].columns.count - 1
    }

    /// The rows that exist once these versions are known, by table and key.
    ///
    /// - Parameter known: complete versions by actor. All that they depend on must be among them.
    func outcome(known: (ActorID) -> IntervalSet) -> Outcome {
        let rule = OracleRule(ranks: actors.map { actor in actors.count { $0 < actor } }, mutation: mutation)
        var byRow: [OracleRowName: [OracleEvent]] = [:]
        var names: [OracleRowName] = []
        for (writer, actor) in actors.enumerated() {
            for range in known(actor).ranges {
                for version in range {
                    for event in written[writer][version] ?? [] {
                        if byRow[event.row] == nil { names.append(event.row) }
                        byRow[event.row, default: []].append(event)
                    }
                }
            }
        }
        var outcome = Outcome(tables: tables.map { Outcome.Table(name: $0.name, columns: $0.columns, keys: [], rows: [:]) })
        for name in names {
            let row = rule.row(from: (byRow[name] ?? [])[...], columns: tables[name.table].columns.count)
            guard row.exists else { continue }
            outcome.tables[name.table].keys.append(name.key)
            outcome.tables[name.table].rows[name.key] = row.cells.map { $0?.value }
        }
        return outcome
    }

    /// The rows that a node must have.
    struct Outcome {
        struct Table {
            let name: String
            /// Columns outside the key of which some version has a cell.
            let columns: [String]
            var keys: [[Value]]
            /// By key, the values of `columns`; nil where no cell is known and the row holds the default.
            var rows: [[Value]: [Value?]]
        }

        var tables: [Table]

        /// What is wrong with the rows of a table as a node has them; nil when they are right.
        func difference(table index: Int, rows present: [(key: [Value], values: [Value])]) -> String? {
            let table = tables[index]
            for (key, values) in present {
                guard let expected = table.rows[key] else { return "table \(table.name) has a row \(key) that must not exist" }
                for (column, value) in expected.enumerated() {
                    if let value, OracleValueOrder.isChange(value, values[column]) {
                        return "table \(table.name), row \(key): \(table.columns[column]) is \(values[column]) and must be \(value)"
                    }
                }
            }
            guard present.count != table.keys.count else { return nil }
            let found = Set(present.map(\.key))
            let missing = table.keys.first { !found.contains($0) }.map { "\($0)" } ?? "none"
            return "table \(table.name) has \(present.count) rows and must have \(table.keys.count); first missing: \(missing)"
        }
    }
}
