import PatinaProtocol

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An entry of the bootstrap list: an address, or a name to ask the system's resolver for.
enum BootstrapEntry: Hashable, Sendable {
    case address(Address)
    case name(host: String, port: UInt16)

    /// The port of entries that name none.
    static let defaultPort: UInt16 = 4_001

    init(_ text: String) throws(RuntimeError) {
        func refuse(_ reason: String) -> RuntimeError { .bootstrap(entry: text, reason: reason) }
        guard !text.isEmpty else { throw refuse("it is empty; write host:port") }
        guard !text.contains("@") else {
            throw refuse("a DNS server of its own (after @) is not supported; names are resolved by the system")
        }
        if let address = Address(text) {
            guard address.port != 0 else { throw refuse("port 0 cannot be reached") }
            self = .address(address)
            return
        }
        // Addresses without a port: 10.0.0.1, [2001:db8::1], 2001:db8::1.
        for form in [text, "[\(text)]"] {
            if let address = Address("\(form):\(Self.defaultPort)") {
                self = .address(address)
                return
            }
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let host = parts.first, !host.isEmpty, !host.hasPrefix("[") else {
            throw refuse("this is neither host:port nor an address; IPv6 addresses stand in brackets, as in [2001:db8::1]:4001")
        }
        let allowed = host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
            default: false
            }
        }
        guard allowed, host.utf8.count <= 253 else { throw refuse("\"\(host)\" is not a host name") }
        guard parts.count == 2 else {
            self = .name(host: String(host), port: Self.defaultPort)
            return
        }
        guard parts[1].utf8.allSatisfy({ 48...57 ~= $0 }), let port = UInt16(parts[1]), port != 0 else {
            throw refuse("\"\(parts[1])\" is not a port (1 to 65535)")
        }
        self = .name(host: String(host), port: port)
    }
}

/// Turns the bootstrap list into addresses. A value, so that the blocking part can run on another thread.
struct BootstrapResolver: Sendable {
    /// Addresses that a list resolves to at most; further ones are left out.
    static let addressLimit = 256

    var entries: [BootstrapEntry]
    /// The node's own address, which is left out.
    var own: Address
    /// True when the socket is an IPv4 one: IPv6 addresses are left out then.
    var isIPv4Only: Bool

    /// Addresses that need no resolver.
    var literal: [Address] {
        reachable(
            entries.compactMap { entry in
                switch entry {
                case .address(let address): address
                case .name: nil
                }
            })
    }

    var hasNames: Bool {
        entries.contains { entry in
            switch entry {
            case .address: false
            case .name: true
            }
        }
    }

    /// What a resolution gave.
    struct Resolution: Sendable {
        /// In the order of the entries, without repetition.
        var addresses: [Address]
        /// Names that gave nothing, and why.
        var failures: [(host: String, reason: String)]
    }

    /// Asks the system for all names. Blocks for as long as its resolver takes.
    func resolve() -> Resolution {
        var addresses: [Address] = []
        var failures: [(host: String, reason: String)] = []
        for entry in entries where addresses.count < Self.addressLimit {
            switch entry {
            case .address(let address):
                addresses.append(address)
            case .name(let host, let port):
                switch Self.look(up: host, port: port) {
                case .success(let found): addresses += found
                case .failure(let failure): failures.append((host, failure.reason))
                }
            }
        }
        return Resolution(addresses: reachable(addresses), failures: failures)
    }

    private func reachable(_ addresses: [Address]) -> [Address] {
        var seen: Set<Address> = [own]
        let fresh = addresses.filter { (!isIPv4Only || $0.ipv4 != nil) && seen.insert($0).inserted }
        return Array(fresh.prefix(Self.addressLimit))
    }

    private struct LookUpFailure: Error { let reason: String }

    private static func look(up host: String, port: UInt16) -> Result<[Address], LookUpFailure> {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        #if canImport(Glibc)
            hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        #else
            hints.ai_socktype = SOCK_DGRAM
        #endif
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else { return .failure(LookUpFailure(reason: gai_strerror(code).map { String(cString: $0) } ?? "error \(code)")) }
        defer { freeaddrinfo(list) }
        var found: [Address] = []
        var next = list
        while let info = next?.pointee {
            if let raw = info.ai_addr, let address = Address(raw, port: port) { found.append(address) }
            next = info.ai_next
        }
        return found.isEmpty ? .failure(LookUpFailure(reason: "it has no address")) : .success(found)
    }
}

extension Address {
    /// The host of a socket address, with a port of the caller's.
    fileprivate init?(_ raw: UnsafePointer<sockaddr>, port: UInt16) {
        switch Int32(raw.pointee.sa_family) {
        case AF_INET:
            let bits = UnsafeRawPointer(raw).loadUnaligned(as: sockaddr_in.self).sin_addr.s_addr
            self.init(ipv4: UInt32(bigEndian: bits), port: port)
        case AF_INET6:
            let bytes = UnsafeRawPointer(raw).loadUnaligned(as: sockaddr_in6.self).sin6_addr
            guard let host = withUnsafeBytes(of: bytes, { ActorID(bytes: $0) }) else { return nil }
            self.init(high: host.high, low: host.low, port: port)
        default:
            return nil
        }
    }
}
