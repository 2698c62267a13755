/// Small helpers for HTML and SVG text.
enum Markup {
    static func escape(_ text: String) -> String {
        var result = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }

    /// A coordinate with at most one decimal.
    static func point(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        let sign = tenths < 0 ? "-" : ""
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(sign)\(abs(tenths) / 10).\(abs(tenths) % 10)"
    }

    /// A number for people: grouped thousands, at most three decimals.
    static func number(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
        let thousandths = Int((abs(value) * 1_000).rounded())
        let digits = Array(String(thousandths / 1_000))
        var text = value < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "\u{202F}" }
            text.append(digit)
        }
        let fraction = thousandths % 1_000
        guard fraction > 0 else { return text }
        var decimals = String(fraction)
        decimals = String(repeating: "0", count: 3 - decimals.utf8.count) + decimals
        while decimals.hasSuffix("0") { decimals.removeLast() }
        return text + "." + decimals
    }

    /// Round steps for an axis from 0 to `maximum`: about `count` of them.
    static func ticks(to maximum: Double, count: Int) -> [Double] {
        guard maximum > 0, maximum.isFinite else { return [0] }
        var step = 1.0
        while step * Double(count) < maximum { step *= 10 }
        while step * Double(count) / 10 >= maximum { step /= 10 }
        for divisor in [5.0, 2.0] where maximum / (step / divisor) <= Double(count) {
            step /= divisor
            break
        }
        return (0...Int(maximum / step + 1e-9)).map { Double($0) * step }
    }
}
