import Glibc
import PatinaProtocol

/// One UDP socket of the relay, with the kernel's own time stamp on everything that it receives.
final class RelaySocket {
    /// A datagram that arrived; its bytes are in the caller's buffer.
    struct Arrival {
        /// IPv4 address and port that it came from.
        let from: UInt32
        let fromPort: UInt16
        let count: Int
        /// When the kernel took it in, by the wall clock in nanoseconds; nil when the kernel did not say.
        let stamp: Int64?
        /// Datagrams that the socket's full buffer has dropped since it was made.
        let dropped: UInt32?
    }

    /// What became of a datagram that was sent.
    enum Outcome { case sent, refused }

    /// Bytes that wait in the kernel; the system caps it at `net.core.rmem_max`.
    private static let bufferBytes: CInt = 8 << 20

    let descriptor: CInt
    let address: Address

    /// - Throws: `LiveError` when the address is taken.
    init(bind asked: Address) throws(LiveError) {
        descriptor = try Self.open(asked)
        var name = Self.name(0, 0)
        var count = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        _ = withUnsafeMutablePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &count) }
        }
        address = Address(ipv4: asked.ipv4 ?? 0, port: UInt16(bigEndian: name.sin_port))
    }

    private static func open(_ asked: Address) throws(LiveError) -> CInt {
        let descriptor = socket(AF_INET, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw LiveError("no socket for \(asked): \(reason)") }
        for (option, value) in [(SO_RCVBUF, bufferBytes), (SO_SNDBUF, bufferBytes), (SO_TIMESTAMPNS, 1), (SO_RXQ_OVFL, 1)] {
            var value = value
            setsockopt(descriptor, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<CInt>.size))
        }
        var name = name(asked.ipv4 ?? 0, asked.port)
        let code = withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else {
            let reason = reason
            close(descriptor)
            throw LiveError("the address \(asked) cannot be bound: \(reason)")
        }
        return descriptor
    }

    deinit { Glibc.close(descriptor) }

    /// Takes one datagram in; nil when there is none.
    func receive(into buffer: UnsafeMutableRawBufferPointer, control: UnsafeMutableRawBufferPointer) -> Arrival? {
        var name = sockaddr_in()
        var vector = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
        var message = msghdr()
        message.msg_control = control.baseAddress
        message.msg_controllen = control.count
        message.msg_iovlen = 1
        message.msg_namelen = socklen_t(MemoryLayout<sockaddr_in>.size)
        let count = withUnsafeMutablePointer(to: &name) { name in
            withUnsafeMutablePointer(to: &vector) { vector in
                message.msg_name = UnsafeMutableRawPointer(name)
                message.msg_iov = vector
                return recvmsg(descriptor, &message, CInt(MSG_DONTWAIT))
            }
        }
        guard count >= 0 else { return nil }
        let (stamp, dropped) = Self.read(control, used: message.msg_controllen)
        return Arrival(
            from: UInt32(bigEndian: name.sin_addr.s_addr), fromPort: UInt16(bigEndian: name.sin_port), count: count, stamp: stamp,
            dropped: dropped)
    }

    /// The time stamp and the number of dropped datagrams among the control messages.
    private static func read(_ control: UnsafeMutableRawBufferPointer, used: Int) -> (stamp: Int64?, dropped: UInt32?) {
        let header = MemoryLayout<cmsghdr>.size
        var place = 0
        var stamp: Int64?
        var dropped: UInt32?
        while place + header <= min(used, control.count) {
            let entry = control.loadUnaligned(fromByteOffset: place, as: cmsghdr.self)
            guard entry.cmsg_len >= header, place + entry.cmsg_len <= control.count else { break }
            if entry.cmsg_level == SOL_SOCKET, entry.cmsg_type == SO_TIMESTAMPNS, entry.cmsg_len >= header + MemoryLayout<timespec>.size {
                let time = control.loadUnaligned(fromByteOffset: place + header, as: timespec.self)
                stamp = Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
            } else if entry.cmsg_level == SOL_SOCKET, entry.cmsg_type == SO_RXQ_OVFL, entry.cmsg_len >= header + 4 {
                dropped = control.loadUnaligned(fromByteOffset: place + header, as: UInt32.self)
            }
            place += (entry.cmsg_len + 7) / 8 * 8
        }
        return (stamp, dropped)
    }

    func send(_ bytes: [UInt8], to address: Address) -> Outcome {
        var name = Self.name(address.ipv4 ?? 0, address.port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let sent = withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                bytes.withUnsafeBytes { sendto(descriptor, $0.baseAddress, $0.count, CInt(MSG_DONTWAIT), name, size) }
            }
        }
        return sent == bytes.count ? .sent : .refused
    }

    private static func name(_ ipv4: UInt32, _ port: UInt16) -> sockaddr_in {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        name.sin_addr.s_addr = ipv4.bigEndian
        return name
    }

    private static var reason: String { String(cString: strerror(errno)) }
}
