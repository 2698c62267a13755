import PatinaProtocol

/// The tables that remember what a schema has had, and what waits for a schema to come. `docs/crdt.md` has the design.
enum SchemaBookkeeping {
    static let tables = [
        // The numbers that clock records know columns by. Never given out again; the name of a dropped column is NULL.
        """
        CREATE TABLE __patina_columns (table_id INTEGER NOT NULL, number INTEGER NOT NULL, name TEXT,
            PRIMARY KEY (table_id, number)) WITHOUT ROWID
        """,
        // What was dropped, here or as a peer told; `column_name` is empty for a whole table. While `active`, what peers send for it
        // is left out.
        """
        CREATE TABLE __patina_dropped (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, column_name TEXT NOT NULL,
            active INTEGER NOT NULL, UNIQUE (table_name, column_name))
        """,
        // Versions that may lack cells of something dropped. With a table's id: only those that list rows of it; 0: each of them.
        """
        CREATE TABLE __patina_thin (dropped INTEGER NOT NULL, site INTEGER NOT NULL, table_id INTEGER NOT NULL, first INTEGER NOT NULL,
            last INTEGER NOT NULL, PRIMARY KEY (dropped, site, table_id, first)) WITHOUT ROWID
        """,
        // Versions whose chunks lie in __patina_chunks because the schema does not fit them.
        """
        CREATE TABLE __patina_waiting (site INTEGER NOT NULL, version INTEGER NOT NULL, bytes INTEGER NOT NULL,
            PRIMARY KEY (site, version)) WITHOUT ROWID
        """,
        // What is left to clear away: a table under a name of ours that is emptied and dropped, or (`kind` 1) clock records that are
        // rid of dropped columns, from `cursor` on.
        """
        CREATE TABLE __patina_cleanup (id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, name TEXT NOT NULL, cursor BLOB)
        """,
    ]

    // MARK: Column numbers

    /// The columns of a table by number; nil for those that were dropped.
    static func readColumns(_ connection: Connection, table: Int64) throws(StoreError) -> [String?] {
        let statement = try connection.prepareUncached("SELECT number, name FROM __patina_columns WHERE table_id = ?1 ORDER BY number")
        try statement.bind(1, table)
        var names: [String?] = []
        while try statement.step() {
            guard statement.integer(0) == Int64(names.count) else {
                throw .corrupt(message: "\(connection.name): the numbers of the columns of table \(table) have a gap")
            }
            names.append(statement.isNull(1) ? nil : statement.text(1))
        }
        return names
    }

    /// Gives numbers to the columns that have none, and takes the names of those that are gone.
    static func registerColumns(_ connection: Connection, table: Int64, _ present: [String]) throws(StoreError) {
        let known = try readColumns(connection, table: table)
        for (number, name) in known.enumerated() {
            guard let name, !present.contains(name) else { continue }
            let retire = try connection.prepareUncached("UPDATE __patina_columns SET name = NULL WHERE table_id = ?1 AND number = ?2")
            try retire.bind(1, table)
            try retire.bind(2, number)
            try retire.run()
        }
        var next = known.count
        for name in present where !known.contains(name) {
            let insert = try connection.prepareUncached("INSERT INTO __patina_columns VALUES (?1, ?2, ?3)")
            try insert.bind(1, table)
            try insert.bind(2, next)
            try insert.bind(3, text: name)
            try insert.run()
            next += 1
        }
    }

    // MARK: Dropped names

    /// Notes that a table, or a column of it, is dropped. Returns the id of the note.
    /// - Parameter active: what peers send for it is left out from now on; otherwise that stays as it is.
    static func noteDropped(_ connection: Connection, _ name: DroppedName, active: Bool = true) throws(StoreError) -> Int64 {
        let insert = try connection.statement(
            """
            INSERT INTO __patina_dropped (table_name, column_name, active) VALUES (?1, ?2, ?3)
            ON CONFLICT DO UPDATE SET active = max(active, ?3) RETURNING id
            """)
        try insert.bind(1, text: name.table)
        try insert.bind(2, text: name.column)
        try insert.bind(3, active ? 1 : 0)
        guard try insert.step() else { throw .corrupt(message: "\(connection.name): a dropped column cannot be noted") }
        let id = insert.integer(0)
        while try insert.step() {}
        return id
    }

    /// A table or column of this name exists again: what peers send for it is wanted.
    static func revive(_ connection: Connection, _ name: DroppedName) throws(StoreError) {
        let update = try connection.prepareUncached(
            "UPDATE __patina_dropped SET active = 0 WHERE table_name = ?1 AND column_name = ?2")
        try update.bind(1, text: name.table)
        try update.bind(2, text: name.column)
        try update.run()
    }

    /// Notes that versions may lack cells of something dropped.
    static func addThin(
        _ connection: Connection, dropped: Int64, site: Int, _ versions: ClosedRange<UInt64>, table: Int64
    ) throws(StoreError) {
        var (first, last) = (versions.lowerBound, versions.upperBound)
        let neighbours = try connection.statement(
            """
            SELECT first, last FROM __patina_thin WHERE dropped = ?1 AND site = ?2 AND table_id = ?3 AND first <= ?4
            ORDER BY first DESC LIMIT 2
            """)
        try neighbours.bind(1, dropped)
        try neighbours.bind(2, site)
        try neighbours.bind(3, table)
        try neighbours.bind(4, last + 1)
        var swallowed: [UInt64] = []
        while try neighbours.step() {
            guard neighbours.unsigned(1) + 1 >= first else { continue }
            swallowed.append(neighbours.unsigned(0))
            last = max(last, neighbours.unsigned(1))
        }
        for start in swallowed {
            let delete = try connection.statement(
                "DELETE FROM __patina_thin WHERE dropped = ?1 AND site = ?2 AND table_id = ?3 AND first = ?4")
            try delete.bind(1, dropped)
            try delete.bind(2, site)
            try delete.bind(3, table)
            try delete.bind(4, start)
            try delete.run()
            first = min(first, start)
        }
        let insert = try connection.statement("INSERT OR REPLACE INTO __patina_thin VALUES (?1, ?2, ?3, ?4, ?5)")
        try insert.bind(1, dropped)
        try insert.bind(2, site)
        try insert.bind(3, table)
        try insert.bind(4, first)
        try insert.bind(5, last)
        try insert.run()
    }

    static func readDropped(_ connection: Connection) throws(StoreError) -> Set<DroppedName> {
        let names = try connection.statement("SELECT table_name, column_name FROM __patina_dropped WHERE active = 1")
        var dropped = Set<DroppedName>()
        while try names.step() { dropped.insert(DroppedName(table: names.text(0), column: names.text(1))) }
        return dropped
    }

    // MARK: Waiting versions

    static func readWaitingTotals(_ connection: Connection) throws(StoreError) -> WaitingTotals {
        let statement = try connection.statement("SELECT count(*), coalesce(sum(bytes), 0) FROM __patina_waiting")
        var totals = WaitingTotals()
        while try statement.step() { totals = WaitingTotals(versions: Int(statement.integer(0)), bytes: Int(statement.integer(1))) }
        return totals
    }

    /// The bytes that wait of a version; nil when it does not wait.
    static func waitingBytes(_ connection: Connection, site: Int, version: UInt64) throws(StoreError) -> Int? {
        let statement = try connection.statement("SELECT bytes FROM __patina_waiting WHERE site = ?1 AND version = ?2")
        try statement.bind(1, site)
        try statement.bind(2, version)
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        return Int(statement.integer(0))
    }

    static func setWaiting(_ connection: Connection, site: Int, version: UInt64, bytes: Int) throws(StoreError) {
        let statement = try connection.statement("INSERT OR REPLACE INTO __patina_waiting VALUES (?1, ?2, ?3)")
        try statement.bind(1, site)
        try statement.bind(2, version)
        try statement.bind(3, bytes)
        try statement.run()
    }

    static func deleteWaiting(_ connection: Connection, site: Int, _ versions: ClosedRange<UInt64>) throws(StoreError) {
        let statement = try connection.statement("DELETE FROM __patina_waiting WHERE site = ?1 AND version BETWEEN ?2 AND ?3")
        try statement.bind(1, site)
        try statement.bind(2, Int64(clamping: versions.lowerBound))
        try statement.bind(3, Int64(clamping: versions.upperBound))
        try statement.run()
    }

    // MARK: Clean-up

    static func addCleanup(_ connection: Connection, kind: CleanupKind, name: String) throws(StoreError) {
        let insert = try connection.prepareUncached("INSERT INTO __patina_cleanup (kind, name) VALUES (?1, ?2)")
        try insert.bind(1, Int64(kind.rawValue))
        try insert.bind(2, text: name)
        try insert.run()
    }
}

enum CleanupKind: Int {
    /// A table that is out of sight: its rows are deleted, then it is dropped.
    case emptyTable = 0
    /// The clock records of a replicated table still have cells of columns that were dropped.
    case sweepClocks = 1
}

/// A table that was dropped, or a column of a table.
struct DroppedName: Hashable, Comparable {
    var table: String
    /// Empty for the whole table.
    var column = ""

    static func < (left: DroppedName, right: DroppedName) -> Bool { (left.table, left.column) < (right.table, right.column) }
}

/// How much waits for the schema.
struct WaitingTotals: Hashable {
    var versions = 0
    var bytes = 0
}
