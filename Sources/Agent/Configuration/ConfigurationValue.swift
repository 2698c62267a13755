import PatinaTOML

/// A value of the configuration tree, from the file or from an environment variable.
enum ConfigurationValue: Hashable, Sendable {
    case string(String)
    case integer(Int64)
    case real(Double)
    case boolean(Bool)
    case array([ConfigurationValue])
    case table(ConfigurationTable)
    /// Dates and times: nothing here takes one.
    case other(String)
    /// The text of an environment variable. What it means depends on the key that it is for.
    case text(String, variable: String)

    /// For messages, as it would stand in the file.
    var display: String {
        switch self {
        case .string(let value): "\"\(value)\""
        case .integer(let value): "\(value)"
        case .real(let value): "\(value)"
        case .boolean(let value): "\(value)"
        case .array(let elements): "[" + elements.map(\.display).joined(separator: ", ") + "]"
        case .table: "a table"
        case .other(let text): text
        case .text(let value, _): "\"\(value)\""
        }
    }
}

/// A table of the configuration tree. Keeps the order in which it was filled, so that messages come in one order.
struct ConfigurationTable: Hashable, Sendable {
    struct Entry: Hashable, Sendable {
        var key: String
        var value: ConfigurationValue
    }

    private(set) var entries: [Entry] = []

    subscript(key: String) -> ConfigurationValue? {
        get { entries.first { $0.key == key }?.value }
        set {
            let position = entries.firstIndex { $0.key == key }
            switch (position, newValue) {
            case (let position?, let value?): entries[position].value = value
            case (let position?, nil): entries.remove(at: position)
            case (nil, let value?): entries.append(Entry(key: key, value: value))
            case (nil, nil): break
            }
        }
    }

    /// The value at the end of a path of keys.
    subscript(path: [String]) -> ConfigurationValue? {
        guard let first = path.first, let value = self[first] else { return nil }
        guard path.count > 1 else { return value }
        guard case .table(let table) = value else { return nil }
        return table[Array(path.dropFirst())]
    }

    /// Puts a value at the end of a path, making tables on the way. False when something on the way is no table.
    mutating func set(_ value: ConfigurationValue, at path: ArraySlice<String>) -> Bool {
        guard let first = path.first else { return false }
        guard path.count > 1 else {
            self[first] = value
            return true
        }
        var table = ConfigurationTable()
        switch self[first] {
        case .table(let existing): table = existing
        case nil: break
        case .string, .integer, .real, .boolean, .array, .other, .text: return false
        }
        guard table.set(value, at: path.dropFirst()) else { return false }
        self[first] = .table(table)
        return true
    }
}

extension ConfigurationTable {
    /// Parses TOML. `file` is for messages only.
    init(toml: String, file: String) throws(ConfigurationError) {
        do throws(TOMLError) {
            self.init(try TOMLParser.parse(toml))
        } catch {
            throw .syntax(file: file, line: error.line, column: error.column, reason: error.reason)
        }
    }

    fileprivate init(_ table: TOMLTable) {
        entries = table.entries.map { Entry(key: $0.key, value: ConfigurationValue($0.value)) }
    }
}

extension ConfigurationValue {
    fileprivate init(_ value: TOMLValue) {
        switch value {
        case .string(let text): self = .string(text)
        case .integer(let number): self = .integer(number)
        case .float(let number): self = .real(number)
        case .boolean(let flag): self = .boolean(flag)
        case .dateTime(let text): self = .other(text)
        case .array(let elements): self = .array(elements.map { ConfigurationValue($0) })
        case .table(let table): self = .table(ConfigurationTable(table))
        }
    }
}
