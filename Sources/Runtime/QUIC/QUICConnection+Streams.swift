import CNgtcp2
import PatinaProtocol

/// What the library tells of streams and datagrams. These run inside its callbacks: they only note.
extension QUICConnection {
    func datagramReceived(_ bytes: UnsafeBufferPointer<UInt8>) {
        endpoint.counters.datagramsReceived += 1
        endpoint.note(.datagram(Array(bytes), from: remote))
    }

    /// Bytes of a stream, in order. The window is given back at once: a session's bytes go to the owner in this turn of the
    /// loop, and a message's are bounded by `assemblyBytes`.
    func streamReceived(_ id: Int64, _ bytes: UnsafeBufferPointer<UInt8>, isLast: Bool) {
        ngtcp2_conn_extend_max_offset(handle, UInt64(bytes.count))
        if !isLast { ngtcp2_conn_extend_max_stream_offset(handle, id, UInt64(bytes.count)) }
        if refusedStreams.contains(id) { return }
        if let stream = streams[id] {
            guard !stream.isAbandoned, case .session(let session) = stream.purpose else { return }
            sessionReceived(session, bytes[...], isLast: isLast)
        } else if incoming[id] != nil {
            messagesReceived(id, bytes[...])
        } else {
            streamBegan(id, bytes, isLast: isLast)
        }
    }

    /// Whether data flows only from the opener (RFC 9000, section 2.1).
    private static func isOneWay(_ id: Int64) -> Bool { id & 2 != 0 }

    /// The first byte of a stream says what it is.
    private func streamBegan(_ id: Int64, _ bytes: UnsafeBufferPointer<UInt8>, isLast: Bool) {
        switch bytes.first.flatMap(StreamKind.init) {
        case .messages where Self.isOneWay(id):
            incoming[id] = MessageReader()
            messagesReceived(id, bytes.dropFirst())
        // The opener may count a session as over a moment before this end does, hence the factor.
        case .session where !Self.isOneWay(id) && remoteSessionCount < 2 * endpoint.configuration.sessionStreams:
            let stream = endpoint.acceptSession(on: self)
            guard case .session(let session) = stream.purpose else { preconditionFailure("a session was asked for") }
            stream.id = id
            streams[id] = stream
            sessionCount += 1
            remoteSessionCount += 1
            sessionReceived(session, bytes.dropFirst(), isLast: isLast)
        case .messages, .session, nil:
            refuse(id)
        }
    }

    private func messagesReceived(_ id: Int64, _ bytes: Slice<UnsafeBufferPointer<UInt8>>) {
        guard var reader = incoming.removeValue(forKey: id) else { preconditionFailure("a lane has a reader") }
        let others = assembledBytes - reader.assembledBytes
        // A peer that begins many long messages at once gets no more memory for it.
        let limit = min(endpoint.configuration.limits.messageBytes, endpoint.configuration.assemblyBytes - others)
        reader.read(bytes, limit: limit) { message in
            switch message {
            case .whole(let whole):
                endpoint.counters.messagesReceived += 1
                endpoint.note(.message(whole, from: remote))
            case .refused(let length):
                endpoint.counters.messagesRefused += 1
                endpoint.warn("a message of \(length) bytes from \(remote) is over the limit of \(limit)")
            }
        }
        assembledBytes = others + reader.assembledBytes
        incoming[id] = reader
    }

    private func sessionReceived(_ session: SessionID, _ bytes: Slice<UnsafeBufferPointer<UInt8>>, isLast: Bool) {
        if !bytes.isEmpty { endpoint.note(.sessionReceived(session, Array(bytes))) }
        if isLast { endpoint.note(.sessionFinished(session)) }
    }

    private func refuse(_ id: Int64) {
        refusedStreams.insert(id)
        shutdowns.append(id)
    }

    private func forgetIncoming(_ id: Int64) { assembledBytes -= incoming.removeValue(forKey: id)?.assembledBytes ?? 0 }

    func streamAcknowledged(_ id: Int64, to offset: UInt64) {
        guard let stream = streams[id] else { return }
        peer?.bytes -= stream.buffer.acknowledge(to: offset)
        let taken = stream.lane.acknowledge(to: offset)
        guard taken > 0 else { return }
        messageCount -= taken
        endpoint.counters.messagesSent += UInt64(taken)
        endpoint.markDirty(self)
    }

    /// The peer gave up sending on a stream. A session is over then; a message was never there.
    func streamReset(_ id: Int64) {
        forgetIncoming(id)
        guard let stream = streams[id] else { return refuse(id) }
        guard !stream.isAbandoned, case .session(let session) = stream.purpose else { return }
        stream.isAbandoned = true
        shutdowns.append(id)
        endpoint.sessionEnded(session, lost: true)
    }

    func streamClosed(_ id: Int64, cleanly: Bool) {
        let isRemote = ngtcp2_conn_is_local_stream(handle, id) == 0
        if isRemote, !Self.isOneWay(id) { ngtcp2_conn_extend_max_streams_bidi(handle, 1) }
        forgetIncoming(id)
        refusedStreams.remove(id)
        guard let stream = streams.removeValue(forKey: id) else { return }
        if isRemote, case .session = stream.purpose { remoteSessionCount -= 1 }
        lose(stream, cleanly: cleanly)
    }

    /// Takes a stream out of the accounts, and tells its owner unless it ended as it should.
    private func lose(_ stream: SendStream, cleanly: Bool) {
        switch stream.purpose {
        case .messages:
            messageCount -= stream.lane.count
            endpoint.counters.messagesDropped += UInt64(stream.lane.count)
            lanes.removeAll { $0 === stream }
        case .session(let session):
            sessionCount -= 1
            if !stream.isAbandoned { endpoint.sessionEnded(session, lost: !cleanly) }
        }
        stream.isAbandoned = true
        peer?.bytes -= stream.buffer.unacknowledged
    }

    /// The connection is over: drops what is in flight. Tells whether anything was.
    func abandonStreams() -> Bool {
        let lost = streams.sorted { $0.key < $1.key }.map(\.value)
        let wasUsed = lost.contains { if case .messages = $0.purpose { $0.lane.count > 0 } else { true } }
        streams.removeAll()
        for stream in lost { lose(stream, cleanly: false) }
        incoming.removeAll()
        assembledBytes = 0
        readyLanes.removeAll()
        readySessions.removeAll()
        parked.removeAll()
        return wasUsed
    }

    /// Ends a stream abruptly in each direction that it has.
    func shutDownStream(_ id: Int64) {
        // Fails only for a stream that is gone already, or for want of memory, which the next call will meet again.
        if Self.isOneWay(id), ngtcp2_conn_is_local_stream(handle, id) == 0 {
            // The library would reset a half that does not exist, which the peer takes as a violation.
            _ = ngtcp2_conn_shutdown_stream_read(handle, id, QUICEndpoint.streamRefused)
        } else {
            _ = ngtcp2_conn_shutdown_stream(handle, id, QUICEndpoint.streamRefused)
        }
    }
}
