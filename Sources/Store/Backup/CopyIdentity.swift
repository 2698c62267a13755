import PatinaProtocol

/// The identity of a copied database: taken out, so that two databases never write as one actor, and put in again.
///
/// Works on the copy alone, in a transaction. The actor that wrote the original stays in the table of sites as one among others, with
/// everything that is known of its versions.
struct CopyIdentity {
    /// The row of `__patina_meta` that says that this is a copy, which takes an actor of its own when it is opened.
    static let copyKey = "copy"
    /// The row that says, while it is not 0, that the database was brought back from a backup and not opened since: its next version
    /// must be above every number that its actor may have given out in the meantime.
    static let restoredKey = "restored"

    let connection: Connection

    /// The actor and generation of a database; nil when it is a copy that was never opened.
    static func read(_ connection: Connection) throws(StoreError) -> (actor: ActorID, generation: UInt64)? {
        try checkFormat(connection)
        guard let site = try Bookkeeping.readMeta(connection, "site") else {
            guard try Bookkeeping.readMeta(connection, copyKey) != nil else {
                throw .corrupt(message: "\(connection.name): the database has lost its identity (a row of __patina_meta is missing)")
            }
            return nil
        }
        let sites = SiteTable()
        try sites.reload(connection)
        guard site >= 0, site < Int64(sites.count) else {
            throw .corrupt(message: "\(connection.name): the database's own actor is not among its sites")
        }
        return (sites.actors[Int(site)], UInt64(max(0, try Bookkeeping.readMeta(connection, "generation") ?? 0)))
    }

    private static func checkFormat(_ connection: Connection) throws(StoreError) {
        let isOurs = try connection.integer("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '__patina_meta'") > 0
        guard isOurs else { throw .corrupt(message: "\(connection.name): not a database of Patina") }
        let format = try Bookkeeping.readMeta(connection, "format") ?? 0
        guard format == Bookkeeping.format else {
            throw .corrupt(
                message: "\(connection.name): written in format \(format); this version of Patina reads format \(Bookkeeping.format)")
        }
    }

    /// Takes the identity out, and the members: who opens the copy is nobody's peer yet.
    func remove() throws(StoreError) {
        guard try Self.read(connection) != nil else { return }
        try transact { () throws(StoreError) in
            if let site = try Bookkeeping.readMeta(connection, "site") {
                // Ranges may lag behind; those of other actors go on being found by their rows.
                let complete = try Bookkeeping.readComplete(connection, site: Int(site))
                for range in complete.ranges { try Bookkeeping.writeRange(connection, site: Int(site), range) }
            }
            try connection.execute("DELETE FROM __patina_meta WHERE key IN ('site', '\(Self.restoredKey)')")
            try Bookkeeping.writeMeta(connection, "generation", 0)
            try Bookkeeping.writeMeta(connection, Self.copyKey, 1)
            try connection.execute("DELETE FROM __patina_members")
        }
    }

    /// Makes `actor` the identity of a copy.
    /// - Parameter isRestored: the actor may have written more than the copy knows.
    func give(_ actor: ActorID, generation: UInt64, isRestored: Bool) throws(StoreError) {
        try transact { () throws(StoreError) in try Self.give(connection, actor, generation: generation, isRestored: isRestored) }
    }

    /// As above, within a transaction. Returns the actor's site.
    @discardableResult
    static func give(
        _ connection: Connection, _ actor: ActorID, generation: UInt64, isRestored: Bool
    ) throws(StoreError) -> Int {
        let sites = SiteTable()
        try sites.reload(connection)
        let site = try sites.makeOrdinal(of: actor, connection)
        try connection.execute("DELETE FROM __patina_meta WHERE key = '\(copyKey)'")
        try Bookkeeping.writeMeta(connection, "site", Int64(site))
        try Bookkeeping.writeMeta(connection, "generation", Int64(clamping: generation))
        if isRestored { try Bookkeeping.writeMeta(connection, restoredKey, 1) }
        return site
    }

    private func transact(_ body: () throws(StoreError) -> Void) throws(StoreError) {
        try connection.execute("BEGIN IMMEDIATE")
        do throws(StoreError) {
            try body()
            try connection.execute("COMMIT")
        } catch {
            connection.rollBack()
            throw error
        }
    }
}
