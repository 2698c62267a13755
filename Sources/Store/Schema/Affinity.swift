import PatinaProtocol

/// What SQLite does to a value that is stored in a column. Source: sqlite.org/datatype3.html, section 3.1.
enum Affinity {
    case integer, text, blob, real, numeric

    /// `declaredType` as written after the column's name; empty when there is none. `strict` for a STRICT table.
    init(declaredType: String, strict: Bool) {
        let type = declaredType.uppercased()
        if type.contains("INT") {
            self = .integer
        } else if ["CHAR", "CLOB", "TEXT"].contains(where: { type.contains($0) }) {
            self = .text
        } else if type.contains("BLOB") || type.isEmpty || (strict && type == "ANY") {
            self = .blob
        } else if ["REAL", "FLOA", "DOUB"].contains(where: { type.contains($0) }) {
            self = .real
        } else {
            self = .numeric
        }
    }

    /// False when SQLite might store another value in the place of this one, so that a key would not be found again.
    func keepsUnchanged(_ value: Value) -> Bool {
        switch (self, value) {
        case (.blob, _), (_, .blob), (_, .null): true
        case (.text, .text): true
        case (.text, .integer), (.text, .real): false
        case (.integer, .integer), (.numeric, .integer), (.real, .real): true
        case (.real, .integer): false
        // A REAL without a fraction becomes an INTEGER, where it fits.
        case (.integer, .real(let number)), (.numeric, .real(let number)): number != number.rounded(.towardZero)
        case (.integer, .text(let text)), (.numeric, .text(let text)), (.real, .text(let text)): !Self.mayBeNumber(text)
        }
    }

    /// Errs on the side of yes.
    private static func mayBeNumber(_ text: [UInt8]) -> Bool {
        guard let first = text.first(where: { ![9, 10, 11, 12, 13, 32].contains($0) }) else { return false }
        return (48...57).contains(first) || [UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: ".")].contains(first)
    }
}
