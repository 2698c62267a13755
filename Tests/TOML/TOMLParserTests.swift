import PatinaProtocol
import Testing

@testable import PatinaTOML

@Suite("TOML")
struct TOMLParserTests {
    /// The value of `x`.
    private func value(_ text: String) throws -> TOMLValue? { try TOMLParser.parse("x = \(text)\n")["x"] }

    private func entry(_ key: String, _ value: TOMLValue, _ line: Int) -> TOMLTable.Entry { .init(key: key, value: value, line: line) }

    @Test(
        "toml: scalars",
        arguments: [
            ("0", TOMLValue.integer(0)), ("+1", .integer(1)), ("-17", .integer(-17)), ("1_000", .integer(1_000)),
            ("0xDEAD_beef", .integer(0xDEAD_BEEF)),
            ("0o755", .integer(0o755)), ("0b1101", .integer(13)), ("9223372036854775807", .integer(.max)),
            ("-9223372036854775808", .integer(.min)),
            ("1.5", .float(1.5)), ("-0.01", .float(-0.01)), ("5e+22", .float(5e22)), ("6.626e-3_4", .float(6.626e-34)),
            ("9_2.2_5", .float(92.25)),
            ("inf", .float(.infinity)), ("-inf", .float(-.infinity)), ("true", .boolean(true)), ("false", .boolean(false)),
            ("2026-11-22", .dateTime("2026-11-22")), ("10:20:30.5", .dateTime("10:20:30.5")),
            ("2026-11-22T10:20:30Z", .dateTime("2026-11-22T10:20:30Z")),
            ("2024-02-29 10:20:30+01:00", .dateTime("2024-02-29 10:20:30+01:00")),
            ("1979-05-27T07:32:00", .dateTime("1979-05-27T07:32:00")),
        ])
    func scalars(text: String, expected: TOMLValue) throws {
        #expect(try value(text) == expected)
        #expect(try value("\(text) # comment") == expected)
        #expect(try value("[\(text),\n\(text)]") == .array([expected, expected]))
    }

    @Test("toml: what is quoted reads as the same text")
    func quoted() throws {
        let texts = (0...0xFF).compactMap { Unicode.Scalar($0).map { String(Character($0)) } } + ["", "C:\\a \"b\"\r\n", "é\u{7F}👍🏽"]
        for text in texts { #expect(try value(TOMLText.quote(text)) == .string(text)) }
    }

    @Test("toml: nan is a number")
    func notANumber() throws {
        guard case .float(let number) = try value("-nan") else { return #expect(Bool(false), "nan is a float") }
        #expect(number.isNaN)
    }

    @Test(
        "toml: texts",
        arguments: [
            (#""""#, ""), (#""a\tb\n\"\\\u00e9\U0001F600""#, "a\tb\n\"\\é😀"), ("'C:\\new'", "C:\\new"),
            ("'''\nline\n'two''\n'''", "line\n'two''\n"),
            ("\"\"\"\na\\\n   \n  b \"\" c\"\"\"\"\"", "ab \"\" c\"\""), ("\"\"\"x\r\ny\"\"\"", "x\ny"), ("''''a'''''", "'a''"),
            ("\"é\"", "é"),
            ("\"\"\"\\\n\"\"\"", ""),
        ])
    func texts(text: String, expected: String) throws { #expect(try value(text) == .string(expected)) }

    @Test("toml: tables, dotted keys, arrays of tables and inline tables")
    func structure() throws {
        let document = try TOMLParser.parse(
            """
            \u{FEFF}a.b = 1
            a . "c d" = 2 # dotted
            [t]
            x = { y = 1, z.w = [1, { k = 'v' }], }
            """.replacing(", }", with: " }") + """

                [t.u.v]
                [t.u]
                k = true
                [[list]]
                n = 1
                [list.inner]
                m = 2
                [[list]]
                [list.inner]
                m = 3\r
                """ + "\n")
        #expect(
            document.entries == [
                entry("a", .table(.init(entries: [entry("b", .integer(1), 1), entry("c d", .integer(2), 2)])), 1),
                entry(
                    "t",
                    .table(
                        .init(entries: [
                            entry(
                                "x",
                                .table(
                                    .init(entries: [
                                        entry("y", .integer(1), 4),
                                        entry(
                                            "z",
                                            .table(
                                                .init(entries: [
                                                    entry(
                                                        "w", .array([.integer(1), .table(.init(entries: [entry("k", .string("v"), 4)]))]), 4
                                                    )
                                                ])), 4),
                                    ])), 4),
                            entry("u", .table(.init(entries: [entry("v", .table(.init()), 5), entry("k", .boolean(true), 7)])), 5),
                        ])), 3),
                entry(
                    "list",
                    .array([
                        .table(
                            .init(entries: [
                                entry("n", .integer(1), 9), entry("inner", .table(.init(entries: [entry("m", .integer(2), 11)])), 10),
                            ])),
                        .table(.init(entries: [entry("inner", .table(.init(entries: [entry("m", .integer(3), 14)])), 13)])),
                    ]), 8),
            ])
    }

    @Test(
        "toml: mistakes and where they are",
        arguments: [
            ("[=]", 1, 2), ("[.a]", 1, 2), ("[a.]", 1, 4), ("[]", 1, 2), ("[a", 1, 3), ("[[a]", 1, 5), ("[ [a]]", 1, 3), ("[a] x", 1, 5),
            ("a", 1, 2),
            ("a = ", 1, 5), ("= 1", 1, 1), ("a = 1 b = 2", 1, 7), ("a = 1\na = 2", 2, 1), ("[a]\n[a]", 2, 2), ("a = 1\n[a]", 2, 2),
            ("a.b = 1\n[a]", 2, 2), ("a = {}\na.b = 1", 2, 1), ("a = {}\n[a.b]", 2, 2), ("a = { b.c = 1 }\n[a.b.d]", 2, 2),
            ("a = [1]\n[[a]]", 2, 3),
            ("[a]\n[[a]]", 2, 3), ("[[a]]\n[a]", 2, 2), ("[a.b]\n[a]\nb.c = 1", 3, 1), ("a = \"x", 1, 5), ("a = \"x\ny\"", 1, 5),
            ("a = '''x", 1, 5),
            ("a = \"\\x\"", 1, 6), ("a = \"\\ud800\"", 1, 6), ("a = \"\\u12\"", 1, 6), ("a = \"\u{1}\"", 1, 6), ("# \u{0}", 1, 3),
            ("a = 1\r", 1, 6),
            ("a = 01", 1, 5), ("a = 1__0", 1, 5), ("a = _1", 1, 5), ("a = 1_", 1, 5), ("a = 1.", 1, 5), ("a = .5", 1, 5), ("a = 1e", 1, 5),
            ("a = +0x1", 1, 5), ("a = 0x", 1, 5), ("a = 0xg", 1, 5), ("a = 9223372036854775808", 1, 5), ("a = truth", 1, 5),
            ("a = 2026-02-30", 1, 5),
            ("a = 2026-11-22T25:00:00", 1, 5), ("a = 10:2:30", 1, 5), ("a = 2026-11-22 10:61:00", 1, 16), ("a = [1 2]", 1, 8),
            ("a = [1,\n", 1, 5),
            ("a = [,]", 1, 6), ("a = {b = 1,}", 1, 12), ("a = {b = 1\n}", 1, 11), ("a = {b = 1, b = 2}", 1, 13),
            ("\"\"\"a\"\"\" = 1", 1, 1), ("é = 1", 1, 1),
            ("a = {b = {c = 1}, b.d = 2}", 1, 19), ("\n\n  a = !", 3, 7),
        ])
    func mistakes(text: String, line: Int, column: Int) {
        #expect {
            let document = try TOMLParser.parse(text)
            Issue.record("accepted as \(document)")
        } throws: { error in
            guard let error = error as? TOMLError else { return false }
            #expect(error.line == line && error.column == column, "\(text.debugDescription): \(error)")
            return true
        }
    }

    @Test(
        "toml: nesting is bounded",
        arguments: [
            String(repeating: "[", count: 100_000), String(repeating: "{a=", count: 100_000), String(repeating: "{a.b.c=", count: 100_000),
        ])
    func nesting(text: String) { #expect(throws: TOMLError.self) { try value(text) } }

    @Test("toml: long keys are bounded")
    func longKeys() throws {
        let key = { (count: Int) in Array(repeating: "a", count: count).joined(separator: ".") }
        #expect(throws: TOMLError.self) { try TOMLParser.parse("[\(key(100_000))]") }
        #expect(throws: TOMLError.self) { try TOMLParser.parse("\(key(65)) = 1") }
        _ = try TOMLParser.parse("\(key(64)) = 1")
    }

    @Test("fuzz: mutated documents are read or refused, never worse", arguments: 0..<16)
    func fuzz(seed: UInt64) {
        let sample = Array(
            """
            a.b = 1_000
            "c" = [1.5e3, -inf, 0x1F, '''x''', \"\"\"y\\
              z\"\"\", 2026-11-22T10:00:00.5Z, 10:00:00, true]
            [t.u]
            d = {e = [1, 2, {f = "\\u00e9\\n"}], g.h = 'i'}
            [[t.list]]
            [[t.list]]
            [t.list.inner]
            k = 2026-11-22 10:00:00+01:00
            """.utf8)
        var random = Random(seed: seed)
        var accepted = 0
        for _ in 0..<2_000 {
            let bytes = damaged(sample, &random)
            let text = String(decoding: bytes, as: UTF8.self)
            do {
                _ = try TOMLParser.parse(text)
                accepted += 1
            } catch {
                #expect(error.line >= 1 && error.column >= 1 && !error.reason.isEmpty)
            }
        }
        #expect(accepted > 0)
    }

    /// A few changes of bytes: replaced, removed, repeated, cut off, and inserted where they have a meaning in TOML.
    private func damaged(_ original: [UInt8], _ random: inout Random) -> [UInt8] {
        var bytes = original
        let meaningful = Array("[]{}\",:\\u0019-+.eE \n\t=#'tfn".utf8) + [0, 0x7F, 0x80, 0xC3, 0xED, 0xFF]
        for _ in 0..<(1 + random.below(4)) {
            let place = random.below(bytes.count)
            switch random.below(5) {
            case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 1 where bytes.count > 1: bytes.remove(at: place)
            case 2: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + random.below(12))], at: place)
            case 3 where place > 0: bytes.removeSubrange(place...)
            default: bytes.insert(meaningful[random.below(meaningful.count)], at: place)
            }
        }
        return bytes
    }
}
