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
    func streamReceived(_ id: Int64, offset: UInt64, _ bytes: UnsafeBufferPointer<UInt8>, isLast: Bool) {
        ngtcp2_conn_extend_max_offset(handle, UInt64(bytes.count))
        if !isLast { ngtcp2_conn_extend_max_stream_offset(handle, id, UInt64(bytes.count)) }
        if ngtcp2_is_bidi_stream(id) != 0 {
            sessionReceived(id, bytes, isLast: isLast)
        } else {
            messageReceived(id, offset: offset, bytes, isLast: isLast)
        }
    }

    private func messageReceived(_ id: Int64, offset: UInt64, _ bytes: UnsafeBufferPointer<UInt8>, isLast: Bool) {
        if refusedStreams.contains(id) { return }
        let length = offset + UInt64(bytes.count)
        guard length <= UInt64(endpoint.configuration.limits.messageBytes),
            assembledBytes + bytes.count <= endpoint.configuration.assemblyBytes
        else {
            endpoint.counters.messagesRefused += 1
            assembledBytes -= incoming.removeValue(forKey: id)?.count ?? 0
            refusedStreams.insert(id)
            shutdowns.append(id)
            return
        }
        if isLast {
            var whole = incoming.removeValue(forKey: id) ?? []
            assembledBytes -= whole.count
            whole.append(contentsOf: bytes)
            endpoint.counters.messagesReceived += 1
            endpoint.note(.message(whole, from: remote))
        } else {
            incoming[id, default: []].append(contentsOf: bytes)
            assembledBytes += bytes.count
        }
    }

    private func sessionReceived(_ id: Int64, _ bytes: UnsafeBufferPointer<UInt8>, isLast: Bool) {
        let stream: SendStream
        if let known = streams[id] {
            stream = known
        } else {
            precondition(ngtcp2_conn_is_local_stream(handle, id) == 0, "a stream of ours is remembered until the library closes it")
            stream = endpoint.acceptSession(on: self)
            stream.id = id
            streams[id] = stream
            sessionCount += 1
        }
        guard !stream.isAbandoned, case .session(let session) = stream.purpose else { return }
        if !bytes.isEmpty { endpoint.note(.sessionReceived(session, Array(bytes))) }
        if isLast { endpoint.note(.sessionFinished(session)) }
    }

    func streamAcknowledged(_ id: Int64, to offset: UInt64) {
        guard let stream = streams[id] else { return }
        peer?.bytes -= stream.buffer.acknowledge(to: offset)
    }

    /// The peer gave up sending on a stream. A session is over then; a message was never there.
    func streamReset(_ id: Int64) {
        if ngtcp2_is_bidi_stream(id) == 0 {
            assembledBytes -= incoming.removeValue(forKey: id)?.count ?? 0
            return
        }
        guard let stream = streams[id], !stream.isAbandoned, case .session(let session) = stream.purpose else { return }
        stream.isAbandoned = true
        shutdowns.append(id)
        endpoint.sessionEnded(session, lost: true)
    }

    func streamClosed(_ id: Int64, cleanly: Bool) {
        if ngtcp2_conn_is_local_stream(handle, id) == 0 {
            if ngtcp2_is_bidi_stream(id) != 0 {
                ngtcp2_conn_extend_max_streams_bidi(handle, 1)
            } else {
                ngtcp2_conn_extend_max_streams_uni(handle, 1)
                assembledBytes -= incoming.removeValue(forKey: id)?.count ?? 0
                refusedStreams.remove(id)
            }
        }
        guard let stream = streams.removeValue(forKey: id) else { return }
        if cleanly, case .message = stream.purpose {
            endpoint.counters.messagesSent += 1
            forget(stream)
            return
        }
        lose(stream, cleanly: cleanly)
    }

    /// Takes a stream out of the accounts, and tells its owner unless it ended as it should.
    private func lose(_ stream: SendStream, cleanly: Bool) {
        switch stream.purpose {
        case .message:
            endpoint.counters.messagesDropped += 1
        case .session(let session):
            sessionCount -= 1
            if !stream.isAbandoned { endpoint.sessionEnded(session, lost: !cleanly) }
        }
        forget(stream)
    }

    private func forget(_ stream: SendStream) {
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
        return !lost.isEmpty
    }

    /// Ends a stream abruptly in each direction that it has.
    func shutDownStream(_ id: Int64) {
        // Fails only for a stream that is gone already, or for want of memory, which the next call will meet again.
        _ = ngtcp2_conn_shutdown_stream(handle, id, QUICEndpoint.streamRefused)
    }
}
