import PatinaProtocol

extension Store {
    /// Checks that rows, clocks and bookkeeping agree. Returns a sentence for each violation; none when the database is sound.
    ///
    /// Costs a pass over everything. Checked: SQLite's own structures; each live row has one readable clock of its own key, each clock
    /// a row; no key is both live and deleted; causal lengths are odd for live rows and even for tombstones; whatever a clock names is
    /// a complete version whose row lists it, within its sequence numbers; versions with rows are complete; complete ranges and
    /// buffered chunks are what the ledger says; no chunk of a complete version is left; the unfolded clocks in memory are those on disk.
    public func verify() throws(StoreError) -> [String] {
        try checkUsable()
        try writePostponedRanges()
        var verifier = Verifier(
            CheckedDatabase(
                connection: connection, catalog: catalog, sites: sites, overlay: overlay, ledger: ledger, waiting: waiting),
            progress: { _, _ in })
        try verifier.run()
        return verifier.violations
    }
}

/// What is checked: what an open store knows of its database, or what was read from a file.
struct CheckedDatabase {
    let connection: Connection
    let catalog: Catalog
    let sites: SiteTable
    let overlay: ClockOverlay
    let ledger: VersionLedger
    let waiting: WaitingTotals

    var clocks: ClockTables { ClockTables(sites: sites, overlay: overlay, connection: connection, catalog: catalog) }
}

/// One run of `Store.verify` or of `DatabaseCheck`.
struct Verifier {
    let store: CheckedDatabase
    private(set) var violations: [String] = []
    /// Versions with a row, by row id: their last sequence numbers.
    private var versions: [Int64: UInt64] = [:]
    /// Every row that some version lists, as a hash of both: eight bytes each, so that large files can be checked. A row that is missing
    /// goes unnoticed if its hash meets another one's.
    private var listed: Set<UInt64> = []
    /// Called with what is being looked at and how much of it is done, now and then.
    private let progress: (_ what: String, _ done: Int64) -> Void
    private static let progressStride: Int64 = 100_000

    init(_ database: CheckedDatabase, progress: @escaping (_ what: String, _ done: Int64) -> Void) {
        store = database
        self.progress = progress
    }

    mutating func run() throws(StoreError) {
        progress("pages", 0)
        let check = try store.connection.prepareUncached("PRAGMA integrity_check(10)")
        while try check.step() {
            if check.text(0) != "ok" { violations.append("sqlite: \(check.text(0))") }
        }
        try checkVersions()
        for table in store.catalog.tables {
            try checkRows(table)
            try checkTombstones(table)
        }
        try checkUnfolded()
        try checkLedger()
        try checkWaiting()
    }

    private func name(_ site: Int, _ version: UInt64) -> String { "\(store.sites.actors[site])/\(version)" }

    private mutating func checkVersions() throws(StoreError) {
        let statement = try store.connection.prepareUncached("SELECT id, last_sequence, keys FROM __patina_versions ORDER BY id")
        while try statement.step() {
            let id = statement.integer(0)
            let site = Int(id >> Int64(Bookkeeping.versionBits))
            let version = Bookkeeping.version(ofID: id)
            guard site < store.sites.count else {
                violations.append("version row \(id) names site \(site), which does not exist")
                continue
            }
            if !store.ledger.isComplete(store.sites.actors[site], version) {
                violations.append("version \(name(site, version)) has a row and is not complete in the ledger")
            }
            if versions.count % Int(Self.progressStride) == 0 { progress("versions", Int64(versions.count)) }
            var rows: [UInt64] = []
            do throws(StoreError) {
                try KeyPages.forEachRow(store.connection, id: id, keys: statement.blob(2), in: store.catalog) { table, row in
                    rows.append(row.hash(in: table, version: id))
                }
            } catch {
                guard case .corrupt(let reason) = error else { throw error }
                violations.append("the key list of version \(name(site, version)) is damaged: \(reason)")
            }
            listed.formUnion(rows)
            versions[id] = statement.unsigned(1)
        }
        let orphans = try store.connection.integer(
            "SELECT count(*) FROM __patina_key_pages WHERE id NOT IN (SELECT id FROM __patina_versions)")
        if orphans > 0 { violations.append("\(orphans) key pages belong to no version") }
    }

    private mutating func checkOrigin(_ what: String, _ site: Int, _ version: UInt64, _ sequence: UInt64, _ table: Table, _ row: ListedRow)
    {
        let id = Bookkeeping.versionID(site, version)
        guard let last = versions[id] else {
            violations.append("\(what) is of version \(name(site, version)), which has no row")
            return
        }
        if sequence > last {
            violations.append("\(what) has sequence number \(sequence), behind the end of version \(name(site, version))")
        }
        if !listed.contains(row.hash(in: table.id, version: id)) {
            violations.append("\(what) is missing in the key list of version \(name(site, version))")
        }
    }

    private mutating func checkRows(_ table: Table) throws(StoreError) {
        let packed = table.keying == .packedKey
        let rowid = packed ? "0" : table.keying == .rowidAlias ? quoted(table.keyColumns[0].name) : table.rowidName
        let columns = table.keyColumns.map { quoted($0.name) }.joined(separator: ", ")
        let statement = try store.connection.prepareUncached("SELECT \(rowid), \(columns) FROM \(quoted(table.name))")
        var rows: Int64 = 0
        while try statement.step() {
            if rows % Self.progressStride == 0 { progress("table \(table.name)", rows) }
            rows += 1
            var key: [UInt8] = [UInt8(table.keyColumns.count)]
            for offset in table.keyColumns.indices { statement.appendKeyColumn(Int32(1 + offset), to: &key) }
            try checkRow(table, statement.integer(0), key)
        }
        let clocks = try countClocks(table)
        if clocks > rows { violations.append("table \(table.name): \(clocks - rows) clock records without a row") }
    }

    private mutating func checkRow(_ table: Table, _ rowid: Int64, _ key: [UInt8]) throws(StoreError) {
        let what = "table \(table.name): the row with key \(hexadecimal(key))"
        let tables = store.clocks
        let clock: RowClock
        do throws(StoreError) {
            guard let read = try tables.read(table, rowid: rowid, key, 0..<key.count, hash: key.withUnsafeBytes { keyHash($0) }) else {
                violations.append("\(what) has no clock record")
                return
            }
            clock = read
        } catch {
            guard case .corrupt(let message) = error else { throw error }
            violations.append("\(what): \(message)")
            return
        }
        if try tables.readTombstone(table, key, 0..<key.count) != nil { violations.append("\(what) has a tombstone as well") }
        let row: ListedRow = table.keying == .packedKey ? .packedKey(key) : .rowid(rowid)
        if let sentinel = clock.sentinel, !sentinel.isDerived {
            checkOrigin("\(what): its sentinel", sentinel.site, sentinel.version, sentinel.sequence, table, row)
        }
        for cell in clock.cells {
            checkOrigin("\(what): column \(table.columns[cell.column].name)", cell.site, cell.version, cell.sequence, table, row)
        }
    }

    private mutating func checkTombstones(_ table: Table) throws(StoreError) {
        let statement = try store.connection.prepareUncached(
            "SELECT key, length, site, version, sequence FROM \(quoted(table.tombstoneTable)) ORDER BY key")
        while try statement.step() {
            let key = statement.blob(0)
            guard case .unknown = store.overlay.tombstone(table, statement.bytes(0), hash: nil) else { continue }
            checkTombstone(
                table, key, causalLength: statement.integer(1), site: statement.integer(2), statement.unsigned(3), statement.unsigned(4))
        }
        for entry in store.overlay.entries where entry.table == table.id && entry.kind == .tombstone && !entry.record.isEmpty {
            let key = Array(store.overlay.bytes[entry.key])
            guard let clock = try store.clocks.readTombstone(table, key, 0..<key.count), let sentinel = clock.sentinel else { continue }
            checkTombstone(
                table, key, causalLength: Int64(clamping: clock.causalLength), site: Int64(sentinel.site), sentinel.version,
                sentinel.sequence)
        }
    }

    private mutating func checkTombstone(
        _ table: Table, _ key: [UInt8], causalLength: Int64, site: Int64, _ version: UInt64, _ sequence: UInt64
    ) {
        let what = "table \(table.name): the tombstone of key \(hexadecimal(key))"
        if causalLength <= 0 || causalLength & 1 == 1 { violations.append("\(what) has the causal length \(causalLength)") }
        guard site >= 0, site < store.sites.count else {
            violations.append("\(what) names site \(site), which does not exist")
            return
        }
        checkOrigin(what, Int(site), version, sequence, table, .deleted(key))
    }

    /// How many clocks of live rows there are: those of the table that the overlay has no opinion about, and the overlay's own.
    private func countClocks(_ table: Table) throws(StoreError) -> Int64 {
        if store.overlay.entries.isEmpty { return try store.connection.integer("SELECT count(*) FROM \(quoted(table.clockTable))") }
        let statement = try store.connection.prepareUncached("SELECT key FROM \(quoted(table.clockTable))")
        var count: Int64 = 0
        while try statement.step() {
            let isPacked = table.keying == .packedKey
            let key = isPacked ? statement.bytes(0) : UnsafeRawBufferPointer(start: nil, count: 0)
            if case .unknown = store.overlay.clock(table, rowid: isPacked ? 0 : statement.integer(0), key, hash: nil) { count += 1 }
        }
        for entry in store.overlay.entries where entry.table == table.id && entry.kind != .tombstone && !entry.record.isEmpty { count += 1 }
        return count
    }

    /// What is in memory of clocks that are not folded yet is what their versions say.
    private mutating func checkUnfolded() throws(StoreError) {
        let stored = ClockOverlay()
        let clocks = ClockTables(sites: store.sites, overlay: stored, connection: store.connection, catalog: store.catalog)
        do throws(StoreError) {
            try clocks.refresh(fromStart: true)
        } catch {
            guard case .corrupt(let message) = error else { throw error }
            violations.append(message)
            return
        }
        if !stored.isEqual(to: store.overlay) { violations.append("the unfolded clocks in memory are not those of the versions") }
    }

    private mutating func checkLedger() throws(StoreError) {
        for (site, actor) in store.sites.actors.enumerated() {
            let entry = store.ledger[actor]
            let complete = try Bookkeeping.readComplete(store.connection, site: site)
            if complete != (entry?.complete ?? IntervalSet()) {
                violations.append("the ledger of \(actor) says \(entry?.complete ?? IntervalSet()), the database says \(complete)")
            }
            var received: [(version: UInt64, sequences: IntervalSet)] = []
            let buffered = try Bookkeeping.readBuffered(
                store.connection, site: site, actor: actor, 1...Bookkeeping.lastVersion, withBodies: false)
            for piece in buffered {
                let chunk = piece.chunk
                if complete.contains(chunk.id.version) {
                    violations.append("chunk \(chunk.id) is buffered although its version is complete")
                }
                if received.last?.version != chunk.id.version { received.append((chunk.id.version, IntervalSet())) }
                for range in piece.claimed?.ranges ?? [chunk.id.sequences] { received[received.count - 1].sequences.insert(range) }
            }
            let known = entry?.partials.map { (version: $0.key, sequences: $0.value.received) } ?? []
            if !known.elementsEqual(received, by: { $0.version == $1.version && $0.sequences == $1.sequences }) {
                violations.append("the ledger of \(actor) has the partial versions \(known), the buffered chunks make \(received)")
            }
        }
    }

    /// What is noted to wait for a schema lies there, and nothing of it is complete.
    private mutating func checkWaiting() throws(StoreError) {
        let statement = try store.connection.prepareUncached(
            """
            SELECT w.site, w.version, w.bytes, (SELECT sum(length(c.body)) FROM __patina_chunks AS c
                WHERE c.site = w.site AND c.version = w.version) FROM __patina_waiting AS w ORDER BY w.site, w.version
            """)
        var totals = WaitingTotals()
        while try statement.step() {
            totals.versions += 1
            totals.bytes += Int(statement.integer(2))
            guard statement.isNull(3) else { continue }
            violations.append("version \(name(Int(statement.integer(0)), statement.unsigned(1))) waits for a schema, and has no chunks")
        }
        if totals != store.waiting {
            violations.append("\(store.waiting.versions) versions are counted as waiting for a schema, \(totals.versions) are noted")
        }
    }

    private func hexadecimal(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}

extension ListedRow {
    /// The row in the key list of a version, as a number.
    fileprivate func hash(in table: Int64, version: Int64) -> UInt64 {
        var hasher = Fingerprint.Hasher(seed: 0x6C69_7374)
        hasher.combine(UInt64(bitPattern: version))
        hasher.combine(UInt64(bitPattern: table))
        switch self {
        case .rowid(let rowid):
            hasher.combine(1)
            hasher.combine(UInt64(bitPattern: rowid))
        case .packedKey(let key):
            hasher.combine(2)
            hasher.combine(key)
        case .deleted(let key):
            hasher.combine(3)
            hasher.combine(key)
        }
        return hasher.finish().low
    }
}
