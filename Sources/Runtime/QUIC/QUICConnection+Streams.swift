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
            messageReceived(id, bytes[...], isLast: isLast)
        } else {
            streamBegan(id, bytes, isLast: isLast)
        }
    }

    /// The first byte of a stream says what it is.
    private func streamBegan(_ id: Int64, _ bytes: UnsafeBufferPointer<UInt8>, isLast: Bool) {
        switch bytes.first.flatMap(StreamKind.init) {
        case .message:
            incoming[id] = []
            messageReceived(id, bytes.dropFirst(), isLast: isLast)
        // The opener may count a session as over a moment before this end does, hence the factor.
        case .session where remoteSessionCount < 2 * endpoint.configuration.sessionStreams:
            let stream = endpoint.acceptSession(on: self)
            guard case .session(let session) = stream.purpose else { preconditionFailure("a session was asked for") }
            stream.id = id
            streams[id] = stream
            sessionCount += 1
            remoteSessionCount += 1
            sessionReceived(session, bytes.dropFirst(), isLast: isLast)
        case .session, nil:
            refuse(id)
        }
    }

    private func messageReceived(_ id: Int64, _ bytes: Slice<UnsafeBufferPointer<UInt8>>, isLast: Bool) {
        let length = (incoming[id]?.count ?? 0) + bytes.count
        guard length <= endpoint.configuration.limits.messageBytes,
            assembledBytes + bytes.count <= endpoint.configuration.assemblyBytes
        else {
            endpoint.counters.messagesRefused += 1
            forgetIncoming(id)
            refuse(id)
            return
        }
        incoming[id]?.append(contentsOf: bytes)
        assembledBytes += bytes.count
        guard isLast, let whole = incoming.removeValue(forKey: id) else { return }
        assembledBytes -= whole.count
        endpoint.counters.messagesReceived += 1
        endpoint.note(.message(whole, from: remote))
        // The stream is done when this half has ended as well.
        let answer = SendStream(purpose: .answer, isFinished: true)
        answer.id = id
        streams[id] = answer
        makeReady(answer)
    }

    private func sessionReceived(_ session: SessionID, _ bytes: Slice<UnsafeBufferPointer<UInt8>>, isLast: Bool) {
        if !bytes.isEmpty { endpoint.note(.sessionReceived(session, Array(bytes))) }
        if isLast { endpoint.note(.sessionFinished(session)) }
    }

    private func refuse(_ id: Int64) {
        refusedStreams.insert(id)
        shutdowns.append(id)
    }

    private func forgetIncoming(_ id: Int64) { assembledBytes -= incoming.removeValue(forKey: id)?.count ?? 0 }

    func streamAcknowledged(_ id: Int64, to offset: UInt64) {
        guard let stream = streams[id] else { return }
        peer?.bytes -= stream.buffer.acknowledge(to: offset)
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
        if isRemote { ngtcp2_conn_extend_max_streams_bidi(handle, 1) }
        forgetIncoming(id)
        refusedStreams.remove(id)
        guard let stream = streams.removeValue(forKey: id) else { return }
        if isRemote, case .session = stream.purpose { remoteSessionCount -= 1 }
        lose(stream, cleanly: cleanly)
    }

    /// Takes a stream out of the accounts, and tells its owner unless it ended as it should.
    private func lose(_ stream: SendStream, cleanly: Bool) {
        switch stream.purpose {
        case .message:
            messageCount -= 1
            if cleanly { endpoint.counters.messagesSent += 1 } else { endpoint.counters.messagesDropped += 1 }
        case .answer: break
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
        streams.removeAll()
        for stream in lost { lose(stream, cleanly: false) }
        incoming.removeAll()
        assembledBytes = 0
        readyMessages.removeAll()
        readySessions.removeAll()
        parked.removeAll()
        return lost.contains { if case .answer = $0.purpose { false } else { true } }
    }

    /// Ends a stream abruptly in each direction that it has.
    func shutDownStream(_ id: Int64) {
        // Fails only for a stream that is gone already, or for want of memory, which the next call will meet again.
        _ = ngtcp2_conn_shutdown_stream(handle, id, QUICEndpoint.streamRefused)
    }
}
