/// Why a JSON text was refused.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of mistake it is: HTTP answers 400 to the first and 422 to the second.
    public enum Kind: Hashable, Sendable {
        /// The text is not JSON.
        case syntax
        /// The text is JSON, but not of the form that was expected.
        case shape
    }

    public let kind: Kind
    /// What is wrong, as a clause without a position.
    public let reason: String
    /// Where, in bytes from the start of the text.
    public let offset: Int
    /// Where, for people: both count from 1, columns in bytes.
    public let line: Int
    public let column: Int

    init(_ kind: Kind, _ reason: String, offset: Int, line: Int, column: Int) {
        self.kind = kind
        self.reason = reason
        self.offset = offset
        self.line = line
        self.column = column
    }

    public var description: String { "\(reason) at line \(line) column \(column)" }
}
