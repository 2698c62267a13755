import PatinaProtocol

/// Appends JSON to a byte array. The caller writes the punctuation between values; strings and numbers are always valid.
struct JSONWriter {
    private(set) var bytes: [UInt8] = []

    init(capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    /// Text that is JSON already: punctuation and literal keys.
    mutating func raw(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }

    mutating func null() { raw("null") }

    mutating func boolean(_ value: Bool) { raw(value ? "true" : "false") }

    mutating func integer(_ value: some BinaryInteger) { bytes.append(contentsOf: String(value).utf8) }

    /// Always with a fraction, so that readers can tell it from an integer; NaN and infinities, which JSON lacks, are null.
    mutating func real(_ value: Double) {
        guard value.isFinite else { return null() }
        let text = value.description.utf8
        let exponent = text.firstIndex(of: UInt8(ascii: "e")) ?? text.endIndex
        let mantissa = text[..<exponent]
        bytes.append(contentsOf: mantissa)
        if !mantissa.contains(UInt8(ascii: ".")) { raw(".0") }
        bytes.append(contentsOf: text[exponent...].filter { $0 != UInt8(ascii: "+") })
    }

    /// Seconds, as a real number.
    mutating func seconds(_ duration: Duration) { real(Double(duration.nanoseconds) / 1e9) }

    mutating func string(_ text: String) {
        var text = text
        text.withUTF8 { quote($0) }
    }

    /// Text as SQLite has it: what is not UTF-8 is replaced by U+FFFD.
    mutating func text(_ utf8: [UInt8]) {
        if utf8.allSatisfy({ $0 < 0x80 }) || String(validating: utf8, as: UTF8.self) != nil {
            utf8.withUnsafeBufferPointer { quote($0) }
        } else {
            string(String(decoding: utf8, as: UTF8.self))
        }
    }

    /// An array of numbers.
    mutating func blob(_ value: [UInt8]) {
        bytes.append(UInt8(ascii: "["))
        for (index, byte) in value.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            integer(byte)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    mutating func value(_ value: Value) {
        switch value {
        case .null: null()
        case .integer(let number): integer(number)
        case .real(let number): real(number)
        case .text(let utf8): text(utf8)
        case .blob(let data): blob(data)
        }
    }

    /// An array, its elements separated by commas.
    mutating func array<Elements: Sequence>(_ elements: Elements, _ body: (inout JSONWriter, Elements.Element) -> Void) {
        bytes.append(UInt8(ascii: "["))
        var isFirst = true
        for element in elements {
            if !isFirst { bytes.append(UInt8(ascii: ",")) }
            isFirst = false
            body(&self, element)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    private mutating func quote(_ utf8: UnsafeBufferPointer<UInt8>) {
        bytes.append(UInt8(ascii: "\""))
        var start = 0
        for index in utf8.indices {
            let byte = utf8[index]
            guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
            bytes.append(contentsOf: utf8[start..<index])
            start = index + 1
            bytes.append(UInt8(ascii: "\\"))
            switch byte {
            case 0x08: bytes.append(UInt8(ascii: "b"))
            case 0x09: bytes.append(UInt8(ascii: "t"))
            case 0x0A: bytes.append(UInt8(ascii: "n"))
            case 0x0C: bytes.append(UInt8(ascii: "f"))
            case 0x0D: bytes.append(UInt8(ascii: "r"))
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(byte)
            default:
                raw("u00")
                bytes.append(contentsOf: hexadecimalString(CollectionOfOne(byte)).utf8)
            }
        }
        bytes.append(contentsOf: utf8[start...])
        bytes.append(UInt8(ascii: "\""))
    }
}
