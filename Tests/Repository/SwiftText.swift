/// Tells the code of a Swift file from its comments and string literals, well enough for rules about identifiers.
enum SwiftText {
    /// The text with every character of comments and string literals replaced by a blank. Line ends stay, so that line numbers do.
    /// Code inside of string interpolations stays visible.
    static func code(of text: String) -> String {
        var scanner = Scanner(input: Array(text.utf8))
        return scanner.run()
    }

    private struct Scanner {
        let input: [UInt8]
        var output: [UInt8] = []
        var index = 0

        init(input: [UInt8]) { self.input = input }

        mutating func run() -> String {
            while index < input.count { code(endingAtParenthesis: false) }
            return String(decoding: output, as: UTF8.self)
        }

        /// Copies code up to the end, or to the parenthesis that closes an interpolation.
        private mutating func code(endingAtParenthesis: Bool) {
            var depth = 0
            while index < input.count {
                if starts(with: "//") {
                    while index < input.count, input[index] != UInt8(ascii: "\n") { blank() }
                } else if starts(with: "/*") {
                    blockComment()
                } else if let hashes = stringStart() {
                    string(hashes: hashes)
                } else {
                    if input[index] == UInt8(ascii: "(") { depth += 1 }
                    if input[index] == UInt8(ascii: ")") {
                        depth -= 1
                        if endingAtParenthesis, depth < 0 { return }
                    }
                    copy()
                }
            }
        }

        private mutating func blockComment() {
            var depth = 0
            repeat {
                if starts(with: "/*") {
                    depth += 1
                    blank(2)
                } else if starts(with: "*/") {
                    depth -= 1
                    blank(2)
                } else {
                    blank()
                }
            } while depth > 0 && index < input.count
        }

        /// The number of `#` before a string literal that starts here; nil when none starts here.
        private func stringStart() -> Int? {
            var end = index
            while end < input.count, input[end] == UInt8(ascii: "#") { end += 1 }
            return end < input.count && input[end] == UInt8(ascii: "\"") ? end - index : nil
        }

        private mutating func string(hashes: Int) {
            blank(hashes)
            let quotes = starts(with: "\"\"\"") ? 3 : 1
            blank(quotes)
            let raw = String(repeating: "#", count: hashes)
            let end = String(repeating: "\"", count: quotes) + raw
            while index < input.count {
                if starts(with: end) {
                    blank(end.utf8.count)
                    return
                } else if starts(with: "\\" + raw + "(") {
                    blank(hashes + 2)
                    code(endingAtParenthesis: true)
                    blank()
                } else if input[index] == UInt8(ascii: "\\"), hashes == 0 {
                    blank(2)
                } else if input[index] == UInt8(ascii: "\n"), quotes == 1 {
                    return
                } else {
                    blank()
                }
            }
        }

        private func starts(with prefix: String) -> Bool {
            input[index...].starts(with: prefix.utf8)
        }

        private mutating func copy() {
            output.append(input[index])
            index += 1
        }

        private mutating func blank(_ count: Int = 1) {
            for _ in 0..<count where index < input.count {
                output.append(input[index] == UInt8(ascii: "\n") ? UInt8(ascii: "\n") : UInt8(ascii: " "))
                index += 1
            }
        }
    }
}
