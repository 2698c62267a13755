/// The order of values that decides between concurrent writes of one cell with equal column versions: the greater value wins.
///
/// By type first, INTEGER > REAL > TEXT > BLOB > NULL; numbers by size (0.0 equals -0.0), text and blobs byte by byte, the longer
/// one greater when one is the beginning of the other. Source: cr-sqlite, see `docs/crdt.md`. Values of different types are never
/// equal: 5 and 5.0 differ.
public enum ValueOrdering: Hashable, Sendable {
    case less, equal, greater
}

extension Value {
    /// How this value stands to `other` when a merge decides between them.
    public func mergeOrdering(to other: Value) -> ValueOrdering {
        switch (self, other) {
        case (.null, .null): .equal
        case (.integer(let left), .integer(let right)): left == right ? .equal : left < right ? .less : .greater
        // SQLite turns NaN into NULL, so two reals always compare.
        case (.real(let left), .real(let right)): left == right ? .equal : left < right ? .less : .greater
        case (.text(let left), .text(let right)), (.blob(let left), .blob(let right)): compareBytes(left, right)
        default: mergeRank < other.mergeRank ? .less : .greater
        }
    }

    private var mergeRank: Int {
        switch self {
        case .null: 0
        case .blob: 1
        case .text: 2
        case .real: 3
        case .integer: 4
        }
    }
}

private func compareBytes(_ left: [UInt8], _ right: [UInt8]) -> ValueOrdering {
    for index in 0..<min(left.count, right.count) where left[index] != right[index] {
        return left[index] < right[index] ? .less : .greater
    }
    return left.count == right.count ? .equal : left.count < right.count ? .less : .greater
}
