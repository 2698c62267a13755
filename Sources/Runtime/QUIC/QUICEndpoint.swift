import CNgtcp2
import Glibc
import Logging
import NIOCore
import NIOPosix
import PatinaProtocol

/// One UDP socket that speaks QUIC in both roles.
///
/// Connections are made on demand, one per peer address, and a connection that was accepted from an address serves what is
/// sent to that address. Confined to one event loop: every member but `bind` and `localAddress` must be used on it (checked).
///
/// The library's callbacks and the owner's calls only note what is to be done; `perform` does it when both have returned.
public final class QUICEndpoint: @unchecked Sendable {
    /// The error code of streams that are reset, and of connections that this endpoint closes because it prefers another.
    static let streamRefused: UInt64 = 1
    static let superseded: UInt64 = 1
    static let shuttingDown: UInt64 = 0
    static let reconnecting: UInt64 = 0

    /// The address that the socket is bound to, with the port that the system chose.
    public let localAddress: Address
    /// What the endpoint has done so far.
    public internal(set) var counters = QUICCounters()
    let configuration: QUICConfiguration
    let loop: any EventLoop
    let logger: Logger
    let socket: UDPSocket
    let tls: TLSContext
    private weak var delegate: (any QUICEndpointDelegate)?

    var peers: [Address: QUICPeer] = [:]
    var routes: [ConnectionID: Route] = [:]
    var sessions: [SessionID: QUICSession] = [:]
    /// Bytes that wait for any peer, or for its acknowledgement.
    var queuedBytes = 0
    private var nextPeerSession: UInt64 = 0
    /// Sessions that the owner reset while news of them was waiting.
    private var mutedSessions: Set<SessionID> = []
    private var notices = CircularBuffer<QUICNotice>()
    private var dirty: [QUICConnection] = []
    private var isWorking = false
    private var isWorkScheduled = false
    private(set) var isClosing = false
    private(set) var channel: (any Channel)?
    private var sweep: RepeatedTask?
    var answerLimit: RateLimit
    var warningLimit: RateLimit

    /// Where packets are written before they are sent, and where streams point the library at their data.
    let scratch: UnsafeMutablePointer<UInt8>
    let vectors: UnsafeMutableBufferPointer<ngtcp2_vec>

    private init(
        _ configuration: QUICConfiguration, loop: any EventLoop, delegate: any QUICEndpointDelegate, logger: Logger
    ) throws(QUICError) {
        try configuration.validate()
        tls = try TLSContext(configuration.security)
        socket = try UDPSocket(bind: configuration.bind, segmentation: !configuration.disableSegmentationOffload)
        localAddress = socket.localAddress
        self.configuration = configuration
        self.loop = loop
        self.delegate = delegate
        self.logger = logger
        answerLimit = RateLimit(burst: 100, perSecond: 100, now: .now())
        warningLimit = RateLimit(burst: 10, perSecond: 1, now: .now())
        // Last, because nothing would free them if the above threw.
        scratch = .allocate(capacity: 65_536)
        vectors = .allocate(capacity: 16)
    }

    deinit {
        scratch.deallocate()
        vectors.deallocate()
    }

    /// Binds the socket and begins to answer.
    /// - Parameters:
    ///   - loop: an event loop of NIOPosix, on which everything happens.
    ///   - delegate: held weakly.
    /// - Throws: `QUICError`.
    public static func bind(
        _ configuration: QUICConfiguration, on loop: any EventLoop, delegate: any QUICEndpointDelegate, logger: Logger
    ) async throws -> QUICEndpoint {
        let endpoint = try QUICEndpoint(configuration, loop: loop, delegate: delegate, logger: logger)
        if configuration.security == .plaintext {
            logger.warning("QUIC on \(endpoint.localAddress) verifies nobody: plaintext mode is for tests and trusted networks")
        }
        do {
            try await loop.flatSubmit { endpoint.startReading() }.get()
        } catch let error as QUICError {
            throw error
        } catch {
            throw QUICError.bind(configuration.bind, reason: "\(error)")
        }
        return endpoint
    }

    /// Lets SwiftNIO read the socket.
    private func startReading() -> EventLoopFuture<Void> {
        let descriptor: CInt
        do { descriptor = try socket.duplicate() } catch { return loop.makeFailedFuture(error) }
        var bootstrap = DatagramBootstrap(group: loop)
            .channelOption(.maxMessagesPerRead, value: 16)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65_536))
        if System.supportsUDPReceiveOffload {
            bootstrap = bootstrap.channelOption(.datagramReceiveOffload, value: true)
                .channelOption(.datagramReceiveSegmentSize, value: true)
        }
        if socket.isWildcard { bootstrap = bootstrap.channelOption(.receivePacketInfo, value: true) }
        return bootstrap.channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(DatagramReader(self)) }
        }.withBoundSocket(descriptor).map { channel in
            self.channel = channel
            guard self.sweep == nil else { return }
            self.sweep = self.loop.scheduleRepeatedTask(initialDelay: .seconds(30), delay: .seconds(30)) { [weak self] _ in
                self?.forgetIdlePeers()
            }
        }
    }

    /// The system closed the socket under us. What the peers hold of us is unharmed, so it is opened for reading again.
    func socketClosed() {
        channel = nil
        guard !isClosing else { return }
        logger.error("QUIC on \(localAddress): the system closed the socket; it is opened again")
        loop.scheduleTask(in: .milliseconds(100)) { [weak self] in
            guard let self, !self.isClosing else { return }
            self.startReading().whenFailure { error in
                self.logger.error("QUIC on \(self.localAddress): the socket cannot be read: \(error)")
                self.socketClosed()
            }
        }
    }

    // MARK: the loop of work

    /// Notes what the delegate is to be told.
    func note(_ notice: QUICNotice) {
        notices.append(notice)
        scheduleWork()
    }

    /// Notes that a connection may have something to write.
    func markDirty(_ connection: QUICConnection) {
        guard !connection.isDirty, connection.phase != .ended else { return }
        connection.isDirty = true
        dirty.append(connection)
        scheduleWork()
    }

    private func scheduleWork() {
        guard !isWorking, !isWorkScheduled else { return }
        isWorkScheduled = true
        loop.execute {
            self.isWorkScheduled = false
            self.perform {}
        }
    }

    /// Runs `body`, then tells the delegate and writes to the peers what came of it.
    func perform(_ body: () -> Void) {
        isWorking = true
        body()
        tellDelegate()
        let connections = dirty
        dirty.removeAll(keepingCapacity: true)
        let now = NIODeadline.now()
        for connection in connections where connection.phase != .ended {
            connection.isDirty = false
            let result = connection.write(now: now)
            if result == 0 { connection.armTimer(now: now) } else { end(connection, .failed(result)) }
        }
        isWorking = false
        if !dirty.isEmpty || !notices.isEmpty { scheduleWork() }
    }

    private func tellDelegate() {
        while let notice = notices.popFirst() {
            switch notice {
            case .datagram(let bytes, let address): delegate?.datagramReceived(bytes, from: address)
            case .message(let bytes, let address): delegate?.messageReceived(bytes, from: address)
            case .sessionOpened(let session, let address):
                if !mutedSessions.contains(session) { delegate?.sessionOpened(session, from: address) }
            case .sessionReceived(let session, let bytes):
                if !mutedSessions.contains(session) { delegate?.sessionReceived(session, bytes) }
            case .sessionFinished(let session):
                if !mutedSessions.contains(session) { delegate?.sessionFinished(session) }
            case .sessionLost(let session):
                if !mutedSessions.contains(session) { delegate?.sessionLost(session) }
            case .peerLost(let address): delegate?.peerLost(address)
            }
        }
        mutedSessions.removeAll()
    }

    func timerFired(_ connection: QUICConnection) {
        guard connection.phase != .ended else { return }
        perform {
            let now = NIODeadline.now()
            switch connection.handleExpiry(now: now) {
            case 0: markDirty(connection)
            case NGTCP2_ERR_IDLE_CLOSE: end(connection, .idle)
            case NGTCP2_ERR_HANDSHAKE_TIMEOUT: end(connection, .unanswered)
            case let code: end(connection, .failed(code))
            }
        }
    }

    /// Hands packets to the kernel. What it refuses is lost, as on any network, and counted.
    func send(
        _ bytes: UnsafeRawBufferPointer, segment: Int, packets: Int, to remote: SocketAddressStorage, address: Address,
        from source: Address?
    ) {
        switch socket.send(bytes, segment: segment, to: remote, from: source) {
        case .sent:
            counters.packetsSent += UInt64(packets)
            counters.bytesSent += UInt64(bytes.count)
        case .blocked, .refused(EMSGSIZE):
            counters.packetsUnsent += UInt64(packets)
        case .refused(let code):
            counters.packetsUnsent += UInt64(packets)
            warn("cannot send to \(address): \(systemError(code))")
        }
    }

    /// Logs a warning that a stranger, or a broken network, could cause again and again.
    func warn(_ message: @autoclosure () -> String) {
        guard let suppressed = warningLimit.take(now: .now()) else { return }
        logger.warning("QUIC: \(message())\(suppressed > 0 ? " (\(suppressed) more warnings were left out)" : "")")
    }

    // MARK: sessions

    /// A peer opened a session: gives it a number and tells the delegate.
    func acceptSession(on connection: QUICConnection) -> SendStream {
        guard let peer = connection.peer else { preconditionFailure("no stream data is delivered before the handshake is done") }
        let id = SessionID(.peer, nextPeerSession)
        nextPeerSession += 1
        let stream = SendStream(purpose: .session(id), isFinished: false)
        sessions[id] = QUICSession(id: id, peer: peer, stream: stream, connection: connection)
        counters.sessionsOpened += 1
        note(.sessionOpened(id, from: connection.remote))
        return stream
    }

    func sessionConnected(_ stream: SendStream, on connection: QUICConnection) {
        guard case .session(let id) = stream.purpose else { preconditionFailure("only sessions wait for bidirectional streams") }
        sessions[id]?.connection = connection
    }

    func sessionEnded(_ id: SessionID, lost: Bool) {
        guard sessions.removeValue(forKey: id) != nil, lost else { return }
        counters.sessionsLost += 1
        note(.sessionLost(id))
    }

    func muteSession(_ id: SessionID) { mutedSessions.insert(id) }

    // MARK: closing

    /// Waits at most `drainTimeout` for what is queued, tells every peer that the connection closes, and closes the socket.
    /// From now on nothing is sent or accepted any more; what arrives is still delivered until the connections close.
    public func shutdown() -> EventLoopFuture<Void> {
        loop.preconditionInEventLoop()
        guard !isClosing else { return channel?.closeFuture ?? loop.makeSucceededVoidFuture() }
        isClosing = true
        let done = loop.makePromise(of: Void.self)
        let deadline = NIODeadline.now() + .nanoseconds(configuration.drainTimeout.nanoseconds)
        // Later, because the owner may call this from inside a call of ours.
        loop.execute { self.drain(until: deadline, done) }
        return done.futureResult
    }

    private func drain(until deadline: NIODeadline, _ done: EventLoopPromise<Void>) {
        let isBusy = peers.values.contains { peer in peer.active != nil && (peer.hasWork || peer.bytes > 0) }
        if isBusy, NIODeadline.now() < deadline {
            loop.scheduleTask(in: .milliseconds(5)) { self.drain(until: deadline, done) }
            return
        }
        perform {
            for connection in openConnections { end(connection, .closed(QUICEndpoint.shuttingDown, "shutting down")) }
        }
        closeSocket(done)
    }

    /// Closes every connection and tells each peer. What waits for a peer, or is wanted later, makes new ones.
    public func closeConnections() {
        loop.preconditionInEventLoop()
        guard !isClosing else { return }
        perform {
            for connection in openConnections { end(connection, .closed(QUICEndpoint.reconnecting, "closed by an operator")) }
        }
    }

    /// Vanishes without a word to the peers, as a process that is killed does. For tests.
    func abandon() -> EventLoopFuture<Void> {
        loop.preconditionInEventLoop()
        isClosing = true
        let done = loop.makePromise(of: Void.self)
        socket.close()
        perform {
            for connection in openConnections { end(connection, .dropped) }
        }
        closeSocket(done)
        return done.futureResult
    }

    private func closeSocket(_ done: EventLoopPromise<Void>) {
        for peer in peers.values { peer.retry?.cancel() }
        peers.removeAll()
        routes.removeAll()
        sweep?.cancel()
        socket.close()
        guard let channel else { return done.succeed() }
        channel.close().flatMapError { _ in channel.eventLoop.makeSucceededVoidFuture() }.cascade(to: done)
    }

    private var openConnections: [QUICConnection] {
        var seen: Set<ObjectIdentifier> = []
        return routes.values.compactMap { route in
            guard case .open(let connection) = route, seen.insert(ObjectIdentifier(connection)).inserted else { return nil }
            return connection
        }
    }
}

/// Reads datagrams for an endpoint.
private final class DatagramReader: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let endpoint: QUICEndpoint

    init(_ endpoint: QUICEndpoint) { self.endpoint = endpoint }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { endpoint.received(unwrapInboundIn(data)) }
    // One round of writing for all that was read in one go. Were it left out, the work that reading scheduled does the same.
    func channelReadComplete(context: ChannelHandlerContext) { endpoint.perform {} }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        endpoint.logger.debug("QUIC: reading the socket: \(error)")
    }
    func channelInactive(context: ChannelHandlerContext) { endpoint.socketClosed() }
}
