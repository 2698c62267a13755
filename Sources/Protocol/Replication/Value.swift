/// A SQLite value.
///
/// Text is kept as bytes: SQLite does not promise valid UTF-8, the merge rule compares bytes, and what one node
/// stored must arrive unchanged at every other.
public enum Value: Hashable, Sendable {
    case null
    case integer(Int64)
    case real(Double)
    case text([UInt8])
    case blob([UInt8])

    public static func text(_ string: String) -> Value { .text(Array(string.utf8)) }
}
