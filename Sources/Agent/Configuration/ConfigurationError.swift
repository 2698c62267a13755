/// Why a configuration cannot be used. Each description is one line that says what is wrong, where, and what to write.
public enum ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file cannot be read.
    case unreadable(file: String, reason: String)
    /// The file is not TOML. Line and column count from 1.
    case syntax(file: String, line: Int, column: Int, reason: String)
    /// A required key is missing. `example` is a line that could stand in its section.
    case missing(key: String, section: String, file: String, example: String)
    /// A key has a value that it cannot have.
    case invalid(key: String, value: String, allowed: String, origin: String)
    /// Keys contradict each other.
    case conflict(reason: String, file: String)

    public var description: String {
        switch self {
        case .unreadable(let file, let reason):
            "cannot read the configuration \(file): \(reason)"
        case .syntax(let file, let line, let column, let reason):
            "\(file):\(line):\(column): not TOML: \(reason)"
        case .missing(let key, let section, let file, let example):
            "\(file): the required key \(key) is missing; write under [\(section)], for example: \(example)"
        case .invalid(let key, let value, let allowed, let origin):
            "\(origin): \(key) is \(value), but must be \(allowed)"
        case .conflict(let reason, let file):
            "\(file): \(reason)"
        }
    }
}
