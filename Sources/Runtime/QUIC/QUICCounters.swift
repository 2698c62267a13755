/// What an endpoint has done since it was bound. All but `connections` and `halfOpen` only grow.
public struct QUICCounters: Hashable, Sendable {
    /// UDP payloads, and their bytes, that came in and went out.
    public var packetsReceived: UInt64 = 0
    public var bytesReceived: UInt64 = 0
    public var packetsSent: UInt64 = 0
    public var bytesSent: UInt64 = 0
    /// UDP payloads that belong to no connection and begin none.
    public var packetsIgnored: UInt64 = 0
    /// Packets that the socket refused to send.
    public var packetsUnsent: UInt64 = 0
    public var datagramsReceived: UInt64 = 0
    public var datagramsSent: UInt64 = 0
    /// Datagrams dropped before they were sent: the queue was full, the peer was lost, or they are too long for the path.
    public var datagramsDropped: UInt64 = 0
    public var messagesReceived: UInt64 = 0
    public var messagesSent: UInt64 = 0
    /// Messages dropped because the queue was full, or because the peer was lost before it acknowledged them.
    public var messagesDropped: UInt64 = 0
    /// Messages over `limits.messageBytes`, or over `assemblyBytes`, in either direction.
    public var messagesRefused: UInt64 = 0
    public var sessionsOpened: UInt64 = 0
    public var sessionsLost: UInt64 = 0
    /// Attempts to connect, and connections that peers began.
    public var connectsStarted: UInt64 = 0
    public var acceptsStarted: UInt64 = 0
    /// Handshakes that ended well; that failed; and that were turned away because too many were under way.
    public var handshakesCompleted: UInt64 = 0
    public var handshakesFailed: UInt64 = 0
    public var handshakesRefused: UInt64 = 0
    /// Established connections that ended without this endpoint wanting it.
    public var connectionsLost: UInt64 = 0
    public var retriesSent: UInt64 = 0
    public var resetsSent: UInt64 = 0
    public var resetsReceived: UInt64 = 0
    /// Present connections, and those of them whose handshake a peer began and has not finished.
    public var connections: Int = 0
    public var halfOpen: Int = 0

    /// All zero.
    public init() {}
}
