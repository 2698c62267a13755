import PatinaProtocol

/// Reads a JSON text (RFC 8259) from its start to its end, one value at a time, without building a tree.
///
/// Foundation's decoder cannot tell `1` from `1.0` nor say which numbers fit 64 bits, and both matter here: an integer
/// is bound as INTEGER, everything else as REAL. Never traps, whatever the bytes; nesting is bounded by `depthLimit`.
struct JSONReader {
    /// Arrays and objects inside each other at most.
    static let depthLimit = 128

    /// What the next value is, told by its first character.
    enum Kind: Hashable, Sendable {
        case null, boolean, number, string, array, object

        var name: String {
            switch self {
            case .null: "null"
            case .boolean: "a boolean"
            case .number: "a number"
            case .string: "a string"
            case .array: "an array"
            case .object: "an object"
            }
        }
    }

    /// A number as it was written: an integer that fits 64 bits with sign, or anything else.
    enum Number: Hashable, Sendable {
        case integer(Int64)
        case real(Double)
    }

    private let bytes: [UInt8]
    private(set) var position = 0
    private var depth = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    // MARK: Values

    /// Looks at the next value without taking it.
    mutating func peek() throws(JSONError) -> Kind {
        skipWhitespace()
        guard position < bytes.count else { throw syntax("a value is missing: the text ends here") }
        switch bytes[position] {
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        default: throw syntax("a value is missing")
        }
    }

    mutating func readNull() throws(JSONError) { try readWord("null", as: .null) }

    mutating func readBoolean() throws(JSONError) -> Bool {
        try expect(.boolean)
        let isTrue = bytes[position] == UInt8(ascii: "t")
        try readWord(isTrue ? "true" : "false", as: .boolean)
        return isTrue
    }

    mutating func readNumber() throws(JSONError) -> Number {
        try expect(.number)
        return try scanNumber()
    }

    /// A string as UTF-8, escapes resolved.
    mutating func readText() throws(JSONError) -> [UInt8] {
        try expect(.string)
        return try scanString()
    }

    mutating func readString() throws(JSONError) -> String { String(decoding: try readText(), as: UTF8.self) }

    /// Hands the reader to `element` once for each element; it must take exactly one value.
    mutating func readArray(_ element: (inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
        try expect(.array)
        try enter()
        if try take(closing: UInt8(ascii: "]")) { return }
        while true {
            try element(&self)
            if try !takeComma(orClosing: UInt8(ascii: "]"), of: "array") { return }
        }
    }

    /// Hands the reader to `member` once for each member, with its key; it must take exactly one value.
    mutating func readObject(_ member: (inout JSONReader, String) throws(JSONError) -> Void) throws(JSONError) {
        try expect(.object)
        try enter()
        if try take(closing: UInt8(ascii: "}")) { return }
        while true {
            skipWhitespace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { throw syntax("a key is missing: keys are strings") }
            let key = String(decoding: try scanString(), as: UTF8.self)
            skipWhitespace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: ":") else { throw syntax("a colon is missing behind a key") }
            position += 1
            try member(&self, key)
            if try !takeComma(orClosing: UInt8(ascii: "}"), of: "object") { return }
        }
    }

    /// Takes a value of any kind and forgets it. What is skipped must still be JSON.
    mutating func skipValue() throws(JSONError) {
        switch try peek() {
        case .null: try readNull()
        case .boolean: _ = try readBoolean()
        case .number: _ = try scanNumber()
        case .string: _ = try scanString()
        case .array: try readArray { (reader) throws(JSONError) in try reader.skipValue() }
        case .object: try readObject { (reader, _) throws(JSONError) in try reader.skipValue() }
        }
    }

    /// Demands that nothing but white space is left.
    mutating func finish() throws(JSONError) {
        skipWhitespace()
        guard position == bytes.count else { throw syntax("unexpected characters behind the value") }
    }

    /// The text is JSON so far, but not what is expected here.
    func shape(_ reason: String) -> JSONError { error(.shape, reason, at: position) }

    // MARK: Scanning

    private func syntax(_ reason: String) -> JSONError { error(.syntax, reason, at: position) }

    private func error(_ kind: JSONError.Kind, _ reason: String, at offset: Int) -> JSONError {
        let before = bytes[..<offset]
        let line = before.reduce(1) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
        let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        return JSONError(kind, reason, offset: offset, line: line, column: offset - start + 1)
    }

    private mutating func expect(_ kind: Kind) throws(JSONError) {
        let found = try peek()
        guard found == kind else { throw shape("\(kind.name) is expected, this is \(found.name)") }
    }

    private mutating func skipWhitespace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    private mutating func enter() throws(JSONError) {
        guard depth < Self.depthLimit else { throw syntax("more than \(Self.depthLimit) arrays and objects inside each other") }
        depth += 1
        position += 1
    }

    private mutating func take(closing: UInt8) throws(JSONError) -> Bool {
        skipWhitespace()
        guard position < bytes.count, bytes[position] == closing else { return false }
        position += 1
        depth -= 1
        return true
    }

    /// True when another element follows.
    private mutating func takeComma(orClosing closing: UInt8, of what: StaticString) throws(JSONError) -> Bool {
        skipWhitespace()
        guard position < bytes.count else { throw syntax("the text ends inside an \(what)") }
        if bytes[position] == UInt8(ascii: ",") {
            position += 1
            return true
        }
        guard bytes[position] == closing else { throw syntax("a comma or the end of the \(what) is missing") }
        position += 1
        depth -= 1
        return false
    }

    private mutating func readWord(_ word: StaticString, as kind: Kind) throws(JSONError) {
        try expect(kind)
        let length = word.utf8CodeUnitCount
        let matches =
            position + length <= bytes.count
            && word.withUTF8Buffer { expected in (0..<length).allSatisfy { bytes[position + $0] == expected[$0] } }
        guard matches else { throw syntax("an unknown word (only null, true and false are)") }
        position += length
    }

    private mutating func scanNumber() throws(JSONError) -> Number {
        let start = position
        let isNegative = bytes[position] == UInt8(ascii: "-")
        if isNegative { position += 1 }
        var magnitude: UInt64 = 0
        var overflow = false
        let firstDigit = position
        scanDigits { digit in
            let (product, first) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, second) = product.addingReportingOverflow(UInt64(digit))
            if first || second { overflow = true }
            magnitude = sum
        }
        guard position > firstDigit else { throw syntax("a digit is missing") }
        guard position - firstDigit == 1 || bytes[firstDigit] != UInt8(ascii: "0") else { throw syntax("a number starts with 0") }
        var isInteger = true
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            try scanSomeDigits()
        }
        if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            position += 1
            if position < bytes.count, bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-") { position += 1 }
            try scanSomeDigits()
        }
        // "-0" is no integer: it has a sign that only a float can keep.
        if isInteger, !overflow, !(isNegative && magnitude == 0) {
            if !isNegative, magnitude <= UInt64(Int64.max) { return .integer(Int64(magnitude)) }
            if isNegative, magnitude <= UInt64(Int64.max) + 1 { return .integer(Int64(truncatingIfNeeded: 0 &- magnitude)) }
        }
        guard let value = Double(String(decoding: bytes[start..<position], as: UTF8.self)), value.isFinite else {
            throw error(.syntax, "a number out of range", at: start)
        }
        return .real(value)
    }

    private mutating func scanDigits(_ body: (UInt8) -> Void) {
        while position < bytes.count, case UInt8(ascii: "0")...UInt8(ascii: "9") = bytes[position] {
            body(bytes[position] - UInt8(ascii: "0"))
            position += 1
        }
    }

    private mutating func scanSomeDigits() throws(JSONError) {
        let start = position
        scanDigits { _ in }
        guard position > start else { throw syntax("a digit is missing") }
    }

    private mutating func scanString() throws(JSONError) -> [UInt8] {
        let opening = position
        position += 1
        var result: [UInt8] = []
        var isASCII = true
        while true {
            let start = position
            while position < bytes.count {
                let byte = bytes[position]
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte < 0x20 { break }
                if byte >= 0x80 { isASCII = false }
                position += 1
            }
            result.append(contentsOf: bytes[start..<position])
            guard position < bytes.count else { throw error(.syntax, "a string that is not closed", at: opening) }
            switch bytes[position] {
            case UInt8(ascii: "\""):
                position += 1
                guard isASCII || String(validating: result, as: UTF8.self) != nil else {
                    throw error(.syntax, "a string that is not UTF-8", at: opening)
                }
                return result
            case UInt8(ascii: "\\"):
                position += 1
                try scanEscape(into: &result)
            default:
                throw syntax("a control character inside a string")
            }
        }
    }

    private mutating func scanEscape(into result: inout [UInt8]) throws(JSONError) {
        guard position < bytes.count else { throw syntax("the text ends inside a string") }
        let character = bytes[position]
        position += 1
        switch character {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(character)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0C)
        case UInt8(ascii: "n"): result.append(0x0A)
        case UInt8(ascii: "r"): result.append(0x0D)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "u"): result.append(contentsOf: String(Character(try scanUnicodeEscape())).utf8)
        default:
            position -= 1
            throw syntax("an unknown escape inside a string")
        }
    }

    private mutating func scanUnicodeEscape() throws(JSONError) -> Unicode.Scalar {
        let first = try scanCodeUnit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard UTF16.isLeadSurrogate(UInt16(first)), position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
            bytes[position + 1] == UInt8(ascii: "u")
        else { throw syntax("half of a surrogate pair inside a string") }
        position += 2
        let second = try scanCodeUnit()
        guard UTF16.isTrailSurrogate(UInt16(second)) else { throw syntax("half of a surrogate pair inside a string") }
        let value = 0x1_0000 + ((first - 0xD800) << 10 | (second - 0xDC00))
        guard let scalar = Unicode.Scalar(value) else { throw syntax("half of a surrogate pair inside a string") }
        return scalar
    }

    private mutating func scanCodeUnit() throws(JSONError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw syntax("the text ends inside a string") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = hexadecimalValue(bytes[position]) else { throw syntax("\\u wants four hexadecimal digits") }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
