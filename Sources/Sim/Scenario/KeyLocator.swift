/// Finds the line on which a key of a TOML document stands.
///
/// The TOML library reports positions of syntax errors only, but most mistakes in a scenario are words in the right syntax. This scans
/// a document that is known to be valid and notes, for each table header and each key in front of an equals sign, the line.
/// What stands inside of inline tables and arrays is found through the key that they belong to.
struct KeyLocator {
    private var lines: [[PathStep]: Int] = [:]

    /// The line (from 1) of the value at `path`, or of the nearest value around it.
    func line(of path: [PathStep]) -> Int? {
        var path = path[...]
        while !path.isEmpty {
            if let line = lines[Array(path)] { return line }
            path.removeLast()
        }
        return nil
    }

    init(_ text: String) {
        var scanner = Scanner(bytes: Array(text.utf8))
        /// How many elements each array of tables has so far.
        var counts: [[PathStep]: Int] = [:]
        var table: [PathStep] = []
        while scanner.skipToStatement() {
            let line = scanner.line
            if scanner.take(UInt8(ascii: "[")) {
                let isArray = scanner.take(UInt8(ascii: "["))
                let keys = scanner.keyPath()
                table = []
                for (index, key) in keys.enumerated() {
                    table.append(.key(key))
                    if isArray, index == keys.count - 1 {
                        lines[table] = lines[table] ?? line
                        counts[table, default: 0] += 1
                    }
                    if let count = counts[table] { table.append(.index(count - 1)) }
                }
                lines[table] = line
                scanner.skipLine()
            } else {
                var path = table
                for key in scanner.keyPath() {
                    path.append(.key(key))
                    lines[path] = lines[path] ?? line
                }
                lines[path] = line
                scanner.skipSpaces()
                if scanner.take(UInt8(ascii: "=")) { scanner.skipValue() } else { scanner.skipLine() }
            }
        }
    }

    /// Walks over the bytes of a document and counts lines.
    private struct Scanner {
        let bytes: [UInt8]
        var position = 0
        var line = 1

        init(bytes: [UInt8]) { self.bytes = bytes }

        var current: UInt8? { position < bytes.count ? bytes[position] : nil }

        mutating func advance() {
            if current == UInt8(ascii: "\n") { line += 1 }
            position += 1
        }

        mutating func take(_ byte: UInt8) -> Bool {
            guard current == byte else { return false }
            advance()
            return true
        }

        mutating func skipSpaces() {
            while let byte = current, byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") { advance() }
        }

        mutating func skipLine() {
            while let byte = current, byte != UInt8(ascii: "\n") { advance() }
        }

        /// Moves to the next header or key; false at the end of the document.
        mutating func skipToStatement() -> Bool {
            while let byte = current {
                switch byte {
                case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"): advance()
                case UInt8(ascii: "#"): skipLine()
                default: return true
                }
            }
            return false
        }

        /// `a.b."c d"`, up to the first byte that belongs to no key.
        mutating func keyPath() -> [String] {
            var keys: [String] = []
            while true {
                skipSpaces()
                if let quote = current, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
                    let start = position + 1
                    skipString()
                    keys.append(String(decoding: bytes[start..<max(start, position - 1)], as: UTF8.self))
                } else {
                    let start = position
                    while let byte = current, isBareKey(byte) { advance() }
                    guard position > start else { return keys }
                    keys.append(String(decoding: bytes[start..<position], as: UTF8.self))
                }
                skipSpaces()
                guard take(UInt8(ascii: ".")) else { return keys }
            }
        }

        /// Moves behind the value: to the end of the line on which its last bracket closes.
        mutating func skipValue() {
            var depth = 0
            while let byte = current {
                switch byte {
                case UInt8(ascii: "\""), UInt8(ascii: "'"): skipString()
                case UInt8(ascii: "["), UInt8(ascii: "{"):
                    depth += 1
                    advance()
                case UInt8(ascii: "]"), UInt8(ascii: "}"):
                    depth -= 1
                    advance()
                case UInt8(ascii: "#"): skipLine()
                case UInt8(ascii: "\n") where depth <= 0: return
                default: advance()
                }
            }
        }

        /// Moves behind a string of any of the four forms.
        mutating func skipString() {
            guard let quote = current else { return }
            let literal = quote == UInt8(ascii: "'")
            let isLong = position + 2 < bytes.count && bytes[position + 1] == quote && bytes[position + 2] == quote
            for _ in 0..<(isLong ? 3 : 1) { advance() }
            while let byte = current {
                if byte == UInt8(ascii: "\\"), !literal {
                    advance()
                    advance()
                } else if byte == quote {
                    var run = 0
                    while current == quote, run < (isLong ? 5 : 1) {
                        advance()
                        run += 1
                    }
                    if !isLong || run >= 3 { return }
                } else {
                    advance()
                }
            }
        }

        private func isBareKey(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }
}
