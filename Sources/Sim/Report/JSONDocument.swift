/// Why a JSON file could not be used, in a sentence.
public struct JSONFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// A JSON document (RFC 8259) as a value: for the files that this module writes itself. Members keep the order of the file.
enum JSONDocument: Hashable, Sendable {
    case null
    case boolean(Bool)
    /// As it is written: whole numbers keep all of their digits.
    case literal(String)
    case text(String)
    case array([JSONDocument])
    case object([Member])

    struct Member: Hashable, Sendable {
        var name: String
        var value: JSONDocument
    }

    /// Arrays and objects may be nested this deep.
    static let depthMaximum = 64

    static func parse(_ text: String) throws(JSONFailure) -> JSONDocument {
        var parser = JSONParser(text)
        return try parser.document()
    }

    // MARK: Access

    subscript(name: String) -> JSONDocument? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    func required(_ name: String) throws(JSONFailure) -> JSONDocument {
        guard let value = self[name] else { throw JSONFailure("\"\(name)\" is missing") }
        return value
    }

    func string() throws(JSONFailure) -> String {
        guard case .text(let text) = self else { throw JSONFailure("expected a text, found \(self)") }
        return text
    }

    func boolean() throws(JSONFailure) -> Bool {
        guard case .boolean(let truth) = self else { throw JSONFailure("expected true or false, found \(self)") }
        return truth
    }

    func whole() throws(JSONFailure) -> UInt64 {
        guard case .literal(let literal) = self, let number = UInt64(literal) else {
            throw JSONFailure("expected a whole number, found \(self)")
        }
        return number
    }

    func number() throws(JSONFailure) -> Double {
        guard case .literal(let literal) = self, let number = Double(literal) else {
            throw JSONFailure("expected a number, found \(self)")
        }
        return number
    }

    func numberOrNull() throws(JSONFailure) -> Double? { if case .null = self { nil } else { try number() } }

    func elements() throws(JSONFailure) -> [JSONDocument] {
        guard case .array(let elements) = self else { throw JSONFailure("expected an array, found \(self)") }
        return elements
    }

    func members() throws(JSONFailure) -> [(name: String, value: JSONDocument)] {
        guard case .object(let members) = self else { throw JSONFailure("expected an object, found \(self)") }
        return members.map { ($0.name, $0.value) }
    }
}

private struct JSONParser {
    private let bytes: [UInt8]
    private var position = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    mutating func document() throws(JSONFailure) -> JSONDocument {
        let value = try value(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw failure("something follows the value") }
        return value
    }

    private func failure(_ what: String) -> JSONFailure { JSONFailure("no valid JSON at byte \(position): \(what)") }

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
    }

    private mutating func next() throws(JSONFailure) -> UInt8 {
        guard position < bytes.count else { throw failure("it ends too early") }
        defer { position += 1 }
        return bytes[position]
    }

    private mutating func take(_ byte: Character) -> Bool {
        skipSpace()
        guard position < bytes.count, bytes[position] == byte.asciiValue else { return false }
        position += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONFailure) -> JSONDocument {
        guard depth <= JSONDocument.depthMaximum else { throw failure("nested deeper than \(JSONDocument.depthMaximum)") }
        if take("{") { return try object(depth: depth) }
        if take("[") { return try array(depth: depth) }
        if take("\"") { return .text(try string()) }
        let start = position
        while position < bytes.count, ![0x2C, 0x5D, 0x7D, 0x20, 0x0A, 0x0D, 0x09].contains(bytes[position]) { position += 1 }
        let word = String(decoding: bytes[start..<position], as: UTF8.self)
        switch word {
        case "null": return .null
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        default:
            let isNumber = word.utf8.allSatisfy { (0x30...0x39).contains($0) || [0x2B, 0x2D, 0x2E, 0x45, 0x65].contains($0) }
            guard isNumber, Double(word) != nil else { throw failure("\"\(word.prefix(20))\" is no value") }
            return .literal(word)
        }
    }

    private mutating func array(depth: Int) throws(JSONFailure) -> JSONDocument {
        var elements: [JSONDocument] = []
        if take("]") { return .array([]) }
        repeat { elements.append(try value(depth: depth + 1)) } while take(",")
        guard take("]") else { throw failure("an array does not end") }
        return .array(elements)
    }

    private mutating func object(depth: Int) throws(JSONFailure) -> JSONDocument {
        var members: [JSONDocument.Member] = []
        if take("}") { return .object([]) }
        repeat {
            guard take("\"") else { throw failure("expected a name") }
            let name = try string()
            guard take(":") else { throw failure("expected a colon after \"\(name)\"") }
            members.append(JSONDocument.Member(name: name, value: try value(depth: depth + 1)))
        } while take(",")
        guard take("}") else { throw failure("an object does not end") }
        return .object(members)
    }

    private mutating func string() throws(JSONFailure) -> String {
        var result: [UInt8] = []
        while true {
            let byte = try next()
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: result, as: UTF8.self) else { throw failure("a text is not UTF-8") }
                return text
            case UInt8(ascii: "\\"): try escape(into: &result)
            case ..<0x20: throw failure("a control character in a text")
            default: result.append(byte)
            }
        }
    }

    private mutating func escape(into result: inout [UInt8]) throws(JSONFailure) {
        switch try next() {
        case UInt8(ascii: "n"): result.append(0x0A)
        case UInt8(ascii: "r"): result.append(0x0D)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0C)
        case UInt8(ascii: "u"):
            var unit = try hexadecimal()
            if (0xD800..<0xDC00).contains(unit) {
                guard try next() == UInt8(ascii: "\\"), try next() == UInt8(ascii: "u") else { throw failure("half of a character") }
                let low = try hexadecimal()
                guard (0xDC00..<0xE000).contains(low) else { throw failure("half of a character") }
                unit = 0x1_0000 + (unit - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(unit) else { throw failure("half of a character") }
            result += Array(String(Character(scalar)).utf8)
        case let other where [UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/")].contains(other): result.append(other)
        default: throw failure("an unknown escape")
        }
    }

    private mutating func hexadecimal() throws(JSONFailure) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(try next())).hexDigitValue else { throw failure("no hexadecimal digit") }
            value = value << 4 | UInt32(digit)
        }
        return value
    }
}
