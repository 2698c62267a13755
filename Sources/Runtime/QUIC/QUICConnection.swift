import CNgtcp2
import Glibc
import NIOCore
import PatinaProtocol

/// One QUIC connection: the library's object, its TLS session, its streams and its timer.
final class QUICConnection {
    enum Role { case client, server }
    enum Phase { case handshaking, established, ended }

    unowned let endpoint: QUICEndpoint
    let role: Role
    let remote: Address
    /// The address of ours that the peer dialled, when the socket is bound to all of them.
    let source: Address?
    /// The destination ID of the client's first packet: random, and known to both ends.
    let originalID: ConnectionID
    let startedAt: NIODeadline
    let path: NetworkPath
    let handle: OpaquePointer
    let tls: TLSSession
    let packetCapacity: Int
    private let target: CallbackTarget

    var peer: QUICPeer?
    var phase = Phase.handshaking
    var establishedAt: NIODeadline
    /// The IDs of ours that packets may carry.
    private(set) var localIDs: [ConnectionID] = []
    /// TLS is done at this end: data can be sent.
    private(set) var hasCompleted = false
    /// The server has judged the client's certificate as well.
    private(set) var hasConfirmed = false
    /// The peer, having forgotten this connection, sent a stateless reset.
    var wasReset = false
    /// Something may have to be written.
    var isDirty = false

    var streams: [Int64: SendStream] = [:]
    /// Streams of ours that carry messages.
    var lanes: [SendStream] = []
    /// The peer's streams of messages.
    var incoming: [Int64: MessageReader] = [:]
    var assembledBytes = 0
    var refusedStreams: Set<Int64> = []
    var shutdowns: [Int64] = []
    var readyLanes = CircularBuffer<SendStream>()
    var readySessions = CircularBuffer<SendStream>()
    var parked: [SendStream] = []
    var sessionsTurn = false
    var largestDatagram = 0
    /// Sessions on this connection, and those of them that the peer opened.
    var sessionCount = 0
    var remoteSessionCount = 0
    /// Messages of ours that the peer has not taken yet.
    var messageCount = 0
    private var timer: (task: Scheduled<Void>, deadline: UInt64)?

    var isUsable: Bool { hasCompleted && phase != .ended }

    /// Begins to connect to `remote`.
    convenience init(connecting remote: Address, path: NetworkPath, endpoint: QUICEndpoint, now: NIODeadline) throws(QUICError) {
        let original = ConnectionID.random()
        try self.init(
            role: .client, remote: remote, source: nil, original: original, path: path, endpoint: endpoint, now: now
        ) { target, settings, parameters throws(QUICError) in
            var handle: OpaquePointer?
            var destination = original.cid
            var source = ConnectionID.random().cid
            var table = QUICConnection.callbacks
            let result = ngtcp2_conn_client_new_versioned(
                &handle, &destination, &source, path.pointer, NGTCP2_PROTO_VER_V1, NGTCP2_CALLBACKS_VERSION, &table,
                NGTCP2_SETTINGS_VERSION, &settings, NGTCP2_TRANSPORT_PARAMS_VERSION, &parameters, nil, target.opaque)
            return try (QUICConnection.made("ngtcp2_conn_client_new", handle, result), [ConnectionID(source)])
        }
    }

    /// Answers a client's first packet, whose header is `header`.
    /// - Parameter proof: what a Retry token proved: the destination ID of the packet before the Retry.
    convenience init(
        accepting header: ngtcp2_pkt_hd, proof: ngtcp2_cid?, from remote: Address, to source: Address?, path: NetworkPath,
        endpoint: QUICEndpoint, now: NIODeadline
    ) throws(QUICError) {
        try self.init(
            role: .server, remote: remote, source: source, original: ConnectionID(proof ?? header.dcid), path: path,
            endpoint: endpoint, now: now
        ) { target, settings, parameters throws(QUICError) in
            var handle: OpaquePointer?
            var destination = header.scid
            var own = ConnectionID.random().cid
            parameters.original_dcid = proof ?? header.dcid
            if proof != nil {
                parameters.retry_scid = header.dcid
                parameters.retry_scid_present = 1
                settings.token = header.token
            }
            parameters.stateless_reset_token_present = 1
            withUnsafeMutableBytes(of: &parameters.stateless_reset_token) { endpoint.writeResetToken($0, for: &own) }
            var table = QUICConnection.callbacks
            let result = ngtcp2_conn_server_new_versioned(
                &handle, &destination, &own, path.pointer, header.version, NGTCP2_CALLBACKS_VERSION, &table,
                NGTCP2_SETTINGS_VERSION, &settings, NGTCP2_TRANSPORT_PARAMS_VERSION, &parameters, nil, target.opaque)
            return try (
                QUICConnection.made("ngtcp2_conn_server_new", handle, result), [ConnectionID(own), ConnectionID(header.dcid)]
            )
        }
    }

    private init(
        role: Role, remote: Address, source: Address?, original: ConnectionID, path: NetworkPath, endpoint: QUICEndpoint,
        now: NIODeadline,
        make: (CallbackTarget, inout ngtcp2_settings, inout ngtcp2_transport_params) throws(QUICError) -> (OpaquePointer, [ConnectionID])
    ) throws(QUICError) {
        let configuration = endpoint.configuration
        var settings = QUICConnection.settings(configuration, now: now)
        var parameters = QUICConnection.parameters(configuration)
        let target = CallbackTarget()
        let (handle, ids) = try make(target, &settings, &parameters)
        target.handle = handle
        do {
            tls = try TLSSession(endpoint.tls, dialling: role == .client ? remote.host : nil, target: target)
        } catch {
            ngtcp2_conn_del(handle)
            throw error
        }
        ngtcp2_conn_set_tls_native_handle(handle, UnsafeMutableRawPointer(tls.handle))
        self.endpoint = endpoint
        self.role = role
        self.remote = remote
        self.source = source
        self.path = path
        self.handle = handle
        self.target = target
        originalID = original
        startedAt = now
        establishedAt = now
        packetCapacity = settings.max_tx_udp_payload_size
        target.connection = self
        for id in ids { adopt(id) }
    }

    // The library's object goes before the TLS session that it points to.
    deinit { ngtcp2_conn_del(handle) }

    private static func made(_ call: String, _ handle: OpaquePointer?, _ result: CInt) throws(QUICError) -> OpaquePointer {
        guard result == 0, let handle else { throw .library(call: call, reason: libraryError(result)) }
        return handle
    }

    private static func settings(_ configuration: QUICConfiguration, now: NIODeadline) -> ngtcp2_settings {
        var settings = ngtcp2_settings()
        ngtcp2_settings_default_versioned(NGTCP2_SETTINGS_VERSION, &settings)
        settings.initial_ts = now.uptimeNanoseconds
        // The default of 333 ms makes a lost first packet cost a second.
        settings.initial_rtt = 100_000_000
        settings.handshake_timeout = UInt64(configuration.connectTimeout.nanoseconds)
        if let size = configuration.maximumMTU {
            settings.max_tx_udp_payload_size = size
            settings.no_tx_udp_payload_size_shaping = 1
            settings.no_pmtud = 1
        }
        return settings
    }

    private static func parameters(_ configuration: QUICConfiguration) -> ngtcp2_transport_params {
        var parameters = ngtcp2_transport_params()
        ngtcp2_transport_params_default_versioned(NGTCP2_TRANSPORT_PARAMS_VERSION, &parameters)
        parameters.initial_max_stream_data_bidi_local = UInt64(configuration.streamWindow)
        parameters.initial_max_stream_data_bidi_remote = UInt64(configuration.streamWindow)
        parameters.initial_max_stream_data_uni = UInt64(configuration.streamWindow)
        parameters.initial_max_data = UInt64(configuration.connectionWindow)
        parameters.initial_max_streams_bidi = UInt64(configuration.sessionStreams)
        parameters.initial_max_streams_uni = UInt64(configuration.laneAllowance)
        parameters.max_idle_timeout = UInt64(configuration.idleTimeout.nanoseconds)
        parameters.max_datagram_frame_size = 65_535
        parameters.disable_active_migration = 1
        return parameters
    }

    // MARK: connection IDs

    private func adopt(_ id: ConnectionID) {
        localIDs.append(id)
        endpoint.routes[id] = .open(self)
    }

    /// The library wants one more ID for the peer to use.
    func giveOutConnectionID(_ id: UnsafeMutablePointer<ngtcp2_cid>, token: UnsafeMutablePointer<UInt8>, count: Int) -> CInt {
        id.pointee = randomCID(count: count)
        endpoint.writeResetToken(UnsafeMutableRawBufferPointer(start: token, count: 16), for: id)
        adopt(ConnectionID(id.pointee))
        return 0
    }

    func withdrawConnectionID(_ id: ConnectionID) {
        localIDs.removeAll { $0 == id }
        endpoint.routes.removeValue(forKey: id)
    }

    // MARK: handshake

    /// A client is trusted from here on, and what it sends may lie in this very packet.
    func handshakeCompleted() {
        hasCompleted = true
        guard role == .server else { return }
        endpoint.counters.halfOpen -= 1
        peer = endpoint.peer(at: remote)
    }

    func handshakeConfirmed() { hasConfirmed = true }

    /// Keep-alives at half of the shorter idle timeout of the two ends, or none.
    func setKeepAlive(_ wanted: Bool) {
        var idle = UInt64(endpoint.configuration.idleTimeout.nanoseconds)
        if let theirs = ngtcp2_conn_get_remote_transport_params(handle)?.pointee.max_idle_timeout, theirs > 0 {
            idle = min(idle, theirs)
        }
        ngtcp2_conn_set_keep_alive_timeout(handle, wanted ? max(idle / 2, 1_000_000) : 0)
    }

    // MARK: reading and time

    /// Hands one UDP payload to the library and returns its verdict.
    func read(_ packet: UnsafeRawBufferPointer, now: NIODeadline) -> CInt {
        var information = ngtcp2_pkt_info()
        let result = ngtcp2_conn_read_pkt_versioned(
            handle, path.pointer, NGTCP2_PKT_INFO_VERSION, &information, packet.baseAddress?.assumingMemoryBound(to: UInt8.self),
            packet.count, now.uptimeNanoseconds)
        guard result == 0, !shutdowns.isEmpty else { return result }
        let ids = shutdowns
        shutdowns.removeAll()
        for id in ids { shutDownStream(id) }
        return result
    }

    /// Arms the timer for the library's next deadline. A later deadline than the armed one is looked at when that one fires.
    func armTimer(now: NIODeadline) {
        let expiry = ngtcp2_conn_get_expiry(handle)
        guard expiry != .max, phase != .ended else { return }
        if let timer {
            if timer.deadline <= expiry { return }
            timer.task.cancel()
        }
        let deadline = max(NIODeadline.uptimeNanoseconds(min(expiry, UInt64(Int64.max))), now)
        let task = endpoint.loop.assumeIsolated().scheduleTask(deadline: deadline) { [weak self] in
            guard let self else { return }
            self.timer = nil
            self.endpoint.timerFired(self)
        }
        timer = (task, expiry)
    }

    func cancelTimer() {
        timer?.task.cancel()
        timer = nil
    }

    /// Deals with a deadline that has passed; zero when the connection lives on.
    func handleExpiry(now: NIODeadline) -> CInt {
        guard ngtcp2_conn_get_expiry(handle) <= now.uptimeNanoseconds else { return 0 }
        return ngtcp2_conn_handle_expiry(handle, now.uptimeNanoseconds)
    }
}

/// The library's words for one of its error codes.
func libraryError(_ code: CInt) -> String { ngtcp2_strerror(code).map { String(cString: $0) } ?? "error \(code)" }
