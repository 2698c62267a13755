import PatinaProtocol

/// A local transaction while it runs: the rows that it touched, as they are now.
struct OracleTransaction {
    private struct State {
        var rows: [OracleRowName: OracleRow] = [:]
        /// The touched rows in the order of the first touch.
        var touched: [OracleRowName] = []
        var sequence: UInt64 = 0
    }

    private let tables: [OracleTable]
    private let writer: Int
    private let version: UInt64
    private let mutation: OracleMutation?
    /// The rows before the transaction.
    private let committed: (OracleRowName) -> OracleRow
    /// Names of the rows of a table that the node has heard of.
    private let known: (Int) -> [OracleRowName]
    private var state = State()
    private var savepoints: [(number: Int, state: State)] = []

    init(
        tables: [OracleTable], writer: Int, version: UInt64, mutation: OracleMutation?, committed: @escaping (OracleRowName) -> OracleRow,
        known: @escaping (Int) -> [OracleRowName]
    ) {
        self.tables = tables
        self.writer = writer
        self.version = version
        self.mutation = mutation
        self.committed = committed
        self.known = known
    }

    /// What is left of the version, in the order in which rows were first touched.
    func events() -> [OracleEvent] {
        state.touched.compactMap { name in
            guard let row = state.rows[name] else { return nil }
            let sentinel = row.sentinel.flatMap { isOwn($0) ? $0.sequence : nil }
            let cells = row.cells.enumerated().compactMap { column, cell -> OracleEvent.Cell? in
                guard let cell, isOwn(cell.origin) else { return nil }
                return OracleEvent.Cell(
                    column: column, columnVersion: cell.columnVersion, sequence: cell.origin.sequence, value: cell.value)
            }
            if sentinel == nil, cells.isEmpty { return nil }
            return OracleEvent(row: name, writer: writer, version: version, length: row.length, sentinel: sentinel, cells: cells)
        }
    }

    private func isOwn(_ origin: OracleOrigin) -> Bool { origin.writer == writer && origin.version == version }

    // MARK: Statements

    mutating func run(_ statement: OracleStatement) throws(OracleRefusal) {
        switch statement {
        case .insert(let name, let values, let conflict):
            guard let values = try admitted(values, tables[name.table], conflict) else { return }
            if row(name).exists {
                switch conflict {
                case .abort: throw OracleRefusal(reason: "the key is taken")
                case .ignore: return
                case .replace where mutation == .replaceInPlace: return update(name, values)
                case .replace: delete(name)
                }
            }
            insert(name, values)
        case .upsert(let name, let inserting, let updating):
            // NOT NULL is looked at before the key.
            guard let inserting = try admitted(inserting, tables[name.table], .abort) else { return }
            guard row(name).exists else { return insert(name, inserting) }
            if let values = try admitted(updating, tables[name.table], .abort) { update(name, values) }
        case .update(let name, let values):
            guard row(name).exists, let values = try admitted(values, tables[name.table], .abort) else { return }
            update(name, values)
        case .updateAll(let table, let values):
            for name in liveRows(of: table) {
                if let values = try admitted(values, tables[table], .abort) { update(name, values) }
            }
        case .changeKey(let name, let key, let values, let conflict): try changeKey(name, key, values, conflict)
        case .delete(let name): if row(name).exists { delete(name) }
        case .deleteAll(let table): for name in liveRows(of: table) { delete(name) }
        case .savepoint(let number): savepoints.append((number, state))
        case .rollbackTo(let number):
            while let last = savepoints.last, last.number != number { savepoints.removeLast() }
            guard let last = savepoints.last else { throw OracleRefusal(reason: "no such savepoint") }
            let used = state.sequence
            state = last.state
            // What was used stays used: the version has gaps there.
            if mutation != .reuseSequences { state.sequence = used }
        case .release(let number):
            while let last = savepoints.last, last.number != number { savepoints.removeLast() }
            guard savepoints.popLast() != nil else { throw OracleRefusal(reason: "no such savepoint") }
        }
    }

    private mutating func changeKey(
        _ name: OracleRowName, _ key: [Value], _ values: [OracleStatement.Assignment], _ conflict: OracleStatement.Conflict
    ) throws(OracleRefusal) {
        let table = tables[name.table]
        guard row(name).exists, let values = try admitted(values, table, conflict) else { return }
        let target = OracleRowName(table: name.table, key: key)
        if target == name { return update(name, values) }
        if row(target).exists {
            switch conflict {
            case .abort: throw OracleRefusal(reason: "the new key is taken")
            case .ignore: return
            case .replace: delete(target)
            }
        }
        let old = row(name)
        delete(name)
        var new = row(target)
        new.length += 1
        new.sentinel = next()
        new.sentinelIsDerived = false
        new.cells = table.columns.indices.map { column in
            let origin = next()
            let raise: UInt64 = mutation == .keyChangeKeepsColumnVersions ? 0 : 1
            return old.cells[column].map { OracleRow.Cell(columnVersion: $0.columnVersion + raise, value: $0.value, origin: origin) }
        }
        put(target, new)
        update(target, values)
    }

    // MARK: Rows

    private mutating func insert(_ name: OracleRowName, _ values: [OracleStatement.Assignment]) {
        let table = tables[name.table]
        var new = row(name)
        let isFirst = new.length == 0
        new.length += 1
        new.sentinelIsDerived = false
        new.sentinel = isFirst && !table.columns.isEmpty ? nil : next()
        new.cells = table.columns.indices.map { column in
            let value = values.first { $0.column == column }?.value ?? table.columns[column].defaultValue
            return OracleRow.Cell(columnVersion: 1, value: value, origin: next())
        }
        put(name, new)
    }

    private mutating func update(_ name: OracleRowName, _ values: [OracleStatement.Assignment]) {
        var new = row(name)
        let columns = tables[name.table].columns
        for column in columns.indices {
            let old = new.cells[column]
            let before = old?.value ?? columns[column].defaultValue
            let value = values.first { $0.column == column }?.value ?? before
            if !values.contains(where: { $0.column == column }) { continue }
            let isChange = OracleValueOrder.isChange(before, value)
            guard isChange || mutation == .countUnchanged else { continue }
            new.cells[column] = OracleRow.Cell(columnVersion: (old?.columnVersion ?? 0) + 1, value: value, origin: next())
        }
        put(name, new)
    }

    private mutating func delete(_ name: OracleRowName) {
        var new = row(name)
        new.length += 1
        new.cells = []
        new.sentinel = next()
        new.sentinelIsDerived = false
        put(name, new)
    }

    private func row(_ name: OracleRowName) -> OracleRow { state.rows[name] ?? committed(name) }

    private mutating func put(_ name: OracleRowName, _ row: OracleRow) {
        if state.rows.updateValue(row, forKey: name) == nil { state.touched.append(name) }
    }

    private mutating func next() -> OracleOrigin {
        defer { state.sequence += 1 }
        return OracleOrigin(writer: writer, version: version, sequence: state.sequence)
    }

    private func liveRows(of table: Int) -> [OracleRowName] {
        precondition(tables[table].scansInKeyOrder, "the order of a scan of \(tables[table].name) is not known")
        let names = known(table) + state.touched.filter { $0.table == table }
        var live: [OracleRowName] = []
        for name in names.sorted(by: OracleRowName.scanOrder) where row(name).exists && live.last != name { live.append(name) }
        return live
    }

    /// The values as they are stored; nil when the row is left out.
    private func admitted(
        _ values: [OracleStatement.Assignment], _ table: OracleTable, _ conflict: OracleStatement.Conflict
    ) throws(OracleRefusal) -> [OracleStatement.Assignment]? {
        var result: [OracleStatement.Assignment] = []
        for assignment in values {
            let column = table.columns[assignment.column]
            var value = column.stored(assignment.value)
            if value == .null, column.isNotNull {
                switch conflict {
                case .abort: throw OracleRefusal(reason: "\(table.name).\(column.name) may not be NULL")
                case .ignore: return nil
                case .replace: value = column.defaultValue
                }
            }
            result.append(OracleStatement.Assignment(assignment.column, value))
        }
        return result
    }
}
