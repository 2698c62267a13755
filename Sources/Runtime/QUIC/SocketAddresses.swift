import CNgtcp2
import Glibc
import NIOCore
import PatinaProtocol

extension Address {
    /// The address and port of a datagram's sender.
    init?(_ socketAddress: SocketAddress) {
        switch socketAddress {
        case .v4(let address):
            self.init(
                ipv4: UInt32(bigEndian: address.address.sin_addr.s_addr), port: UInt16(bigEndian: address.address.sin_port))
        case .v6(let address):
            self = withUnsafeBytes(of: address.address.sin6_addr) {
                Address(
                    high: UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)),
                    low: UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
                    port: UInt16(bigEndian: address.address.sin6_port))
            }
        case .unixDomainSocket:
            return nil
        }
    }

    /// All zero: every address of the host.
    var isUnspecified: Bool { high == 0 && (low == 0 || ipv4 == 0) }

    /// Whether a packet can be sent there at all. The kernel refuses the others, or worse, broadcasts them.
    var canBeDialled: Bool {
        guard port != 0, !isUnspecified else { return false }
        if let ipv4 { return ipv4 >> 28 < 0xE }
        return high >> 56 != 0xFF
    }
}

/// A `sockaddr` on the heap, for the socket and for the QUIC library.
final class SocketAddressStorage {
    let pointer: UnsafeMutablePointer<sockaddr>
    let count: socklen_t
    private let memory: UnsafeMutableRawPointer

    /// Nil when a socket of `family` cannot reach `address`: IPv6 from an IPv4 socket.
    init?(_ address: Address, family: CInt) {
        if family == AF_INET {
            guard let ipv4 = address.ipv4 else { return nil }
            var value = sockaddr_in()
            value.sin_family = sa_family_t(AF_INET)
            value.sin_port = address.port.bigEndian
            value.sin_addr.s_addr = ipv4.bigEndian
            count = socklen_t(MemoryLayout<sockaddr_in>.size)
            memory = .allocate(byteCount: Int(count), alignment: 16)
            memory.storeBytes(of: value, as: sockaddr_in.self)
        } else {
            var value = sockaddr_in6()
            value.sin6_family = sa_family_t(AF_INET6)
            value.sin6_port = address.port.bigEndian
            withUnsafeMutableBytes(of: &value.sin6_addr) {
                $0.storeBytes(of: address.high.bigEndian, as: UInt64.self)
                $0.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            count = socklen_t(MemoryLayout<sockaddr_in6>.size)
            memory = .allocate(byteCount: Int(count), alignment: 16)
            memory.storeBytes(of: value, as: sockaddr_in6.self)
        }
        pointer = memory.assumingMemoryBound(to: sockaddr.self)
    }

    deinit { memory.deallocate() }
}

/// The two ends of a connection in the library's form. Migration is off, so it never changes.
final class NetworkPath {
    let pointer: UnsafeMutablePointer<ngtcp2_path>
    let local: SocketAddressStorage
    let remote: SocketAddressStorage

    init(local: SocketAddressStorage, remote: SocketAddressStorage) {
        self.local = local
        self.remote = remote
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: ngtcp2_path())
        pointer.pointee.local = ngtcp2_addr(addr: local.pointer, addrlen: local.count)
        pointer.pointee.remote = ngtcp2_addr(addr: remote.pointer, addrlen: remote.count)
    }

    deinit { pointer.deallocate() }
}
