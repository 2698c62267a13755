import CSQLite
import Glibc
import PatinaProtocol

extension Store {
    /// Sets up a fresh connection: journal, durability, caches.
    static func configure(_ connection: Connection, _ location: StoreLocation, _ options: StoreOptions) throws(StoreError) {
        if options.simulated { _ = patina_sqlite3_db_config_lookaside(connection.handle, 0, 0) }
        // Takes effect in a new database only.
        if options.template == nil { try connection.execute("PRAGMA page_size = \(options.simulated ? 1_024 : 4_096)") }
        switch location {
        case .file, .virtual, .immutable:
            sqlite3_busy_timeout(connection.handle, 5_000)
            // Takes effect in a new database only.
            try connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            try connection.execute("PRAGMA journal_mode = WAL")
            try connection.execute("PRAGMA journal_size_limit = \(options.logBytes)")
            if case .file = location, !options.simulated { try connection.execute("PRAGMA mmap_size = 8589934592") }
            try connection.execute("PRAGMA synchronous = \(options.synchronous.rawValue)")
        case .memory:
            try connection.execute("PRAGMA journal_mode = MEMORY")
            if !options.sharesMemory { try connection.execute("PRAGMA locking_mode = EXCLUSIVE") }
        }
        try connection.execute("PRAGMA cache_size = -\(options.simulated ? 32 : options.cacheKiB)")
        try connection.execute("PRAGMA temp_store = MEMORY")
        try connection.execute("PRAGMA cache_spill = OFF")
        _ = patina_sqlite3_db_config_flag(connection.handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1)
    }

    /// What opening the database found out.
    struct Identity {
        var sites: SiteTable
        /// Our own actor among them.
        var site: Int
        /// The generation of this opening, and where our version numbers go on.
        var plan: VersionPlan
        /// Versions up to this one may be given out.
        var reserved: UInt64
        /// The database has just begun as a copy of a template: there is nothing in it.
        var isEmpty = false
    }

    /// Creates our tables in a new database, and counts this opening. What this returns is durable, whatever `synchronous` says.
    ///
    /// - Parameter reservation: written before the database counts the opening, so that it is never behind the database; nil in memory.
    static func openIdentity(
        _ connection: Connection, _ options: StoreOptions, _ reservation: ReservationFile?
    ) throws(StoreError) -> Identity {
        if let template = options.template {
            let actor = if let given = options.identity { given } else { try freshIdentity() }
            if try template.begin(connection, as: actor) {
                let facts = VersionPlan.Facts(
                    actor: actor, generation: 0, head: 0, newest: nil, isRestored: false, wall: options.wallClock())
                let plan = VersionPlan(unreserved: facts)
                return Identity(
                    sites: SiteTable(actor), site: 0, plan: plan, reserved: plan.floor + VersionReservation.block, isEmpty: true)
            }
        }
        try connection.execute("PRAGMA synchronous = FULL")
        try connection.execute("BEGIN IMMEDIATE")
        do throws(StoreError) {
            let isOurs = try connection.integer("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '__patina_meta'") > 0
            if !isOurs { try create(connection, options) }
            // A copy has no actor of its own before it is opened.
            if isOurs, try Bookkeeping.readMeta(connection, CopyIdentity.copyKey) != nil {
                let identity = if let given = options.identity { given } else { try freshIdentity() }
                try CopyIdentity.give(connection, identity, generation: 0, isRestored: false)
            }
            guard let format = try Bookkeeping.readMeta(connection, "format"), let site = try Bookkeeping.readMeta(connection, "site"),
                let generation = try Bookkeeping.readMeta(connection, "generation")
            else {
                throw .corrupt(message: "\(connection.name): the database has lost its identity (a row of __patina_meta is missing)")
            }
            guard format == Bookkeeping.format else {
                throw .corrupt(
                    message: "\(connection.name): written in format \(format); this version of Patina reads format \(Bookkeeping.format)")
            }
            let facts = try versionFacts(connection, site: site, generation: generation, options)
            let plan = if let reservation { VersionPlan(facts, found: reservation.found) } else { VersionPlan(unreserved: facts) }
            let reserved = plan.floor + VersionReservation.block
            try reservation?.write(VersionReservation(actor: facts.actor, generation: plan.generation, versions: reserved))
            try Bookkeeping.writeMeta(connection, "generation", Int64(plan.generation))
            if facts.isRestored { try Bookkeeping.writeMeta(connection, Bookkeeping.restoredKey, 0) }
            try connection.execute("COMMIT")
            try connection.execute("PRAGMA synchronous = \(options.synchronous.rawValue)")
            let sites = SiteTable()
            try sites.reload(connection)
            guard site >= 0, site < Int64(sites.count) else {
                throw .corrupt(message: "\(connection.name): the database's own actor is not among its sites")
            }
            return Identity(sites: sites, site: Int(site), plan: plan, reserved: reserved)
        } catch {
            connection.rollBack()
            throw error
        }
    }

    /// What is known of the tables. In a copy of a template whose schema did not change they need not be examined.
    static func openCatalog(_ connection: Connection, _ options: StoreOptions, isEmpty: Bool) throws(StoreError) -> Catalog {
        guard let template = options.template else { return try Catalog.load(from: connection) }
        if !isEmpty, try connection.integer("PRAGMA schema_version") != template.schemaVersion { return try Catalog.load(from: connection) }
        return try Catalog(template, connection, isEmpty: isEmpty)
    }

    private static func versionFacts(
        _ connection: Connection, site: Int64, generation: Int64, _ options: StoreOptions
    ) throws(StoreError) -> VersionPlan.Facts {
        let sites = SiteTable()
        try sites.reload(connection)
        guard site >= 0, site < Int64(sites.count), generation >= 0 else {
            throw .corrupt(message: "\(connection.name): the database's own actor is not among its sites")
        }
        let own = Int(site)
        let isRestored = try Bookkeeping.readMeta(connection, Bookkeeping.restoredKey) ?? 0
        return VersionPlan.Facts(
            actor: sites.actors[own], generation: UInt64(generation), head: try Bookkeeping.readHead(connection, site: own),
            newest: try Bookkeeping.readNewestTimestamp(connection, site: own)?.unixNanoseconds, isRestored: isRestored != 0,
            wall: options.wallClock())
    }

    private static func create(_ connection: Connection, _ options: StoreOptions) throws(StoreError) {
        for table in Bookkeeping.tables + SchemaBookkeeping.tables { try connection.execute(table) }
        let names = try connection.prepareUncached(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '~_~_patina~_%' ESCAPE '~'")
        var own: [String] = []
        while try names.step() { own.append(names.text(0)) }
        for name in own { try connection.guardOwnTable(name, againstTruncation: true) }
        try Bookkeeping.writeMeta(connection, "format", Bookkeeping.format)
        try Bookkeeping.writeMeta(connection, "generation", 0)
        let identity = if let given = options.identity { given } else { try freshIdentity() }
        let sites = SiteTable()
        let site = try sites.makeOrdinal(of: identity, connection)
        try Bookkeeping.writeMeta(connection, "site", Int64(site))
        try Bookkeeping.writeMeta(connection, "folded", Bookkeeping.versionID(site, 0))
    }

    /// A version 4 UUID from the system's randomness.
    static func freshIdentity() throws(StoreError) -> ActorID {
        var words: (high: UInt64, low: UInt64) = (0, 0)
        let size = MemoryLayout.size(ofValue: words)
        guard withUnsafeMutableBytes(of: &words, { getentropy($0.baseAddress, size) }) == 0 else {
            throw .sqlite(code: SQLITE_IOERR, message: "the system gives no random bytes for the database's identity", sql: nil)
        }
        let high = (words.high & 0xFFFF_FFFF_FFFF_0FFF) | 0x0000_0000_0000_4000
        return ActorID(high: high, low: (words.low & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000)
    }
}
