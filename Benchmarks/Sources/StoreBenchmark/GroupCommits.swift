import Glibc
import PatinaProtocol
import PatinaStore

/// Single-row transactions that wait together and share a commit, against plain SQLite with a commit for each.
struct GroupCommits {
    let directory: Directory
    let options: Options

    /// - Parameter waiting: how many transactions share a commit.
    func measure(waiting: Int, synchronous: Synchronous, into results: inout Results) throws {
        // The disk sets the pace of `full`: rates per second of wall time. The processor that of `normal`.
        let isFull = synchronous == .full
        let rows = isFull ? options.rows / 20 : options.rows / 5
        let base = isFull ? TimeBase.wall : .processor
        for round in 0..<options.rounds {
            let workload = Workload(Shape(columns: 8), rows: rows, changes: 0, seed: UInt64(300 + round))
            let plain = PlainDatabase(path: directory.file("plain"), workload: workload, synchronous: isFull ? "FULL" : "NORMAL")
            let ours = try PatinaDatabase(path: directory.file("patina"), workload: workload, synchronous: synchronous)
            defer { directory.empty() }
            let transactions = ours.transactions(workload.inserts, batch: 1)
            let theirRate = rate(rows, base) { plain.run(workload.inserts, batch: 1) }
            let ourRate = rate(rows, base) {
                for group in transactions.grouped(by: waiting) {
                    var rest = group
                    let outcomes = ours.store.transactTogether { rest.popFirst().map { SharedTransaction($0) } }
                    precondition(outcomes.allSatisfy { (try? $0.get()) != nil }, "a transaction failed")
                }
            }
            results.add("group-commit\(isFull ? "" : "-normal")/\(waiting)", ourRate, unit: "transactions/s", plain: theirRate)
            plain.close()
            ours.close()
        }
    }
}

/// How long a large database takes to open.
struct LargeDatabase {
    let directory: Directory

    /// Fills a database with rows of 4,096 bytes in versions of 500 rows, then 5,000 single updates, and opens it again.
    func measure(gigabytes: Int, into results: inout Results) throws {
        let workload = Workload(Shape(columns: 2), rows: 500, changes: 0, seed: 1)
        defer { directory.empty() }
        var database = try PatinaDatabase(path: directory.file("patina"), workload: workload)
        var numbers = Numbers(seed: 2)
        let padding = Value.text(Array(repeating: 120, count: 4_096))
        var keys: [Value] = []
        for _ in 0..<(gigabytes * 1_000_000_000 / 4_400 / 500) {
            var steps: [Step] = []
            for _ in 0..<500 {
                keys.append(numbers.text(20))
                steps.append(Step(kind: 0, parameters: [keys[keys.count - 1], .integer(1), padding]))
            }
            try database.run(database.transactions(steps, batch: 500))
        }
        let updates = (0..<5_000).map { _ in
            Step(kind: 2, parameters: [.integer(Int64(numbers.below(1 << 30))), keys[numbers.below(keys.count)]])
        }
        try database.run(database.transactions(updates, batch: 1))
        database.close()
        let bytes = Directory.bytes(directory.file("patina"))
        for name in ["open-\(gigabytes)GB", "open-\(gigabytes)GB-cold"] {
            if name.hasSuffix("cold") { try forget(directory.file("patina")) }
            let start = wallSeconds()
            database = try PatinaDatabase(path: directory.file("patina"), workload: workload)
            results.add(name, wallSeconds() - start, unit: "s", plain: nil)
            database.close()
        }
        results.add("open-\(gigabytes)GB-size", Double(bytes), unit: "bytes", plain: nil)
    }

    /// Has the system forget what it holds of a file in memory, as after a start of the machine.
    private func forget(_ path: String) throws {
        let descriptor = open(path, O_RDWR)
        precondition(descriptor >= 0, "\(path) can be opened")
        defer { Glibc.close(descriptor) }
        fsync(descriptor)
        precondition(posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) == 0, "the system can forget \(path)")
    }
}
