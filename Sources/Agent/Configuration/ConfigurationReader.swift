import PatinaProtocol

/// Takes typed values out of a configuration tree and says, in one form, what is wrong with one that does not fit.
struct ConfigurationReader {
    let tree: ConfigurationTable
    /// Path of the file, for messages.
    let file: String

    func has(_ key: String) -> Bool { value(key) != nil }

    func string(_ key: String) throws(ConfigurationError) -> String? {
        guard let value = value(key) else { return nil }
        switch value {
        case .string(let text), .text(let text, _):
            guard !text.isEmpty else { throw invalid(key, value, "a text that is not empty") }
            return text
        case .integer, .real, .boolean, .array, .table, .other: throw invalid(key, value, "a text in quotes")
        }
    }

    /// One text, or an array of them.
    func strings(_ key: String) throws(ConfigurationError) -> [String]? {
        guard let value = value(key) else { return nil }
        let elements: [ConfigurationValue]
        switch value {
        case .array(let array): elements = array
        case .string, .text: elements = [value]
        case .integer, .real, .boolean, .table, .other: throw invalid(key, value, "an array of texts")
        }
        var result: [String] = []
        for element in elements {
            switch element {
            case .string(let text), .text(let text, _):
                guard !text.isEmpty else { throw invalid(key, value, "an array of texts that are not empty") }
                result.append(text)
            case .integer, .real, .boolean, .array, .table, .other: throw invalid(key, value, "an array of texts")
            }
        }
        return result
    }

    func boolean(_ key: String) throws(ConfigurationError) -> Bool? {
        guard let value = value(key) else { return nil }
        switch value {
        case .boolean(let flag): return flag
        case .text(let text, _):
            switch text.lowercased() {
            case "true": return true
            case "false": return false
            default: throw invalid(key, value, "true or false")
            }
        case .string, .integer, .real, .array, .table, .other: throw invalid(key, value, "true or false")
        }
    }

    func integer(_ key: String, in range: ClosedRange<Int64>) throws(ConfigurationError) -> Int64? {
        guard let value = value(key) else { return nil }
        let allowed = "an integer from \(range.lowerBound) to \(range.upperBound)"
        let number: Int64?
        switch value {
        case .integer(let integer): number = integer
        case .text(let text, _): number = Int64(text)
        case .string, .real, .boolean, .array, .table, .other: number = nil
        }
        guard let number, range.contains(number) else { throw invalid(key, value, allowed) }
        return number
    }

    func choice<Choice: RawRepresentable<String> & CaseIterable>(_ key: String) throws(ConfigurationError) -> Choice? {
        guard let text = try string(key) else { return nil }
        if let choice = Choice(rawValue: text) { return choice }
        let names = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: " or ")
        throw invalid(key, .string(text), names)
    }

    func address(_ key: String) throws(ConfigurationError) -> Address? {
        guard let text = try string(key) else { return nil }
        return try address(text, of: key)
    }

    func addresses(_ key: String) throws(ConfigurationError) -> [Address]? {
        guard let texts = try strings(key) else { return nil }
        var result: [Address] = []
        for text in texts { result.append(try address(text, of: key)) }
        return result
    }

    func missing(_ key: String, example: String) -> ConfigurationError {
        let section = key.split(separator: ".").dropLast().joined(separator: ".")
        return .missing(key: key, section: section, file: file, example: example)
    }

    func invalid(_ key: String, _ value: ConfigurationValue, _ allowed: String) -> ConfigurationError {
        let origin =
            switch self.value(key) {
            case .text(_, let variable): "environment variable \(variable)"
            case .string, .integer, .real, .boolean, .array, .table, .other, nil: file
            }
        return .invalid(key: key, value: value.display, allowed: allowed, origin: origin)
    }

    private func value(_ key: String) -> ConfigurationValue? { tree[key.split(separator: ".").map(String.init)] }

    private func address(_ text: String, of key: String) throws(ConfigurationError) -> Address {
        guard let address = Address(text) else {
            throw invalid(key, .string(text), "an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"")
        }
        return address
    }
}
