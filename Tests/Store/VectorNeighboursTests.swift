import PatinaProtocol
import Testing

@testable import PatinaStore

/// Local statements beside those of the recorded cases: what cr-sqlite's triggers would do, worked out by hand from its rules
/// (`docs/crdt.md`). Each case lists every clock that is left.
@Suite("VectorNeighbours")
struct VectorNeighboursTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var schema = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b)"
        var transactions: [[String]]
        /// Key, column, column version, version, causal length, sequence number.
        var clocks: [String]

        var testDescription: String { name }
    }

    private static let keyOnly = "CREATE TABLE t (x TEXT NOT NULL, y INTEGER NOT NULL, PRIMARY KEY (x, y))"

    static let cases: [Case] = [
        Case(
            name: "an insert over a deleted row, taken back and done again",
            transactions: [
                ["INSERT INTO t VALUES ('k', 1, 1)"], ["DELETE FROM t"],
                ["SAVEPOINT s", "INSERT INTO t VALUES ('k', 2, 2)", "ROLLBACK TO s", "INSERT INTO t VALUES ('k', 3, 3)"],
            ], clocks: ["k - 3 v3 cl3 s3", "k a 1 v3 cl3 s4", "k b 1 v3 cl3 s5"]),
        Case(
            name: "a REPLACE taken back",
            transactions: [
                ["INSERT INTO t VALUES ('k', 1, 1)"],
                ["SAVEPOINT s", "REPLACE INTO t VALUES ('k', 2, 2)", "ROLLBACK TO s", "UPDATE t SET b = 5"],
            ], clocks: ["k a 1 v1 cl1 s0", "k b 2 v2 cl1 s4"]),
        Case(
            name: "the same savepoint rolled back to twice",
            transactions: [
                ["INSERT INTO t VALUES ('k', 1, 1)"],
                [
                    "SAVEPOINT s", "UPDATE t SET a = 2", "ROLLBACK TO s", "UPDATE t SET a = 3", "ROLLBACK TO s", "RELEASE s",
                    "UPDATE t SET a = 4",
                ],
            ], clocks: ["k a 2 v2 cl1 s2", "k b 1 v1 cl1 s1"]),
        Case(
            name: "a rollback within what is rolled back",
            transactions: [
                ["INSERT INTO t VALUES ('k', 1, 1)"],
                [
                    "SAVEPOINT o", "UPDATE t SET a = 2", "SAVEPOINT i", "DELETE FROM t", "INSERT INTO t VALUES ('k', 7, 7)",
                    "ROLLBACK TO i",
                    "UPDATE t SET a = 2, b = 2", "ROLLBACK TO o", "UPDATE t SET b = 3",
                ],
                // UPDATE 0, DELETE 1, sentinel 2, cells 3 and 4, the second UPDATE changes b alone: 5.
            ], clocks: ["k a 1 v1 cl1 s0", "k b 2 v2 cl1 s6"]),
        Case(
            name: "a key change taken back",
            transactions: [
                ["INSERT INTO t VALUES ('k', 1, 1)"],
                ["SAVEPOINT s", "UPDATE t SET id = 'l', a = 9", "ROLLBACK TO s", "UPDATE t SET a = 5"],
            ], clocks: ["k a 2 v2 cl1 s5", "k b 1 v1 cl1 s1"]),
        Case(
            name: "an insert, changed and taken back, then another row",
            transactions: [
                [
                    "SAVEPOINT s", "INSERT INTO t VALUES ('k', 1, 1)", "UPDATE t SET a = 2", "UPDATE t SET a = 2", "DELETE FROM t",
                    "ROLLBACK TO s", "INSERT INTO t VALUES ('l', 1, 1)",
                ]
            ], clocks: ["l a 1 v1 cl1 s4", "l b 1 v1 cl1 s5"]),
        Case(
            name: "columns with a DEFAULT that are NULL before and after what is taken back",
            schema: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a DEFAULT 7, b DEFAULT 8)",
            transactions: [
                ["INSERT INTO t VALUES ('k', NULL, NULL)"],
                ["SAVEPOINT s", "UPDATE t SET a = NULL, b = 3", "ROLLBACK TO s", "UPDATE t SET b = 4"],
            ], clocks: ["k a 1 v1 cl1 s0", "k b 2 v2 cl1 s1"]),
        Case(
            name: "many rows taken back, of several tables",
            schema: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b); CREATE TABLE u (id INTEGER PRIMARY KEY, c)",
            transactions: [
                [
                    "INSERT INTO t VALUES ('k', 1, 1)", "SAVEPOINT s", "INSERT INTO u VALUES (1, 1), (2, 2), (3, 3)", "DELETE FROM u",
                    "INSERT INTO u VALUES (2, 2)", "ROLLBACK TO s", "UPDATE t SET a = 4",
                ]
                // 0 and 1, three cells to 4, three deletions to 7, sentinel 8 and cell 9.
            ], clocks: ["k a 2 v1 cl1 s10", "k b 1 v1 cl1 s1"]),
        Case(
            name: "key only: taken back and inserted", schema: keyOnly,
            transactions: [["SAVEPOINT s", "INSERT INTO t VALUES ('p', 1)", "ROLLBACK TO s", "INSERT INTO t VALUES ('p', 1)"]],
            clocks: ["p|1 - 1 v1 cl1 s1"]),
        Case(
            name: "key only: REPLACE deletes and inserts", schema: keyOnly,
            transactions: [["INSERT INTO t VALUES ('p', 1)"], ["REPLACE INTO t VALUES ('p', 1)"]], clocks: ["p|1 - 3 v2 cl3 s1"]),
        Case(
            name: "key only: a key change", schema: keyOnly,
            transactions: [["INSERT INTO t VALUES ('p', 1)"], ["UPDATE t SET y = 2"]],
            clocks: ["p|1 - 2 v2 cl2 s0", "p|2 - 1 v2 cl1 s1"]),
        Case(
            name: "a key change there and back in one transaction",
            transactions: [["INSERT INTO t VALUES ('k', 1, 1)"], ["UPDATE t SET id = 'l'", "UPDATE t SET id = 'k'"]],
            clocks: ["k - 3 v2 cl3 s5", "k a 3 v2 cl3 s6", "k b 3 v2 cl3 s7", "l - 2 v2 cl2 s4"]),
        Case(
            name: "inserted and deleted in one transaction",
            transactions: [["INSERT INTO t VALUES ('k', 1, 1)", "DELETE FROM t"]], clocks: ["k - 2 v1 cl2 s2"]),
        Case(
            name: "REPLACE twice in one transaction",
            transactions: [
                ["INSERT INTO t VALUES ('k', 1, 1)"], ["REPLACE INTO t VALUES ('k', 2, 2)", "REPLACE INTO t VALUES ('k', 3, 3)"],
            ], clocks: ["k - 5 v2 cl5 s5", "k a 1 v2 cl5 s6", "k b 1 v2 cl5 s7"]),
        Case(
            name: "REPLACE with the very same row",
            transactions: [["INSERT INTO t VALUES ('k', 1, 1)"], ["REPLACE INTO t VALUES ('k', 1, 1)"]],
            clocks: ["k - 3 v2 cl3 s1", "k a 1 v2 cl3 s2", "k b 1 v2 cl3 s3"]),
        Case(
            name: "an UPSERT over a deleted row inserts, over a live one it updates",
            transactions: [
                ["INSERT INTO t VALUES ('k', 1, 1)"], ["DELETE FROM t"],
                ["INSERT INTO t VALUES ('k', 2, 2) ON CONFLICT DO UPDATE SET a = 9"],
                ["INSERT INTO t VALUES ('k', 5, 5) ON CONFLICT (id) DO UPDATE SET a = excluded.a, b = 2"],
            ], clocks: ["k - 3 v3 cl3 s0", "k a 2 v4 cl3 s0", "k b 1 v3 cl3 s2"]),
        Case(
            name: "to NULL and back counts twice",
            transactions: [["INSERT INTO t VALUES ('k', 1, 1)"], ["UPDATE t SET a = NULL", "UPDATE t SET a = 1"]],
            clocks: ["k a 3 v2 cl1 s1", "k b 1 v1 cl1 s1"]),
        Case(
            name: "text and blob of no length differ, as 1 and 1.0 do",
            transactions: [["INSERT INTO t VALUES ('k', '', 1)"], ["UPDATE t SET a = x'', b = 1.0"], ["UPDATE t SET a = x'', b = 1.0"]],
            clocks: ["k a 2 v2 cl1 s0", "k b 2 v2 cl1 s1"]),
        Case(
            name: "a deletion of several rows numbers them in the order of the scan",
            transactions: [["INSERT INTO t VALUES ('l', 1, 1), ('k', 1, 1)"], ["DELETE FROM t WHERE a = 1"]],
            clocks: ["k - 2 v2 cl2 s1", "l - 2 v2 cl2 s0"]),
        Case(
            name: "UPDATE OR REPLACE of a key deletes the victim first",
            transactions: [
                ["INSERT INTO t VALUES ('k', 1, 1), ('l', 2, 2)"], ["UPDATE t SET b = 5 WHERE id = 'k'"],
                ["UPDATE OR REPLACE t SET id = 'l', a = 3 WHERE id = 'k'"],
            ],
            clocks: ["k - 2 v3 cl2 s1", "l - 3 v3 cl3 s2", "l a 3 v3 cl3 s5", "l b 3 v3 cl3 s4"]),
        Case(
            name: "INSERT OR IGNORE, DELETE and UPDATE of nothing leave no version",
            transactions: [
                ["INSERT INTO t VALUES ('k', 1, 1)"], ["INSERT OR IGNORE INTO t VALUES ('k', 2, 2)"], ["DELETE FROM t WHERE id = 'x'"],
                ["UPDATE t SET id = 'k', a = 1"], ["INSERT INTO t VALUES ('l', 1, 1)"],
            ], clocks: ["k a 1 v1 cl1 s0", "k b 1 v1 cl1 s1", "l a 1 v2 cl1 s0", "l b 1 v2 cl1 s1"]),
        Case(
            name: "a composite key in another order than its columns",
            schema: "CREATE TABLE t (x TEXT NOT NULL, y INTEGER NOT NULL, z BLOB NOT NULL, v, PRIMARY KEY (y, x, z))",
            transactions: [["INSERT INTO t VALUES ('p', 3, x'01', 1)"], ["UPDATE t SET z = x'02'"]],
            clocks: ["3|p|x01 - 2 v2 cl2 s0", "3|p|x02 - 1 v2 cl1 s1", "3|p|x02 v 2 v2 cl1 s2"]),
        Case(
            name: "an INTEGER PRIMARY KEY that moves",
            schema: "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, v TEXT)",
            transactions: [["INSERT INTO t VALUES (-1, 'x')"], ["UPDATE t SET id = id + 257, v = 'y'"]],
            clocks: ["-1 - 2 v2 cl2 s0", "256 - 1 v2 cl1 s1", "256 v 3 v2 cl1 s3"]),
    ]

    @Test("vector neighbours: local statements leave the clocks that cr-sqlite would", arguments: cases, ["", " WITHOUT ROWID"])
    func localStatements(example: Case, suffix: String) throws {
        let harness = StoreHarness("neighbours-\(example.name)\(suffix.count)")
        let schema = example.schema.split(separator: ";").map { $0 + suffix }.joined(separator: ";")
        let (store, other) = (try harness.store(1, schema: schema), try harness.store(2, schema: schema))
        defer { store.close() }
        defer { other.close() }
        for transaction in example.transactions { other.take(try store.transact(transaction.map { Statement($0) }).chunks) }
        let clocks = try store.clockedCells().map { cell in
            let key = try PackedKey.decode(bytes(fromHexadecimal: cell.key)).map(Self.text).joined(separator: "|")
            let column = cell.column == "-1" ? "-" : cell.column
            return "\(key) \(column) \(cell.columnVersion) v\(cell.version) cl\(cell.causalLength) s\(cell.sequence)"
        }
        // Without a rowid rows are scanned in the order of their keys.
        let isScan = example.name.contains("order of the scan") && !suffix.isEmpty
        #expect(clocks.sorted() == (isScan ? ["k - 2 v2 cl2 s0", "l - 2 v2 cl2 s1"] : example.clocks.sorted()))
        #expect(try other.clockedCells() == store.clockedCells())
        try store.expectSound()
        try other.expectSound()
    }

    @Test("vector neighbours: random changes merge as cr-sqlite merges them, one by one")
    func merges() throws {
        var deviations: [VectorReplay.Deviation] = []
        for seed in 0..<600 as Range<UInt64> {
            let (differences, used) = try VectorReplay.replay(MergeModel.vector(seed: seed))
            #expect(differences.isEmpty, "seed \(seed): \(differences.joined(separator: "; "))")
            for deviation in used where !deviations.contains(deviation) { deviations.append(deviation) }
            if !differences.isEmpty { return }
        }
        #expect(deviations == [.sentinelConverges])
    }

    @Test("vector neighbours: a column added between two transactions has no cells until it is written")
    func alter() throws {
        func change(_ column: String, _ value: VectorValue, _ columnVersion: Int64, _ version: Int64, _ sequence: Int64) -> VectorChange {
            VectorChange(
                table: "t", pk: "010b016b", cid: column, val: value, colVersion: columnVersion, dbVersion: version,
                siteId: MergeModel.local,
                cl: 1, seq: sequence, ts: LenientText("0"))
        }
        let five = VectorValue(t: "int", v: LenientText("5"))
        let one = VectorValue(t: "int", v: LenientText("1"))
        let eight = VectorValue(t: "int", v: LenientText("8"))
        let key = VectorValue(t: "text", v: LenientText("k"))
        let steps = [
            ["INSERT INTO t VALUES ('k', 1)"],
            ["SELECT crsql_begin_alter('t')", "ALTER TABLE t ADD COLUMN b DEFAULT 5", "SELECT crsql_commit_alter('t')"],
        ]
        var vector = VectorCase(
            name: "alter", mergeEqualValues: 1, schema: ["CREATE TABLE t(id PRIMARY KEY NOT NULL, a)"], localSite: MergeModel.local,
            setup: steps.map { VectorStep(localTx: $0, ts: nil, mergeTx: nil) }, before: nil, incomingTxs: [], error: nil, rowsImpacted: [],
            after: VectorState(rows: ["t": [["id": key, "a": one, "b": five]]], changes: [change("a", one, 1, 1, 0)], crsqlDbVersion: 1))
        #expect(try VectorReplay.replay(vector).differences == [])
        vector.name = "alter and write"
        vector.setup?.append(VectorStep(localTx: ["UPDATE t SET b = 8"], ts: nil, mergeTx: nil))
        vector.after = VectorState(
            rows: ["t": [["id": key, "a": one, "b": eight]]], changes: [change("a", one, 1, 1, 0), change("b", eight, 1, 2, 0)],
            crsqlDbVersion: 2)
        #expect(try VectorReplay.replay(vector).differences == [])
    }

    private static func text(_ value: Value) -> String {
        switch value {
        case .null: "NULL"
        case .integer(let number): "\(number)"
        case .real(let number): "\(number)"
        case .text(let bytes): String(decoding: bytes, as: UTF8.self)
        case .blob(let bytes): "x" + hexadecimal(bytes)
        }
    }
}
