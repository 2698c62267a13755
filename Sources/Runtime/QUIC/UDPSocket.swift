import Glibc
import NIOCore
import PatinaProtocol

/// The endpoint's socket: made, bound and written here; SwiftNIO reads it from a duplicate of the descriptor.
///
/// SwiftNIO is not used for writing, because its datagram channel closes for good at the first `ENETUNREACH`, `EPERM` or
/// `EINVAL` of any packet, and because it cannot choose the source address of a packet.
final class UDPSocket {
    /// What became of one packet, or of one batch of packets.
    enum Outcome: Equatable {
        case sent, blocked
        case refused(CInt)
    }

    private var descriptor: CInt
    let family: CInt
    let localAddress: Address
    /// Whether the kernel cuts batches into packets. Turned off for good when a device proves unable to.
    private(set) var segmentation: Bool
    /// Bound to every address of the host, so that answers must name the address that they come from.
    var isWildcard: Bool { localAddress.isUnspecified }
    private let control: UnsafeMutableRawPointer
    private static let controlCapacity = 128

    /// - Throws: `QUICError.bind`.
    init(bind address: Address, segmentation: Bool) throws(QUICError) {
        family = address.ipv4 != nil ? AF_INET : AF_INET6
        descriptor = socket(family, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw .bind(address, reason: systemError()) }
        do {
            try UDPSocket.configure(descriptor, family: family, address: address)
            localAddress = try UDPSocket.boundAddress(of: descriptor, asked: address)
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        self.segmentation = segmentation && System.supportsUDPSegmentationOffload
        control = .allocate(byteCount: UDPSocket.controlCapacity, alignment: 16)
    }

    deinit {
        close()
        control.deallocate()
    }

    /// Frees the port, once SwiftNIO has closed its descriptor as well. Nothing can be sent any more.
    func close() {
        guard descriptor >= 0 else { return }
        Glibc.close(descriptor)
        descriptor = -1
    }

    /// A second descriptor of the same socket, for SwiftNIO to read and to close.
    func duplicate() throws(QUICError) -> CInt {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw .bind(localAddress, reason: systemError()) }
        return copy
    }

    /// Sends packets of `segment` bytes each, the last of which may be shorter.
    func send(
        _ bytes: UnsafeRawBufferPointer, segment: Int, to remote: SocketAddressStorage, from source: Address?
    ) -> Outcome {
        guard descriptor >= 0 else { return .blocked }
        if bytes.count <= segment { return sendOnce(bytes, segment: nil, to: remote, from: source) }
        if segmentation {
            let outcome = sendOnce(bytes, segment: UInt16(segment), to: remote, from: source)
            // EIO: the device cannot compute checksums of such batches. EINVAL: it cannot segment at all.
            guard outcome == .refused(EIO) || outcome == .refused(EINVAL) else { return outcome }
            segmentation = false
        }
        var rest = bytes[...]
        var result = Outcome.sent
        while !rest.isEmpty {
            let packet = UnsafeRawBufferPointer(rebasing: rest.prefix(segment))
            rest = rest.dropFirst(segment)
            let outcome = sendOnce(packet, segment: nil, to: remote, from: source)
            if outcome != .sent { result = outcome }
        }
        return result
    }

    private func sendOnce(
        _ bytes: UnsafeRawBufferPointer, segment: UInt16?, to remote: SocketAddressStorage, from source: Address?
    ) -> Outcome {
        var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        return withUnsafeMutablePointer(to: &vector) { vector in
            var message = msghdr()
            message.msg_name = UnsafeMutableRawPointer(remote.pointer)
            message.msg_namelen = remote.count
            message.msg_iov = vector
            message.msg_iovlen = 1
            var used = 0
            if let segment { append(level: CInt(IPPROTO_UDP), type: udpSegment, segment, &used) }
            if let source { appendSource(source, &used) }
            if used > 0 {
                message.msg_control = control
                message.msg_controllen = used
            }
            while true {
                if sendmsg(descriptor, &message, CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)) >= 0 { return .sent }
                switch errno {
                case EINTR: continue
                case EAGAIN, ENOBUFS: return .blocked
                case let code: return .refused(code)
                }
            }
        }
    }

    private func appendSource(_ source: Address, _ used: inout Int) {
        if family == AF_INET, let ipv4 = source.ipv4 {
            var information = in_pktinfo()
            information.ipi_spec_dst.s_addr = ipv4.bigEndian
            append(level: CInt(IPPROTO_IP), type: IP_PKTINFO, information, &used)
        } else if family == AF_INET6 {
            let information = IPv6PacketInformation(high: source.high.bigEndian, low: source.low.bigEndian, interface: 0)
            append(level: CInt(IPPROTO_IPV6), type: IPV6_PKTINFO, information, &used)
        }
    }

    /// One control message: a header, the payload, and padding to eight bytes.
    private func append<Payload: BitwiseCopyable>(level: CInt, type: CInt, _ payload: Payload, _ used: inout Int) {
        let size = MemoryLayout<Payload>.size
        let header = MemoryLayout<cmsghdr>.size
        let space = header + (size + 7) / 8 * 8
        precondition(used + space <= UDPSocket.controlCapacity, "the control buffer holds both messages that are ever sent")
        (control + used).initializeMemory(as: UInt8.self, repeating: 0, count: space)
        let start = (control + used).bindMemory(to: cmsghdr.self, capacity: 1)
        start.pointee.cmsg_len = header + size
        start.pointee.cmsg_level = level
        start.pointee.cmsg_type = type
        (control + used + header).storeBytes(of: payload, as: Payload.self)
        used += space
    }

    private static func configure(_ descriptor: CInt, family: CInt, address: Address) throws(QUICError) {
        // Best effort: the system caps buffers at net.core.{r,w}mem_max.
        set(descriptor, SOL_SOCKET, SO_RCVBUF, 4 * 1_024 * 1_024)
        set(descriptor, SOL_SOCKET, SO_SNDBUF, 4 * 1_024 * 1_024)
        // The search for the path's packet size needs packets that nobody fragments.
        if family == AF_INET6 {
            set(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, 0)
            set(descriptor, CInt(IPPROTO_IPV6), IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE)
        }
        set(descriptor, CInt(IPPROTO_IP), IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        guard let storage = SocketAddressStorage(address, family: family), Glibc.bind(descriptor, storage.pointer, storage.count) == 0
        else { throw .bind(address, reason: systemError()) }
    }

    private static func set(_ descriptor: CInt, _ level: CInt, _ option: CInt, _ value: CInt) {
        var value = value
        _ = setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<CInt>.size))
    }

    private static func boundAddress(of descriptor: CInt, asked: Address) throws(QUICError) -> Address {
        var storage = sockaddr_in6()
        var count = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let result = withUnsafeMutableBytes(of: &storage) {
            getsockname(descriptor, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), &count)
        }
        guard result == 0 else { throw .bind(asked, reason: systemError()) }
        // The port lies at the same place in both families.
        return Address(high: asked.high, low: asked.low, port: UInt16(bigEndian: storage.sin6_port))
    }
}

/// `struct in6_pktinfo`, which Glibc shows to GNU sources only.
private struct IPv6PacketInformation: BitwiseCopyable {
    let high: UInt64
    let low: UInt64
    let interface: UInt32
}

/// `UDP_SEGMENT` of linux/udp.h, which Glibc does not carry.
private let udpSegment: CInt = 103

/// The words for the present `errno`.
func systemError(_ code: CInt = errno) -> String { String(cString: strerror(code)) }
