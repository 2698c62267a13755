import PatinaProtocol
import PatinaStore

/// Merging and serving versions. The ratio of merges is to plain SQLite doing the winning statement itself.
struct MergesAndReads {
    let directory: Directory
    let options: Options

    /// Rows of other actors' versions, `batch` rows a version, each version in an operation of its own.
    func measureMerges(columns: Int, batch: Int, into results: inout Results) throws {
        let rows = batch >= 1_000 ? options.rows : options.rows / 5
        for round in 0..<options.rounds {
            let workload = Workload(Shape(columns: columns), rows: rows, changes: 0, seed: UInt64(100 + round))
            let plain = PlainDatabase(path: directory.file("plain"), workload: workload)
            let origin = try PatinaDatabase(path: directory.file("origin"), workload: workload, identity: 2)
            let other = try PatinaDatabase(path: directory.file("other"), workload: workload, identity: 3)
            let ours = try PatinaDatabase(path: directory.file("patina"), workload: workload)
            defer { directory.empty() }
            let firstUpdates = workload.updatesOfEveryRow(seed: 1)
            let inserted = try origin.record(origin.transactions(workload.inserts, batch: batch))
            try other.apply(inserted)
            // The other actor saw the inserts and wrote each cell once; the origin wrote the same cells twice.
            let stale = try other.record(other.transactions(firstUpdates, batch: batch))
            let updated = try origin.record(origin.transactions(firstUpdates, batch: batch))
            let updatedAgain = try origin.record(origin.transactions(firstUpdates.map(Self.changed), batch: batch))

            let inserts = rate(rows) { plain.run(workload.inserts, batch: batch) }
            let suffix = "\(columns)/\(batch)"
            results.add("merge-new\(suffix)", try rate(rows) { try ours.apply(inserted) }, unit: "rows/s", plain: inserts)
            let updates = rate(rows) { plain.run(firstUpdates, batch: batch) }
            results.add("merge-win\(suffix)", try rate(rows) { try ours.apply(updated) }, unit: "rows/s", plain: updates)
            try ours.apply(updatedAgain)
            results.add("merge-stale\(suffix)", try rate(rows) { try ours.apply(stale) }, unit: "rows/s", plain: updates)
            results.add("merge-duplicate\(suffix)", try rate(rows) { try ours.apply(stale) }, unit: "rows/s", plain: updates)
            plain.close()
            for database in [origin, other, ours] { database.close() }
        }
    }

    /// The same step with another value.
    private static func changed(_ step: Step) -> Step {
        var step = step
        switch step.parameters[0] {
        case .integer(let number): step.parameters[0] = .integer(number ^ 1)
        case .text(let bytes): step.parameters[0] = .text(bytes.map { $0 == 97 ? 98 : $0 - 1 })
        default: break
        }
        return step
    }

    /// Serving versions of `batch` rows each: one request for each version, or ranges of 500 single-row versions.
    func measureExtraction(columns: Int, into results: inout Results) throws {
        for round in 0..<options.rounds {
            let rows = options.rows / 2
            let workload = Workload(Shape(columns: columns), rows: rows, changes: 0, seed: UInt64(200 + round))
            let plain = PlainDatabase(path: directory.file("plain"), workload: workload)
            let ours = try PatinaDatabase(path: directory.file("patina"), workload: workload)
            defer { directory.empty() }
            let singles = rows / 4
            plain.run(workload.inserts, batch: 1_000)
            try ours.run(ours.transactions(Array(workload.inserts[..<singles]), batch: 1))
            try ours.run(ours.transactions(Array(workload.inserts[singles...]), batch: 1_000))
            let head = ours.store.ledger.head(of: ours.store.actor)
            var seen = 0
            let reads = rate(rows) { seen += plain.read(workload.keys) }
            let single = try rate(singles) { for version in 1...UInt64(singles) { seen += try serve(ours, version...version) } }
            results.add("extract\(columns)/1", single, unit: "versions/s", plain: reads)
            let range = try rate(singles) {
                // Up to the last version of one row: those behind it have 1,000.
                for first in stride(from: 1, through: singles, by: 500) {
                    seen += try serve(ours, UInt64(first)...UInt64(min(first + 499, singles)))
                }
            }
            results.add("extract-range\(columns)/1", range, unit: "versions/s", plain: reads)
            let large = try rate(rows - singles) {
                for version in (UInt64(singles) + 1)...head { seen += try serve(ours, version...version) }
            }
            results.add("extract\(columns)/1000", large, unit: "rows/s", plain: reads)
            precondition(seen > 0)
            plain.close()
            ours.close()
        }
    }

    /// Reads all of the versions; returns the bytes of their chunks.
    private func serve(_ database: PatinaDatabase, _ versions: ClosedRange<UInt64>) throws -> Int {
        var wants: [ReadRequest.Want] = [.versions(database.store.actor, versions)]
        var bytes = 0
        while !wants.isEmpty {
            guard case .read(let chunks, _, let rest) = database.store.perform(.read(ReadRequest(wants: wants, byteLimit: 1 << 20))) else {
                fatalError("a version could not be read")
            }
            for chunk in chunks { bytes += chunk.body.count }
            wants = rest
        }
        return bytes
    }
}
