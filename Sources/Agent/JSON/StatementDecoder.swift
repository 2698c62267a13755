import PatinaProtocol
import PatinaStore

/// Reads the statements of HTTP bodies, in any of their forms:
///
/// ```json
/// "SELECT 1"
/// ["SELECT ?1", [1]]
/// ["SELECT :a", {":a": 1}]
/// {"query": "SELECT ?1", "params": [1], "named_params": {":a": 1}}
/// ```
///
/// In the last form `params` wins when both are given; other keys are ignored.
enum StatementDecoder {
    /// The body of `POST /v1/transactions`: an array of statements, which may be empty.
    static func statements(_ body: [UInt8]) throws(JSONError) -> [Statement] {
        var reader = JSONReader(body)
        var statements: [Statement] = []
        let kind = try reader.peek()
        guard kind == .array else { throw reader.shape("an array of statements is expected, this is \(kind.name)") }
        try reader.readArray { (reader) throws(JSONError) in statements.append(try statement(&reader)) }
        try reader.finish()
        return statements
    }

    /// The body of `POST /v1/queries`: one statement.
    static func statement(_ body: [UInt8]) throws(JSONError) -> Statement {
        var reader = JSONReader(body)
        let statement = try statement(&reader)
        try reader.finish()
        return statement
    }

    private static func statement(_ reader: inout JSONReader) throws(JSONError) -> Statement {
        switch try reader.peek() {
        case .string: Statement(try reader.readString())
        case .array: try arrayForm(&reader)
        case .object: try objectForm(&reader)
        case .null, .boolean, .number:
            throw reader.shape("a statement is a string, an array or an object, this is \(try reader.peek().name)")
        }
    }

    /// `[sql, params]`, `[sql, named params]`, or all three, of which each of the last two may be null.
    private static func arrayForm(_ reader: inout JSONReader) throws(JSONError) -> Statement {
        var sql: String?
        var fields = Fields()
        var count = 0
        try reader.readArray { (reader) throws(JSONError) in
            count += 1
            switch (count, try reader.peek()) {
            case (1, _): sql = try reader.readString()
            case (2, .array): fields.positional = try positional(&reader)
            case (2, .object), (3, .object): fields.named = try named(&reader)
            case (2, .null), (3, .null): try reader.readNull()
            case (2, let kind):
                throw reader.shape("parameters are an array or an object, this is \(kind.name): write [\"SELECT ?1, ?2\", [1, 2]]")
            case (3, let kind): throw reader.shape("named parameters are an object, this is \(kind.name)")
            case (_, _): throw reader.shape("a statement has at most three parts: SQL, parameters, named parameters")
            }
        }
        guard let sql, count >= 2 else {
            throw reader.shape("a statement as an array has parameters: write [\"SELECT ?1\", [1]], or the SQL alone as a string")
        }
        return Statement(sql, fields.parameters)
    }

    private static func objectForm(_ reader: inout JSONReader) throws(JSONError) -> Statement {
        var sql: String?
        var fields = Fields()
        var seen: [String] = []
        try reader.readObject { (reader, key) throws(JSONError) in
            switch key {
            case "query", "params", "named_params":
                guard !seen.contains(key) else { throw reader.shape("the key \"\(key)\" occurs twice") }
                seen.append(key)
            default:
                try reader.skipValue()
                return
            }
            switch (key, try reader.peek()) {
            case ("query", _): sql = try reader.readString()
            case (_, .null): try reader.readNull()
            case ("params", .array): fields.positional = try positional(&reader)
            case ("params", let kind): throw reader.shape("\"params\" is an array, this is \(kind.name): names go to \"named_params\"")
            case (_, .object): fields.named = try named(&reader)
            case (_, let kind): throw reader.shape("\"named_params\" is an object, this is \(kind.name)")
            }
        }
        guard let sql else { throw reader.shape("a statement as an object has the key \"query\"") }
        return Statement(sql, fields.parameters)
    }

    private struct Fields {
        var positional: [Value]?
        var named: [Statement.NamedValue]?

        var parameters: Statement.Parameters {
            if let positional { return .positional(positional) }
            if let named { return .named(named) }
            return .none
        }
    }

    private static func positional(_ reader: inout JSONReader) throws(JSONError) -> [Value] {
        var values: [Value] = []
        try reader.readArray { (reader) throws(JSONError) in values.append(try parameter(&reader)) }
        return values
    }

    /// In the order in which they are written; a name that is repeated has its last value.
    private static func named(_ reader: inout JSONReader) throws(JSONError) -> [Statement.NamedValue] {
        var values: [Statement.NamedValue] = []
        var positions: [String: Int] = [:]
        try reader.readObject { (reader, name) throws(JSONError) in
            let value = try parameter(&reader)
            if let position = positions[name] {
                values[position].value = value
            } else {
                positions[name] = values.count
                values.append(Statement.NamedValue(name: name, value: value))
            }
        }
        return values
    }

    /// Integers of 64 bits with sign stay integers, all other numbers become REAL, booleans 1 and 0, arrays of bytes BLOB.
    static func parameter(_ reader: inout JSONReader) throws(JSONError) -> Value {
        switch try reader.peek() {
        case .null:
            try reader.readNull()
            return .null
        case .boolean:
            return .integer(try reader.readBoolean() ? 1 : 0)
        case .number:
            switch try reader.readNumber() {
            case .integer(let value): return .integer(value)
            case .real(let value): return .real(value)
            }
        case .string:
            return .text(try reader.readText())
        case .array:
            var blob: [UInt8] = []
            try reader.readArray { (reader) throws(JSONError) in
                guard try reader.peek() == .number, case .integer(let value) = try reader.readNumber(), let byte = UInt8(exactly: value)
                else {
                    throw reader.shape("an array as a parameter is a BLOB: integers from 0 to 255 only")
                }
                blob.append(byte)
            }
            return .blob(blob)
        case .object:
            throw reader.shape("an object cannot be a parameter: pass JSON as a string")
        }
    }
}
