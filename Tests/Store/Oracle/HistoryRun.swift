import Foundation
import PatinaProtocol
import Synchronization

@testable import PatinaSim
@testable import PatinaStore

/// Runs a history on real stores and on the oracle, side by side.
final class HistoryRun {
    private static let runs = Atomic<Int>(0)

    private let history: History
    private var oracle: Oracle
    private var stores: [Store] = []
    private var anchors: [MemoryAnchor] = []
    private let clock = ManualClock()
    private let name: String
    private let directory: String?
    /// Chunks as they were written, by writer; version 1 first.
    private var written: [[[Chunk]]]

    /// The first difference between the stores and the oracle; nil when there is none.
    static func difference(_ history: History, mutation: OracleMutation? = nil) -> String? {
        do {
            let run = try HistoryRun(history, mutation)
            defer { run.close() }
            return try run.run()
        } catch {
            return "unexpected: \(error)"
        }
    }

    private init(_ history: History, _ mutation: OracleMutation?) throws {
        self.history = history
        name = "history-\(Self.runs.add(1, ordering: .relaxed).newValue)-\(ProcessInfo.processInfo.processIdentifier)"
        let actors = (0..<history.nodes).map { ActorID(high: UInt64(($0 * 3 + 1) % 5 + 1) << 56 | 0x4000, low: 0x8000_0000_0000_0000) }
        oracle = Oracle(tables: HistoryTables.tables, actors: actors, mutation: mutation)
        written = actors.map { _ in [] }
        directory = history.inFiles ? NSTemporaryDirectory() + name : nil
        if let directory { try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true) }
        for node in 0..<history.nodes {
            if directory == nil { anchors.append(try MemoryAnchor(name: "\(name)-\(node)")) }
            stores.append(try open(node))
            _ = try stores[node].applySchema([SchemaFile(path: "schema.sql", text: HistoryTables.schema)])
        }
    }

    private func open(_ node: Int) throws -> Store {
        var options = StoreOptions()
        options.simulated = true
        options.identity = oracle.actors[node]
        options.limits.chunkBytes = history.chunkBytes
        options.unfoldedClocks = history.unfolded
        let clock = clock
        options.wallClock = { clock.nanoseconds }
        return try Store(directory.map { .file("\($0)/\(node).db") } ?? .memory(name: "\(name)-\(node)"), options: options)
    }

    private func close() {
        for store in stores { store.close() }
        for anchor in anchors { anchor.close() }
        if let directory { try? FileManager.default.removeItem(atPath: directory) }
    }

    private func run() throws -> String? {
        for (index, step) in history.steps.enumerated() {
            clock.nanoseconds += 1_000
            let problem: String?
            switch step {
            case .transact(let node, let statements): problem = transact(node, statements)
            case .deliver(let node, let pieces): problem = deliver(node, pieces.flatMap(chunks))
            case .restart(let node):
                stores[node].close()
                stores[node] = try open(node)
                problem = nil
            case .compare(let node): problem = try compare(node)
            case .upkeep(let node, let steps):
                for _ in 0..<steps where stores[node].needsUpkeep { _ = try stores[node].upkeep() }
                problem = nil
            }
            if let problem { return "step \(index + 1): \(problem)" }
        }
        return try finish()
    }

    private func finish() throws -> String? {
        var random = Random(seed: history.endSeed)
        for node in stores.indices {
            if history.servedAtEnd {
                if let problem = try fetch(node, &random) { return "at the end: \(problem)" }
            } else {
                var rest = written.flatMap { $0 }.flatMap { $0 }
                random.shuffle(&rest)
                if let problem = deliver(node, rest) { return "at the end: \(problem)" }
            }
        }
        for node in stores.indices {
            guard oracle.isCurrent(node: node) else { return "at the end: node \(node) has not got all versions" }
            if let problem = try compare(node) { return "at the end: \(problem)" }
        }
        return nil
    }

    // MARK: Steps

    private func transact(_ node: Int, _ statements: [OracleStatement]) -> String? {
        guard !statements.isEmpty else { return nil }
        let expected: Result<OracleVersion?, OracleRefusal>
        do throws(OracleRefusal) { expected = .success(try oracle.transact(node: node, statements)) } catch { expected = .failure(error) }
        do {
            let outcome = try stores[node].transact(statements.map { $0.sql(HistoryTables.tables) })
            guard case .success(let version) = expected else { return "node \(node) took a transaction that must fail: \(expected)" }
            guard outcome.version == version?.version else {
                return "node \(node) made version \(outcome.version ?? 0), expected \(version?.version ?? 0)"
            }
            if let version {
                written[node].append(outcome.chunks)
                let last = outcome.chunks.last?.id.lastSequence ?? 0
                if last != version.lastSequence { return "version \(version.version) ends at \(last), expected \(version.lastSequence)" }
            }
            return nil
        } catch {
            if case .success = expected { return "node \(node) refused a transaction: \(error)" }
            return nil
        }
    }

    private func chunks(_ piece: History.Piece) -> [Chunk] {
        guard piece.writer < written.count, !written[piece.writer].isEmpty else { return [] }
        let all = written[piece.writer][piece.version % written[piece.writer].count]
        guard !all.isEmpty else { return [] }
        let first = piece.chunk % all.count
        return piece.whole ? Array(all[first...] + all[..<first]) : [all[first]]
    }

    private func deliver(_ node: Int, _ chunks: [Chunk], _ empties: [EmptyVersions] = []) -> String? {
        for batch in history.inBatches ? [chunks] : chunks.map({ [$0] }) {
            if let problem = apply(node, batch, []) { return problem }
        }
        return empties.isEmpty ? nil : apply(node, [], empties)
    }

    private func apply(_ node: Int, _ chunks: [Chunk], _ empties: [EmptyVersions]) -> String? {
        guard case .applied(let changes, let refused) = stores[node].perform(.apply(chunks: chunks, empties: empties)) else {
            return "node \(node) failed to apply \(chunks.map(\.id))"
        }
        if !refused.isEmpty { return "node \(node) refused \(refused)" }
        for case .completed(let actor, let versions) in changes {
            guard let writer = oracle.actors.firstIndex(of: actor) else { return "an unknown actor \(actor)" }
            for version in versions {
                guard version <= UInt64(written[writer].count) else { return "version \(version) of \(writer) was never written" }
                oracle.complete(node: node, writer: writer, version: version)
            }
        }
        return nil
    }

    /// Gets what is missing from another store, as it serves it: without the cells that were overwritten there.
    private func fetch(_ node: Int, _ random: inout Random) throws -> String? {
        var others = stores.indices.filter { $0 != node }
        random.shuffle(&others)
        // A writer has all of its own versions, so all others together have everything.
        for other in others {
            var wants = oracle.actors.indices.compactMap { writer -> ReadRequest.Want? in
                written[writer].isEmpty ? nil : .versions(oracle.actors[writer], 1...UInt64(written[writer].count))
            }
            while !wants.isEmpty {
                let answer = try stores[other].serve(wants, byteLimit: 1_500)
                if let problem = deliver(node, answer.chunks.reversed(), answer.empties) { return problem }
                if answer.chunks.isEmpty, answer.empties.isEmpty, answer.remaining == wants { break }
                wants = answer.remaining
            }
        }
        return nil
    }

    // MARK: Comparing

    private func compare(_ node: Int) throws -> String? {
        let store = stores[node]
        let problems = try store.verify()
        if !problems.isEmpty { return "node \(node) is not sound: \(problems)" }
        for check in HistoryTables.generatedColumnChecks where try store.text(check) != ["0"] {
            return "node \(node): a generated column is wrong: \(check)"
        }
        let expected = oracle.rows(at: node)
        for (index, table) in HistoryTables.tables.enumerated() {
            let names = (table.keys + table.columns).map { quoted($0.name) }.joined(separator: ", ")
            let ours = try store.rows("SELECT \(names) FROM \(quoted(table.name))").map { "\($0)" }.sorted()
            let theirs = expected.filter { $0.name.table == index && $0.row.exists }.map { name, row -> String in
                "\(name.key + zip(row.cells, table.columns).map { $0?.value ?? $1.defaultValue })"
            }.sorted()
            if let problem = difference(ours, theirs) { return "node \(node), rows of \(table.name): \(problem)" }
        }
        let ours = try store.clockedCells().map { cell in
            var cell = cell
            cell.timestamp = ""
            return "\(cell)"
        }.sorted()
        if let problem = difference(ours, expected.flatMap(clocked).sorted()) { return "node \(node), clocks: \(problem)" }
        return nil
    }

    private func difference(_ ours: [String], _ theirs: [String]) -> String? {
        if ours == theirs { return nil }
        let extra = ours.filter { !theirs.contains($0) }
        let missing = theirs.filter { !ours.contains($0) }
        return "the store has \(extra), the oracle \(missing)" + (ours.count == theirs.count ? "" : " (\(ours.count), \(theirs.count))")
    }

    private func clocked(_ name: OracleRowName, _ row: OracleRow) -> [String] {
        let table = oracle.tables[name.table]
        let key = hexadecimal(PackedKey.encode(name.key))
        func cell(_ column: String, _ value: Value, _ columnVersion: UInt64, _ origin: OracleOrigin) -> String {
            let cell = ClockedCell(
                table: table.name, key: key, column: column, value: value, columnVersion: columnVersion, version: origin.version,
                site: oracle.actors[origin.writer].hexadecimal, causalLength: row.length, sequence: origin.sequence, timestamp: "")
            return "\(cell)"
        }
        var result: [String] = []
        if let sentinel = row.sentinel { result.append(cell("-1", .null, row.length, sentinel)) }
        for (column, known) in row.cells.enumerated() {
            if let known { result.append(cell(table.columns[column].name, known.value, known.columnVersion, known.origin)) }
        }
        return result
    }
}
