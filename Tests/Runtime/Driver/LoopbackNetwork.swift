import Logging
import NIOCore
import PatinaProtocol
import Synchronization

@testable import PatinaRuntime

/// A network within the process, so that runtimes can be tested without sockets: nothing is lost, delayed or reordered,
/// and everything arrives in an event loop's next turn.
final class LoopbackNetwork: Sendable {
    private struct State {
        var transports: [Address: LoopbackTransport] = [:]
        var nextPort: UInt16 = 1
        var nextLink: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Binds transports of this network, for `NodeRuntime.start`.
    var binding: TransportBinding {
        { [self] loop, delegate, _ in
            state.withLock { state in
                let address = Address(ipv4: 0x7F00_0001, port: state.nextPort)
                state.nextPort += 1
                let transport = LoopbackTransport(network: self, localAddress: address, loop: loop, delegate: delegate)
                state.transports[address] = transport
                return transport
            }
        }
    }

    fileprivate func transport(at address: Address) -> LoopbackTransport? { state.withLock { $0.transports[address] } }
    fileprivate func remove(_ address: Address) { state.withLock { $0.transports[address] = nil } }
    fileprivate func newLink() -> UInt64 {
        state.withLock { state in
            state.nextLink += 1
            return state.nextLink
        }
    }
}

/// Unchecked for the same reason as the driver: everything mutable is touched on `loop` only.
final class LoopbackTransport: Transport, @unchecked Sendable {
    let localAddress: Address
    private(set) var counters = QUICCounters()
    private let network: LoopbackNetwork
    private let loop: any EventLoop
    private weak var delegate: (any QUICEndpointDelegate)?
    /// Both ends of a session know it by one number, its link.
    private var links: [SessionID: (link: UInt64, peer: Address)] = [:]
    private var sessions: [UInt64: SessionID] = [:]
    private var nextPeerSession: UInt64 = 0

    fileprivate init(network: LoopbackNetwork, localAddress: Address, loop: any EventLoop, delegate: any QUICEndpointDelegate) {
        self.network = network
        self.localAddress = localAddress
        self.loop = loop
        self.delegate = delegate
    }

    func sendDatagram(to address: Address, _ bytes: [UInt8]) {
        counters.datagramsSent += 1
        with(address) { [localAddress] peer in peer.delegate?.datagramReceived(bytes, from: localAddress) }
    }

    func sendMessage(to address: Address, _ bytes: [UInt8]) {
        counters.messagesSent += 1
        with(address) { [localAddress] peer in peer.delegate?.messageReceived(bytes, from: localAddress) }
    }

    func openSession(_ session: SessionID, to address: Address) {
        precondition(links[session] == nil, "a session was opened twice")
        let link = network.newLink()
        links[session] = (link, address)
        sessions[link] = session
        let isThere = with(address) { [localAddress] peer in
            let accepted = SessionID(.peer, peer.nextPeerSession)
            peer.nextPeerSession += 1
            peer.links[accepted] = (link, localAddress)
            peer.sessions[link] = accepted
            peer.delegate?.sessionOpened(accepted, from: localAddress)
        }
        if !isThere { loop.execute { self.lose(link) } }
    }

    func writeSession(_ session: SessionID, _ bytes: [UInt8]) {
        onLink(of: session) { peer, other in peer.delegate?.sessionReceived(other, bytes) }
    }

    func finishSession(_ session: SessionID) {
        onLink(of: session) { peer, other in peer.delegate?.sessionFinished(other) }
    }

    func resetSession(_ session: SessionID) {
        guard let (link, peer) = links.removeValue(forKey: session) else { return }
        sessions[link] = nil
        with(peer) { $0.lose(link) }
    }

    /// There are none: what is sent arrives.
    func closeConnections() {}

    func shutdown() -> EventLoopFuture<Void> {
        network.remove(localAddress)
        for (link, peer) in links.values { with(peer) { $0.lose(link) } }
        links = [:]
        sessions = [:]
        delegate = nil
        return loop.makeSucceededVoidFuture()
    }

    private func lose(_ link: UInt64) {
        guard let session = sessions.removeValue(forKey: link) else { return }
        links[session] = nil
        delegate?.sessionLost(session)
    }

    private func onLink(of session: SessionID, _ body: @escaping @Sendable (LoopbackTransport, SessionID) -> Void) {
        guard let (link, address) = links[session] else { return }
        with(address) { peer in
            if let other = peer.sessions[link] { body(peer, other) }
        }
    }

    /// Runs `body` on the loop of the transport at `address`; false when there is none.
    @discardableResult
    private func with(_ address: Address, _ body: @escaping @Sendable (LoopbackTransport) -> Void) -> Bool {
        guard let peer = network.transport(at: address) else { return false }
        peer.loop.execute { body(peer) }
        return true
    }
}
