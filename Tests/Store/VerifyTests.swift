import PatinaProtocol
import Testing

@testable import PatinaStore

/// The checker's negative tests: each kind of damage, made by hand, is named.
@Suite("Verify")
struct VerifyTests {
    private static let schema = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v);
        CREATE TABLE w (id TEXT NOT NULL PRIMARY KEY, v) WITHOUT ROWID
        """

    private func damaged(_ name: String, _ damage: (Store) throws -> Void) throws -> [String] {
        let harness = StoreHarness("verify-\(name)")
        let (store, other) = (try harness.store(1, schema: Self.schema), try harness.store(2, schema: Self.schema, chunkBytes: 40))
        defer { store.close() }
        defer { other.close() }
        try store.run("INSERT INTO t VALUES ('a', 1), ('b', 2), ('c', 3)", "INSERT INTO w VALUES ('a', 1)")
        try store.run("DELETE FROM t WHERE id = 'c'")
        store.take([try other.run("INSERT INTO t VALUES ('x', zeroblob(40)), ('y', zeroblob(40)), ('z', zeroblob(40))").chunks[1]])
        try store.expectSound()
        try store.foldClocks()
        try store.expectSound()
        try damage(store)
        let violations = try store.verify()
        #expect(!violations.isEmpty, "\(name) was not noticed")
        return violations
    }

    @Test("verify: rows and clocks that do not match are named")
    func rows() throws {
        #expect(
            try damaged("no-clock") { try $0.connection.execute("DELETE FROM t__patina_clock WHERE key = 1") } == [
                "table t: the row with key 010b0161 has no clock record"
            ])
        #expect(
            try damaged("no-row") { try $0.connection.execute("DELETE FROM t WHERE id = 'a'") } == [
                "table t: 1 clock records without a row"
            ])
        #expect(
            try damaged("bytes") { try $0.connection.execute("UPDATE t__patina_clock SET clock = substr(clock, 1, 6) WHERE key = 1") }
                == ["table t: the row with key 010b0161: a clock record of table t is damaged: truncated: a byte is missing"])
        #expect(
            try damaged("swapped") {
                try $0.connection.execute(
                    "UPDATE t__patina_clock SET clock = (SELECT clock FROM t__patina_clock WHERE key = 2) WHERE key = 1")
            }
                == [
                    "table t: the row with key 010b0161: a clock record of table t belongs to another row; "
                        + "were the rows renumbered by a dump and restore?"
                ])
        #expect(
            try damaged("live-and-deleted") {
                try $0.connection.execute(
                    "INSERT INTO t__patina_tombstone SELECT x'010b0161', 2, site, version, sequence FROM t__patina_tombstone")
            }
                == [
                    "table t: the row with key 010b0161 has a tombstone as well",
                    "table t: the tombstone of key 010b0161 is missing in the key list of version \(StoreHarness("").actor(1))/2",
                ])
    }

    @Test("verify: tombstones and versions that do not match are named")
    func versions() throws {
        let actor = StoreHarness("").actor(1)
        #expect(
            try damaged("odd") { try $0.connection.execute("UPDATE t__patina_tombstone SET length = 3") } == [
                "table t: the tombstone of key 010b0163 has the causal length 3"
            ])
        #expect(
            try damaged("no-version") {
                try $0.connection.execute("DELETE FROM __patina_versions WHERE id = (SELECT max(id) FROM __patina_versions)")
            }
            .first == "table t: the tombstone of key 010b0163 is of version \(actor)/2, which has no row")
        #expect(
            try damaged("keys") { try $0.connection.execute("UPDATE __patina_versions SET keys = x'' WHERE id = 2") }
                == ["table t: the tombstone of key 010b0163 is missing in the key list of version \(actor)/2"])
        #expect(
            try damaged("keys-bytes") { try $0.connection.execute("UPDATE __patina_versions SET keys = x'01ff' WHERE id = 2") }
                .first == "the key list of version \(actor)/2 is damaged: truncated: a byte is missing")
        #expect(
            try damaged("end") { try $0.connection.execute("UPDATE __patina_versions SET last_sequence = 2 WHERE id = 1") }
                == ["table w: the row with key 010b0161: column v has sequence number 3, behind the end of version \(actor)/1"])
        #expect(
            try damaged("site") { try $0.connection.execute("UPDATE t__patina_tombstone SET site = 77") } == [
                "table t: the tombstone of key 010b0163 names site 77, which does not exist"
            ])
        #expect(
            try damaged("extra-version") { try $0.connection.execute("INSERT INTO __patina_versions VALUES (9, 0, 0, x'', NULL)") }
                .first == "version \(actor)/9 has a row and is not complete in the ledger")
    }

    @Test("verify: a ledger that does not match is named")
    func ledger() throws {
        let (own, other) = (StoreHarness("").actor(1), StoreHarness("").actor(2))
        #expect(
            try damaged("range") { try $0.connection.execute("INSERT INTO __patina_ledger VALUES (1, 5, 6)") } == [
                "the ledger of \(other) says {}, the database says {5-6}"
            ])
        #expect(
            try damaged("lost-chunk") { try $0.connection.execute("DELETE FROM __patina_chunks") }.first?.hasPrefix(
                "the ledger of \(other) has the partial versions ") == true)
        #expect(
            try damaged("stale-chunk") { try $0.connection.execute("INSERT INTO __patina_chunks VALUES (0, 1, 0, 0, 3, 0, x'', NULL)") }
                .first == "chunk \(own)/1[0-0 of 3] is buffered although its version is complete")
    }

    @Test("verify: versions that are said to wait and do not are named")
    func waiting() throws {
        let violations = try damaged("waiting") {
            try $0.connection.execute("INSERT INTO __patina_waiting VALUES (0, 99, 5)")
        }
        #expect(
            violations == [
                "version \(StoreHarness("").actor(1))/99 waits for a schema, and has no chunks",
                "0 versions are counted as waiting for a schema, 1 are noted",
            ])
    }
}
