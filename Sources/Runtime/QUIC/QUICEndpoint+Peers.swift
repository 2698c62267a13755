import CNgtcp2
import NIOCore
import PatinaProtocol

/// The lives of connections: made, established, ended.
extension QUICEndpoint {
    /// Tries to connect to a peer, now or when its backoff is over.
    func connect(_ peer: QUICPeer) {
        guard !isClosing, peer.retry == nil else { return }
        let now = NIODeadline.now()
        peer.attempts.removeAll { now - $0 >= .minutes(1) }
        var earliest = peer.notBefore
        if peer.attempts.count >= configuration.attemptsPerMinute, let first = peer.attempts.first {
            earliest = max(earliest, first + .minutes(1))
        }
        guard earliest <= now else {
            peer.retry = loop.assumeIsolated().scheduleTask(deadline: earliest) { [weak self, weak peer] in
                guard let self, let peer else { return }
                peer.retry = nil
                if peer.hasWork, peer.connections.isEmpty { self.connect(peer) }
            }
            return
        }
        peer.attempts.append(now)
        counters.connectsStarted += 1
        do {
            let connection = try dial(peer.address, now: now)
            connection.peer = peer
            peer.add(connection)
            counters.connections += 1
            markDirty(connection)
        } catch {
            logger.info("QUIC: cannot connect to \(peer.address): \(error)")
            counters.handshakesFailed += 1
            fail(peer, lifetime: nil, now: now)
        }
    }

    private func dial(_ address: Address, now: NIODeadline) throws(QUICError) -> QUICConnection {
        guard counters.connections < configuration.connections else {
            throw .configuration("the limit of \(configuration.connections) connections is reached")
        }
        guard address.canBeDialled, let path = path(to: address) else {
            throw .configuration("a socket bound to \(localAddress) cannot reach it")
        }
        return try QUICConnection(connecting: address, path: path, endpoint: self, now: now)
    }

    /// The path to a peer; nil when the socket's family cannot reach it.
    func path(to address: Address) -> NetworkPath? {
        guard let local = SocketAddressStorage(localAddress, family: socket.family),
            let remote = SocketAddressStorage(address, family: socket.family)
        else { return nil }
        return NetworkPath(local: local, remote: remote)
    }

    /// Takes note of how far a handshake has come.
    func advance(_ connection: QUICConnection) {
        guard connection.phase == .handshaking, connection.hasCompleted else { return }
        switch connection.role {
        case .client:
            connection.peer?.choose()
            if connection.hasConfirmed { established(connection) }
        case .server: established(connection)
        }
    }

    private func established(_ connection: QUICConnection) {
        guard let peer = connection.peer else { preconditionFailure("an established connection has a peer") }
        let now = NIODeadline.now()
        connection.phase = .established
        connection.establishedAt = now
        counters.handshakesCompleted += 1
        switch connection.role {
        case .client: peer.choose()
        case .server:
            let others = peer.connections
            peer.add(connection)
            for other in others where isObsolete(other, since: connection) {
                end(other, .closed(QUICEndpoint.superseded, "superseded"))
            }
        }
        logger.debug("QUIC: connected \(connection.role == .client ? "to" : "by") \(connection.remote)")
        peer.retry?.cancel()
        peer.retry = nil
        settle(peer)
    }

    /// Whether an older connection has no use any more now that the peer has connected to us.
    ///
    /// A peer that connects although it holds a connection has forgotten that one: it was started again. The exception is a
    /// simultaneous open, when each began before it heard of the other: then both live, and both ends use the same one.
    private func isObsolete(_ other: QUICConnection, since accepted: QUICConnection) -> Bool {
        switch other.role {
        case .server: true
        case .client where !other.isUsable: true
        case .client: (accepted.startedAt - other.establishedAt).nanoseconds > configuration.connectTimeout.nanoseconds
        }
    }

    /// After a change of a peer's connections: keeps the right ones alive, and sends what waits.
    private func settle(_ peer: QUICPeer) {
        for connection in peer.connections where connection.isUsable {
            connection.setKeepAlive(connection === peer.active || connection.sessionCount > 0)
            markDirty(connection)
        }
    }

    /// Ends a connection: tells the peer where that makes sense, the delegate what is lost, and the log who was refused and why.
    func end(_ connection: QUICConnection, _ reason: ConnectionEnd) {
        guard connection.phase != .ended else { return }
        let now = NIODeadline.now()
        describe(reason, of: connection)
        let packet = connection.closePacket(reason, now: now)
        if let packet { send(packet, to: connection) }
        retire(connection, reason, packet: packet)
        let before = connection.phase
        connection.phase = .ended
        connection.cancelTimer()
        counters.connections -= 1
        switch (before, connection.role) {
        case (.handshaking, .server):
            counters.handshakesFailed += 1
            if !connection.hasCompleted { counters.halfOpen -= 1 }
        case (.handshaking, .client): counters.handshakesFailed += 1
        case (.established, _):
            if case .closed = reason {} else { counters.connectionsLost += 1 }
        case (.ended, _): preconditionFailure("a connection ends once")
        }
        let lostStreams = connection.abandonStreams()
        guard let peer = connection.peer else { return }
        peer.remove(connection)
        if peer.connections.isEmpty {
            fail(peer, lifetime: before == .established ? now - connection.establishedAt : nil, now: now)
        } else {
            if lostStreams { note(.peerLost(peer.address)) }
            settle(peer)
        }
    }

    /// Leaves a trace of a connection for late packets, for three probe timeouts.
    private func retire(_ connection: QUICConnection, _ reason: ConnectionEnd, packet: [UInt8]?) {
        let ids = connection.localIDs
        switch reason {
        case .failed, .closed, .closedByPeer:
            let rest = ClosedConnection(remote: connection.remote, packet: packet)
            for id in ids { routes[id] = .closed(rest) }
            let linger = min(3 * ngtcp2_conn_get_pto(connection.handle), 3_000_000_000)
            loop.scheduleTask(in: .nanoseconds(Int64(linger))) { [weak self] in
                for id in ids { self?.routes.removeValue(forKey: id) }
            }
        case .reset, .idle, .unanswered, .dropped:
            for id in ids { routes.removeValue(forKey: id) }
        }
    }

    /// The last connection to a peer is gone, or none could be made: what waited for it is dropped, and the next try must wait.
    private func fail(_ peer: QUICPeer, lifetime: TimeAmount?, now: NIODeadline) {
        if let lifetime, lifetime.nanoseconds >= configuration.backoffMaximum.nanoseconds { peer.failures = 0 }
        peer.failures += 1
        let doubled = configuration.backoffMinimum.nanoseconds << min(Int64(peer.failures - 1), 20)
        let delay = min(doubled, configuration.backoffMaximum.nanoseconds)
        peer.notBefore = now + .nanoseconds(Int64.random(in: delay / 2...delay))
        counters.messagesDropped += UInt64(peer.messages.count)
        counters.datagramsDropped += UInt64(peer.datagrams.count)
        for bytes in peer.messages { peer.bytes -= bytes.count + MessageLane.headerBytes }
        peer.messages.removeAll()
        peer.datagrams.removeAll()
        let waiting = peer.waitingSessions
        peer.waitingSessions.removeAll()
        for stream in waiting where !stream.isAbandoned {
            guard case .session(let session) = stream.purpose else { continue }
            peer.bytes -= stream.buffer.unacknowledged
            stream.isAbandoned = true
            sessionEnded(session, lost: true)
        }
        if !isClosing { note(.peerLost(peer.address)) }
    }

    /// Forgets peers that are not connected and not waited for.
    func forgetIdlePeers() {
        let now = NIODeadline.now()
        peers = peers.filter { _, peer in
            !peer.connections.isEmpty || peer.hasWork || peer.retry != nil || peer.notBefore > now
                || peer.attempts.contains { now - $0 < .minutes(1) }
        }
    }

    private func send(_ packet: [UInt8], to connection: QUICConnection) {
        packet.withUnsafeBytes {
            send($0, segment: $0.count, packets: 1, to: connection.path.remote, address: connection.remote, from: connection.source)
        }
    }
}
