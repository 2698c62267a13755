import PatinaTOML

/// `--set path=value`: replaces or adds one value of a scenario before it is read.
///
/// A path names keys with points between them: `run.duration`, `node.swim.period`. An element of an array is named by its
/// index or its id, or `*` for all: `link.0.loss`, `fault.cut.for`, `link.*.loss`. The value is TOML; what is no TOML
/// is taken as a string, so that `--set run.duration=90s` needs no quotes.
enum Overrides {
    /// Applies the overrides in order, and notes in `source` where they went.
    static func apply(_ arguments: [String], to document: inout DocumentValue, source: inout DocumentSource) throws(ScenarioError) {
        for argument in arguments {
            guard let equals = argument.utf8.firstIndex(of: UInt8(ascii: "=")) else {
                throw ScenarioError(file: "--set \(argument)", line: nil, message: "expected path=value")
            }
            let keys = argument[..<equals].split(separator: ".", omittingEmptySubsequences: false).map { Quantity.trim($0) }
            guard keys.allSatisfy({ !$0.isEmpty }) else {
                throw ScenarioError(file: "--set \(argument)", line: nil, message: "the path \"\(argument[..<equals])\" has an empty part")
            }
            let value = parseValue(Quantity.trim(argument[argument.utf8.index(after: equals)...]))
            var paths: [[PathStep]] = []
            try set(keys[...], to: value, in: &document, at: [], argument: argument, paths: &paths)
            for path in paths { source.overrides.append((path, argument)) }
        }
    }

    private static func parseValue(_ text: String) -> DocumentValue {
        if !text.utf8.contains(UInt8(ascii: "\n")), case .table(let entries)? = try? DocumentValue.parse("value = \(text)", file: ""),
            entries.count == 1, let entry = entries.first, entry.key == "value"
        {
            return entry.value
        }
        return .string(text)
    }

    private static func set(
        _ keys: ArraySlice<String>, to value: DocumentValue, in document: inout DocumentValue, at path: [PathStep], argument: String,
        paths: inout [[PathStep]]
    ) throws(ScenarioError) {
        guard let key = keys.first else {
            document = value
            paths.append(path)
            return
        }
        switch document {
        case .table(var entries):
            if let index = entries.firstIndex(where: { $0.key == key }) {
                try set(keys.dropFirst(), to: value, in: &entries[index].value, at: path + [.key(key)], argument: argument, paths: &paths)
            } else {
                var inner = DocumentValue.table([])
                try set(keys.dropFirst(), to: value, in: &inner, at: path + [.key(key)], argument: argument, paths: &paths)
                entries.append(DocumentValue.Entry(key: key, value: inner))
                entries.sort { $0.key < $1.key }
            }
            document = .table(entries)
        case .array(var values):
            let indices = values.indices.filter { key == "*" || key == "\($0)" || identifier(of: values[$0]) == key }
            guard !indices.isEmpty else {
                throw ScenarioError(
                    file: "--set \(argument)", line: nil, message: "\(PathStep.text(path)) has no element \"\(key)\"",
                    suggestion: Spelling.nearest(to: key, among: values.compactMap { identifier(of: $0) }))
            }
            for index in indices {
                try set(keys.dropFirst(), to: value, in: &values[index], at: path + [.index(index)], argument: argument, paths: &paths)
            }
            document = .array(values)
        case .string, .integer, .number, .boolean:
            throw ScenarioError(
                file: "--set \(argument)", line: nil, message: "\(PathStep.text(path)) is \(document.kind) and has nothing inside")
        }
    }

    /// The id of an element of an array of tables; nil when it has none.
    static func identifier(of value: DocumentValue) -> String? {
        guard case .table(let entries) = value, case .string(let id)? = entries.first(where: { $0.key == "id" })?.value else { return nil }
        return id
    }
}
