/// Finds the tokens of SQL text: enough to tell what kind of statement it is, and where the columns of a CREATE TABLE begin.
///
/// SQLite itself judges whether the text is correct; this only has to agree with it about comments, quotes and parentheses.
struct SQLScanner {
    enum Kind: Hashable {
        /// A keyword or a name without quotes.
        case word
        /// A name in double quotes, backquotes or brackets.
        case quotedName
        case string
        case symbol(UInt8)
    }

    struct Token: Hashable {
        var kind: Kind
        var range: Range<Int>
    }

    private let text: [UInt8]
    private(set) var position: Int

    init(_ text: [UInt8], from position: Int = 0) {
        self.text = text
        self.position = position
    }

    /// The next token; nil at the end.
    mutating func next() -> Token? {
        skipBlanks()
        guard position < text.count else { return nil }
        let start = position
        let byte = text[position]
        switch byte {
        case UInt8(ascii: "'"):
            skipQuoted(byte)
            return Token(kind: .string, range: start..<position)
        case UInt8(ascii: "\""), UInt8(ascii: "`"):
            skipQuoted(byte)
            return Token(kind: .quotedName, range: start..<position)
        case UInt8(ascii: "["):
            while position < text.count, text[position] != UInt8(ascii: "]") { position += 1 }
            position = min(position + 1, text.count)
            return Token(kind: .quotedName, range: start..<position)
        default:
            guard Self.isWordByte(byte) else {
                position += 1
                return Token(kind: .symbol(byte), range: start..<position)
            }
            while position < text.count, Self.isWordByte(text[position]) { position += 1 }
            return Token(kind: .word, range: start..<position)
        }
    }

    /// A word in capitals; a quoted name without its quotes.
    func text(of token: Token) -> String {
        let bytes = text[token.range]
        switch token.kind {
        case .word: return String(decoding: bytes, as: UTF8.self).uppercased()
        case .quotedName:
            var result: [UInt8] = []
            var index = bytes.startIndex + 1
            while index < bytes.endIndex - 1 {
                result.append(bytes[index])
                // A doubled quote stands for one.
                index += bytes[index] == bytes[bytes.startIndex] ? 2 : 1
            }
            return String(decoding: result, as: UTF8.self)
        case .string, .symbol: return String(decoding: bytes, as: UTF8.self)
        }
    }

    private mutating func skipBlanks() {
        while position < text.count {
            switch text[position] {
            case 9, 10, 12, 13, 32: position += 1
            case UInt8(ascii: "-") where position + 1 < text.count && text[position + 1] == UInt8(ascii: "-"):
                while position < text.count, text[position] != 10 { position += 1 }
            case UInt8(ascii: "/") where position + 1 < text.count && text[position + 1] == UInt8(ascii: "*"):
                position += 2
                while position + 1 < text.count, text[position] != UInt8(ascii: "*") || text[position + 1] != UInt8(ascii: "/") {
                    position += 1
                }
                position = min(position + 2, text.count)
            default: return
            }
        }
    }

    private mutating func skipQuoted(_ quote: UInt8) {
        position += 1
        while position < text.count {
            if text[position] == quote {
                guard position + 1 < text.count, text[position + 1] == quote else { break }
                position += 1
            }
            position += 1
        }
        position = min(position + 1, text.count)
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 95 || byte == 36 || byte >= 128
    }

    /// The tokens of a text, keywords in capitals: equal for texts that differ in blanks and comments only.
    static func words(of text: [UInt8]) -> [String] {
        var scanner = SQLScanner(text)
        var words: [String] = []
        while let token = scanner.next() { words.append(scanner.text(of: token)) }
        return words
    }

    /// The entries between the outer parentheses of a CREATE TABLE: columns and table constraints, each with the name it begins with.
    static func definitions(of createTable: [UInt8]) -> [(name: String, range: Range<Int>)] {
        var scanner = SQLScanner(createTable)
        while let token = scanner.next(), token.kind != .symbol(UInt8(ascii: "(")) {}
        var result: [(name: String, range: Range<Int>)] = []
        var depth = 0
        var first: Token?
        var end = scanner.position
        while let token = scanner.next() {
            let isClosing = depth == 0 && token.kind == .symbol(UInt8(ascii: ")"))
            if isClosing || (depth == 0 && token.kind == .symbol(UInt8(ascii: ","))) {
                if let first {
                    // Names are compared as written; only keywords are wanted in capitals.
                    let name = first.kind == .word ? String(decoding: createTable[first.range], as: UTF8.self) : scanner.text(of: first)
                    result.append((name, first.range.lowerBound..<end))
                }
                if isClosing { return result }
                first = nil
                continue
            }
            if first == nil { first = token }
            if token.kind == .symbol(UInt8(ascii: "(")) { depth += 1 }
            if token.kind == .symbol(UInt8(ascii: ")")) { depth -= 1 }
            end = token.range.upperBound
        }
        return result
    }
}
