import CSQLite
import Glibc
import PatinaProtocol

/// Checks a database file that nobody has open: everything that `Store.verify` checks, and the reservation beside it. Writes nothing.
public enum DatabaseCheck {
    /// What a check found.
    public struct Outcome: Hashable, Sendable {
        /// A sentence for each violation; none when the database is sound.
        public var violations: [String]
        public var actor: ActorID
        public var generation: UInt64
        /// The highest version of the database's own actor.
        public var head: UInt64
        public var tables: Int
    }

    /// Checks the file.
    ///
    /// - Parameter progress: called now and then with what is being looked at and how many rows of it are done.
    /// - Throws: when the file cannot be judged: `StoreError.busy` when an agent has it open, `StoreError.sqlite` when it cannot be read,
    ///   `StoreError.corrupt` when it is no database of ours, or damaged so that not even its tables can be read.
    public static func run(
        path: String, progress: @escaping (_ what: String, _ rows: Int64) -> Void = { _, _ in }
    ) throws(StoreError) -> Outcome {
        guard access(path, F_OK) == 0 else { throw .sqlite(code: SQLITE_CANTOPEN, message: "\(path): there is no such file", sql: nil) }
        // Kept until the end: nobody may begin to write meanwhile.
        let lock = try DatabaseLock(existing: path)
        defer { withExtendedLifetime(lock) {} }
        // Without a log the file is all there is, and reading it leaves nothing beside it.
        let connection = try Connection(
            hasLog(path) ? .file(path) : .immutable(path), readOnly: true, userStatementLimit: 0, definesGuard: true)
        defer { connection.close() }
        try connection.execute("PRAGMA query_only = ON")
        try connection.execute("BEGIN")
        let isOurs: Bool
        do throws(StoreError) {
            isOurs = try connection.integer("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '__patina_meta'") > 0
        } catch {
            // A log that does not belong to it may have made it unreadable.
            throw try logDamage(path, connection).map { .corrupt(message: "\(path): \($0.description)") } ?? error
        }
        guard isOurs else { throw .corrupt(message: "\(path): this is a SQLite database, but none of Patina's") }
        guard let format = try Bookkeeping.readMeta(connection, "format"), let site = try Bookkeeping.readMeta(connection, "site"),
            let generation = try Bookkeeping.readMeta(connection, "generation")
        else { throw .corrupt(message: "\(path): the database has lost its identity (a row of __patina_meta is missing)") }
        guard format == Bookkeeping.format else {
            throw .corrupt(message: "\(path): written in format \(format); this version of Patina reads format \(Bookkeeping.format)")
        }
        let sites = SiteTable()
        try sites.reload(connection)
        guard site >= 0, site < Int64(sites.count) else {
            throw .corrupt(message: "\(path): the database's own actor is not among its sites")
        }
        let catalog = try Catalog.load(from: connection)
        let ledger = try Store.readLedger(connection, sites)
        let actor = sites.actors[Int(site)]
        let database = CheckedDatabase(
            connection: connection, catalog: catalog, sites: sites, overlay: ClockOverlay(), ledger: ledger,
            waiting: try SchemaBookkeeping.readWaitingTotals(connection))
        try database.clocks.refresh(fromStart: true)
        var verifier = Verifier(database, progress: progress)
        var outcome = Outcome(
            violations: [], actor: actor, generation: UInt64(clamping: generation), head: ledger.head(of: actor),
            tables: catalog.tables.count)
        do throws(StoreError) {
            try verifier.run()
            outcome.violations = verifier.violations
        } catch {
            guard case .corrupt(let message) = error else { throw error }
            // What was found before goes with it.
            outcome.violations = verifier.violations + ["\(message); what lies behind could not be checked"]
        }
        if let damage = try logDamage(path, connection) { outcome.violations.insert(damage.description, at: 0) }
        outcome.violations += try rangeViolations(connection, sites)
        outcome.violations += try reservationViolations(path, outcome)
        return outcome
    }

    private static func hasLog(_ path: String) -> Bool {
        var status = stat()
        return stat(path + "-wal", &status) == 0 && status.st_size > 0
    }

    private static func logDamage(_ path: String, _ connection: Connection) throws(StoreError) -> LogDamage? {
        guard access(ReservationFile.path(of: path), R_OK) == 0 else { return nil }
        return LogDamage.find(connection, try ReservationFile(database: path, vfs: nil, readOnly: true).readMark())
    }

    private static func rangeViolations(_ connection: Connection, _ sites: SiteTable) throws(StoreError) -> [String] {
        var violations: [String] = []
        let statement = try connection.prepareUncached("SELECT site, first, last FROM __patina_ledger ORDER BY site, first")
        var previous: (site: Int64, last: Int64)?
        while try statement.step() {
            let (site, first, last) = (statement.integer(0), statement.integer(1), statement.integer(2))
            if site < 0 || site >= Int64(sites.count) {
                violations.append("complete versions \(first)-\(last) name site \(site), which does not exist")
            }
            if let previous, previous.site == site, previous.last >= first {
                violations.append("complete versions \(first)-\(last) of site \(site) overlap with those up to \(previous.last)")
            }
            previous = (site, last)
        }
        return violations
    }

    /// A copy has no reservation, and needs none. One that is there must cover what the database has given out.
    private static func reservationViolations(_ path: String, _ outcome: Outcome) throws(StoreError) -> [String] {
        guard access(ReservationFile.path(of: path), R_OK) == 0 else { return [] }
        let file = try ReservationFile(database: path, vfs: nil, readOnly: true)
        guard let found = file.found else { return [] }
        if found.isDamaged { return ["the reservation of version numbers is damaged"] }
        guard let record = found.record, record.actor == outcome.actor, record.generation >= outcome.generation,
            record.versions < outcome.head
        else { return [] }
        return ["own version \(outcome.head) is above the \(record.versions) that are reserved"]
    }
}
