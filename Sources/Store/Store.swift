import CSQLite
import PatinaProtocol

/// A replicated SQLite database: the one connection that writes it.
///
/// Local transactions are captured while they run and become versions; versions of other actors are merged row by row; what is
/// known of every actor's versions changes in the same transactions. `docs/crdt.md` explains the model.
///
/// Not sendable: one thread owns it. `interrupter` alone may be used from other threads.
public final class Store {
    /// Our own identity: the actor of the versions that `transact` makes.
    public let actor: ActorID
    /// How often this database was opened, this time included. Durable before the initializer returns.
    public let generation: UInt64
    /// What is known of every actor's versions: what is on disk, and `postponed`.
    @exclusivity(unchecked) public internal(set) var ledger = VersionLedger()
    /// The error after which the store is of no more use, once one has occurred.
    public internal(set) var failure: StoreError?

    let location: StoreLocation
    let options: StoreOptions
    let connection: Connection
    let context: CaptureContext
    let sites: SiteTable
    let overlay = ClockOverlay()
    /// Index of our own actor in `sites`.
    private(set) var ownSite: Int
    @exclusivity(unchecked) var catalog: Catalog
    @exclusivity(unchecked) var clock: HybridClock
    /// What waits for the schema, equal to what is on disk.
    var waiting = WaitingTotals()
    /// The persisted members, in ascending order of actor; nil while they are not known.
    private var savedMembers: [MemberRecord]?
    /// What is in `ledger` and cannot be told from the database yet.
    var postponed = PostponedRanges()
    /// The end of the last written range of each other site; a site that is missing has none.
    var writtenEnds: [UInt64] = []
    /// Versions of other actors past those ends, at most: they are found by their rows.
    var foundByRow = 0
    /// What `upkeep` has to do.
    var upkeepState = UpkeepState()
    /// Set by the simulator alone.
    @exclusivity(unchecked) package var chaos = Chaos()
    /// Where the passes of `maintain` stand.
    var maintenance = MaintenanceCursor()
    /// Own versions since the range of our own complete versions was last written.
    var unwrittenVersions = Store.unwrittenVersionLimit
    /// Version numbers up to this one are used up, or may be.
    var versionFloor: UInt64
    /// Version numbers up to this one may be given out.
    var reservedVersions: UInt64
    /// The number that the transaction at hand, or the last one, was given.
    var lastVersionTaken: UInt64 = 0
    /// What was wrong with the write-ahead log when it was opened, and mended: what had been written last is lost, as after a power loss.
    public let damagedLog: String?
    /// Nil for a database in memory.
    let reservation: ReservationFile?
    private var isCommitting = false
    /// Other connections can read beside this one.
    private var isShared: Bool
    private var dataVersion: Int64
    /// SQLite's count of changes, ours included, after our last commit.
    private var pagerVersion: UInt32 = 0
    private var lock: DatabaseLock?
    private var isClosed = false

    /// Opens a database, and makes it one of ours when it is new or a plain SQLite database.
    ///
    /// Throws `StoreError.corrupt` when the file is damaged, cut short or not a database, and `StoreError.sqlite` when it cannot be
    /// opened or written; `StoreError.busy` when another store has the file open.
    public init(_ location: StoreLocation, options: StoreOptions) throws(StoreError) {
        if case .file(let path) = location { lock = try DatabaseLock(path: path) }
        let connection = try Connection(
            location, readOnly: false, userStatementLimit: options.simulated ? 8 : 128, joinsLogWrites: options.joinsLogWrites)
        let context = CaptureContext(connection: connection.handle, limits: options.limits)
        let isEmpty: Bool
        do throws(StoreError) {
            connection.makesGuards = options.guardsTables
            reservation = options.reservesVersions ? try Self.openReservation(location) : nil
            let mended = try LogDamage.mend(location, reservation)
            defer { mended?.1.close() }
            damagedLog = mended?.0.description
            try Self.configure(connection, location, options)
            try context.install()
            // Connects the savepoint table. Were it connected by the first transaction, one that is interrupted just then would fail
            // with an error of the table's constructor in place of the interruption.
            _ = try connection.prepareUncached(SavepointModule.enlist)
            context.watchLog()
            let identity = try Self.openIdentity(connection, options, reservation)
            sites = identity.sites
            ownSite = identity.site
            actor = sites.actors[ownSite]
            generation = identity.plan.generation
            versionFloor = identity.plan.floor
            reservedVersions = identity.reserved
            isEmpty = identity.isEmpty
            catalog = try Self.openCatalog(connection, options, isEmpty: isEmpty)
            dataVersion = try Self.readDataVersion(connection)
        } catch {
            connection.close()
            throw error
        }
        self.location = location
        self.options = options
        if case .memory = location { isShared = options.sharesMemory } else { isShared = true }
        self.connection = connection
        self.context = context
        clock = HybridClock()
        context.schemaChanged(catalog)
        guard !isEmpty else {
            upkeepState = .nothing
            return
        }
        do throws(StoreError) {
            try reloadLedger()
            try clocks.refresh(fromStart: true)
            try foldClocksOfFormerIdentity()
            try restoreClock()
        } catch {
            close()
            throw error
        }
    }

    deinit { close() }

    static func openReservation(_ location: StoreLocation) throws(StoreError) -> ReservationFile? {
        switch location {
        case .file(let path): try ReservationFile(database: path, vfs: nil)
        case .virtual(let vfs, let path): try ReservationFile(database: path, vfs: vfs)
        case .memory, .immutable: nil
        }
    }

    /// Closes the connection. Everything that was acknowledged is in the database. May be called twice.
    public func close() {
        guard !isClosed else { return }
        if failure == nil { try? writePostponedRanges() }
        isClosed = true
        moveLogAtEnd()
        releaseVersions()
        reservation?.close()
        context.phase = .own
        connection.rollBack()
        catalog.dropStatements()
        connection.close()
        lock = nil
    }

    public var interrupter: Interrupter { connection.interrupter }

    /// The persisted members, in ascending order of actor.
    public func members() throws(StoreError) -> [MemberRecord] {
        try checkUsable()
        return try Bookkeeping.readMembers(connection)
    }

    /// A connection that reads committed data, beside this one.
    public func makeReader() throws(StoreError) -> StoreReader {
        try checkUsable()
        try shareMemory()
        return try StoreReader(location, options: options)
    }

    /// Lets others at a database in memory that was this connection's alone.
    private func shareMemory() throws(StoreError) {
        guard !isShared else { return }
        try connection.execute("PRAGMA locking_mode = NORMAL")
        // The lock goes with the end of the next look at the file.
        _ = try connection.integer("SELECT count(*) FROM __patina_meta")
        isShared = true
    }

    /// Does what a node asks for. Never throws: what fails is in the result, and in `failure` when it is for good.
    public func perform(_ operation: StoreOperation) -> StoreResult {
        do throws(StoreError) {
            try checkUsable()
            switch operation {
            case .apply(let chunks, let empties): return try apply(chunks, empties)
            case .read(let request):
                // What is served is what the database knows.
                try writePostponedRanges()
                return try VersionReader(clocks: clocks, limits: options.limits).read(request)
            case .saveMembers(let members):
                try save(members)
                return .savedMembers
            }
        } catch {
            note(error)
            return .failed(reason: error.description)
        }
    }

    private func save(_ members: [MemberRecord]) throws(StoreError) {
        let members = members.sorted { $0.actor < $1.actor }
        let written = savedMembers
        savedMembers = nil
        try write { () throws(StoreError) in try Bookkeeping.writeMembers(connection, members, over: written) }
        savedMembers = members
    }

    // MARK: Transactions

    func checkUsable() throws(StoreError) {
        if isClosed { throw .closed }
        if let failure { throw failure }
    }

    func note(_ error: StoreError) {
        if error.isFatal, failure == nil { failure = error }
    }

    /// Runs `body` in a write transaction that holds the write lock from the start. When anything fails, everything is taken back;
    /// what `body` may have changed in memory is read again if `changesMemory` says so.
    func write<Result>(changesMemory: Bool = false, _ body: () throws(StoreError) -> Result) throws(StoreError) -> Result {
        let changes = overlay.changes
        do throws(StoreError) {
            try beginWriting()
            let result = try body()
            context.phase = .own
            isCommitting = true
            try commitWriting()
            isCommitting = false
            return result
        } catch {
            context.phase = .own
            if isCommitting { burnVersion() }
            isCommitting = false
            connection.rollBack()
            context.buffer.clear()
            context.setCapturing(true)
            unwrittenVersions = Self.unwrittenVersionLimit
            note(error)
            if failure == nil {
                try restoreClocks(changes: changes)
                if changesMemory { try reloadMemory() }
            }
            throw error
        }
    }

    /// Begins a transaction that holds the write lock from the start.
    func beginWriting() throws(StoreError) {
        try connection.statement(.begin).run()
        try noticeOtherWriters()
    }

    func commitWriting() throws(StoreError) {
        try connection.statement(.commit).run()
        pagerVersion = connection.pagerVersion
        moveLongLog()
    }

    /// Somebody else committed, past the guards: what we know from reading earlier may be stale.
    private func noticeOtherWriters() throws(StoreError) {
        // Where nobody needs to be kept from writing, nobody writes.
        guard options.guardsTables else { return }
        // Also moves with our own commits, so that it can only say that nothing has happened; but that it says at once.
        let now = connection.pagerVersion
        guard now != pagerVersion else { return }
        pagerVersion = now
        let version = try Self.readDataVersion(connection)
        guard version != dataVersion else { return }
        dataVersion = version
        try reloadMemory()
    }

    private static func readDataVersion(_ connection: Connection) throws(StoreError) -> Int64 {
        let statement = try connection.statement(.dataVersion)
        defer { statement.reset() }
        return try statement.step() ? statement.integer(0) : 0
    }

    func reloadMemory() throws(StoreError) {
        savedMembers = nil
        try sites.reload(connection)
        try reloadLedger()
        if try connection.integer("PRAGMA schema_version") != catalog.schemaVersion { try reloadCatalog() }
        catalog.dropped = try SchemaBookkeeping.readDropped(connection)
        try clocks.refresh(fromStart: true)
    }

    /// All pages were replaced, by those of a database with our actor and generation.
    func reloadAfterInstallation() throws(StoreError) {
        postponed = PostponedRanges()
        dataVersion = try connection.integer("PRAGMA data_version")
        try sites.reload(connection)
        guard let site = sites.ordinal(of: actor) else {
            throw .corrupt(message: "\(connection.name): the database's own actor is not among its sites")
        }
        ownSite = site
        try reloadCatalog()
        try reloadMemory()
        // Versions of the snapshot's actor whose clocks it had not folded.
        try foldClocksOfFormerIdentity()
    }

    func reloadCatalog() throws(StoreError) {
        catalog.dropStatements()
        connection.dropStatements()
        catalog = try Catalog.load(from: connection)
        context.schemaChanged(catalog)
    }

    func reloadLedger() throws(StoreError) {
        // Whatever the last run left unwritten is written with the next transaction.
        unwrittenVersions = Self.unwrittenVersionLimit
        ledger = try Self.readLedger(connection, sites)
        writtenEnds = try Bookkeeping.readWrittenEnds(connection, sites: sites.count)
        foundByRow = countPastEnds()
        for (site, versions) in postponed.sites {
            for range in versions.ranges { ledger.apply(.completed(sites.actors[site], versions: range)) }
        }
        waiting = try SchemaBookkeeping.readWaitingTotals(connection)
    }

    static func readLedger(_ connection: Connection, _ sites: SiteTable) throws(StoreError) -> VersionLedger {
        var loaded = VersionLedger()
        for (site, actor) in sites.actors.enumerated() {
            for range in try Bookkeeping.readComplete(connection, site: site).ranges {
                loaded.apply(.completed(actor, versions: range))
            }
            let buffered = try Bookkeeping.readBuffered(
                connection, site: site, actor: actor, 1...Bookkeeping.lastVersion, withBodies: false)
            for change in buffered.flatMap(\.changes) { loaded.apply(change) }
        }
        return loaded
    }

    /// Timestamps never fall behind our own last transaction, even when the system's clock was set back while we were away.
    private func restoreClock() throws(StoreError) {
        guard let last = try Bookkeeping.readNewestTimestamp(connection, site: ownSite) else { return }
        clock.observe(last, wall: last.unixNanoseconds)
    }
}
