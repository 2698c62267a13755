import Foundation
import PatinaProtocol
import Testing

@testable import PatinaStore

/// How long maintenance holds the writer under a steady load of single-row updates. Prints one JSON object a line; asserts no times. Runs
/// only when asked to: `MAINTENANCE_ROWS=200000 swift test -c release --filter MaintenanceCostTests`
@Suite("Maintenance cost")
struct MaintenanceCostTests {
    private static let rows = ProcessInfo.processInfo.environment["MAINTENANCE_ROWS"].flatMap { Int($0) }

    private struct Holds {
        var times: [Duration] = []

        mutating func measure<Result>(_ body: () throws -> Result) rethrows -> Result {
            let start = ContinuousClock.now
            defer { times.append(ContinuousClock.now - start) }
            return try body()
        }

        func line(_ name: String) -> String {
            let sorted = times.sorted()
            func at(_ share: Double) -> Double {
                sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))] / .milliseconds(1)
            }
            return "{\"name\": \"hold-\(name)\", \"count\": \(times.count), \"p50_ms\": \(at(0.5)), \"p99_ms\": \(at(0.99)), "
                + "\"max_ms\": \(at(1))}"
        }
    }

    @Test("maintenance cost: folds, checkpoints, key lists, tombstones and vacuum beside writes", .enabled(if: rows != nil))
    func holds() throws {
        let rows = Self.rows ?? 0
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("patina-holds-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        var options = StoreOptions()
        options.leavesCheckpoints = true
        options.tombstoneRetention = .zero
        let store = try Store(.file(directory.appendingPathComponent("db").path), options: options)
        defer { store.close() }
        _ = try store.applySchema([SchemaFile(path: "s", text: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b, c, d)")])
        for start in stride(from: 0, to: rows, by: 20_000) {
            try store.run(
                """
                INSERT INTO t WITH RECURSIVE n(x) AS (SELECT \(start) UNION ALL SELECT x + 1 FROM n WHERE x < \(start + 19_999))
                SELECT printf('key-%016d', x), x, 'text ' || x, x * 0.5, NULL FROM n
                """)
        }
        let checkpointer = try store.makeCheckpointer()
        defer { checkpointer.close() }
        _ = try checkpointer.run()
        var random = Random(seed: 1)
        var (writes, folds, checkpoints) = (Holds(), Holds(), Holds())
        var (lists, tombstones, vacuum, ledger) = (Holds(), Holds(), Holds(), Holds())
        for number in 0..<40_000 {
            let row = Int(random.below(UInt64(rows)))
            let key = Value.text(String(format: "key-%016d", row))
            let statement =
                number % 10 == 9
                ? Statement("DELETE FROM t WHERE id = ?", .positional([key]))
                : Statement("UPDATE t SET a = ? WHERE id = ?", .positional([.integer(Int64(number)), key]))
            _ = try writes.measure { try store.transact([statement]) }
            if store.logPages >= Store.checkpointPages {
                // Beside the writer in an agent; here one after the other, and only the writer's own part is its hold.
                _ = try checkpointer.run()
                _ = try checkpoints.measure { try store.finishCheckpoint() }
            }
            switch number % 200 {
            case 50: _ = try folds.measure { try store.maintain(.clocks) }
            case 100: _ = try lists.measure { try store.maintain(.keyLists) }
            case 150: _ = try tombstones.measure { try store.maintain(.tombstones) }
            case 180: _ = try vacuum.measure { try store.maintain(.vacuum) }
            case 190: _ = try ledger.measure { try store.maintain(.ledger) }
            default: break
            }
        }
        for (name, holds) in [
            ("write", writes), ("fold", folds), ("checkpoint", checkpoints), ("key-lists", lists), ("tombstones", tombstones),
            ("vacuum", vacuum), ("ledger", ledger),
        ] { print(holds.line(name)) }
    }
}
