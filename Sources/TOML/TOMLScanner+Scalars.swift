extension TOMLScanner {
    /// A number, a boolean, a date or a time.
    mutating func scalar() throws(TOMLError) -> TOMLValue {
        let start = position
        let word = word()
        guard !word.isEmpty else { throw error("a value is missing", at: start) }
        switch word {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        case "inf", "+inf": return .float(.infinity)
        case "-inf": return .float(-.infinity)
        case "nan", "+nan", "-nan": return .float(.nan)
        default: break
        }
        if let number = try number(word, at: start) { return number }
        // A date and a time may be apart by a space.
        if isDate(word), next == UInt8(ascii: " "), let hour = byte(after: 1), isDigit(hour) {
            let end = position
            advance()
            let time = self.word()
            if isTime(time, zone: true) { return .dateTime("\(word) \(time)") }
            throw error("\"\(time)\" is no time", at: end + 1)
        }
        if isDate(word) || isTime(word, zone: false) { return .dateTime(word) }
        if let separator = word.firstIndex(where: { $0 == "T" || $0 == "t" }), isDate(String(word[..<separator])),
            isTime(String(word[word.index(after: separator)...]), zone: true)
        {
            return .dateTime(word)
        }
        throw error("\"\(word.prefix(60))\" is no value; texts stand in quotes", at: start)
    }

    /// What belongs to one scalar without quotes.
    private mutating func word() -> String {
        let start = position
        while let byte = next, Self.isBare(byte) || [UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: ":")].contains(byte) { advance() }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    /// Nil when the word is not meant as a number.
    private func number(_ word: String, at start: Int) throws(TOMLError) -> TOMLValue? {
        let text = Array(word.utf8)
        let hasSign = text[0] == UInt8(ascii: "+") || text[0] == UInt8(ascii: "-")
        let digits = hasSign ? text[1...] : text[...]
        guard let first = digits.first, isDigit(first) else { return nil }
        if first == UInt8(ascii: "0"), digits.count > 1, let radix = Self.radix(digits[digits.startIndex + 1]) {
            let body = digits.dropFirst(2)
            guard !hasSign, areSeparatedDigits(body, where: { hasValue($0, below: radix) }) else {
                throw error("\"\(word)\" is no number", at: start)
            }
            guard let value = Int64(Self.withoutSeparators(body), radix: radix) else {
                throw error("\(word) does not fit 64 bits", at: start)
            }
            return .integer(value)
        }
        let whole = digits.prefix { isDigit($0) || $0 == UInt8(ascii: "_") }
        guard areSeparatedDigits(whole, where: isDigit) else { return nil }
        var rest = digits[whole.endIndex...]
        // Dates and times continue with other characters.
        guard rest.isEmpty || rest.first == UInt8(ascii: ".") || rest.first.map({ $0 | 0x20 }) == UInt8(ascii: "e") else { return nil }
        guard whole.count == 1 || first != UInt8(ascii: "0") else { throw error("the number \(word) starts with 0", at: start) }
        if rest.isEmpty {
            guard let value = Int64(Self.withoutSeparators(text[...])) else { throw error("\(word) does not fit 64 bits", at: start) }
            return .integer(value)
        }
        if rest.first == UInt8(ascii: ".") {
            let fraction = rest.dropFirst().prefix { isDigit($0) || $0 == UInt8(ascii: "_") }
            guard areSeparatedDigits(fraction, where: isDigit) else { throw error("\"\(word)\" is no number", at: start) }
            rest = rest[fraction.endIndex...]
        }
        if let mark = rest.first {
            var exponent = rest.dropFirst()
            if exponent.first == UInt8(ascii: "+") || exponent.first == UInt8(ascii: "-") { exponent = exponent.dropFirst() }
            guard mark | 0x20 == UInt8(ascii: "e"), areSeparatedDigits(exponent, where: isDigit) else {
                throw error("\"\(word)\" is no number", at: start)
            }
        }
        guard let value = Double(Self.withoutSeparators(text[...])) else { throw error("\"\(word)\" is no number", at: start) }
        return .float(value)
    }

    private static func radix(_ mark: UInt8) -> Int? {
        switch mark {
        case UInt8(ascii: "x"): 16
        case UInt8(ascii: "o"): 8
        case UInt8(ascii: "b"): 2
        default: nil
        }
    }

    private static func withoutSeparators(_ text: ArraySlice<UInt8>) -> String {
        String(decoding: text.filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
    }

    private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private func hasValue(_ byte: UInt8, below radix: Int) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte - UInt8(ascii: "0")) < radix
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): radix == 16
        default: false
        }
    }

    /// At least one digit; underscores stand between digits only.
    private func areSeparatedDigits(_ text: ArraySlice<UInt8>, where isDigit: (UInt8) -> Bool) -> Bool {
        var last = UInt8(ascii: "_")
        for byte in text {
            guard isDigit(byte) || (byte == UInt8(ascii: "_") && last != UInt8(ascii: "_")) else { return false }
            last = byte
        }
        return last != UInt8(ascii: "_")
    }

    /// `2026-11-22`
    private func isDate(_ text: String) -> Bool {
        guard let numbers = numbers(text, separator: "-", widths: [4, 2, 2]) else { return false }
        let (year, month, day) = (numbers[0], numbers[1], numbers[2])
        guard (1...12).contains(month) else { return false }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return (1...days[month - 1]).contains(day)
    }

    /// `10:20:30.456`, with `zone` also followed by `Z` or `+01:00`.
    private func isTime(_ text: String, zone: Bool) -> Bool {
        var clock = text[...]
        if zone, let mark = clock.lastIndex(where: { "Zz+-".contains($0) }) {
            let offset = clock[clock.index(after: mark)...]
            let isZulu = "Zz".contains(clock[mark])
            guard
                isZulu ? offset.isEmpty : numbers(String(offset), separator: ":", widths: [2, 2]).map({ $0[0] < 24 && $0[1] < 60 }) == true
            else { return false }
            clock = clock[..<mark]
        }
        if let point = clock.firstIndex(of: ".") {
            let fraction = clock[clock.index(after: point)...].utf8
            guard !fraction.isEmpty, fraction.allSatisfy(isDigit) else { return false }
            clock = clock[..<point]
        }
        guard let numbers = numbers(String(clock), separator: ":", widths: [2, 2, 2]) else { return false }
        return numbers[0] < 24 && numbers[1] < 60 && numbers[2] <= 60
    }

    private func numbers(_ text: String, separator: Character, widths: [Int]) -> [Int]? {
        let parts = text.split(separator: separator, omittingEmptySubsequences: false)
        guard parts.count == widths.count, zip(parts, widths).allSatisfy({ $0.utf8.count == $1 && $0.utf8.allSatisfy(isDigit) }) else {
            return nil
        }
        return parts.compactMap { Int($0) }
    }
}
