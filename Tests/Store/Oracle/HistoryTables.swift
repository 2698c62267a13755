import PatinaProtocol
import PatinaSim

/// The tables of random histories: every kind of key and column that matters to capture and to merging.
enum HistoryTables {
    typealias Column = OracleTable.Column

    static let schema = """
        CREATE TABLE a (id TEXT NOT NULL PRIMARY KEY, n, t TEXT DEFAULT 'none', r REAL);
        CREATE TABLE b (x INTEGER NOT NULL, v, y BLOB NOT NULL, w REAL, PRIMARY KEY (y, x)) WITHOUT ROWID;
        CREATE TABLE c (id INTEGER PRIMARY KEY, v, g AS (v || '!') VIRTUAL, w INTEGER NOT NULL DEFAULT 7, s AS (w + 1) STORED, z TEXT);
        CREATE TABLE k (x TEXT NOT NULL, y INTEGER NOT NULL, PRIMARY KEY (x, y));
        CREATE TABLE q (x BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE d (k BLOB NOT NULL PRIMARY KEY, v, h AS (length(v)) STORED, u DEFAULT x'00ff');
        CREATE TABLE e (k TEXT NOT NULL, g AS (p || 'x') VIRTUAL, p, q REAL NOT NULL DEFAULT 1.5, l INTEGER NOT NULL,
            PRIMARY KEY (l, k)) WITHOUT ROWID;
        CREATE TABLE m (id INTEGER PRIMARY KEY, c0, c1, c2 TEXT, c3, c4, c5 INTEGER, c6, c7, c8 REAL, c9, c10, c11);
        CREATE TABLE s (id INTEGER PRIMARY KEY, a, b);
        """

    /// Index of the plain table `s`.
    static var plain: Int { tables.count - 1 }

    static let tables = [
        OracleTable(
            name: "a", keys: [Column("id", .text, isNotNull: true)],
            columns: [Column("n"), Column("t", .text, defaultValue: .text("none")), Column("r", .real)], scansInKeyOrder: false),
        OracleTable(
            name: "b", keys: [Column("y", isNotNull: true), Column("x", .integer, isNotNull: true)],
            columns: [Column("v"), Column("w", .real)], scansInKeyOrder: true),
        OracleTable(
            name: "c", keys: [Column("id", .integer, isNotNull: true)],
            columns: [Column("v"), Column("w", .integer, isNotNull: true, defaultValue: .integer(7)), Column("z", .text)],
            scansInKeyOrder: true),
        OracleTable(
            name: "k", keys: [Column("x", .text, isNotNull: true), Column("y", .integer, isNotNull: true)], columns: [],
            scansInKeyOrder: false),
        OracleTable(name: "q", keys: [Column("x", isNotNull: true)], columns: [], scansInKeyOrder: true),
        OracleTable(
            name: "d", keys: [Column("k", isNotNull: true)], columns: [Column("v"), Column("u", defaultValue: .blob([0, 255]))],
            scansInKeyOrder: false),
        OracleTable(
            name: "e", keys: [Column("l", .integer, isNotNull: true), Column("k", .text, isNotNull: true)],
            columns: [Column("p"), Column("q", .real, isNotNull: true, defaultValue: .real(1.5))], scansInKeyOrder: true),
        OracleTable(
            name: "m", keys: [Column("id", .integer, isNotNull: true)],
            columns: (0..<12).map { Column("c\($0)", $0 == 2 ? .text : $0 == 5 ? .integer : $0 == 8 ? .real : .none) },
            scansInKeyOrder: true),
        OracleTable(
            name: "s", keys: [Column("id", .integer, isNotNull: true)], columns: [Column("a"), Column("b")], scansInKeyOrder: true),
    ]

    /// What generated columns must be: a query that counts rows where they are not.
    static let generatedColumnChecks = [
        "SELECT count(*) FROM c WHERE g IS NOT (v || '!') OR s IS NOT (w + 1)",
        "SELECT count(*) FROM d WHERE h IS NOT length(v)",
        "SELECT count(*) FROM e WHERE g IS NOT (p || 'x')",
    ]

    /// One of a few keys of the table.
    static func key(_ table: Int, _ random: inout Random) -> [Value] {
        let text: [Value] = [.text("k"), .text(""), .text("a\u{0}b"), .text(String(repeating: "long", count: 40)), .text("é")]
        let blob: [Value] = [.blob([]), .blob([0]), .blob([0, 0]), .blob(Array(repeating: 0xFF, count: 130)), .blob([0x80])]
        let number: [Value] = [0, 1, -1, 200, .max, .min].map { .integer($0) }
        func pick(_ values: [Value]) -> Value { values[random.below(4) > 0 ? random.below(2) : random.below(values.count)] }
        return tables[table].keys.map { column in
            switch column.affinity {
            case .text: pick(text)
            case .integer: pick(number)
            case .none, .real: pick(blob)
            }
        }
    }

    /// A value that may be written to the column, edge cases included.
    static func value(_ column: Column, _ random: inout Random) -> Value {
        if random.below(10) == 0 { return .null }
        if random.below(8) == 0 { return .blob([[], [0], [1, 2], Array(repeating: 7, count: 300)][random.below(4)]) }
        let texts: [Value] = [
            .text(""), .text("a"), .text("ab"), .text("a\u{0}b"), .text(String(repeating: "wide", count: 60)), .text([0xFF, 0xC0]),
        ]
        let integers: [Value] = [0, 1, 2, 3, -1, 127, 128, 65_536, 1 << 40, .max, .min].map { .integer($0) }
        let reals: [Value] = [0.0, -0.0, 0.5, 1.0, 2.5, -1e300, .infinity, -.infinity, .nan, Double.leastNonzeroMagnitude].map { .real($0) }
        func pick(_ values: [Value]) -> Value { values[random.below(2) == 0 ? random.below(4) : random.below(values.count)] }
        switch column.affinity {
        case .text: return random.below(6) == 0 ? pick(integers) : pick(texts)
        case .integer: return random.below(6) == 0 ? [.real(2.5), .real(3), .text("x"), .real(-0.0)][random.below(4)] : pick(integers)
        case .real: return random.below(3) == 0 ? pick(integers) : random.below(8) == 0 ? .text("x") : pick(reals)
        case .none: return pick([texts, integers, reals, integers][random.below(4)])
        }
    }
}
