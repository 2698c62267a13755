import PatinaProtocol
import Testing

@testable import PatinaAgent

@Suite("JSON reader")
struct JSONReaderTests {
    private func number(_ text: String) throws -> JSONReader.Number {
        var reader = JSONReader(Array(text.utf8))
        let number = try reader.readNumber()
        try reader.finish()
        return number
    }

    @Test(
        "json: integers that fit 64 bits stay integers",
        arguments: [
            ("0", Int64(0)), ("1", 1), ("-1", -1), ("9223372036854775807", .max), ("-9223372036854775808", .min), ("10", 10),
        ])
    func integers(text: String, expected: Int64) throws { #expect(try number(text) == .integer(expected)) }

    @Test(
        "json: every other number is real",
        arguments: [
            ("9223372036854775808", 9223372036854775808.0), ("18446744073709551615", 18446744073709551616.0),
            ("-9223372036854775809", -9223372036854775808.0), ("1.0", 1), ("1e3", 1_000), ("1E+3", 1_000), ("5e-8", 5e-8), ("0.5", 0.5),
            ("123456789012345678901234567890", 1.2345678901234568e29), ("1e-400", 0),
        ])
    func reals(text: String, expected: Double) throws { #expect(try number(text) == .real(expected)) }

    @Test("json: minus zero keeps its sign")
    func minusZero() throws {
        guard case .real(let value) = try number("-0") else { return #expect(Bool(false), "an integer has no sign of zero") }
        #expect(value == 0 && value.sign == .minus)
    }

    @Test("json: strings resolve their escapes")
    func strings() throws {
        var reader = JSONReader(Array(#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀""#.utf8))
        #expect(try reader.readString() == "a\"\\/\u{8}\u{C}\n\r\té😀é😀")
    }

    @Test(
        "json: what is no JSON is a syntax error",
        arguments: [
            "", " ", "tru", "nul", "truefalse", "01", "-", "1.", ".5", "1e", "1e+", "+1", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"",
            "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "[", "[1", "[1,", "[1,]", "[,1]", "{", "{\"a\"", "{\"a\":", "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}", "[1 2]", "1 2", "NaN", "1e999", "'a'", "\u{FEFF}1", "[1]]",
        ])
    func malformed(text: String) {
        #expect { try JSONValue(json: Array(text.utf8)) } throws: { ($0 as? JSONError)?.kind == .syntax }
    }

    @Test("json: bytes that are not UTF-8 are refused inside strings")
    func invalidText() {
        #expect(throws: JSONError.self) { try JSONValue(json: [0x22, 0xFF, 0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(json: [0x22, 0xC3, 0x22]) }
    }

    @Test("json: nesting is bounded", arguments: [(128, true), (129, false), (1_000_000, false)])
    func nesting(depth: Int, isAccepted: Bool) {
        let text = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        let value = try? JSONValue(json: Array(text.utf8))
        #expect((value != nil) == isAccepted)
    }

    @Test("json: errors name line and column")
    func places() {
        #expect { try JSONValue(json: Array("[1,\n  tru]".utf8)) } throws: { error in
            (error as? JSONError)?.description == "an unknown word (only null, true and false are) at line 2 column 3"
        }
    }

    @Test("json: a tree is written as it was read")
    func tree() throws {
        let text = #"{"a":[1,-2,3.5,true,false,null,"x\ny"],"b":{},"c":[],"d":{"e":"\u0001"}}"#
        let value = try JSONValue(json: Array(text.utf8))
        #expect(String(decoding: value.json(), as: UTF8.self) == text)
        #expect(try JSONValue(json: value.json(indented: true)) == value)
        #expect(value["a"]?.array?[0].integer == 1)
        #expect(value["missing"] == nil)
    }
}

@Suite("JSON writer")
struct JSONWriterTests {
    private func written(_ value: Value) -> String {
        var writer = JSONWriter()
        writer.value(value)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    @Test(
        "json: reals always have a fraction",
        arguments: [
            (1.0, "1.0"), (-0.0, "-0.0"), (0.1, "0.1"), (1e16, "1.0e16"), (1.5e300, "1.5e300"), (5e-8, "5.0e-08"), (.nan, "null"),
            (.infinity, "null"), (-.infinity, "null"), (123456.75, "123456.75"),
        ])
    func reals(value: Double, expected: String) throws {
        #expect(written(.real(value)) == expected)
        guard value.isFinite else { return }
        #expect(expected.contains("."))
        #expect(try JSONValue(json: Array(expected.utf8)).number == value)
    }

    @Test("json: the other values")
    func others() {
        #expect(written(.null) == "null")
        #expect(written(.integer(.min)) == "-9223372036854775808")
        #expect(written(.integer(.max)) == "9223372036854775807")
        #expect(written(.blob([])) == "[]")
        #expect(written(.blob([0, 1, 255])) == "[0,1,255]")
        #expect(written(.text("a\"\\\u{1}\u{1F}\n/é😀")) == #""a\"\\\u0001\u001f\n/é😀""#)
    }

    @Test("json: text that is not UTF-8 is repaired")
    func invalidText() { #expect(written(.text([0x61, 0xFF, 0x62])) == "\"a\u{FFFD}b\"") }
}
