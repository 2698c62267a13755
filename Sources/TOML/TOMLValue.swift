/// A value of a TOML 1.0 document.
public indirect enum TOMLValue: Hashable, Sendable {
    case string(String)
    case integer(Int64)
    case float(Double)
    case boolean(Bool)
    /// A date, a time or both, as it was written.
    case dateTime(String)
    case array([TOMLValue])
    case table(TOMLTable)
}

/// A table of a TOML document: its keys in the order of their first appearance, each with the line that it stands in.
public struct TOMLTable: Hashable, Sendable {
    public struct Entry: Hashable, Sendable {
        public var key: String
        public var value: TOMLValue
        /// Counts from 1.
        public var line: Int
    }

    public var entries: [Entry]

    public init(entries: [Entry] = []) { self.entries = entries }

    /// The value of a key; nil when there is none.
    public subscript(key: String) -> TOMLValue? { entries.first { $0.key == key }?.value }
}

/// Why a text is not TOML. Line and column count from 1, columns in bytes.
public struct TOMLError: Error, Hashable, Sendable, CustomStringConvertible {
    public let line: Int
    public let column: Int
    public let reason: String

    public var description: String { "line \(line), column \(column): \(reason)" }
}
