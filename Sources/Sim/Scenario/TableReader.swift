import PatinaProtocol
import PatinaTOML

/// Where the values of a scenario come from: the file, and overrides from the command line.
struct DocumentSource {
    var file: String
    var locator: KeyLocator
    /// Paths that `--set` replaced, with the argument as it was written.
    var overrides: [(path: [PathStep], argument: String)] = []

    /// An error about the value at `path`.
    func error(at path: [PathStep], _ message: String, suggestion: String? = nil) -> ScenarioError {
        for (overridden, argument) in overrides where path.starts(with: overridden) {
            return ScenarioError(file: "--set \(argument)", line: nil, message: message, suggestion: suggestion)
        }
        return ScenarioError(file: file, line: locator.line(of: path), message: message, suggestion: suggestion)
    }
}

/// One table of a scenario while it is read: every access is typed, and what is wrong names its place.
struct TableReader {
    let source: DocumentSource
    let path: [PathStep]
    private let entries: [DocumentValue.Entry]

    /// Opens a table, and refuses keys that are not among `allowed`.
    init(_ value: DocumentValue, at path: [PathStep], in source: DocumentSource, allowed: [String]) throws(ScenarioError) {
        guard case .table(let entries) = value else {
            throw source.error(at: path, "\(PathStep.text(path)) must be a table, not \(value.kind)")
        }
        self.source = source
        self.path = path
        self.entries = entries
        for entry in entries where !allowed.contains(entry.key) {
            let place = path.isEmpty ? "at the top of the file" : "in [\(PathStep.text(path))]"
            throw source.error(
                at: path + [.key(entry.key)], "unknown key \"\(entry.key)\" \(place)",
                suggestion: Spelling.nearest(to: entry.key, among: allowed))
        }
    }

    /// The value of `key` as it was written; nil when it is missing.
    subscript(key: String) -> DocumentValue? { entries.first { $0.key == key }?.value }

    /// All keys that were written.
    var keys: [String] { entries.map(\.key) }

    func path(of key: String) -> [PathStep] { path + [.key(key)] }

    /// An error about the value of `key`, or about the whole table when `key` is nil.
    func error(_ key: String?, _ message: String, suggestion: String? = nil) -> ScenarioError {
        source.error(at: key.map { path(of: $0) } ?? path, message, suggestion: suggestion)
    }

    // MARK: Plain values

    func string(_ key: String) throws(ScenarioError) -> String? {
        guard let value = self[key] else { return nil }
        guard case .string(let text) = value else { throw error(key, "\(key) must be a string, not \(value.kind)") }
        return text
    }

    func requiredString(_ key: String) throws(ScenarioError) -> String {
        guard let text = try string(key), !text.isEmpty else { throw error(nil, "\(PathStep.text(path(of: key))) is required") }
        return text
    }

    func boolean(_ key: String) throws(ScenarioError) -> Bool? {
        guard let value = self[key] else { return nil }
        guard case .boolean(let truth) = value else { throw error(key, "\(key) must be true or false, not \(value.kind)") }
        return truth
    }

    func integer(_ key: String, in range: ClosedRange<Int>) throws(ScenarioError) -> Int? {
        guard let value = self[key] else { return nil }
        guard case .integer(let number) = value else { throw error(key, "\(key) must be a whole number, not \(value.kind)") }
        guard range.contains(number) else {
            throw error(key, "\(key) must be from \(range.lowerBound) to \(range.upperBound), not \(number)")
        }
        return number
    }

    /// A number with up to three decimals, in thousandths.
    func thousandths(_ key: String, in range: ClosedRange<Int>) throws(ScenarioError) -> Int? {
        let scaled: Double
        switch self[key] {
        case nil: return nil
        case .integer(let number): scaled = Double(number) * 1_000
        case .number(let number): scaled = (number * 1_000).rounded()
        case .some(let other): throw error(key, "\(key) must be a number, not \(other.kind)")
        }
        guard scaled >= Double(range.lowerBound), scaled <= Double(range.upperBound) else {
            throw error(key, "\(key) must be from \(Double(range.lowerBound) / 1_000) to \(Double(range.upperBound) / 1_000)")
        }
        return Int(scaled)
    }

    // MARK: Quantities

    /// A string that `parse` understands. `example` shows in the error what is expected.
    func quantity<T>(_ key: String, like example: String, _ parse: (String) -> T?) throws(ScenarioError) -> T? {
        guard let value = self[key] else { return nil }
        guard case .string(let text) = value else {
            throw error(key, "\(key) needs a quantity with its unit, like \(example), not \(value.kind)")
        }
        guard let result = parse(text) else {
            throw error(key, "\(key) = \"\(text)\" is not understood; expected something like \(example)")
        }
        return result
    }

    func duration(_ key: String) throws(ScenarioError) -> Duration? {
        try quantity(key, like: "\"10s\" or \"250ms\"") { Quantity.duration($0) }
    }

    func durationRange(_ key: String) throws(ScenarioError) -> ClosedRange<Duration>? {
        try quantity(key, like: "\"10s\" or \"5s..30s\"") { Quantity.durationRange($0) }
    }

    func share(_ key: String) throws(ScenarioError) -> UInt32? { try quantity(key, like: "\"0.1%\"") { Quantity.share($0) } }

    func bytes(_ key: String) throws(ScenarioError) -> Int? { try quantity(key, like: "\"256KiB\"") { Quantity.bytes($0) } }

    /// One of a few words.
    func choice<T: CaseIterable & RawRepresentable<String>>(_ key: String, _ type: T.Type) throws(ScenarioError) -> T? {
        guard let text = try string(key) else { return nil }
        let words = T.allCases.map(\.rawValue)
        guard let choice = T(rawValue: text) else {
            throw error(
                key, "\(key) = \"\(text)\" is none of \(words.map { "\"\($0)\"" }.joined(separator: ", "))",
                suggestion: Spelling.nearest(to: text, among: words))
        }
        return choice
    }

    // MARK: Tables inside

    /// The table under `key`; nil when it is missing.
    func table(_ key: String, allowed: [String]) throws(ScenarioError) -> TableReader? {
        guard let value = self[key] else { return nil }
        return try TableReader(value, at: path(of: key), in: source, allowed: allowed)
    }

    /// The tables of the array under `key`; empty when it is missing.
    func tables(_ key: String, allowed: [String]) throws(ScenarioError) -> [TableReader] {
        guard let value = self[key] else { return [] }
        guard case .array(let values) = value else { throw error(key, "\(key) must be an array of tables: write [[\(key)]]") }
        var result: [TableReader] = []
        for (index, value) in values.enumerated() {
            result.append(try TableReader(value, at: path(of: key) + [.index(index)], in: source, allowed: allowed))
        }
        return result
    }

    /// The strings of the array under `key`, or its only string; nil when it is missing.
    func strings(_ key: String) throws(ScenarioError) -> [String]? {
        switch self[key] {
        case nil: return nil
        case .string(let text): return [text]
        case .array(let values):
            var result: [String] = []
            for value in values {
                guard case .string(let text) = value else { throw error(key, "\(key) must hold strings only, not \(value.kind)") }
                result.append(text)
            }
            return result
        case .some(let other): throw error(key, "\(key) must be an array of strings, not \(other.kind)")
        }
    }
}
