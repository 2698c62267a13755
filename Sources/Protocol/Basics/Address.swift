/// An IP address and a UDP port: where a node can be reached.
///
/// A plain value, so that the simulator invents them and the runtime turns them into socket addresses.
/// IPv4 is kept in IPv4-mapped form. Ordered by address, then port.
public struct Address: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The first eight bytes of the IPv6 (or IPv4-mapped) address, big endian.
    public let high: UInt64
    /// The last eight bytes, big endian.
    public let low: UInt64
    public let port: UInt16

    public init(high: UInt64, low: UInt64, port: UInt16) {
        self.high = high
        self.low = low
        self.port = port
    }

    /// An IPv4 address from its 32 bits.
    public init(ipv4: UInt32, port: UInt16) {
        self.init(high: 0, low: 0x0000_FFFF_0000_0000 | UInt64(ipv4), port: port)
    }

    /// The 32 bits of an IPv4 address; nil for IPv6.
    public var ipv4: UInt32? {
        high == 0 && low >> 32 == 0xFFFF ? UInt32(truncatingIfNeeded: low) : nil
    }

    /// Parses `10.0.0.1:4001` and `[2001:db8::1]:4001`; nil for anything else, host names included.
    public init?(_ text: String) {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        let portText = text[text.index(after: colon)...]
        guard !portText.isEmpty, portText.utf8.allSatisfy({ 48...57 ~= $0 }), let port = UInt16(portText) else { return nil }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            guard let groups = Address.parseIPv6(host.dropFirst().dropLast()) else { return nil }
            let high = groups[0..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
            let low = groups[4..<8].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
            self.init(high: high, low: low, port: port)
        } else {
            guard let ipv4 = Address.parseIPv4(host) else { return nil }
            self.init(ipv4: ipv4, port: port)
        }
    }

    /// The host alone, without brackets.
    public var host: String {
        if let ipv4 {
            return "\(ipv4 >> 24).\(ipv4 >> 16 & 255).\(ipv4 >> 8 & 255).\(ipv4 & 255)"
        }
        let groups =
            (0..<4).map { UInt16(truncatingIfNeeded: high >> (48 - 16 * $0)) }
            + (0..<4).map { UInt16(truncatingIfNeeded: low >> (48 - 16 * $0)) }
        // RFC 5952: the longest run of at least two zero groups is shortened, the first one on a tie.
        var best = 0..<0
        var start = 0
        while start < 8 {
            guard groups[start] == 0 else {
                start += 1
                continue
            }
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(best.count, 1) { best = start..<end }
            start = end
        }
        let text = { (slice: ArraySlice<UInt16>) in slice.map { String($0, radix: 16) }.joined(separator: ":") }
        return best.isEmpty ? text(groups[...]) : text(groups[..<best.lowerBound]) + "::" + text(groups[best.upperBound...])
    }

    public var description: String { ipv4 != nil ? "\(host):\(port)" : "[\(host)]:\(port)" }

    public static func < (left: Address, right: Address) -> Bool {
        (left.high, left.low, left.port) < (right.high, right.low, right.port)
    }

    private static func parseIPv4(_ text: Substring) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt32 = 0
        for part in parts {
            guard !part.isEmpty, part.utf8.allSatisfy({ 48...57 ~= $0 }), let byte = UInt8(part) else { return nil }
            // Some programs read a leading zero as octal. What two programs read differently is refused.
            guard part.utf8.count == 1 || part.first != "0" else { return nil }
            bits = bits << 8 | UInt32(byte)
        }
        return bits
    }

    private static func parseIPv6(_ text: Substring) -> [UInt16]? {
        func groups(_ part: Substring, isEnd: Bool) -> [UInt16]? {
            if part.isEmpty { return [] }
            var result: [UInt16] = []
            let pieces = part.split(separator: ":", omittingEmptySubsequences: false)
            for (index, piece) in pieces.enumerated() {
                if isEnd, index == pieces.count - 1, piece.utf8.contains(UInt8(ascii: ".")) {
                    guard let ipv4 = parseIPv4(piece) else { return nil }
                    result += [UInt16(truncatingIfNeeded: ipv4 >> 16), UInt16(truncatingIfNeeded: ipv4)]
                } else {
                    guard (1...4).contains(piece.utf8.count), piece.utf8.allSatisfy({ hexadecimalValue($0) != nil }),
                        let value = UInt16(piece, radix: 16)
                    else { return nil }
                    result.append(value)
                }
            }
            return result
        }
        if let gap = text.firstRange(of: "::") {
            guard let head = groups(text[..<gap.lowerBound], isEnd: false), let tail = groups(text[gap.upperBound...], isEnd: true),
                head.count + tail.count <= 7
            else { return nil }
            return head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
        }
        guard let all = groups(text, isEnd: true), all.count == 8 else { return nil }
        return all
    }
}
