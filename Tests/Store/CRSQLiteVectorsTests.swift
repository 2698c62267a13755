import Foundation
import PatinaProtocol
import Testing

@testable import PatinaStore

/// Replays cases recorded from the cr-sqlite binary that Corrosion ships: the same statements and changes must give the same rows
/// and the same clocks. `CRSQLITE_VECTORS` names another file of the same format.
@Suite("CRSQLiteVectors")
struct CRSQLiteVectorsTests {
    /// Where we differ on purpose; the reasons are in `docs/crdt.md`, section "Differences from cr-sqlite".
    static let deviations: [String: String] = [
        "pkonly_tie_meq_after_delete":
            "concurrent resurrections: the greater actor's sentinel is kept, so that all nodes keep the same one",
        "sentinel_cl1_on_existing_row":
            "a sentinel is kept even when the row exists without one, so that the order of arrival does not matter",
        "own_site_newer_from_peer": "a node that lost its newest writes learns them back from its peers",
        "site_id_short": "an actor has 16 bytes; shorter site ids cannot be expressed",
        "equal_int_higher_site_meq0": "equal values always merge by actor (Corrosion always sets merge-equal-values)",
        "equal_null_higher_site_meq0": "equal values always merge by actor (Corrosion always sets merge-equal-values)",
        "delete_same_cl_already_deleted_meq0": "equal deletions always merge by actor (Corrosion always sets merge-equal-values)",
    ]

    @Test("vectors: every recorded case gives the recorded rows and clocks, or is a listed deviation")
    func replayAll() throws {
        let file = try VectorFile.load()
        #expect(!file.cases.isEmpty)
        for vector in file.cases {
            let differences: [String]
            do {
                differences = try replay(vector)
            } catch let unsupported as UnsupportedCase {
                differences = [unsupported.reason]
            }
            if Self.deviations[vector.name] != nil {
                #expect(!differences.isEmpty, "\(vector.name) is listed as a deviation and does not deviate")
            } else {
                #expect(differences.isEmpty, "\(vector.name): \(differences.joined(separator: "; "))")
            }
        }
    }

    @Test("vectors: every recorded packed key is encoded and decoded alike")
    func packedKeys() throws {
        for vector in try VectorFile.load().packColumns where vector.error == nil {
            let values = vector.values.map(\.value)
            let ours = hexadecimal(PackedKey.encode(values))
            // Long recordings are cut short, and end in an ellipsis.
            #expect(ours == vector.hex || vector.hex.hasSuffix("...") && ours.hasPrefix(vector.hex.dropLast(3)))
            #expect(ours.count == 2 * vector.len)
            #expect(try PackedKey.decode(PackedKey.encode(values)) == values)
        }
    }

    /// Returns what differs from the recording.
    private func replay(_ vector: VectorCase) throws -> [String] {
        guard let site = ActorID(vector.localSite) else { throw UnsupportedCase(reason: "the local site is not 16 bytes") }
        let store = try StoreHarness("vector-\(vector.name)").store(schema: vector.schema.joined(separator: ";\n"), identity: site)
        defer { store.close() }
        var differences: [String] = []
        var timestamps: [String: String] = [:]
        for step in vector.setup {
            if let statements = step.localTx {
                let ends = statements.contains { $0.uppercased().hasPrefix("ROLLBACK") && !$0.uppercased().contains(" TO ") }
                if ends { continue }
                let outcome = try store.transact(statements.map { Statement($0) })
                if let ts = step.ts { timestamps["\(outcome.timestamp.ntp64)"] = ts }
            } else if let changes = step.mergeTx {
                _ = try store.mergeRecorded(changes)
            }
        }
        differences += try compare(store, vector.before, vector.schema, timestamps).map { "before: \($0)" }
        var impact: [Int] = []
        var failure: (any Error)?
        for group in vector.incomingTxs {
            do {
                impact.append(try store.mergeRecorded(group))
            } catch let unsupported as UnsupportedCase {
                if vector.error == nil { throw unsupported }
                failure = unsupported
            } catch {
                failure = error
            }
        }
        if (failure != nil) != (vector.error != nil) {
            differences.append("recorded error \(vector.error ?? "none"), ours \(failure.map { "\($0)" } ?? "none")")
        }
        if vector.error == nil, impact != vector.rowsImpacted { differences.append("impact \(impact), recorded \(vector.rowsImpacted)") }
        differences += try compare(store, vector.after, vector.schema, timestamps).map { "after: \($0)" }
        return differences
    }

    private func compare(_ store: Store, _ state: VectorState, _ schema: [String], _ timestamps: [String: String]) throws -> [String] {
        var differences: [String] = []
        for table in store.catalog.tables {
            let names = table.keyColumns.map(\.name) + table.columns.map(\.name)
            let ours = try store.rows("SELECT \(names.map(quoted).joined(separator: ", ")) FROM \(quoted(table.name))").map { "\($0)" }
                .sorted()
            let theirs = (state.rows[table.name] ?? []).map { row in "\(names.map { row[$0]?.value ?? .null })" }.sorted()
            if ours != theirs { differences.append("rows of \(table.name) are \(ours), recorded \(theirs)") }
        }
        let ours = try store.clockedCells().map { cell in
            var cell = cell
            cell.timestamp = timestamps[cell.timestamp] ?? cell.timestamp
            return cell
        }.sorted()
        let theirs = state.changes.map(\.clockedCell).sorted()
        if ours != theirs { differences.append("clocks are \(ours), recorded \(theirs)") }
        if store.ledger.head(of: store.actor) != state.crsqlDbVersion {
            differences.append("own version \(store.ledger.head(of: store.actor)), recorded \(state.crsqlDbVersion)")
        }
        return differences
    }
}

extension Store {
    /// Merges recorded changes one by one in one transaction, as cr-sqlite takes them. Returns how many won.
    fileprivate func mergeRecorded(_ changes: [VectorChange]) throws -> Int {
        var impact = 0
        var failure: (any Error)?
        do {
            try write(changesMemory: true) { () throws(StoreError) in
                do {
                    for change in changes { impact += try mergeRecorded(change) }
                } catch {
                    failure = error
                    throw .closed
                }
            }
        } catch {
            throw failure ?? error
        }
        return impact
    }

    private func mergeRecorded(_ change: VectorChange) throws -> Int {
        guard let origin = ActorID(change.siteId) else { throw UnsupportedCase(reason: "site id \(change.siteId) is not 16 bytes") }
        guard let table = catalog.table(named: change.table) else { throw UnsupportedCase(reason: "unknown table") }
        let isSentinel = change.cid == "-1"
        let key = bytes(fromHexadecimal: change.pk)
        var row = RowChange(table: 0, key: key, causalLength: change.cl, sentinel: nil, cells: [])
        if isSentinel {
            row.sentinel = .init(columnVersion: change.colVersion, sequence: change.seq)
        } else {
            guard let column = table.columnNumbers[change.cid] else { throw UnsupportedCase(reason: "unknown column") }
            row.cells = [CellChange(column: column, columnVersion: change.colVersion, sequence: change.seq, value: change.val.value)]
        }
        let site = try sites.makeOrdinal(of: origin, connection)
        var merger = RowMerger(catalog: catalog, clocks: clocks, site: site, version: change.dbVersion)
        try merger.merge(row, into: table, key: try PackedKey.decode(key))
        guard let ts = UInt64(change.ts) else { throw UnsupportedCase(reason: "timestamp \(change.ts)") }
        try Bookkeeping.insertVersion(
            connection, site: site, version: change.dbVersion, timestamp: HybridTimestamp(ntp64: ts), lastSequence: change.seq, keys: [])
        return merger.impact
    }
}

// MARK: The file

private struct UnsupportedCase: Error { var reason: String }

private struct VectorFile: Decodable {
    var cases: [VectorCase]
    var packColumns: [PackedVector]

    static func load() throws -> VectorFile {
        let standard = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Vectors/crsqlite.json")
        let url = ProcessInfo.processInfo.environment["CRSQLITE_VECTORS"].map { URL(fileURLWithPath: $0) } ?? standard
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(VectorFile.self, from: Data(contentsOf: url))
    }
}

private struct VectorCase: Decodable {
    var name: String
    var schema: [String]
    var localSite: String
    var setup: [VectorStep]
    var before: VectorState
    var incomingTxs: [[VectorChange]]
    var error: String?
    var rowsImpacted: [Int]
    var after: VectorState
}

private struct VectorStep: Decodable {
    var localTx: [String]?
    var ts: String?
    var mergeTx: [VectorChange]?
}

private struct VectorState: Decodable {
    var rows: [String: [[String: VectorValue]]]
    var changes: [VectorChange]
    var crsqlDbVersion: UInt64
}

private struct VectorChange: Decodable {
    var table: String
    var pk: String
    var cid: String
    var val: VectorValue
    var colVersion: UInt64
    var dbVersion: UInt64
    var siteId: String
    var cl: UInt64
    var seq: UInt64
    var ts: String

    var clockedCell: ClockedCell {
        ClockedCell(
            table: table, key: pk, column: cid, value: val.value, columnVersion: colVersion, version: dbVersion, site: siteId,
            causalLength: cl, sequence: seq, timestamp: ts)
    }
}

private struct PackedVector: Decodable {
    var values: [VectorValue]
    var hex: String
    var len: Int
    var error: String?
}

private struct VectorValue: Decodable {
    var t: String
    var v: String?
    /// A long value is recorded as a repetition.
    var `repeat`: String?
    var n: Int?

    var value: Value {
        let text = v ?? `repeat`.map { String(repeating: $0, count: n ?? 0) } ?? ""
        switch t {
        case "int": return .integer(Int64(text) ?? 0)
        case "real": return .real(Double(text) ?? .nan)
        case "text": return .text(text)
        case "blob": return .blob(bytes(fromHexadecimal: text))
        default: return .null
        }
    }
}

private func bytes(fromHexadecimal text: String) -> [UInt8] {
    let digits = Array(text.utf8)
    return stride(from: 0, to: digits.count - 1, by: 2).map {
        UInt8(String(decoding: digits[$0..<($0 + 2)], as: UTF8.self), radix: 16) ?? 0
    }
}
