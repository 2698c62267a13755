import PatinaProtocol

/// Reads and prints the quantities of scenario files. Every one carries its unit; all arithmetic is exact.
///
/// Each reader returns nil for what it does not understand; the caller knows the place and makes the sentence.
enum Quantity {
    // MARK: Time

    private static let timeUnits: [(name: String, nanoseconds: Int64)] = [
        ("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ]

    /// Longer times are refused, so that sums of them fit a clock of 292 years.
    static let durationMaximum: Duration = .seconds(1_000 * 3_600)

    /// `250ms`, `1.5s`, `2m`; never negative. Units: ns, us, ms, s, m, h.
    static func duration(_ text: some StringProtocol) -> Duration? {
        guard let (digits, unit) = split(text), let scale = timeUnits.first(where: { $0.name == unit })?.nanoseconds,
            let nanoseconds = decimal(digits, times: scale), nanoseconds <= durationMaximum.nanoseconds
        else { return nil }
        return .nanoseconds(nanoseconds)
    }

    /// The shortest exact form: `90s`, `1500us`.
    static func print(_ duration: Duration) -> String {
        let nanoseconds = duration.nanoseconds
        for (name, scale) in timeUnits.reversed() where ["s", "ms", "us", "ns"].contains(name) && nanoseconds % scale == 0 {
            return "\(nanoseconds / scale)\(name)"
        }
        return "\(nanoseconds)ns"
    }

    /// `5s..30s`, or `10s` for a range of one.
    static func durationRange(_ text: some StringProtocol) -> ClosedRange<Duration>? {
        let text = String(text)
        if let dots = text.firstRange(of: "..") {
            guard let low = duration(trim(text[..<dots.lowerBound])), let high = duration(trim(text[dots.upperBound...])), low <= high
            else { return nil }
            return low...high
        }
        return duration(text).map { $0...$0 }
    }

    static func print(_ range: ClosedRange<Duration>) -> String {
        range.lowerBound == range.upperBound ? print(range.lowerBound) : "\(print(range.lowerBound))..\(print(range.upperBound))"
    }

    // MARK: Shares, sizes and rates

    /// `0.1%` in millionths; at most 100%.
    static func share(_ text: some StringProtocol) -> UInt32? {
        guard let (digits, unit) = split(text), unit == "%", let millionths = decimal(digits, times: 10_000), millionths <= 1_000_000
        else { return nil }
        return UInt32(millionths)
    }

    static func print(share millionths: UInt32) -> String {
        let (whole, rest) = (millionths / 10_000, millionths % 10_000)
        guard rest > 0 else { return "\(whole)%" }
        var fraction = String(rest)
        fraction = String(repeating: "0", count: 4 - fraction.utf8.count) + fraction
        while fraction.hasSuffix("0") { fraction.removeLast() }
        return "\(whole).\(fraction)%"
    }

    private static let sizeUnits: [(name: String, bytes: Int64)] = [
        ("B", 1), ("kB", 1_000), ("KiB", 1_024), ("MB", 1_000_000), ("MiB", 1_048_576), ("GB", 1_000_000_000), ("GiB", 1_073_741_824),
    ]

    /// `256KiB`, `100B`, `5MB`.
    static func bytes(_ text: some StringProtocol) -> Int? {
        guard let (digits, unit) = split(text), let scale = sizeUnits.first(where: { $0.name == unit })?.bytes else { return nil }
        return decimal(digits, times: scale).map { Int($0) }
    }

    static func print(bytes: Int) -> String {
        for (name, scale) in [("MiB", 1_048_576), ("KiB", 1_024)] where bytes > 0 && bytes % scale == 0 { return "\(bytes / scale)\(name)" }
        return "\(bytes)B"
    }

    private static let bandwidthUnits: [(name: String, bits: Int64)] = [
        ("bit/s", 1), ("kbit/s", 1_000), ("Mbit/s", 1_000_000), ("Gbit/s", 1_000_000_000),
    ]

    /// `100Mbit/s` in bits a second; more than none.
    static func bandwidth(_ text: some StringProtocol) -> UInt64? {
        guard let (digits, unit) = split(text), let scale = bandwidthUnits.first(where: { $0.name == unit })?.bits,
            let bits = decimal(digits, times: scale), bits > 0
        else { return nil }
        return UInt64(bits)
    }

    static func print(bandwidth: UInt64) -> String {
        for (name, scale) in bandwidthUnits.reversed() where bandwidth % UInt64(scale) == 0 { return "\(bandwidth / UInt64(scale))\(name)" }
        return "\(bandwidth)bit/s"
    }

    private static let rateUnits: [(name: String, seconds: Int64)] = [("/s", 1), ("/m", 60), ("/h", 3_600)]

    /// `200/s`, `12/m`: the mean time between two of them. More often than once a nanosecond, or less than once in a day, is refused.
    static func interval(rate text: some StringProtocol) -> Duration? {
        guard let (digits, unit) = split(text), let seconds = rateUnits.first(where: { $0.name == unit })?.seconds,
            let thousandths = decimal(digits, times: 1_000), thousandths > 0
        else { return nil }
        let nanoseconds = seconds * 1_000_000_000_000 / thousandths
        return (1...86_400_000_000_000).contains(nanoseconds) ? .nanoseconds(nanoseconds) : nil
    }

    /// Hundredths, from `15%`; up to 10000%.
    static func percent(_ text: some StringProtocol) -> Int? {
        guard let (digits, unit) = split(text), unit == "%", let percent = decimal(digits, times: 1), percent <= 10_000 else { return nil }
        return Int(percent)
    }

    /// `200ppm`; up to a tenth.
    static func partsPerMillion(_ text: some StringProtocol) -> Int? {
        guard let (digits, unit) = split(text), unit == "ppm", let parts = decimal(digits, times: 1), parts <= 100_000 else { return nil }
        return Int(parts)
    }

    // MARK: Parts

    /// Digits (with at most one point) and the unit behind them.
    private static func split(_ text: some StringProtocol) -> (digits: String, unit: String)? {
        let text = String(text)
        let end = text.utf8.firstIndex { !(48...57 ~= $0 || $0 == UInt8(ascii: ".")) } ?? text.utf8.endIndex
        let digits = String(text[..<end])
        guard !digits.isEmpty else { return nil }
        return (digits, trim(text[end...]))
    }

    /// `digits` times `scale`; nil when it is no decimal number, not whole, or too large.
    static func decimal(_ digits: String, times scale: Int64) -> Int64? {
        let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), !parts[0].isEmpty, let whole = Int64(parts[0]) else { return nil }
        let (product, overflow) = whole.multipliedReportingOverflow(by: scale)
        if overflow { return nil }
        guard parts.count == 2 else { return product }
        guard (1...12).contains(parts[1].utf8.count), let fraction = Int64(parts[1]) else { return nil }
        var divisor: Int64 = 1
        for _ in 0..<parts[1].utf8.count { divisor *= 10 }
        let scaled = fraction.multipliedFullWidth(by: scale)
        let (quotient, remainder) = divisor.dividingFullWidth(scaled)
        guard remainder == 0 else { return nil }
        let (sum, carry) = product.addingReportingOverflow(quotient)
        return carry ? nil : sum
    }

    static func trim(_ text: some StringProtocol) -> String {
        var rest = Substring(text)
        while rest.first == " " || rest.first == "\t" { rest.removeFirst() }
        while rest.last == " " || rest.last == "\t" { rest.removeLast() }
        return String(rest)
    }
}
