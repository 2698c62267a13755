import Logging
import NIOCore
import PatinaProtocol

/// What a driver needs of the network. `QUICEndpoint` is the real one; tests also use a loopback within the process.
///
/// Everything but `localAddress` happens on the event loop that the transport was bound on. A transport tells its
/// `QUICEndpointDelegate` what arrives, and numbers the sessions that peers open.
protocol Transport: AnyObject, Sendable {
    var localAddress: Address { get }
    var counters: QUICCounters { get }
    func sendDatagram(to address: Address, _ bytes: [UInt8])
    func sendMessage(to address: Address, _ bytes: [UInt8])
    func openSession(_ session: SessionID, to address: Address)
    func writeSession(_ session: SessionID, _ bytes: [UInt8])
    func finishSession(_ session: SessionID)
    func resetSession(_ session: SessionID)
    /// Closes every connection; new ones are made when they are wanted.
    func closeConnections()
    /// Passes on what is queued, within a bound of its own, and closes the socket.
    func shutdown() -> EventLoopFuture<Void>
}

extension QUICEndpoint: Transport {}

/// Binds a transport whose delegate, held weakly, is called on `loop`.
typealias TransportBinding =
    @Sendable (_ loop: any EventLoop, _ delegate: any QUICEndpointDelegate, _ logger: Logger) async throws -> any Transport
