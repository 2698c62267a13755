import CNgtcp2
import Glibc
import NIOCore
import PatinaProtocol

/// Packets for one peer that go to the kernel in as few calls as possible: equal ones in a row, of which the last may be shorter.
struct PacketBatch {
    private let endpoint: QUICEndpoint
    private let connection: QUICConnection
    private var start = 0
    private var end = 0
    private var segment = 0
    private var packets = 0
    /// Bytes handed over since the batch was made.
    private(set) var total = 0

    /// The largest UDP payload over IPv4, and so the most that one batch can hold.
    static let capacity = 65_507

    init(_ connection: QUICConnection) {
        self.connection = connection
        endpoint = connection.endpoint
    }

    /// Memory for one more packet of at most `size` bytes.
    mutating func room(for size: Int) -> UnsafeMutablePointer<UInt8> {
        if end + size > PacketBatch.capacity { flush() }
        return endpoint.scratch + end
    }

    mutating func add(_ count: Int) {
        total += count
        if packets > 0, count > segment { sendPending() }
        if packets == 0 { segment = count }
        end += count
        packets += 1
        if count < segment || packets == 64 { flush() }
    }

    mutating func flush() {
        sendPending()
        start = 0
        end = 0
    }

    private mutating func sendPending() {
        guard packets > 0 else { return }
        endpoint.send(
            UnsafeRawBufferPointer(start: endpoint.scratch + start, count: end - start), segment: segment, packets: packets,
            to: connection.path.remote, address: connection.remote, from: connection.source)
        start = end
        packets = 0
    }
}

extension QUICConnection {
    /// Writes what there is to write and what pacing, congestion and the peer's windows allow. Zero, or the library's error.
    func write(now: NIODeadline) -> CInt {
        if hasCompleted { feed() }
        // First byte, destination ID, packet number and authentication tag; then type and length of the frame.
        largestDatagram =
            min(
                ngtcp2_conn_get_path_max_tx_udp_payload_size(handle) - (1 + 20 + 4 + 16),
                Int(clamping: ngtcp2_conn_get_remote_transport_params(handle)?.pointee.max_datagram_frame_size ?? 0)) - 3
        var batch = PacketBatch(self)
        let quantum = max(ngtcp2_conn_get_send_quantum(handle), 10 * packetCapacity)
        var failure: CInt = 0
        while batch.total < quantum {
            let destination = batch.room(for: packetCapacity)
            let written = writePacket(to: destination, now: now.uptimeNanoseconds)
            if written == 0 { break }
            if written < 0 {
                failure = CInt(written)
                break
            }
            batch.add(written)
        }
        batch.flush()
        // Pacing from the very first packet would hold back the second flight of the handshake.
        if batch.total > 0, hasCompleted, failure == 0 {
            ngtcp2_conn_update_pkt_tx_time(handle, now.uptimeNanoseconds)
        }
        return failure
    }

    /// Opens streams for what waits at the peer, as far as the peer allows and this connection is the chosen one.
    private func feed() {
        guard let peer, peer.active === self else { return }
        while let stream = peer.waitingSessions.first {
            if stream.isAbandoned {
                peer.waitingSessions.removeFirst()
                continue
            }
            guard sessionCount - remoteSessionCount < endpoint.configuration.sessionStreams,
                ngtcp2_conn_get_streams_bidi_left(handle) > 0, ngtcp2_conn_open_bidi_stream(handle, &stream.id, nil) == 0
            else { break }
            peer.waitingSessions.removeFirst()
            streams[stream.id] = stream
            sessionCount += 1
            endpoint.sessionConnected(stream, on: self)
            makeReady(stream)
        }
        while messageCount < endpoint.configuration.messagesUnderWay, let bytes = peer.messages.first,
            ngtcp2_conn_get_max_data_left(handle) > 0, let lane = laneWithRoom(peer)
        {
            peer.messages.removeFirst()
            messageCount += 1
            lane.buffer.append(message: bytes)
            lane.lane.append(endingAt: lane.buffer.end)
            makeReady(lane)
        }
        guard !parked.isEmpty, ngtcp2_conn_get_max_data_left(handle) > 0 else { return }
        let waiting = parked
        parked.removeAll(keepingCapacity: true)
        for stream in waiting where !stream.isAbandoned {
            if ngtcp2_conn_get_max_stream_data_left(handle, stream.id) > 0 { makeReady(stream) } else { parked.append(stream) }
        }
    }

    /// Bytes that a lane may hold unsent before further messages wait at the peer, where a better lane may come free.
    private static let laneBytes: UInt64 = 65_536

    /// The lane for the next message: an idle one, else a new one, else the least loaded if it has room.
    private func laneWithRoom(_ peer: QUICPeer) -> SendStream? {
        let least = lanes.filter { !$0.isAbandoned }.min { ($0.buffer.unsent, $0.id) < ($1.buffer.unsent, $1.id) }
        if let least, least.buffer.unsent == 0 { return least }
        if lanes.count < endpoint.configuration.messageLanes, ngtcp2_conn_get_streams_uni_left(handle) > 0 {
            let lane = SendStream(purpose: .messages, isFinished: false)
            if ngtcp2_conn_open_uni_stream(handle, &lane.id, nil) == 0 {
                lane.buffer.append([], after: .messages)
                peer.bytes += lane.buffer.unacknowledged
                lanes.append(lane)
                streams[lane.id] = lane
                return lane
            }
        }
        guard let least, least.buffer.unsent < QUICConnection.laneBytes else { return nil }
        return least
    }

    /// Queues a stream that has something to write.
    func makeReady(_ stream: SendStream) {
        guard !stream.isReady, stream.hasWork else { return }
        stream.isReady = true
        switch stream.purpose {
        case .messages: readyLanes.append(stream)
        case .session: readySessions.append(stream)
        }
    }

    /// Fills one packet with datagrams, then with streams: lanes and sessions in turn.
    private func writePacket(to destination: UnsafeMutablePointer<UInt8>, now: UInt64) -> Int {
        sessionsTurn.toggle()
        while true {
            let written: Int
            if hasCompleted, let datagram = nextDatagram() {
                written = writeDatagram(datagram, to: destination, now: now)
            } else if hasCompleted, let stream = nextStream() {
                written = writeStream(stream, to: destination, now: now)
            } else {
                var information = ngtcp2_pkt_info()
                return ngtcp2_conn_writev_stream_versioned(
                    handle, nil, NGTCP2_PKT_INFO_VERSION, &information, destination, packetCapacity, nil, 0, -1, nil, 0, now)
            }
            switch CInt(truncatingIfNeeded: written) {
            case NGTCP2_ERR_WRITE_MORE, NGTCP2_ERR_STREAM_DATA_BLOCKED, NGTCP2_ERR_STREAM_SHUT_WR, NGTCP2_ERR_STREAM_NOT_FOUND:
                continue
            default:
                return written
            }
        }
    }

    /// The first datagram that the path and the peer can take; those that they cannot are dropped, or they would block the rest.
    private func nextDatagram() -> [UInt8]? {
        guard let peer, peer.active === self, !peer.datagrams.isEmpty else { return nil }
        while let datagram = peer.datagrams.first {
            if datagram.count <= largestDatagram { return datagram }
            peer.datagrams.removeFirst()
            endpoint.counters.datagramsDropped += 1
        }
        return nil
    }

    private func writeDatagram(_ datagram: [UInt8], to destination: UnsafeMutablePointer<UInt8>, now: UInt64) -> Int {
        var information = ngtcp2_pkt_info()
        var accepted: CInt = 0
        let written = datagram.withUnsafeBufferPointer { bytes in
            var vector = ngtcp2_vec(base: UnsafeMutablePointer(mutating: bytes.baseAddress), len: bytes.count)
            // The library asserts that no piece is empty; an empty datagram has no pieces.
            return ngtcp2_conn_writev_datagram_versioned(
                handle, nil, NGTCP2_PKT_INFO_VERSION, &information, destination, packetCapacity, &accepted,
                UInt32(NGTCP2_WRITE_DATAGRAM_FLAG_MORE), 0, &vector, bytes.isEmpty ? 0 : 1, now)
        }
        if accepted != 0 {
            peer?.datagrams.removeFirst()
            endpoint.counters.datagramsSent += 1
        }
        return written
    }

    /// The stream whose turn it is. Streams that have nothing to write any more leave their queue here.
    private func nextStream() -> SendStream? {
        let session = firstWithWork(&readySessions)
        let lane = firstWithWork(&readyLanes)
        return sessionsTurn ? session ?? lane : lane ?? session
    }

    private func firstWithWork(_ queue: inout CircularBuffer<SendStream>) -> SendStream? {
        while let stream = queue.first {
            if stream.hasWork { return stream }
            stream.isReady = false
            queue.removeFirst()
        }
        return nil
    }

    private func writeStream(_ stream: SendStream, to destination: UnsafeMutablePointer<UInt8>, now: UInt64) -> Int {
        let (count, bytes) = stream.buffer.fill(endpoint.vectors)
        let isLast = stream.isFinished && bytes == stream.buffer.unsent
        let flags = UInt32(NGTCP2_WRITE_STREAM_FLAG_MORE) | (isLast ? UInt32(NGTCP2_WRITE_STREAM_FLAG_FIN) : 0)
        var information = ngtcp2_pkt_info()
        var accepted = -1
        let written = ngtcp2_conn_writev_stream_versioned(
            handle, nil, NGTCP2_PKT_INFO_VERSION, &information, destination, packetCapacity, &accepted, flags, stream.id,
            endpoint.vectors.baseAddress, count, now)
        if accepted >= 0 {
            stream.buffer.advance(by: accepted)
            if isLast, UInt64(accepted) == bytes { stream.finishSent = true }
        }
        switch CInt(truncatingIfNeeded: written) {
        case NGTCP2_ERR_STREAM_DATA_BLOCKED:
            takeFromQueue(stream)
            parked.append(stream)
        case NGTCP2_ERR_STREAM_SHUT_WR, NGTCP2_ERR_STREAM_NOT_FOUND:
            // The peer asked us to stop. The library closes the stream in its own time, and its owner is told then.
            takeFromQueue(stream)
        default:
            if written > 0 { rotate(stream) }
        }
        return written
    }

    private func takeFromQueue(_ stream: SendStream) {
        stream.isReady = false
        switch stream.purpose {
        case .messages: readyLanes.removeFirst()
        case .session: readySessions.removeFirst()
        }
    }

    /// A packet of a stream is full: the next one belongs to the next stream of its kind.
    private func rotate(_ stream: SendStream) {
        switch stream.purpose {
        case .messages: if readyLanes.count > 1 { readyLanes.append(readyLanes.removeFirst()) }
        case .session: if readySessions.count > 1 { readySessions.append(readySessions.removeFirst()) }
        }
    }

    /// The packet that tells the peer why the connection ends; nil when it cannot be told any more.
    func closePacket(_ end: ConnectionEnd, now: NIODeadline) -> [UInt8]? {
        var error = ngtcp2_connection_close_error()
        ngtcp2_connection_close_error_default(&error)
        var reason: [UInt8] = []
        let code: UInt64
        switch end {
        case .closed(let application, let words):
            code = application
            reason = Array(words.utf8)
        case .failed(let library):
            code = 0
            if library == NGTCP2_ERR_CRYPTO {
                let alert = ngtcp2_conn_get_tls_alert(handle)
                ngtcp2_connection_close_error_set_transport_error_tls_alert(&error, alert, nil, 0)
            } else {
                ngtcp2_connection_close_error_set_transport_error_liberr(&error, library, nil, 0)
            }
        case .closedByPeer, .reset, .idle, .unanswered, .dropped:
            return nil
        }
        var packet = [UInt8](repeating: 0, count: 1_500)
        let written = reason.withUnsafeBufferPointer { words in
            if case .closed = end {
                ngtcp2_connection_close_error_set_application_error(&error, code, words.baseAddress, words.count)
            }
            var information = ngtcp2_pkt_info()
            return ngtcp2_conn_write_connection_close_versioned(
                handle, nil, NGTCP2_PKT_INFO_VERSION, &information, &packet, packet.count, &error, now.uptimeNanoseconds)
        }
        return written > 0 ? Array(packet[..<written]) : nil
    }
}
