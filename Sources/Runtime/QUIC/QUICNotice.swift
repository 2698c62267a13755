import PatinaProtocol

/// What the delegate is to be told, kept until the library and the owner have both returned.
enum QUICNotice {
    case datagram([UInt8], from: Address)
    case message([UInt8], from: Address)
    case sessionOpened(SessionID, from: Address)
    case sessionReceived(SessionID, [UInt8])
    case sessionFinished(SessionID)
    case sessionLost(SessionID)
    case peerLost(Address)
}

/// Why a connection is over.
enum ConnectionEnd {
    /// The library met an error of this code, most often the peer's.
    case failed(CInt)
    /// This endpoint wants it no more.
    case closed(UInt64, String)
    case closedByPeer
    /// The peer has forgotten the connection.
    case reset
    /// Nothing came for the idle timeout.
    case idle
    /// The handshake took too long.
    case unanswered
    /// The first packet was no beginning of a connection.
    case dropped
}

/// Where packets of a connection ID go.
enum Route {
    case open(QUICConnection)
    case closed(ClosedConnection)
}

/// What is left of a connection for a few round trips: late packets are answered with the close, not with a reset.
final class ClosedConnection {
    let remote: Address
    let packet: [UInt8]?
    private var received = 0

    init(remote: Address, packet: [UInt8]?) {
        self.remote = remote
        self.packet = packet
    }

    /// The packet to answer with: after the first, the second, the fourth, the eighth late packet.
    func answer() -> [UInt8]? {
        received += 1
        return received & (received - 1) == 0 ? packet : nil
    }
}
