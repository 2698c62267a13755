import PatinaProtocol
import Testing

@testable import PatinaStore

/// Goal: several transactions in one commit behave as each alone would. Method: groups of statements, some of which fail in every way.
@Suite("Together")
struct TransactTogetherTests {
    private static let schema = """
        CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v INTEGER NOT NULL DEFAULT 1 CHECK (v < 100));
        CREATE TABLE r (id INTEGER PRIMARY KEY NOT NULL, v);
        """

    /// Runs each list of statements as one transaction of a group.
    private func run(_ store: Store, _ transactions: [[String]], willRun: @escaping (Int) -> Void = { _ in }) -> [Result<
        TransactionOutcome, StoreError
    >] {
        var next = 0
        return store.transactTogether {
            guard next < transactions.count else { return nil }
            defer { next += 1 }
            return SharedTransaction(transactions[next].map { Statement($0) }, willRun: { [next] in willRun(next) })
        }
    }

    private func versions(_ results: [Result<TransactionOutcome, StoreError>]) -> [UInt64?] {
        results.map { result in
            switch result {
            case .success(let outcome): outcome.version
            case .failure: nil
            }
        }
    }

    /// What another node makes of the versions.
    private func replicated(_ harness: StoreHarness, _ store: Store, _ results: [Result<TransactionOutcome, StoreError>]) throws {
        let other = try harness.store(2, schema: Self.schema)
        defer { other.close() }
        for case .success(let outcome) in results { other.take(outcome.chunks) }
        #expect(try other.contentFingerprint() == store.contentFingerprint())
        try other.expectSound()
    }

    @Test("together: each transaction becomes a version of its own, and they follow each other")
    func versionsFollowEachOther() throws {
        let harness = StoreHarness("together-plain")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        let results = run(store, (1...9).map { ["INSERT INTO t VALUES ('k\($0)', \($0))", "UPDATE t SET v = v + 1 WHERE id = 'k1'"] })
        #expect(versions(results) == (1...9).map { UInt64($0) })
        #expect(try store.text("SELECT v FROM t WHERE id = 'k1'") == ["10"])
        #expect(try store.run("INSERT INTO r VALUES (1, 1)").version == 10)
        try store.expectSound()
        try replicated(harness, store, results + [.success(try store.run("DELETE FROM r"))])
    }

    @Test("together: one that fails takes nothing along and uses up no version", arguments: [0, 1, 4, 7])
    func failure(position: Int) throws {
        let harness = StoreHarness("together-failure-\(position)")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        var transactions = (1...8).map { ["INSERT INTO t VALUES ('k\($0)', \($0))", "INSERT INTO r VALUES (\($0), 'x')"] }
        transactions[position] = ["INSERT INTO t VALUES ('lost', 1)", "UPDATE r SET v = 'lost'", "INSERT INTO t VALUES ('bad', 100)"]
        let results = run(store, transactions)
        var expected = (1...7).map { Optional(UInt64($0)) }
        expected.insert(nil, at: position)
        #expect(versions(results) == expected)
        #expect(throws: StoreError.self) { try results[position].get() }
        #expect(try store.text("SELECT count(*), sum(v = 'lost') FROM r") == ["7|0"])
        #expect(try store.text("SELECT count(*) FROM t WHERE id IN ('lost', 'bad')") == ["0"])
        #expect(store.ledger.head(of: store.actor) == 7)
        try store.expectSound()
        try replicated(harness, store, results)
    }

    @Test("together: a conflict that takes everything back costs only its own transaction")
    func rollbackOfEverything() throws {
        let harness = StoreHarness("together-rollback")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        try store.run("INSERT INTO t VALUES ('taken', 1)")
        let results = run(
            store,
            [
                ["INSERT INTO t VALUES ('a', 1)"], ["UPDATE t SET v = v + 1"], ["INSERT OR ROLLBACK INTO t VALUES ('taken', 2)"],
                ["INSERT INTO t VALUES ('after', 1)"],
            ])
        // The group ends at the fault; the caller's next one is for the next group.
        #expect(versions(results) == [2, 3, nil])
        #expect(try store.text("SELECT id, v FROM t ORDER BY id") == ["a|2", "taken|2"])
        #expect(try store.run("INSERT INTO t VALUES ('after', 1)").version == 4)
        try store.expectSound()
    }

    @Test("together: an interrupted statement ends its own transaction only")
    func interrupt() throws {
        let harness = StoreHarness("together-interrupt")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        let endless =
            "INSERT INTO r SELECT i, stop() FROM (WITH RECURSIVE n(i) AS (SELECT 50 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)"
        let box = Unmanaged.passRetained(store.interrupter)
        defer { box.release() }
        #expect(interruptingFunction(store, box.toOpaque()) == 0)
        var began: [Int] = []
        let results = run(store, [["INSERT INTO r VALUES (1, 'a')"], ["INSERT INTO r VALUES (2, 'b')"], [endless]]) { began.append($0) }
        #expect(versions(results) == [1, 2, nil])
        #expect(throws: StoreError.interrupted) { try results[2].get() }
        // Two calls for each of the first two, twice; the last has one before its only statement.
        #expect(began == [0, 0, 1, 1, 2, 0, 0, 1, 1])
        #expect(try store.text("SELECT id FROM r") == ["1", "2"])
        try store.expectSound()
    }

    @Test("together: savepoints of users stay theirs, open ones end with their transaction, ours cannot be named")
    func savepoints() throws {
        let harness = StoreHarness("together-savepoints")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        let results = run(
            store,
            [
                ["INSERT INTO t VALUES ('a', 1)"],
                ["SAVEPOINT s", "INSERT INTO t VALUES ('b', 1)", "SAVEPOINT u", "INSERT INTO t VALUES ('gone', 1)", "ROLLBACK TO u"],
                ["INSERT INTO t VALUES ('c', 1)", "ROLLBACK TO s"],
                ["INSERT INTO t VALUES ('d', 1)", "RELEASE one__patina_transaction"],
                ["INSERT INTO t VALUES ('e', 1)"],
            ])
        #expect(versions(results) == [1, 2, nil, nil, 3])
        #expect(try store.text("SELECT id FROM t ORDER BY id") == ["a", "b", "e"])
        guard case .failure(.statementRefused(let message, _)) = results[3] else {
            Issue.record("the savepoint of the group could be released: \(results[3])")
            return
        }
        #expect(message == "savepoints with __patina in their names are not for users")
        try store.expectSound()
        try replicated(harness, store, results)
    }

    @Test("together: transactions that change nothing have no version; an empty group does nothing")
    func nothing() throws {
        let harness = StoreHarness("together-nothing")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        #expect(run(store, []).isEmpty)
        let results = run(store, [["UPDATE t SET v = 2"], ["INSERT INTO t VALUES ('a', 1)"], ["UPDATE t SET v = 1"]])
        #expect(versions(results) == [nil, 1, nil])
        try store.expectSound()
    }

    @Test("together: a commit that fails fails all, and uses their versions up")
    func commitFails() throws {
        let harness = StoreHarness("together-commit")
        let store = try harness.store(schema: Self.schema)
        defer { store.close() }
        var next = 0
        let results = store.transactTogether {
            next += 1
            // A change that was captured and not turned into a version makes the commit hook refuse.
            if next == 3 {
                store.context.phase = .user
                try? store.connection.execute("INSERT INTO r VALUES (9, 9)")
                store.context.phase = .own
                store.context.isFlushed = false
                return nil
            }
            return SharedTransaction([Statement("INSERT INTO r VALUES (\(next), 1)")])
        }
        #expect(results.count == 2)
        for result in results { #expect(throws: StoreError.self) { try result.get() } }
        #expect(store.ledger.head(of: store.actor) == 0)
        #expect(try store.run("INSERT INTO r VALUES (5, 5)").version == 3)
        try store.expectSound()
    }
}
