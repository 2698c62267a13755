import PatinaProtocol
import Testing

@testable import PatinaStore

/// What the comparison with the oracle brought up, each case by its name.
@Suite("OracleFindings")
struct OracleFindingsTests {
    @Test("findings: an UPDATE from 0.0 to -0.0 travels, so that all nodes hold the same bits")
    func signOfZero() throws {
        let harness = StoreHarness("findings-zero")
        let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, r REAL)"
        let (writer, other) = (try harness.store(1, schema: schema), try harness.store(2, schema: schema))
        defer { writer.close() }
        defer { other.close() }
        other.take(try writer.run("INSERT INTO t VALUES (1, 0.0, 0.0)").chunks)
        // A REAL column stores whole numbers as integers, which have no negative zero: no change there.
        let update = Statement("UPDATE t SET v = ?1, r = ?1", .positional([.real(-0.0)]))
        let outcome = try writer.transact([update])
        #expect(outcome.version == 2 && outcome.chunks.map(\.id.lastSequence) == [0])
        other.take(outcome.chunks)
        #expect(try other.text("SELECT v FROM t") == ["-0.0"])
        #expect(try other.contentFingerprint() == writer.contentFingerprint())
        #expect(try writer.transact([update]).version == nil)
    }

    @Test(
        "findings: the sentinel that stands in for one is of the lowest cell, in whatever order the pieces came",
        arguments: [16_780, 18_773] as [UInt64])
    func derivedSentinel(seed: UInt64) {
        let difference = HistoryRun.difference(History(seed: seed))
        #expect(difference == nil)
    }
}
