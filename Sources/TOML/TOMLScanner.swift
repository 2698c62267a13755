/// Reads the smallest parts of a TOML text: white space, comments, keys, strings, numbers and dates.
///
/// Never traps, whatever the bytes. toml++ asserts in places what a text may well not be (the first character of a header's
/// key, the digits of a time), which ends the process: hence a reader of our own.
struct TOMLScanner {
    let bytes: [UInt8]
    /// Where each line starts.
    private let lineStarts: [Int]
    private(set) var position = 0

    init(_ text: String) {
        let bytes = Array(text.utf8)
        self.bytes = bytes
        lineStarts = [0] + bytes.indices.filter { bytes[$0] == UInt8(ascii: "\n") }.map { $0 + 1 }
        // The mark of the byte order.
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    var isAtEnd: Bool { position >= bytes.count }
    /// The next byte; nil at the end.
    var next: UInt8? { isAtEnd ? nil : bytes[position] }

    /// The byte after the next one, and so on.
    func byte(after distance: Int) -> UInt8? { position + distance < bytes.count ? bytes[position + distance] : nil }

    mutating func advance(_ count: Int = 1) { position = min(position + count, bytes.count) }

    mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        position += 1
        return true
    }

    func starts(with text: StaticString) -> Bool {
        text.withUTF8Buffer { expected in
            position + expected.count <= bytes.count && expected.indices.allSatisfy { bytes[position + $0] == expected[$0] }
        }
    }

    func error(_ reason: String, at offset: Int? = nil) -> TOMLError {
        let offset = min(offset ?? position, bytes.count)
        let line = line(at: offset)
        return TOMLError(line: line, column: offset - lineStarts[line - 1] + 1, reason: reason)
    }

    /// The line, from 1, that a byte stands in: how many lines start at or before it.
    func line(at offset: Int) -> Int {
        var (low, high) = (0, lineStarts.count)
        while low < high {
            let middle = (low + high) / 2
            if lineStarts[middle] <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Between values

    mutating func skipBlanks() {
        while let byte = next, byte == 0x20 || byte == 0x09 { position += 1 }
    }

    /// White space, comments and line ends. True when a line ended.
    @discardableResult
    mutating func skipLines() throws(TOMLError) -> Bool {
        var hasEnded = false
        while true {
            skipBlanks()
            try skipComment()
            guard try takeLineEnd() else { return hasEnded }
            hasEnded = true
        }
    }

    mutating func skipComment() throws(TOMLError) {
        guard take(UInt8(ascii: "#")) else { return }
        while let byte = next, byte != UInt8(ascii: "\n"), !(byte == UInt8(ascii: "\r") && self.byte(after: 1) == UInt8(ascii: "\n")) {
            guard byte >= 0x20 || byte == 0x09, byte != 0x7F else { throw error("a control character in a comment") }
            position += 1
        }
    }

    mutating func takeLineEnd() throws(TOMLError) -> Bool {
        if take(UInt8(ascii: "\n")) { return true }
        guard next == UInt8(ascii: "\r") else { return false }
        guard byte(after: 1) == UInt8(ascii: "\n") else { throw error("a carriage return without a line feed") }
        position += 2
        return true
    }

    // MARK: Keys

    static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: false
        }
    }

    /// One part of a key: bare or in quotes.
    mutating func key() throws(TOMLError) -> String {
        switch next {
        case UInt8(ascii: "\""):
            guard !starts(with: "\"\"\"") else { throw error("a key of several lines") }
            return try basicString()
        case UInt8(ascii: "'"):
            guard !starts(with: "'''") else { throw error("a key of several lines") }
            return try literalString()
        case let byte? where Self.isBare(byte):
            let start = position
            while let byte = next, Self.isBare(byte) { position += 1 }
            return String(decoding: bytes[start..<position], as: UTF8.self)
        default:
            throw error("a key is missing: letters, digits, _ and -, or text in quotes")
        }
    }

    // MARK: Strings

    mutating func string() throws(TOMLError) -> String {
        if starts(with: "\"\"\"") { return try longString(quote: UInt8(ascii: "\"")) }
        if starts(with: "'''") { return try longString(quote: UInt8(ascii: "'")) }
        return next == UInt8(ascii: "'") ? try literalString() : try basicString()
    }

    private mutating func basicString() throws(TOMLError) -> String {
        let opening = position
        position += 1
        var text: [UInt8] = []
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                position += 1
                try escape(into: &text)
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                throw error("a text that is not closed", at: opening)
            default:
                try character(into: &text)
            }
        }
        throw error("a text that is not closed", at: opening)
    }

    private mutating func literalString() throws(TOMLError) -> String {
        let opening = position
        position += 1
        var text: [UInt8] = []
        while let byte = next, byte != UInt8(ascii: "\n"), byte != UInt8(ascii: "\r") {
            if take(UInt8(ascii: "'")) { return String(decoding: text, as: UTF8.self) }
            try character(into: &text)
        }
        throw error("a text that is not closed", at: opening)
    }

    private mutating func longString(quote: UInt8) throws(TOMLError) -> String {
        let opening = position
        position += 3
        _ = try takeLineEnd()
        var text: [UInt8] = []
        while let byte = next {
            if byte == quote, self.byte(after: 1) == quote, self.byte(after: 2) == quote {
                position += 3
                // Up to two more quotation marks belong to the text.
                for _ in 0..<2 where take(quote) { text.append(quote) }
                return String(decoding: text, as: UTF8.self)
            }
            if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                position += 1
                if try !skipFoldedLines() { try escape(into: &text) }
            } else if try takeLineEnd() {
                text.append(UInt8(ascii: "\n"))
            } else {
                try character(into: &text)
            }
        }
        throw error("a text that is not closed", at: opening)
    }

    /// After a backslash at the end of a line everything up to the next visible character is left out.
    private mutating func skipFoldedLines() throws(TOMLError) -> Bool {
        let start = position
        skipBlanks()
        guard try takeLineEnd() else {
            position = start
            return false
        }
        repeat { skipBlanks() } while try takeLineEnd()
        return true
    }

    private mutating func character(into text: inout [UInt8]) throws(TOMLError) {
        let byte = bytes[position]
        guard byte >= 0x20 || byte == 0x09, byte != 0x7F else {
            throw error("a control character in a text; write it as \\u and four digits")
        }
        text.append(byte)
        position += 1
    }

    private mutating func escape(into text: inout [UInt8]) throws(TOMLError) {
        let start = position - 1
        guard let byte = next else { throw error("a text that is not closed", at: start) }
        position += 1
        switch byte {
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): text.append(byte)
        case UInt8(ascii: "u"), UInt8(ascii: "U"):
            let count = byte == UInt8(ascii: "u") ? 4 : 8
            guard position + count <= bytes.count,
                let value = UInt32(String(decoding: bytes[position..<(position + count)], as: UTF8.self), radix: 16),
                bytes[position] != UInt8(ascii: "+"), let scalar = Unicode.Scalar(value)
            else { throw error("an escape that is no character: \\u wants 4 hexadecimal digits, \\U wants 8", at: start) }
            text.append(contentsOf: String(Character(scalar)).utf8)
            position += count
        default:
            throw error("an unknown escape in a text; write a backslash as \\\\", at: start)
        }
    }
}
