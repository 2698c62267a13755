import TOMLKit

/// A TOML document as a plain value. Tables keep their keys in ascending order.
enum DocumentValue: Hashable, Sendable {
    case string(String)
    case integer(Int)
    case number(Double)
    case boolean(Bool)
    case array([DocumentValue])
    case table([Entry])

    struct Entry: Hashable, Sendable {
        var key: String
        var value: DocumentValue
    }

    /// What a person calls it.
    var kind: String {
        switch self {
        case .string: "a string"
        case .integer: "an integer"
        case .number: "a number"
        case .boolean: "a boolean"
        case .array: "an array"
        case .table: "a table"
        }
    }

    /// Parses a document. Throws with the line when the text is not TOML.
    static func parse(_ text: String, file: String) throws(ScenarioError) -> DocumentValue {
        if let zero = text.utf8.firstIndex(of: 0) {
            let line = 1 + text.utf8[..<zero].count(where: { $0 == UInt8(ascii: "\n") })
            throw ScenarioError(file: file, line: line, message: "the file contains a zero byte")
        }
        let table: TOMLTable
        do {
            table = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw ScenarioError(file: file, line: error.source.begin.line, message: "not valid TOML: \(error.description)")
        } catch {
            throw ScenarioError(file: file, line: nil, message: "not valid TOML: \(error)")
        }
        return try convert(table, file: file)
    }

    private static func convert(_ value: any TOMLValueConvertible, file: String) throws(ScenarioError) -> DocumentValue {
        if let text = value.string { return .string(text) }
        if let number = value.int { return .integer(number) }
        if let number = value.double { return .number(number) }
        if let truth = value.bool { return .boolean(truth) }
        if let array = value.array {
            var values: [DocumentValue] = []
            for index in 0..<array.count { values.append(try convert(array[index], file: file)) }
            return .array(values)
        }
        if let table = value.table {
            var entries: [Entry] = []
            for key in table.keys.sorted() {
                guard let inner = table[key] else { continue }
                entries.append(Entry(key: key, value: try convert(inner, file: file)))
            }
            return .table(entries)
        }
        throw ScenarioError(file: file, line: nil, message: "dates and times have no meaning in a scenario: \(value.debugDescription)")
    }
}

/// A step on the way to a value: a key of a table or an index of an array.
enum PathStep: Hashable, Sendable {
    case key(String)
    case index(Int)

    static func text(_ path: [PathStep]) -> String {
        var text = ""
        for step in path {
            switch step {
            case .key(let key): text += text.isEmpty ? key : ".\(key)"
            case .index(let index): text += "[\(index)]"
            }
        }
        return text
    }
}
