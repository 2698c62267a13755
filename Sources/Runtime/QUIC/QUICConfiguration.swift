import PatinaProtocol

/// How an endpoint proves who it is and what it demands of its peers. Paths name PEM files, or DER files when they end in `.der`.
public enum QUICSecurity: Hashable, Sendable {
    /// Both sides present a certificate that chains to `authority`; a client also demands that the server's certificate
    /// names the IP address that was dialled. `client` replaces the certificate in the client's role.
    case mutualTLS(certificate: String, key: String, authority: String, client: QUICKeyPair? = nil)
    /// Servers present a certificate, clients none. Clients verify it as above, unless `authority` is nil: then not at all.
    case serverTLS(certificate: String, key: String, authority: String?)
    /// Encrypted with a certificate made at start, and nobody is verified: for tests and trusted networks.
    case plaintext
}

/// The files of a certificate (its chain may follow it in the same file) and of its private key.
public struct QUICKeyPair: Hashable, Sendable {
    /// Path of the certificate.
    public var certificate: String
    /// Path of the private key.
    public var key: String

    /// - Parameters:
    ///   - certificate: path of the certificate, PEM or `.der`.
    ///   - key: path of the private key, PEM or `.der`.
    public init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}

/// What a QUIC endpoint is told when it is bound. Every bound of the transport is here or in `Limits`.
public struct QUICConfiguration: Hashable, Sendable {
    /// The address of the one UDP socket, for both roles. Port 0 lets the system choose.
    public var bind: Address
    /// Who is trusted.
    public var security: QUICSecurity
    /// A connection over which nothing came for this long is lost. Keep-alives are sent at half of it. At least 100 ms.
    public var idleTimeout: Duration = .seconds(30)
    /// Fixes the UDP payload size, in bytes, and turns the search for a larger one off. 1,200 to 65,000.
    public var maximumMTU: Int?
    /// `messageBytes` bounds messages in both directions; `datagramBytes` bounds datagrams that are sent.
    public var limits = Limits()
    /// Sends each packet with a system call argument of its own instead of letting the kernel cut a large one.
    public var disableSegmentationOffload = false
    /// A handshake that takes longer has failed, in both roles.
    public var connectTimeout: Duration = .seconds(5)
    /// The wait after the first failure to connect to a peer; it doubles with each further one.
    public var backoffMinimum: Duration = .milliseconds(100)
    /// The longest wait between two attempts to connect to a peer.
    public var backoffMaximum: Duration = .seconds(10)
    /// Attempts to connect to one peer within any minute.
    public var attemptsPerMinute = 30
    /// Messages that may wait for one peer. Further ones are dropped and counted.
    public var queuedMessages = 16_384
    /// Bytes of messages, and of session data, that may wait for one peer or for its acknowledgement.
    public var queuedBytes = 64 * 1_024 * 1_024
    /// The same for all peers together.
    public var allQueuedBytes = 1_024 * 1_024 * 1_024
    /// Datagrams that may wait for one peer. Further ones are dropped and counted.
    public var queuedDatagrams = 256
    /// Sessions that may wait for one peer. Further ones are lost at once.
    public var queuedSessions = 256
    /// Bytes of unfinished messages from one connection. A stream that would exceed it is refused and counted.
    public var assemblyBytes = 64 * 1_024 * 1_024
    /// Messages that may be on their way to one peer at the same time. Further ones wait.
    public var messagesUnderWay = 256
    /// One-way streams that carry the messages to one peer, so that a long message does not hold up all others.
    public var messageLanes = 4
    /// One-way streams that a peer may open during a connection. More than lanes, for peers that replace a lane; they are never
    /// given back (see `MessageLane`).
    public var laneAllowance = 16
    /// Sessions that one end may have open with the other. Further ones wait at their opener; those of an opener that does
    /// not wait are refused.
    public var sessionStreams = 32
    /// Bytes that a peer may send on one stream, and on one connection, ahead of their being consumed.
    public var streamWindow = 2 * 1_024 * 1_024
    public var connectionWindow = 8 * 1_024 * 1_024
    /// Handshakes that peers began and did not finish. Further ones are dropped and counted.
    public var halfOpenHandshakes = 256
    /// From this many half-open handshakes on, a newcomer must first prove its address (QUIC Retry).
    public var halfOpenBeforeRetry = 64
    /// Connections of this endpoint, in both roles.
    public var connections = 40_000
    /// How long `shutdown()` waits for what is queued to be acknowledged before it closes the connections.
    public var drainTimeout: Duration = .milliseconds(500)

    /// - Parameters:
    ///   - bind: the address of the UDP socket.
    ///   - security: who is trusted.
    public init(bind: Address, security: QUICSecurity) {
        self.bind = bind
        self.security = security
    }

    /// - Throws: `QUICError.configuration`, naming the value that is out of its bounds.
    func validate() throws(QUICError) {
        func check(_ isValid: Bool, _ reason: String) throws(QUICError) {
            guard isValid else { throw .configuration(reason) }
        }
        let day = Duration.seconds(86_400)
        try check(.milliseconds(100)...day ~= idleTimeout, "idleTimeout is \(idleTimeout), not between 0.1 seconds and a day")
        try check(.milliseconds(10)...day ~= connectTimeout, "connectTimeout is \(connectTimeout), not between 0.01 seconds and a day")
        try check(.milliseconds(1)...day ~= backoffMinimum, "backoffMinimum is \(backoffMinimum), not between 0.001 seconds and a day")
        try check(backoffMinimum...day ~= backoffMaximum, "backoffMaximum is \(backoffMaximum), not between backoffMinimum and a day")
        try check(.zero...day ~= drainTimeout, "drainTimeout is \(drainTimeout), not between zero and a day")
        if let maximumMTU { try check(1_200...65_000 ~= maximumMTU, "maximumMTU is \(maximumMTU), not between 1200 and 65000") }
        try check(attemptsPerMinute >= 1, "attemptsPerMinute is \(attemptsPerMinute), not at least 1")
        try check(1...65_536 ~= messagesUnderWay, "messagesUnderWay is \(messagesUnderWay), not between 1 and 65536")
        try check(1...64 ~= messageLanes, "messageLanes is \(messageLanes), not between 1 and 64")
        try check(messageLanes...1_024 ~= laneAllowance, "laneAllowance is \(laneAllowance), not between messageLanes and 1024")
        try check(1...65_536 ~= sessionStreams, "sessionStreams is \(sessionStreams), not between 1 and 65536")
        try check(1_024...1 << 32 ~= streamWindow, "streamWindow is \(streamWindow), not between 1 KiB and 4 GiB")
        try check(streamWindow...1 << 32 ~= connectionWindow, "connectionWindow is \(connectionWindow), not between streamWindow and 4 GiB")
        try check(
            allQueuedBytes > limits.messageBytes, "allQueuedBytes is \(allQueuedBytes), less than a message of \(limits.messageBytes)")
        try check(queuedBytes > limits.messageBytes, "queuedBytes is \(queuedBytes), less than a message of \(limits.messageBytes)")
        try check(assemblyBytes >= limits.messageBytes, "assemblyBytes is \(assemblyBytes), less than a message of \(limits.messageBytes)")
    }
}

/// Why an endpoint could not be bound. Each says what failed, where, and what the system or library said.
public enum QUICError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A certificate, key or authority file cannot be used.
    case file(path: String, reason: String)
    /// A value of `QUICConfiguration` is out of its bounds.
    case configuration(String)
    /// The UDP socket could not be bound.
    case bind(Address, reason: String)
    /// A call into the QUIC or TLS library failed that should not have.
    case library(call: String, reason: String)

    public var description: String {
        switch self {
        case .file(let path, let reason): "\(path): \(reason)"
        case .configuration(let reason): "QUIC configuration: \(reason)"
        case .bind(let address, let reason): "cannot bind UDP \(address): \(reason)"
        case .library(let call, let reason): "\(call) failed: \(reason)"
        }
    }
}
