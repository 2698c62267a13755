import CNgtcp2
import NIOCore
import PatinaProtocol

/// What the owner asks for.
extension QUICEndpoint {
    /// Sends an unreliable datagram of at most `limits.datagramBytes`; a longer one is dropped and counted.
    public func sendDatagram(to address: Address, _ bytes: [UInt8]) {
        loop.preconditionInEventLoop()
        guard !isClosing, bytes.count <= configuration.limits.datagramBytes else {
            counters.datagramsDropped += 1
            return
        }
        let peer = peer(at: address)
        guard peer.datagrams.count < configuration.queuedDatagrams else {
            counters.datagramsDropped += 1
            return
        }
        peer.datagrams.append(bytes)
        pursue(peer)
    }

    /// Sends a message: delivered whole or not at all, in any order among others. At most `limits.messageBytes`.
    /// Dropped and counted when it is longer, or when the queue for the peer is full.
    public func sendMessage(to address: Address, _ bytes: [UInt8]) {
        loop.preconditionInEventLoop()
        guard bytes.count <= configuration.limits.messageBytes else {
            counters.messagesRefused += 1
            warn("a message of \(bytes.count) bytes for \(address) is over the limit of \(configuration.limits.messageBytes)")
            return
        }
        let peer = isClosing ? nil : peer(at: address)
        guard let peer, peer.messages.count < configuration.queuedMessages, peer.hasRoom(for: bytes.count + MessageLane.headerBytes) else {
            counters.messagesDropped += 1
            return
        }
        peer.messages.append(bytes)
        peer.bytes += bytes.count + MessageLane.headerBytes
        pursue(peer)
    }

    /// Opens a session under a number of the caller's choice (`initiator == .node`) that must not be in use.
    /// `sessionLost` tells when it cannot be had.
    public func openSession(_ session: SessionID, to address: Address) {
        loop.preconditionInEventLoop()
        precondition(session.initiator == .node, "the endpoint numbers the sessions that peers open")
        precondition(sessions[session] == nil, "session \(session.number) is open already")
        counters.sessionsOpened += 1
        let peer = isClosing ? nil : peer(at: address)
        guard let peer, peer.waitingSessions.count < configuration.queuedSessions else {
            counters.sessionsLost += 1
            note(.sessionLost(session))
            return
        }
        let stream = SendStream(purpose: .session(session), isFinished: false)
        stream.buffer.append([], after: .session)
        peer.bytes += stream.buffer.unacknowledged
        sessions[session] = QUICSession(id: session, peer: peer, stream: stream, connection: nil)
        peer.waitingSessions.append(stream)
        pursue(peer)
    }

    /// Writes to a session, in order. Does nothing when the session is over or finished. A session whose peer does not take
    /// what is written, until `queuedBytes` wait for it, is reset and told lost.
    public func writeSession(_ session: SessionID, _ bytes: [UInt8]) {
        loop.preconditionInEventLoop()
        guard let entry = sessions[session], !entry.stream.isFinished, !bytes.isEmpty else { return }
        guard entry.peer.hasRoom(for: bytes.count) else {
            drop(entry)
            counters.sessionsLost += 1
            note(.sessionLost(session))
            return
        }
        entry.stream.buffer.append(bytes)
        entry.peer.bytes += bytes.count
        write(entry)
    }

    /// Says that nothing more will be written; the peer may still write.
    public func finishSession(_ session: SessionID) {
        loop.preconditionInEventLoop()
        guard let entry = sessions[session], !entry.stream.isFinished else { return }
        entry.stream.isFinished = true
        write(entry)
    }

    /// Drops a session in both directions at once. Nothing more is told of it.
    public func resetSession(_ session: SessionID) {
        loop.preconditionInEventLoop()
        muteSession(session)
        if let entry = sessions[session] { drop(entry) }
    }

    private func write(_ entry: QUICSession) {
        guard let connection = entry.connection else { return }
        connection.makeReady(entry.stream)
        markDirty(connection)
    }

    private func drop(_ entry: QUICSession) {
        sessions.removeValue(forKey: entry.id)
        entry.stream.isAbandoned = true
        if let connection = entry.connection {
            // The account is settled when the library closes the stream.
            connection.shutDownStream(entry.stream.id)
            markDirty(connection)
        } else {
            entry.peer.bytes -= entry.stream.buffer.unacknowledged
        }
    }

    func peer(at address: Address) -> QUICPeer {
        if let known = peers[address] { return known }
        let peer = QUICPeer(address: address, endpoint: self)
        peers[address] = peer
        return peer
    }

    /// Sees to it that what waits for a peer gets on its way: over the connection that there is, or over a new one.
    func pursue(_ peer: QUICPeer) {
        if let active = peer.active {
            markDirty(active)
        } else if peer.connections.isEmpty {
            connect(peer)
        }
    }
}
