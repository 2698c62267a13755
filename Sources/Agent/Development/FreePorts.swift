#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Finds ports on 127.0.0.1 that nobody uses now.
enum FreePorts {
    struct NoneLeft: Error, CustomStringConvertible {
        var description: String { "no free port was found on 127.0.0.1" }
    }

    /// As many different ports as asked for, each free for TCP and for UDP at the time of the call. Another process may take one
    /// before its new owner does; the owner then reports a busy port.
    static func find(_ count: Int) throws(NoneLeft) -> [UInt16] {
        var held: [Int32] = []
        defer { for descriptor in held { close(descriptor) } }
        var ports: [UInt16] = []
        var attempts = 0
        while ports.count < count {
            attempts += 1
            guard attempts <= 10 * count + 100, let stream = bound(stream: true, port: 0) else { throw NoneLeft() }
            held.append(stream.descriptor)
            guard let datagram = bound(stream: false, port: stream.port) else { continue }
            held.append(datagram.descriptor)
            ports.append(stream.port)
        }
        return ports
    }

    /// A socket bound to 127.0.0.1, or nil when the port is taken.
    private static func bound(stream: Bool, port: UInt16) -> (descriptor: Int32, port: UInt16)? {
        #if canImport(Glibc)
            let kind = Int32((stream ? SOCK_STREAM : SOCK_DGRAM).rawValue)
        #else
            let kind = stream ? SOCK_STREAM : SOCK_DGRAM
        #endif
        let descriptor = socket(AF_INET, kind, 0)
        guard descriptor >= 0 else { return nil }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let succeeded = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard succeeded else {
            close(descriptor)
            return nil
        }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }
}
