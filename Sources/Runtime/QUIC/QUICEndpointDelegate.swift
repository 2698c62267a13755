import PatinaProtocol

/// What an endpoint tells its owner. Every call is made on the endpoint's event loop, never from inside a call of the owner
/// into the endpoint, so that the owner may call the endpoint back freely.
public protocol QUICEndpointDelegate: AnyObject, Sendable {
    /// An unreliable datagram.
    func datagramReceived(_ bytes: [UInt8], from address: Address)
    /// A finished message of at most `limits.messageBytes`.
    func messageReceived(_ bytes: [UInt8], from address: Address)
    /// A peer opened a session. The endpoint numbers these upwards from zero with `initiator == .peer`.
    func sessionOpened(_ session: SessionID, from address: Address)
    /// Bytes of a session, in order, cut anywhere, never empty.
    func sessionReceived(_ session: SessionID, _ bytes: [UInt8])
    /// The peer has sent all that it will send.
    func sessionFinished(_ session: SessionID)
    /// The session is over: reset by the peer, refused, or its connection was lost. Not told after `resetSession`.
    func sessionLost(_ session: SessionID)
    /// The connection to a peer was lost or could not be made. What was queued for it has been dropped; its sessions were
    /// told lost before this.
    func peerLost(_ address: Address)
}
