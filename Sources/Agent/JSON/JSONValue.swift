/// A JSON value as a tree: for small documents such as admin frames and configuration dumps. Rows are never held like this.
public indirect enum JSONValue: Hashable, Sendable {
    case null
    case boolean(Bool)
    case integer(Int64)
    /// For 64-bit numbers without sign, such as timestamps; smaller ones are `integer` when they are read.
    case unsigned(UInt64)
    case real(Double)
    case string(String)
    case array([JSONValue])
    /// In the order in which the members are written.
    case object([Member])

    /// One member of an object.
    public struct Member: Hashable, Sendable {
        public var key: String
        public var value: JSONValue

        public init(_ key: String, _ value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    /// An object from its members in order.
    public static func members(_ members: (String, JSONValue)...) -> JSONValue { .object(members.map { Member($0.0, $0.1) }) }

    /// Reads one value; refuses anything behind it.
    public init(json: [UInt8]) throws(JSONError) {
        var reader = JSONReader(json)
        self = try JSONValue(&reader)
        try reader.finish()
    }

    init(_ reader: inout JSONReader) throws(JSONError) {
        switch try reader.peek() {
        case .null:
            try reader.readNull()
            self = .null
        case .boolean:
            self = .boolean(try reader.readBoolean())
        case .number:
            switch try reader.readNumber() {
            case .integer(let value): self = .integer(value)
            case .real(let value): self = .real(value)
            }
        case .string:
            self = .string(try reader.readString())
        case .array:
            var elements: [JSONValue] = []
            try reader.readArray { (reader) throws(JSONError) in elements.append(try JSONValue(&reader)) }
            self = .array(elements)
        case .object:
            var members: [Member] = []
            try reader.readObject { (reader, key) throws(JSONError) in members.append(Member(key, try JSONValue(&reader))) }
            self = .object(members)
        }
    }

    /// The member of an object by its key (the last one when it is repeated); nil when there is none, or this is no object.
    public subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.key == key }?.value
    }

    public var string: String? {
        guard case .string(let value) = self else { return nil }
        return value
    }

    public var integer: Int64? {
        switch self {
        case .integer(let value): value
        case .unsigned(let value): Int64(exactly: value)
        case .null, .boolean, .real, .string, .array, .object: nil
        }
    }

    /// Any number.
    public var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .unsigned(let value): Double(value)
        case .real(let value): value
        case .null, .boolean, .string, .array, .object: nil
        }
    }

    public var array: [JSONValue]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }

    public var isNull: Bool { self == .null }

    /// UTF-8, without white space; with `indented`, one member or element a line, for people.
    public func json(indented: Bool = false) -> [UInt8] {
        var writer = JSONWriter()
        write(to: &writer, indentation: indented ? 0 : nil)
        return writer.bytes
    }

    func write(to writer: inout JSONWriter, indentation: Int? = nil) {
        switch self {
        case .null: writer.null()
        case .boolean(let value): writer.boolean(value)
        case .integer(let value): writer.integer(value)
        case .unsigned(let value): writer.integer(value)
        case .real(let value): writer.real(value)
        case .string(let value): writer.string(value)
        case .array(let elements):
            writer.raw("[")
            for (index, element) in elements.enumerated() {
                if index > 0 { writer.raw(",") }
                newLine(&writer, indentation.map { $0 + 1 })
                element.write(to: &writer, indentation: indentation.map { $0 + 1 })
            }
            if !elements.isEmpty { newLine(&writer, indentation) }
            writer.raw("]")
        case .object(let members):
            writer.raw("{")
            for (index, member) in members.enumerated() {
                if index > 0 { writer.raw(",") }
                newLine(&writer, indentation.map { $0 + 1 })
                writer.string(member.key)
                writer.raw(indentation == nil ? ":" : ": ")
                member.value.write(to: &writer, indentation: indentation.map { $0 + 1 })
            }
            if !members.isEmpty { newLine(&writer, indentation) }
            writer.raw("}")
        }
    }

    private func newLine(_ writer: inout JSONWriter, _ indentation: Int?) {
        guard let indentation else { return }
        writer.raw("\n")
        for _ in 0..<indentation { writer.raw("  ") }
    }
}
