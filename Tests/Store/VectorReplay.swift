import PatinaProtocol

@testable import PatinaStore

/// Something that a case asks and a store of ours cannot express.
struct UnsupportedCase: Error, CustomStringConvertible {
    var reason: String
    var description: String { reason }
}

/// Replays one recorded case on a store, and says in what the outcome differs. The rules by which we differ on purpose are here, each as
/// narrow as it can be; the reasons are in `docs/crdt.md`, section "Differences from cr-sqlite".
struct VectorReplay {
    /// A rule by which we differ on purpose.
    enum Deviation: String, CaseIterable {
        /// Equal writes always go to the greater actor, whatever `merge-equal-values` says.
        case equalValuesMerge
        /// Of equal sentinels of rows that exist that of the greater actor is kept; a real one replaces a derived one.
        case sentinelConverges
        /// A change of our own site that we do not have is merged.
        case ownChangesReturn
        /// Site ids of another length than 16 bytes are refused.
        case siteLength
        /// A version has one timestamp.
        case oneTimestamp
        /// A version number stands for one transaction, and for one that changed something.
        case noVersionReuse
    }

    private let vector: VectorCase
    /// cr-sqlite merges change by change, and a change says nothing of the cells that its version does not have.
    private let keepsMissedValues: Bool
    private var differences: [String] = []
    /// The rules without which the outcome would differ.
    private var used: [Deviation] = []
    private var timestamps: [String: String] = [:]
    /// What our newest version was whenever a transaction changed nothing because it took its writes back.
    private var takenBack: [UInt64] = []
    /// How far the recorded numbers of our own versions are above ours.
    private var shifts: [UInt64: UInt64] = [:]

    static func replay(
        _ vector: VectorCase, keepsMissedValues: Bool = true
    ) throws -> (differences: [String], deviations: [Deviation]) {
        var replay = VectorReplay(vector: vector, keepsMissedValues: keepsMissedValues)
        try replay.run()
        return (replay.differences, replay.used)
    }

    private init(vector: VectorCase, keepsMissedValues: Bool) {
        self.vector = vector
        self.keepsMissedValues = keepsMissedValues
    }

    private mutating func use(_ deviation: Deviation) {
        if !used.contains(deviation) { used.append(deviation) }
    }

    private mutating func run() throws {
        guard let site = ActorID(vector.localSite) else { return use(.siteLength) }
        let store = try StoreHarness("vector-\(vector.name)").store(schema: vector.schema.joined(separator: ";\n"), identity: site)
        defer { store.close() }
        for step in vector.setup ?? [] {
            var statements = step.committedStatements
            let alterations = statements.filter { $0.uppercased().hasPrefix("ALTER TABLE") }
            if !alterations.isEmpty {
                try alter(store, alterations)
                statements.removeAll { alterations.contains($0) }
            }
            if !statements.isEmpty {
                let outcome = try store.transact(statements.map { Statement($0) })
                timestamps["\(outcome.timestamp.ntp64)"] = step.ts?.text ?? "0"
                let takesBack = statements.contains { $0.uppercased().hasPrefix("ROLLBACK TO") }
                if takesBack, outcome.version == nil { takenBack.append(store.ledger.head(of: site)) }
            }
            if let changes = step.mergeTx, try merge(changes, store) == nil { return }
        }
        if let before = vector.before { try compare(store, before, "before") }

        var impact: [Int] = []
        var failure: String?
        for group in vector.incomingTxs {
            do {
                guard let won = try merge(group, store) else { return }
                impact.append(won)
            } catch {
                failure = "\(error)"
                break
            }
        }
        if let recorded = vector.error, failure == nil {
            guard takesOwnChanges(recorded) else { return differences.append("recorded error \(recorded), ours none") }
            use(.ownChangesReturn)
            let own = vector.incomingTxs.flatMap { $0 }.filter { $0.siteId == vector.localSite }
            let isThereOrLost = try store.clockedCells().contains { cell in
                own.contains { change in
                    guard change.table == cell.table, change.pk == cell.key else { return false }
                    if UInt64(clamping: change.cl) < cell.causalLength { return true }
                    return change.cid == cell.column
                        && (UInt64(clamping: change.dbVersion) == cell.version || UInt64(clamping: change.colVersion) <= cell.columnVersion)
                }
            }
            if !isThereOrLost { differences.append("no change of the own site was merged") }
            return
        }
        if let failure, vector.error == nil { differences.append("ours failed: \(failure)") }
        try compare(store, vector.after, "after")
        if failure == nil, let recorded = vector.rowsImpacted, impact != recorded {
            let isExplained = used.contains(.equalValuesMerge) || used.contains(.sentinelConverges)
            if !isExplained { differences.append("impact \(impact), recorded \(recorded)") }
        }
    }

    /// Where cr-sqlite's users alter a table between `crsql_begin_alter` and `crsql_commit_alter`, ours change the schema file.
    private func alter(_ store: Store, _ statements: [String]) throws {
        let scratch = try Connection(.memory(name: "vector-\(vector.name)-altered"), readOnly: false, userStatementLimit: 0)
        defer { scratch.close() }
        for table in store.catalog.tables {
            for row in try store.rows("SELECT sql FROM sqlite_schema WHERE name = '\(table.name)'") {
                if case .text(let sql) = row[0] { try scratch.execute(String(decoding: sql, as: UTF8.self)) }
            }
        }
        for statement in statements { try scratch.execute(statement) }
        var altered: [SchemaFile] = []
        let schema = try scratch.prepareUncached("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        while try schema.step() { altered.append(SchemaFile(path: "\(schema.text(0)).sql", text: schema.text(1))) }
        _ = try store.applySchema(altered)
    }

    /// cr-sqlite's error for a version of the own site that is greater than the own ones.
    private func takesOwnChanges(_ error: String) -> Bool {
        error.hasPrefix("Unable to insert db version")
            && vector.incomingTxs.contains { $0.contains { $0.siteId == vector.localSite } }
    }

    // MARK: Merging

    /// Merges recorded changes one by one in one transaction, as cr-sqlite takes them. Returns how many won; nil when a site id cannot be
    /// expressed where cr-sqlite takes it.
    private mutating func merge(_ changes: [VectorChange], _ store: Store) throws -> Int? {
        if vector.error == nil, changes.contains(where: { ($0.siteId?.count ?? 0) != 32 }) {
            use(.siteLength)
            return nil
        }
        var impact = 0
        var failure: (any Error)?
        do {
            try store.write(changesMemory: true) { () throws(StoreError) in
                do {
                    for change in changes { impact += try merge(change, store) }
                } catch {
                    failure = error
                    throw .closed
                }
            }
        } catch {
            throw failure ?? error
        }
        return impact
    }

    private func merge(_ change: VectorChange, _ store: Store) throws -> Int {
        guard let origin = change.siteId.flatMap({ ActorID($0) }) else {
            throw UnsupportedCase(reason: "site id \(change.siteId ?? "NULL") is not 16 bytes")
        }
        guard let table = store.catalog.table(named: change.table) else { throw UnsupportedCase(reason: "unknown table \(change.table)") }
        guard let length = UInt64(exactly: change.cl), let columnVersion = UInt64(exactly: change.colVersion),
            let version = UInt64(exactly: change.dbVersion), let sequence = UInt64(exactly: change.seq), let ts = UInt64(change.ts.text)
        else { throw UnsupportedCase(reason: "a negative clock, or a timestamp that is no number") }
        let key = bytes(fromHexadecimal: change.pk)
        let keyValues = try PackedKey.decode(key)
        guard keyValues.count == table.keyColumns.count else { throw UnsupportedCase(reason: "the key has \(keyValues.count) columns") }
        var row = RowChange(table: 0, key: key, causalLength: length, sentinel: nil, cells: [])
        if length == 0 || change.isSentinel && length % 2 != columnVersion % 2 {
            throw UnsupportedCase(reason: "a causal length of \(length) with a column version of \(columnVersion)")
        }
        // cr-sqlite takes every change with an even causal length for the deletion of its row.
        if change.isSentinel || length % 2 == 0 {
            row.sentinel = .init(columnVersion: columnVersion, sequence: sequence)
        } else {
            guard let column = table.columnNumbers[change.cid] else { throw UnsupportedCase(reason: "unknown column \(change.cid)") }
            row.cells = [CellChange(column: column, columnVersion: columnVersion, sequence: sequence, value: change.val?.value ?? .null)]
        }
        let site = try store.sites.makeOrdinal(of: origin, store.connection)
        var merger = RowMerger(catalog: store.catalog, clocks: store.clocks, site: site, version: version)
        merger.keepsMissedValues = keepsMissedValues
        try merger.merge(row, into: table, key: keyValues)
        try Bookkeeping.insertVersion(
            store.connection, site: site, version: version, timestamp: HybridTimestamp(ntp64: ts), lastSequence: sequence, keys: [])
        return merger.impact
    }

    // MARK: Comparing

    private mutating func compare(_ store: Store, _ state: VectorState, _ when: String) throws {
        for name in state.rows.keys.sorted() where store.catalog.table(named: name) == nil {
            differences.append("\(when): no table \(name)")
        }
        for table in store.catalog.tables {
            let names = table.keyColumns.map(\.name) + table.columns.map(\.name)
            let ours = try store.rows("SELECT \(names.map(quoted).joined(separator: ", ")) FROM \(quoted(table.name))")
            let theirs = (state.rows[table.name] ?? []).map { row in names.map { row[$0]?.value ?? .null } }
            let (left, right) = (ours.map { "\($0)" }.sorted(), theirs.map { "\($0)" }.sorted())
            guard left != right else { continue }
            if vector.mergeEqualValues == 0, left.map(Self.withoutNegativeZero).sorted() == right.map(Self.withoutNegativeZero).sorted() {
                use(.equalValuesMerge)
            } else {
                differences.append("\(when): rows of \(table.name) are \(left), recorded \(right)")
            }
        }
        compareClocks(try store.clockedCells(), state.changes.map(\.clockedCell), when)
        let ownVersions = state.changes.filter { $0.siteId == vector.localSite }.map { UInt64(clamping: $0.dbVersion) }
        let own = store.ledger.head(of: store.actor)
        if own != state.crsqlDbVersion {
            // cr-sqlite forgets the number of a transaction whose first write was taken back, and gives it out again.
            if let greatest = ownVersions.max(), greatest > state.crsqlDbVersion {
                use(.noVersionReuse)
            } else if state.crsqlDbVersion > own, isShift(state.crsqlDbVersion - own, of: own + 1) {
                use(.noVersionReuse)
            } else {
                differences.append("\(when): own version \(own), recorded \(state.crsqlDbVersion)")
            }
        }
    }

    private static func withoutNegativeZero(_ row: String) -> String {
        row.split(separator: "real(-0.0)", omittingEmptySubsequences: false).joined(separator: "real(0.0)")
    }

    private mutating func compareClocks(_ our: [ClockedCell], _ their: [ClockedCell], _ when: String) {
        var theirs: [String: ClockedCell] = [:]
        for cell in their { theirs[Self.name(cell)] = cell }
        if theirs.count != their.count { differences.append("\(when): the recording names a cell twice") }
        for cell in our.sorted() {
            var ours = cell
            ours.timestamp = timestamps[cell.timestamp] ?? cell.timestamp
            let recorded = theirs.removeValue(forKey: Self.name(cell))
            if let recorded, recorded.site == ours.site, ours.site == vector.localSite, recorded.version > ours.version,
                isShift(recorded.version - ours.version, of: ours.version)
            {
                use(.noVersionReuse)
                shifts[ours.version] = recorded.version - ours.version
                ours.version = recorded.version
            }
            if let recorded, "\(recorded)" == "\(ours)" { continue }
            if let deviation = explanation(ours, recorded, hasCells: their.contains { $0.table == cell.table && $0.key == cell.key }) {
                use(deviation)
            } else {
                differences.append("\(when): the clock is \(ours), recorded \(recorded.map { "\($0)" } ?? "none")")
            }
        }
        for cell in theirs.values.sorted() { differences.append("\(when): no clock, recorded \(cell)") }
    }

    /// True when so many transactions before a version of ours may have used up a number in cr-sqlite without having changed anything.
    private func isShift(_ shift: UInt64, of version: UInt64) -> Bool {
        shift <= takenBack.count { $0 < version }
            && shifts.allSatisfy { other, known in
                other == version ? known == shift : other < version ? known <= shift : known >= shift
            }
    }

    private static func name(_ cell: ClockedCell) -> String { "\(cell.table) \(cell.key) \(cell.column)" }

    /// The rule by which the clocks differ, if there is one.
    private func explanation(_ ours: ClockedCell, _ recorded: ClockedCell?, hasCells: Bool) -> Deviation? {
        if ours.column == "-1", ours.causalLength % 2 == 1, isReal(ours) {
            guard let recorded else { return ours.causalLength == 1 && hasCells ? .sentinelConverges : nil }
            let isSameLength = (recorded.columnVersion, recorded.causalLength) == (ours.columnVersion, ours.causalLength)
            if isSameLength, ours.site > recorded.site || isDerived(recorded) { return .sentinelConverges }
        }
        guard let recorded, (recorded.columnVersion, recorded.causalLength) == (ours.columnVersion, ours.causalLength),
            recorded.value == ours.value
        else { return nil }
        if vector.mergeEqualValues == 0, ours.site > recorded.site { return .equalValuesMerge }
        guard (recorded.site, recorded.version, recorded.sequence) == (ours.site, ours.version, ours.sequence) else { return nil }
        let sameVersion = vector.mergedChanges.filter { $0.siteId == ours.site && UInt64(clamping: $0.dbVersion) == ours.version }
        let given = sameVersion.map(\.ts.text)
        return given.contains(ours.timestamp) && given.contains(recorded.timestamp) ? .oneTimestamp : nil
    }

    /// True when the sentinel came as one. Those of local statements do.
    private func isReal(_ sentinel: ClockedCell) -> Bool {
        sentinel.site == vector.localSite || isMerged(sentinel, asSentinel: true)
    }

    /// True when the sentinel stands in for one that has not come, made from a cell of a resurrected row.
    private func isDerived(_ sentinel: ClockedCell) -> Bool { isMerged(sentinel, asSentinel: false) && !isReal(sentinel) }

    private func isMerged(_ sentinel: ClockedCell, asSentinel: Bool) -> Bool {
        vector.mergedChanges.contains {
            $0.isSentinel == asSentinel && $0.siteId == sentinel.site && $0.table == sentinel.table && $0.pk == sentinel.key
                && UInt64(clamping: $0.dbVersion) == sentinel.version && UInt64(clamping: $0.seq) == sentinel.sequence
        }
    }
}
