import CSQLite
import PatinaProtocol

/// The tables that say what is known of every actor's versions. They change in the transaction that changes the rows.
enum Bookkeeping {
    /// A version's row id is `site << 44 | version`: room for 500 years of 1,000 versions a second, and half a million actors.
    static let versionBits: UInt64 = 44
    static let siteLimit = 1 << 19
    static let lastVersion: UInt64 = (1 << versionBits) - 1
    /// The layout of our tables. A database of another layout is refused.
    static let format: Int64 = 4

    /// The row of `__patina_meta` that says, while it is not 0, that the database was brought back from a backup and not opened since.
    static let restoredKey = "restored"

    static func versionID(_ site: Int, _ version: UInt64) -> Int64 { Int64(site) << Int64(versionBits) | Int64(version) }
    static func version(ofID id: Int64) -> UInt64 { UInt64(id) & lastVersion }

    static let tables = [
        "CREATE TABLE __patina_meta (key TEXT NOT NULL PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        "CREATE TABLE __patina_sites (ordinal INTEGER PRIMARY KEY, actor BLOB NOT NULL UNIQUE)",
        "CREATE TABLE __patina_tables (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, keying INTEGER NOT NULL)",
        """
        CREATE TABLE __patina_versions (id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, last_sequence INTEGER NOT NULL,
            keys BLOB NOT NULL, clocks BLOB)
        """,
        KeyPages.table,
        """
        CREATE TABLE __patina_ledger (site INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
            PRIMARY KEY (site, first)) WITHOUT ROWID
        """,
        """
        CREATE TABLE __patina_chunks (site INTEGER NOT NULL, version INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
            last_sequence INTEGER NOT NULL, timestamp INTEGER NOT NULL, body BLOB NOT NULL, claimed BLOB,
            PRIMARY KEY (site, version, first, last)) WITHOUT ROWID
        """,
        "CREATE TABLE __patina_members (actor BLOB NOT NULL PRIMARY KEY, address TEXT NOT NULL, generation INTEGER NOT NULL) WITHOUT ROWID",
    ]

    // MARK: Versions

    static func insertVersion(
        _ connection: Connection, site: Int, version: UInt64, timestamp: HybridTimestamp, lastSequence: UInt64, keys: [UInt8],
        clocks: [UInt8]? = nil
    ) throws(StoreError) {
        // A version has no row before it is complete, save in a damaged database. OR REPLACE costs more.
        for kind in [FrequentStatement.insertVersion, .replaceVersion] {
            let statement = try connection.statement(kind)
            try statement.bind(1, versionID(site, version))
            try statement.bind(2, timestamp.ntp64)
            try statement.bind(3, lastSequence)
            try keys.withBytes { (keys) throws(StoreError) in
                try statement.bindBorrowed(4, blob: keys)
                guard let clocks else {
                    try statement.bind(5, .null)
                    return try statement.run()
                }
                try clocks.withBytes { (clocks) throws(StoreError) in
                    try statement.bindBorrowed(5, blob: clocks)
                    try statement.run()
                }
            }
            if sqlite3_changes(connection.handle) > 0 { return }
        }
    }

    // MARK: Complete versions

    /// Writes the complete range that now holds `version`, in place of the ranges that it swallowed.
    static func writeRange(_ connection: Connection, site: Int, _ range: ClosedRange<UInt64>) throws(StoreError) {
        let delete = try connection.statement(.dropRanges)
        try delete.bind(1, site)
        try delete.bind(2, range.lowerBound)
        try delete.bind(3, range.upperBound)
        try delete.run()
        let insert = try connection.statement(.putRange)
        try insert.bind(1, site)
        try insert.bind(2, range.lowerBound)
        try insert.bind(3, range.upperBound)
        try insert.run()
    }

    /// The complete versions of a site as they are on disk. Versions above the last written range are complete when they have a row:
    /// heads move with every transaction and merge, and their ranges are written only now and then.
    ///
    /// - Parameter versions: only these are of interest: what is read, and what it costs, is about them.
    static func readComplete(
        _ connection: Connection, site: Int, within versions: ClosedRange<UInt64> = 1...lastVersion
    ) throws(StoreError) -> IntervalSet {
        var complete = IntervalSet()
        let ranges = try connection.statement(.completeRanges)
        try ranges.bind(1, site)
        try ranges.bind(2, versions.lowerBound)
        try ranges.bind(3, versions.upperBound)
        while try ranges.step() {
            guard ranges.integer(0) >= 1, ranges.integer(0) <= ranges.integer(1) else {
                ranges.reset()
                throw .corrupt(message: "\(connection.name): site \(site) has a range of versions that ends before it begins")
            }
            complete.insert(ranges.unsigned(0)...ranges.unsigned(1))
        }
        let tail = try connection.statement(.versionsBehind)
        try tail.bind(1, versionID(site, max(try lastWritten(connection, site: site), versions.lowerBound - 1)))
        try tail.bind(2, versionID(site, versions.upperBound))
        while try tail.step() { complete.insert(version(ofID: tail.integer(0))) }
        return complete.intersection(IntervalSet(versions))
    }

    /// The end of the last written range of complete versions.
    private static func lastWritten(_ connection: Connection, site: Int) throws(StoreError) -> UInt64 {
        let last = try connection.statement(.lastRange)
        try last.bind(1, site)
        guard try last.step() else { return 0 }
        defer { last.reset() }
        return last.unsigned(0)
    }

    /// The end of the last written range of every site; 0 where there is none.
    static func readWrittenEnds(_ connection: Connection, sites: Int) throws(StoreError) -> [UInt64] {
        var ends = [UInt64](repeating: 0, count: sites)
        let statement = try connection.statement("SELECT site, max(last) FROM __patina_ledger GROUP BY site")
        while try statement.step() {
            // A site that does not exist is what `DatabaseCheck` names.
            if let site = Int(exactly: statement.integer(0)), ends.indices.contains(site) { ends[site] = statement.unsigned(1) }
        }
        return ends
    }

    /// The highest version of a site of which anything is on disk; 0 when nothing is.
    static func readHead(_ connection: Connection, site: Int) throws(StoreError) -> UInt64 {
        let statement = try connection.statement("SELECT coalesce(max(version), 0) FROM __patina_chunks WHERE site = ?1")
        try statement.bind(1, site)
        let buffered = try statement.step() ? statement.unsigned(0) : 0
        statement.reset()
        return max(buffered, try readComplete(connection, site: site).max ?? 0)
    }

    /// When the highest version of a site that has a row was written; nil when none has.
    static func readNewestTimestamp(_ connection: Connection, site: Int) throws(StoreError) -> HybridTimestamp? {
        let statement = try connection.statement(
            "SELECT timestamp FROM __patina_versions WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1")
        try statement.bind(1, versionID(site, 1))
        try statement.bind(2, versionID(site, lastVersion))
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        return HybridTimestamp(ntp64: statement.unsigned(0))
    }

    // MARK: Buffered chunks

    /// - Parameter claimed: the sequence numbers that the chunk accounts for, when they are not all of its range.
    static func bufferChunk(_ connection: Connection, site: Int, _ chunk: Chunk, claimed: IntervalSet? = nil) throws(StoreError) {
        let statement = try connection.statement("INSERT OR REPLACE INTO __patina_chunks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
        try statement.bind(1, site)
        try statement.bind(2, chunk.id.version)
        try statement.bind(3, chunk.id.sequences.lowerBound)
        try statement.bind(4, chunk.id.sequences.upperBound)
        try statement.bind(5, chunk.id.lastSequence)
        try statement.bind(6, chunk.timestamp.ntp64)
        try statement.bind(7, blob: chunk.body)
        if let claimed { try statement.bind(8, blob: encode(claimed)) } else { try statement.bind(8, .null) }
        try statement.run()
    }

    static func deleteChunks(_ connection: Connection, site: Int, _ versions: ClosedRange<UInt64>) throws(StoreError) {
        let statement = try connection.statement("DELETE FROM __patina_chunks WHERE site = ?1 AND version BETWEEN ?2 AND ?3")
        try statement.bind(1, site)
        try statement.bind(2, versions.lowerBound)
        try statement.bind(3, versions.upperBound)
        try statement.run()
    }

    /// The buffered chunks of a version in ascending order, with or without their bodies.
    static func readChunks(
        _ connection: Connection, site: Int, actor: ActorID, _ versions: ClosedRange<UInt64>, withBodies: Bool
    ) throws(StoreError) -> [Chunk] {
        try readBuffered(connection, site: site, actor: actor, versions, withBodies: withBodies).map(\.chunk)
    }

    private static func encode(_ intervals: IntervalSet) -> [UInt8] {
        var bytes: [UInt8] = []
        for range in intervals.ranges {
            appendVarint(range.lowerBound, to: &bytes)
            appendVarint(range.upperBound - range.lowerBound, to: &bytes)
        }
        return bytes
    }

    private static func decodeIntervals(_ bytes: [UInt8]) throws(MalformedInput) -> IntervalSet {
        var reader = ByteReader(bytes)
        var intervals = IntervalSet()
        while !reader.isAtEnd {
            let first = try CellRun.readCounter(&reader)
            intervals.insert(first...(first + (try CellRun.readCounter(&reader))))
        }
        return intervals
    }

    /// As `readChunks`, with the sequence numbers that each chunk accounts for where they are not all of its range.
    static func readBuffered(
        _ connection: Connection, site: Int, actor: ActorID, _ versions: ClosedRange<UInt64>, withBodies: Bool
    ) throws(StoreError) -> [BufferedChunk] {
        let body = withBodies ? "body" : "x''"
        let statement = try connection.statement(
            """
            SELECT version, first, last, last_sequence, timestamp, \(body), claimed FROM __patina_chunks
            WHERE site = ?1 AND version BETWEEN ?2 AND ?3 ORDER BY version, first, last
            """)
        try statement.bind(1, site)
        try statement.bind(2, Int64(clamping: versions.lowerBound))
        try statement.bind(3, Int64(clamping: versions.upperBound))
        var chunks: [BufferedChunk] = []
        while try statement.step() {
            guard statement.integer(1) >= 0, statement.integer(1) <= statement.integer(2),
                let id = ChunkID(
                    actor: actor, version: statement.unsigned(0), sequences: statement.unsigned(1)...statement.unsigned(2),
                    lastSequence: statement.unsigned(3))
            else {
                statement.reset()
                throw .corrupt(message: "\(connection.name): a buffered chunk of \(actor) lies outside its version")
            }
            var buffered = BufferedChunk(
                chunk: Chunk(id: id, timestamp: HybridTimestamp(ntp64: statement.unsigned(4)), body: statement.blob(5)), claimed: nil)
            if !statement.isNull(6) {
                do { buffered.claimed = try decodeIntervals(statement.blob(6)) } catch {
                    statement.reset()
                    throw .corrupt(message: "\(connection.name): what a buffered chunk of \(actor) accounts for is damaged")
                }
            }
            chunks.append(buffered)
        }
        return chunks
    }

    // MARK: Meta

    static func readMeta(_ connection: Connection, _ key: String) throws(StoreError) -> Int64? {
        let statement = try connection.statement("SELECT value FROM __patina_meta WHERE key = ?1")
        try statement.bind(1, text: key)
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        return statement.integer(0)
    }

    static func writeMeta(_ connection: Connection, _ key: String, _ value: Int64) throws(StoreError) {
        let statement = try connection.statement("INSERT OR REPLACE INTO __patina_meta VALUES (?1, ?2)")
        try statement.bind(1, text: key)
        try statement.bind(2, value)
        try statement.run()
    }

    // MARK: Members

    static func readMembers(_ connection: Connection) throws(StoreError) -> [MemberRecord] {
        let statement = try connection.statement("SELECT actor, address, generation FROM __patina_members ORDER BY actor")
        var members: [MemberRecord] = []
        while try statement.step() {
            guard let actor = ActorID(bytes: statement.bytes(0)), let address = Address(statement.text(1)) else {
                statement.reset()
                throw .corrupt(message: "\(connection.name): a persisted member has no valid actor or address")
            }
            members.append(MemberRecord(actor: actor, address: address, generation: statement.unsigned(2)))
        }
        return members
    }

    /// Replaces the persisted members.
    ///
    /// - Parameter written: those that are known to be persisted, so that only what differs is written; nil: not known. Both lists are
    ///   in ascending order of actor.
    static func writeMembers(_ connection: Connection, _ members: [MemberRecord], over written: [MemberRecord]?) throws(StoreError) {
        if written == nil { try connection.statement("DELETE FROM __patina_members").run() }
        var former = (written ?? [])[...]
        let insert = try connection.statement("INSERT OR REPLACE INTO __patina_members VALUES (?1, ?2, ?3)")
        for member in members {
            while let first = former.first, first.actor < member.actor { try deleteMember(connection, former.removeFirst().actor) }
            if former.first?.actor == member.actor, former.removeFirst() == member { continue }
            try insert.bind(1, blob: member.actor.bytes)
            try insert.bind(2, text: member.address.description)
            try insert.bind(3, member.generation)
            try insert.run()
        }
        for member in former { try deleteMember(connection, member.actor) }
    }

    private static func deleteMember(_ connection: Connection, _ actor: ActorID) throws(StoreError) {
        let statement = try connection.statement("DELETE FROM __patina_members WHERE actor = ?1")
        try statement.bind(1, blob: actor.bytes)
        try statement.run()
    }
}

/// A chunk of a version that is not merged yet.
struct BufferedChunk {
    var chunk: Chunk
    /// The sequence numbers that the chunk accounts for; nil: all of its range.
    var claimed: IntervalSet?

    /// What the ledger holds of it.
    var changes: [LedgerChange] { chunk.id.changes(claiming: claimed) }
}

extension ChunkID {
    /// The ledger's changes when a chunk has been buffered that accounts for `claimed`; nil: for all of its range.
    func changes(claiming claimed: IntervalSet?) -> [LedgerChange] {
        guard let claimed else { return [.buffered(self)] }
        return claimed.ranges.compactMap { range in
            ChunkID(actor: actor, version: version, sequences: range, lastSequence: lastSequence).map { .buffered($0) }
        }
    }
}
