import PatinaProtocol
import PatinaStore

/// Inserts, updates and deletions in transactions of one size, on both sides.
struct LocalWrites {
    let directory: Directory
    let options: Options

    func measure(columns: Int, batch: Int, into results: inout Results) throws {
        let rows = batch >= 1_000 ? options.rows : options.rows / 5
        for round in 0..<options.rounds {
            let workload = Workload(Shape(columns: columns), rows: rows, changes: rows / 2, seed: UInt64(round))
            let plain = PlainDatabase(path: directory.file("plain"), workload: workload)
            let ours = try PatinaDatabase(path: directory.file("patina"), workload: workload)
            defer { directory.empty() }
            let phases = [("insert", workload.inserts), ("update", workload.updates), ("delete", workload.deletes)]
            for (name, steps) in phases {
                let transactions = ours.transactions(steps, batch: batch)
                var (theirRate, ourRate) = (0.0, 0.0)
                let runs = [
                    { theirRate = rate(steps.count) { plain.run(steps, batch: batch) } },
                    {
                        ourRate = try rate(steps.count) {
                            try ours.run(transactions)
                            // What the store put off is part of what the rows cost.
                            try ours.store.foldClocks()
                        }
                    },
                ]
                // Who comes first changes with the round, so that drift hits both alike.
                for run in round % 2 == 0 ? runs : runs.reversed() { try run() }
                results.add("\(name)\(columns)/\(batch)", ourRate, unit: "rows/s", plain: theirRate)
            }
            plain.close()
            ours.close()
        }
    }

    /// Single-row inserts with that many replicated tables beside each other.
    func measureTables(_ count: Int, into results: inout Results) throws {
        let rows = options.rows / 5
        for round in 0..<options.rounds {
            let workload = Workload(Shape(columns: 8), rows: rows, changes: 0, seed: UInt64(round))
            let plain = PlainDatabase(path: directory.file("plain"), workload: workload)
            let ours = try PatinaDatabase(path: directory.file("patina"), workload: workload, tables: count)
            defer { directory.empty() }
            let transactions = ours.transactions(workload.inserts, batch: 1)
            let theirRate = rate(rows) { plain.run(workload.inserts, batch: 1) }
            let ourRate = try rate(rows) {
                try ours.run(transactions)
                try ours.store.foldClocks()
            }
            results.add("tables\(count)/insert8/1", ourRate, unit: "rows/s", plain: theirRate)
            plain.close()
            ours.close()
        }
    }

    /// Bytes of the database file for each row, everything of ours included, inserted 1,000 rows at a time.
    func measureBytes(columns: Int, into results: inout Results) throws {
        let workload = Workload(Shape(columns: columns), rows: options.rows, changes: 0, seed: 7)
        let plain = PlainDatabase(path: directory.file("plain"), workload: workload)
        let ours = try PatinaDatabase(path: directory.file("patina"), workload: workload)
        defer { directory.empty() }
        plain.run(workload.inserts, batch: 1_000)
        try ours.run(ours.transactions(workload.inserts, batch: 1_000))
        try ours.store.foldClocks()
        plain.close()
        ours.close()
        let sizes = [directory.file("patina"), directory.file("plain")].map { Double(Directory.bytes($0)) / Double(options.rows) }
        results.add("bytes-per-row\(columns)", sizes[0], unit: "bytes", plain: sizes[1])
    }
}
