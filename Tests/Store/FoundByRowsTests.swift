import PatinaProtocol
import Testing

@testable import PatinaStore

@Suite("Versions that are found by their rows")
struct FoundByRowsTests {
    private static let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)"

    @Test("apply: versions past the written range are found by their rows, also after gaps, restarts and the removal of key lists")
    func foundByRows() throws {
        let harness = StoreHarness("apply-found-by-rows")
        let anchor = try MemoryAnchor(name: "apply-found-by-rows-2")
        defer { anchor.close() }
        let writer = try harness.store(1, schema: Self.schema)
        var other = try harness.store(2, schema: Self.schema)
        defer { for store in [writer, other] { store.close() } }
        var versions: [[Chunk]] = []
        for number in 1...12 {
            versions.append(try writer.run("INSERT OR REPLACE INTO t VALUES (\(min(number, 10)), 'v', \(number))").chunks)
        }
        func ranges() throws -> [String] {
            try other.text("SELECT first || '-' || last FROM __patina_ledger WHERE site = 1 ORDER BY first")
        }
        // The fourth is missing.
        for index in [0, 1, 2, 4, 5] { other.take(versions[index]) }
        #expect(try ranges() == [])
        #expect(other.ledger[writer.actor]?.complete.ranges == [1...3, 5...6])
        try other.expectSound()
        // What is on disk is enough: a restart knows the same.
        other.close()
        other = try harness.store(2)
        #expect(other.ledger[writer.actor]?.complete.ranges == [1...3, 5...6])
        other.take(versions[7])
        #expect(try ranges() == [])
        #expect(other.foundByRow == 6)
        // A range without rows goes past versions that have some: theirs are written with it.
        let empty = EmptyVersions(actor: writer.actor, versions: 20...21)
        other.take([], [empty])
        #expect(try ranges() == [])
        #expect(try other.serve([.versions(writer.actor, 20...21)]).empties == [empty])
        #expect(try ranges() == ["1-3", "5-6", "8-8", "20-21"])
        // Below the end of what is written, a row does not count.
        other.take(versions[3])
        #expect(try ranges() == ["1-6", "8-8", "20-21"])
        for index in [8, 6, 9] { other.take(versions[index]) }
        #expect(try ranges() == ["1-10", "20-21"])
        try other.expectSound()
        // A failure takes back what was noted of the ranges as well.
        #expect(throws: StoreError.self) {
            try other.write(changesMemory: true) { () throws(StoreError) in
                try other.writeRangesPastEnds()
                throw .interrupted
            }
        }
        try other.expectSound()
        // Rows of superseded versions go, and the versions stay complete.
        let third = try harness.store(3, schema: Self.schema)
        defer { third.close() }
        for chunks in versions { third.take(chunks) }
        #expect(try third.text("SELECT count(*) FROM __patina_ledger") == ["0"])
        while try third.maintain(.keyLists) {}
        #expect(try third.text("SELECT count(*) FROM __patina_versions") == ["10"])
        #expect(try third.text("SELECT first || '-' || last FROM __patina_ledger") == ["1-12"])
        try third.expectSound()
    }

    @Test("apply: only so many versions wait for their range, and a batch of more does not")
    func foundByRowLimit() throws {
        let harness = StoreHarness("apply-found-limit")
        let (writer, other) = (try harness.store(1, schema: Self.schema), try harness.store(2, schema: Self.schema))
        defer { for store in [writer, other] { store.close() } }
        var versions: [[Chunk]] = []
        for number in 0...Store.foundByRowLimit { versions.append(try writer.run("INSERT INTO t VALUES (\(number), 'v', 1)").chunks) }
        for chunks in versions.dropLast() { other.take(chunks) }
        #expect(try other.text("SELECT count(*) FROM __patina_ledger") == ["0"])
        other.take(versions[versions.count - 1])
        #expect(try other.text("SELECT last FROM __patina_ledger") == [String(versions.count)])
        let third = try harness.store(3, schema: Self.schema)
        defer { third.close() }
        third.take(versions.flatMap { $0 })
        #expect(try third.text("SELECT last FROM __patina_ledger") == [String(versions.count)])
        try third.expectSound()
    }
}
