import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaAgent

@Suite("Statement decoder")
struct StatementDecoderTests {
    private func decode(_ text: String) throws -> Statement { try StatementDecoder.statement(Array(text.utf8)) }

    @Test(
        "statement: every form is read",
        arguments: [
            (#""SELECT 1""#, Statement("SELECT 1")),
            (#"["SELECT ?1", [1, "x"]]"#, Statement("SELECT ?1", .positional([.integer(1), .text("x")]))),
            (#"["SELECT 1", []]"#, Statement("SELECT 1", .positional([]))),
            (#"["SELECT 1", null]"#, Statement("SELECT 1")),
            (
                #"["SELECT :a", {":a": 1, "@b": 2, "$c": 3}]"#,
                Statement(
                    "SELECT :a",
                    .named([
                        .init(name: ":a", value: .integer(1)), .init(name: "@b", value: .integer(2)), .init(name: "$c", value: .integer(3)),
                    ]))
            ),
            (#"{"query": "SELECT 1"}"#, Statement("SELECT 1")),
            (#"{"query": "SELECT 1", "params": null, "named_params": null}"#, Statement("SELECT 1")),
            (#"{"params": [2], "query": "SELECT ?1"}"#, Statement("SELECT ?1", .positional([.integer(2)]))),
            (
                #"{"query": "SELECT :a", "named_params": {":a": 1}}"#,
                Statement("SELECT :a", .named([.init(name: ":a", value: .integer(1))]))
            ),
            (#"{"query": "S", "params": [1], "named_params": {":a": 1}}"#, Statement("S", .positional([.integer(1)]))),
            (#"{"query": "S", "unknown": [{"deep": [1.5, {}]}], "other": 1}"#, Statement("S")),
            (#"["S", [1], {":a": 1}]"#, Statement("S", .positional([.integer(1)]))),
            (#"["S", null, {":a": 1}]"#, Statement("S", .named([.init(name: ":a", value: .integer(1))]))),
            (#"["S", {":a": 1, ":a": 2}]"#, Statement("S", .named([.init(name: ":a", value: .integer(2))]))),
        ])
    func forms(text: String, expected: Statement) throws { #expect(try decode(text) == expected) }

    @Test(
        "statement: every encoding of a parameter",
        arguments: [
            ("null", Value.null), ("true", .integer(1)), ("false", .integer(0)), ("7", .integer(7)), ("-7", .integer(-7)),
            ("9223372036854775807", .integer(.max)), ("9223372036854775808", .real(9_223_372_036_854_775_808)),
            ("18446744073709551615", .real(18_446_744_073_709_551_616)), ("1.0", .real(1)), ("1e2", .real(100)),
            (#""text""#, .text("text")),
            (#""""#, .text("")), ("[]", .blob([])), ("[0,255]", .blob([0, 255])), ("[ 1 , 2 ]", .blob([1, 2])),
        ])
    func parameters(text: String, expected: Value) throws {
        #expect(try decode("[\"S\", [\(text)]]") == Statement("S", .positional([expected])))
        #expect(try decode("[\"S\", {\":a\": \(text)}]") == Statement("S", .named([.init(name: ":a", value: expected)])))
    }

    @Test(
        "statement: what has the wrong form is refused as such",
        arguments: [
            "1", "null", "true", "[]", #"["S"]"#, #"["S", 1]"#, #"["S", 1, 2]"#, #"["S", "x"]"#, "[1, [1]]", #"["S", [1], [2]]"#,
            #"["S", [1], {}, 4]"#, "{}", #"{"params": [1]}"#, #"{"query": 1}"#, #"{"query": "S", "params": {}}"#,
            #"{"query": "S", "named_params": []}"#, #"{"query": "S", "query": "T"}"#, #"["S", [{}]]"#, #"["S", [{"a": 1}]]"#,
            #"["S", [["x"]]]"#,
            #"["S", [[256]]]"#, #"["S", [[-1]]]"#, #"["S", [[1.0]]]"#, #"["S", [[null]]]"#, #"["S", [[[1]]]]"#, #"["S", {":a": {}}]"#,
        ])
    func wrongForms(text: String) {
        #expect { try decode(text) } throws: { ($0 as? JSONError)?.kind == .shape }
    }

    @Test("statement: an object as a parameter says what to do")
    func objectParameter() {
        #expect { try decode(#"["S", [{}]]"#) } throws: { error in
            (error as? JSONError)?.reason == "an object cannot be a parameter: pass JSON as a string"
        }
    }

    @Test("statement: a list may be empty, and is a list")
    func lists() throws {
        #expect(try StatementDecoder.statements(Array("[]".utf8)).isEmpty)
        #expect(try StatementDecoder.statements(Array(#"["A", ["B", [1]], {"query": "C"}]"#.utf8)).map(\.sql) == ["A", "B", "C"])
        for text in [#""A""#, "{}", "1", #"["A", 1]"#] {
            #expect { try StatementDecoder.statements(Array(text.utf8)) } throws: { ($0 as? JSONError)?.kind == .shape }
        }
    }

    @Test("statement: what a client writes is what the decoder reads")
    func clientRoundTrip() throws {
        let values: [Value] = [.null, .integer(.min), .integer(.max), .real(-0.0), .real(1e300), .text("é\u{0}\n"), .blob([0, 127, 255])]
        let statements = [
            Statement("A"), Statement("B ?", .positional(values)), Statement("C", .positional([])),
            Statement("D", .named(values.enumerated().map { .init(name: ":p\($0.offset)", value: $0.element) })),
        ]
        var writer = JSONWriter()
        writer.array(statements) { $0.statement($1) }
        #expect(try StatementDecoder.statements(writer.bytes) == statements)
    }

    @Test("fuzz: mutated bodies are decoded or refused, never worse", arguments: 0..<16)
    func fuzz(seed: UInt64) {
        let samples = [
            #"[["INSERT INTO t VALUES (?,?,?,?)", [1, -2.5e3, "té\n\u00e9\ud83d\ude00", [1,2,255]]], "DELETE FROM t"]"#,
            #"[{"query":"SELECT :a","named_params":{":a":null,"$b":true},"x":{"y":[[[]]]}}]"#,
            #"["a",["b",{"@c":18446744073709551615}],["d",[9223372036854775808,false]]]"#,
        ]
        var random = Random(seed: seed)
        var accepted = 0
        for _ in 0..<2_000 {
            let bytes = mutated(Array(samples[random.below(samples.count)].utf8), &random)
            do {
                _ = try StatementDecoder.statements(bytes)
                accepted += 1
            } catch {
                #expect(error.offset <= bytes.count)
                #expect(error.line >= 1 && error.column >= 1)
            }
        }
        // Some mutations are harmless; none being so would mean that the samples are broken.
        #expect(accepted > 0)
    }
}

/// A few random changes of bytes: flips, removals, repetitions, insertions of what has a meaning in text formats.
func mutated(_ original: [UInt8], _ random: inout Random) -> [UInt8] {
    var bytes = original
    let meaningful = Array("[]{}\",:\\u0019-+.eE \n\t=#'tfn".utf8) + [0, 0x7F, 0x80, 0xC3, 0xED, 0xFF]
    for _ in 0..<(1 + random.below(4)) {
        let position = random.below(bytes.count + 1)
        switch random.below(5) {
        case 0 where position < bytes.count: bytes[position] = UInt8(truncatingIfNeeded: random.next())
        case 1 where position < bytes.count: bytes.remove(at: position)
        case 2 where position < bytes.count:
            let end = min(bytes.count, position + random.below(12))
            bytes.insert(contentsOf: bytes[position..<end], at: position)
        case 3: bytes.removeSubrange(position...)
        default: bytes.insert(meaningful[random.below(meaningful.count)], at: position)
        }
        if bytes.isEmpty { bytes = [meaningful[random.below(meaningful.count)]] }
    }
    return bytes
}
