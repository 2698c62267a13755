import PatinaProtocol

/// What a workload must know of a table, asked of SQLite itself.
public struct TableShape: Hashable, Sendable {
    package struct Column: Hashable, Sendable {
        package var name: String
        package var content: Content
        /// The place in the primary key, from 1; 0 for the others.
        package var keyPosition: Int
    }

    /// What a column is filled with, by its declared type.
    package enum Content: Hashable, Sendable { case integer, real, text, blob }

    /// Columns besides the key that a workload can mark, one bit each.
    static let valueColumnsMaximum = 63

    package var name: String
    /// In the order of the primary key.
    package var keys: [Column]
    /// The others, in the order of their declaration.
    package var values: [Column]

    /// The rules of SQLite's type affinity, coarsely.
    static func content(ofType type: String) -> Content {
        let type = type.uppercased()
        if type.contains("INT") { return .integer }
        if type.contains("CHAR") || type.contains("TEXT") || type.contains("CLOB") || type.isEmpty { return .text }
        if type.contains("BLOB") { return .blob }
        if type.contains("REAL") || type.contains("FLOA") || type.contains("DOUB") { return .real }
        return .integer
    }

    package static func quote(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}

/// Values that tell which write they come from, so that a checker can ask of every cell: who wrote this?
///
/// Every row that a workload writes has a number of its own, from 1. The cells of that row carry it.
enum WriteMark {
    static func value(_ number: UInt64, as content: TableShape.Content, bytes: Int) -> Value {
        switch content {
        case .integer: return .integer(Int64(number))
        case .real: return .real(Double(number))
        case .text:
            var text = Array("w\(number)".utf8)
            while text.count < bytes { text.append(UInt8(ascii: ".")) }
            return .text(text)
        case .blob:
            var blob = (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * UInt64($0))) }
            while blob.count < bytes { blob.append(0) }
            return .blob(blob)
        }
    }

    /// The number of the write that a cell comes from. 0: it holds no mark, as a column's default does.
    static func number(of value: Value) -> UInt64 {
        switch value {
        case .null: return 0
        case .integer(let number): return UInt64(clamping: number)
        case .real(let number): return number >= 0 && number < 9e18 ? UInt64(number) : 0
        case .text(let text):
            guard text.first == UInt8(ascii: "w") else { return 0 }
            let digits = text.dropFirst().prefix { $0 != UInt8(ascii: ".") }
            return UInt64(String(decoding: digits, as: UTF8.self)) ?? 0
        case .blob(let blob):
            return blob.count < 8 ? 0 : blob.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    /// The value of a key column.
    static func key(_ key: UInt64, as content: TableShape.Content, column: String) -> Value {
        switch content {
        case .integer: .integer(Int64(clamping: key))
        case .real: .real(Double(key))
        case .text: .text("\(column)-\(key)")
        case .blob: .blob((0..<8).map { UInt8(truncatingIfNeeded: key >> (56 - 8 * UInt64($0))) })
        }
    }

    /// The key number, from the value of the first key column.
    static func keyNumber(of value: Value, column: String) -> UInt64? {
        switch value {
        case .integer(let number): return number >= 0 ? UInt64(number) : nil
        case .real(let number): return number >= 0 && number < 9e18 ? UInt64(number) : nil
        case .text(let text):
            let text = String(decoding: text, as: UTF8.self)
            return text.hasPrefix("\(column)-") ? UInt64(text.dropFirst(column.utf8.count + 1)) : nil
        case .blob(let blob): return blob.count == 8 ? blob.reduce(0) { $0 << 8 | UInt64($1) } : nil
        case .null: return nil
        }
    }
}
