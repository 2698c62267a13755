import PatinaTOML

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
        let table: TOMLTable
        do throws(TOMLError) {
            table = try TOMLParser.parse(text)
        } catch {
            throw ScenarioError(file: file, line: error.line, message: "not valid TOML: column \(error.column): \(error.reason)")
        }
        return .table(try convert(table, file: file))
    }

    private static func convert(_ table: TOMLTable, file: String) throws(ScenarioError) -> [Entry] {
        var entries: [Entry] = []
        entries.reserveCapacity(table.entries.count)
        for entry in table.entries {
            entries.append(Entry(key: entry.key, value: try convert(entry.value, line: entry.line, file: file)))
        }
        return entries.sorted { $0.key < $1.key }
    }

    private static func convert(_ value: TOMLValue, line: Int, file: String) throws(ScenarioError) -> DocumentValue {
        switch value {
        case .string(let text): return .string(text)
        case .integer(let number): return .integer(Int(number))
        case .float(let number): return .number(number)
        case .boolean(let truth): return .boolean(truth)
        case .dateTime(let text):
            throw ScenarioError(file: file, line: line, message: "dates and times have no meaning in a scenario: \(text)")
        case .array(let elements):
            var values: [DocumentValue] = []
            values.reserveCapacity(elements.count)
            for element in elements { values.append(try convert(element, line: line, file: file)) }
            return .array(values)
        case .table(let table): return .table(try convert(table, file: file))
        }
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
