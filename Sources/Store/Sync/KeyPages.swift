import PatinaProtocol

/// The key list of a version with very many rows, cut into pages that can be entered at a sequence number.
///
/// A page lists the rows that hold the version's sequence numbers from its `first` up to the next page's; a row that the version wrote
/// alternately with others is listed in each page that it has a part in. In the place of the list the version's row has a *head*: a zero,
/// then the ids of the tables that the pages list. So a part of a version is served at a cost that depends on the part alone.
enum KeyPages {
    /// Rows of a page, at most.
    static let pageRows = 256
    /// Versions of more rows than this have pages.
    static let rowLimit = 1_024

    static let table = """
        CREATE TABLE __patina_key_pages (id INTEGER NOT NULL, first INTEGER NOT NULL, keys BLOB NOT NULL,
            PRIMARY KEY (id, first)) WITHOUT ROWID
        """

    /// No table has this id.
    private static let marker: UInt8 = 0

    static func isHead(_ keys: [UInt8]) -> Bool { keys.first == marker }

    /// The tables that the pages list.
    static func tables(ofHead keys: [UInt8]) throws(MalformedInput) -> [Int64] {
        var reader = ByteReader(keys.dropFirst())
        var tables: [Int64] = []
        while !reader.isAtEnd { tables.append(Int64(bitPattern: try reader.readVarint())) }
        return tables
    }

    // MARK: Writing

    /// Writes the pages of a version within the open transaction. Its clocks are there already.
    ///
    /// - Returns: what the version's row has in the place of the list.
    static func write(_ stored: StoredVersion, clocks: ClockTables) throws(StoreError) -> [UInt8] {
        let rows = try VersionRows(stored, clocks: clocks, thin: nil)
        let insert = try clocks.connection.statement("INSERT OR REPLACE INTO __patina_key_pages VALUES (?1, ?2, ?3)")
        let id = Bookkeeping.versionID(stored.site, stored.version)
        try rows.forEachPage(of: pageRows) { (first: UInt64, keys: [UInt8]) throws(StoreError) in
            try insert.bind(1, id)
            try insert.bind(2, first)
            try insert.bind(3, blob: keys)
            try insert.run()
        }
        var head: [UInt8] = [marker]
        do {
            for table in try KeyList.tables(stored.keys, in: clocks.catalog) { appendVarint(UInt64(bitPattern: table), to: &head) }
        } catch {
            throw .corrupt(message: "a key list that was made just now cannot be read: \(error.reason)")
        }
        return head
    }

    static func delete(_ connection: Connection, id: Int64) throws(StoreError) {
        let statement = try connection.statement("DELETE FROM __patina_key_pages WHERE id = ?1")
        try statement.bind(1, id)
        try statement.run()
    }

    // MARK: Reading

    struct Page {
        /// The sequence numbers that the page is about.
        var sequences: ClosedRange<UInt64>
        var keys: [UInt8]
    }

    /// The page that holds the sequence number; nil when there is none.
    static func page(_ connection: Connection, _ stored: StoredVersion, holding sequence: UInt64) throws(StoreError) -> Page? {
        let statement = try connection.statement(
            """
            SELECT first, keys, (SELECT min(first) FROM __patina_key_pages WHERE id = ?1 AND first > ?2) FROM __patina_key_pages
            WHERE id = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1
            """)
        try statement.bind(1, Bookkeeping.versionID(stored.site, stored.version))
        try statement.bind(2, sequence)
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        let last = statement.isNull(2) ? stored.lastSequence : statement.unsigned(2) - 1
        let first = statement.unsigned(0)
        guard first <= last else {
            throw .corrupt(message: "\(connection.name): a key page of version \(stored.version) of \(stored.actor) is damaged")
        }
        return Page(sequences: first...last, keys: statement.blob(1))
    }

    /// Calls `body` with every row that the version lists, pages included.
    static func forEachRow(
        _ connection: Connection, id: Int64, keys: [UInt8], in catalog: Catalog, _ body: (Int64, ListedRow) -> Void
    ) throws(StoreError) {
        do {
            guard isHead(keys) else { return try KeyList.forEach(keys, in: catalog, body) }
            _ = try tables(ofHead: keys)
            let pages = try connection.statement("SELECT keys FROM __patina_key_pages WHERE id = ?1 ORDER BY first")
            try pages.bind(1, id)
            defer { pages.reset() }
            while try pages.step() { try KeyList.forEach(pages.blob(0), in: catalog, body) }
        } catch let error as MalformedInput {
            throw .corrupt(message: error.reason)
        } catch let error as StoreError {
            throw error
        } catch {
            throw .corrupt(message: "a key list cannot be read")
        }
    }
}
