import PatinaProtocol

/// The parameters behind the question mark of a request. Unknown ones are ignored, the first of several counts.
struct RequestQuery: Sendable {
    /// A parameter that cannot be understood.
    struct Malformed: Error, Hashable, Sendable, CustomStringConvertible {
        let name: String
        let value: String
        let expected: String

        var description: String { "query parameter \(name) is \"\(value)\", but must be \(expected)" }
    }

    private let pairs: [(name: String, value: String)]

    /// - Parameter path: path and query, as in the request line.
    init(path: String) {
        guard let mark = path.firstIndex(of: "?") else {
            pairs = []
            return
        }
        pairs = path[path.index(after: mark)...].split(separator: "&").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (Self.decode(parts[0]), parts.count > 1 ? Self.decode(parts[1]) : "")
        }
    }

    /// Seconds, whole or with a fraction. Zero, which means "without a limit", is nil inside the outer optional.
    func timeout() throws(Malformed) -> Duration?? {
        guard let text = value("timeout") else { return nil }
        let expected = "a number of seconds from 0 to 1000000000"
        guard let seconds = Double(text), seconds.isFinite, (0...1e9).contains(seconds) else {
            throw Malformed(name: "timeout", value: text, expected: expected)
        }
        return .some(seconds == 0 ? nil : .nanoseconds(Int64(seconds * 1e9)))
    }

    func integer(_ name: String) throws(Malformed) -> Int64? {
        guard let text = value(name) else { return nil }
        guard let number = Int64(text) else { throw Malformed(name: name, value: text, expected: "an integer") }
        return number
    }

    func unsigned(_ name: String, upTo limit: UInt64 = .max) throws(Malformed) -> UInt64? {
        guard let text = value(name) else { return nil }
        guard let number = UInt64(text), number <= limit else {
            throw Malformed(name: name, value: text, expected: "an integer from 0 to \(limit)")
        }
        return number
    }

    func number(_ name: String) throws(Malformed) -> Double? {
        guard let text = value(name) else { return nil }
        guard let number = Double(text), number.isFinite else { throw Malformed(name: name, value: text, expected: "a number") }
        return number
    }

    private func value(_ name: String) -> String? { pairs.first { $0.name == name }?.value }

    /// Percent-decoding as forms write it; what is not UTF-8 afterwards is replaced by U+FFFD.
    private static func decode(_ text: Substring) -> String {
        var result: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "+") {
                result.append(UInt8(ascii: " "))
            } else if byte == UInt8(ascii: "%"), let high = rest.first.flatMap(hexadecimalValue),
                let low = rest.dropFirst().first.flatMap(hexadecimalValue)
            {
                result.append(high << 4 | low)
                rest = rest.dropFirst(2)
            } else {
                result.append(byte)
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
