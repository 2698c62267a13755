import Foundation
import PatinaProtocol

@testable import PatinaStore

/// A file of recorded cases; its `meta` block says how to replay them. Members that we do not know are skipped.
struct VectorFile: Decodable {
    var cases: [VectorCase]
    var packColumns: [PackedVector]?

    /// Our own file, or the one that `CRSQLITE_VECTORS` names.
    static func load() throws -> VectorFile {
        guard let path = ProcessInfo.processInfo.environment["CRSQLITE_VECTORS"] else { return try load("crsqlite.json") }
        return try JSONDecoder().decode(VectorFile.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }

    static func load(_ name: String) throws -> VectorFile {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Vectors/\(name)")
        return try JSONDecoder().decode(VectorFile.self, from: Data(contentsOf: url))
    }

    private enum CodingKeys: String, CodingKey {
        case cases
        case packColumns = "pack_columns"
    }
}

struct VectorCase: Decodable {
    var name: String
    /// 1 where it is missing, as Corrosion sets it.
    var mergeEqualValues: Int?
    var schema: [String]
    var localSite: String
    var setup: [VectorStep]?
    var before: VectorState?
    var incomingTxs: [[VectorChange]]
    var error: String?
    var rowsImpacted: [Int]?
    var after: VectorState

    private enum CodingKeys: String, CodingKey {
        case name, schema, setup, before, error, after
        case mergeEqualValues = "merge_equal_values"
        case localSite = "local_site"
        case incomingTxs = "incoming_txs"
        case rowsImpacted = "rows_impacted"
    }

    /// Every change that the case merges.
    var mergedChanges: [VectorChange] { (setup ?? []).flatMap { $0.mergeTx ?? [] } + incomingTxs.flatMap { $0 } }
}

struct VectorStep: Decodable {
    var localTx: [String]?
    var ts: LenientText?
    var mergeTx: [VectorChange]?

    private enum CodingKeys: String, CodingKey {
        case ts
        case localTx = "local_tx"
        case mergeTx = "merge_tx"
    }

    /// The statements that are committed: without those that control the transaction, and what a ROLLBACK took back.
    var committedStatements: [String] {
        var result: [String] = []
        for statement in localTx ?? [] {
            let words = statement.uppercased().split { !$0.isLetter && $0 != "_" }.prefix(3)
            switch words.first {
            case "BEGIN", "COMMIT", "END": continue
            case "ROLLBACK" where !words.contains("TO"): result = []
            case "SELECT" where statement.lowercased().contains("crsql_"): continue
            default: result.append(statement)
            }
        }
        return result
    }
}

struct VectorState: Decodable {
    /// By table; each row by column.
    var rows: [String: [[String: VectorValue]]]
    var changes: [VectorChange]
    var crsqlDbVersion: UInt64

    private enum CodingKeys: String, CodingKey {
        case rows, changes
        case crsqlDbVersion = "crsql_db_version"
    }
}

struct VectorChange: Decodable {
    var table: String
    var pk: String
    var cid: String
    var val: VectorValue?
    var colVersion: Int64
    var dbVersion: Int64
    /// Hexadecimal. NULL in cr-sqlite stands for the own site.
    var siteId: String?
    var cl: Int64
    var seq: Int64
    var ts: LenientText

    private enum CodingKeys: String, CodingKey {
        case table, pk, cid, val, cl, seq, ts
        case colVersion = "col_version"
        case dbVersion = "db_version"
        case siteId = "site_id"
    }

    var isSentinel: Bool { cid == "-1" }

    var clockedCell: ClockedCell {
        ClockedCell(
            table: table, key: pk, column: cid, value: val?.value ?? .null, columnVersion: UInt64(clamping: colVersion),
            version: UInt64(clamping: dbVersion), site: siteId ?? "NULL", causalLength: UInt64(clamping: cl),
            sequence: UInt64(clamping: seq), timestamp: ts.text)
    }
}

struct PackedVector: Decodable {
    var values: [VectorValue]
    var hex: String
    var len: Int?
    var error: String?
}

/// A string, or a number where a string is meant.
struct LenientText: Decodable {
    var text: String

    init(_ text: String) { self.text = text }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            text = "0"
        } else if let string = try? container.decode(String.self) {
            text = string
        } else {
            text = "\(try container.decode(UInt64.self))"
        }
    }
}

struct VectorValue: Decodable {
    var t: String
    var v: LenientText?
    /// A long value is recorded as a repetition.
    var `repeat`: String?
    var n: Int?

    var value: Value {
        let text = v?.text ?? `repeat`.map { String(repeating: $0, count: n ?? 0) } ?? ""
        switch t {
        case "int": return .integer(Int64(text)!)
        case "real":
            let number = Double(text)!
            return number.isNaN ? .null : .real(number)
        case "text": return .text(text)
        case "blob": return .blob(bytes(fromHexadecimal: text))
        case "null": return .null
        default: preconditionFailure("the vectors have a value of the unknown type \(t)")
        }
    }
}

func bytes(fromHexadecimal text: String) -> [UInt8] {
    let digits = Array(text.utf8)
    return stride(from: 0, to: digits.count - 1, by: 2).map {
        UInt8(String(decoding: digits[$0..<($0 + 2)], as: UTF8.self), radix: 16) ?? 0
    }
}
