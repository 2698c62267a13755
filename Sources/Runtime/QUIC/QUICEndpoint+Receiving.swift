import CNgtcp2
import NIOCore
import PatinaProtocol

/// What comes in: packets of connections, beginnings of new ones, and noise.
extension QUICEndpoint {
    /// A datagram of the socket, or several of one sender that the kernel put together.
    func received(_ envelope: AddressedEnvelope<ByteBuffer>) {
        guard let remote = Address(envelope.remoteAddress), envelope.data.readableBytes > 0 else {
            counters.packetsIgnored += 1
            return
        }
        let local = envelope.metadata?.packetInfo.flatMap { Address($0.destinationAddress) }
        let segment = max(1, envelope.metadata?.segmentSize ?? envelope.data.readableBytes)
        envelope.data.withUnsafeReadableBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let packet = UnsafeRawBufferPointer(rebasing: rest.prefix(segment))
                rest = rest.dropFirst(segment)
                receive(packet, from: remote, to: local)
            }
        }
    }

    private func receive(_ packet: UnsafeRawBufferPointer, from remote: Address, to local: Address?) {
        counters.packetsReceived += 1
        counters.bytesReceived += UInt64(packet.count)
        // Shorter than the shortest packet, which is a stateless reset.
        guard packet.count >= 21, let base = packet.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return ignore() }
        var header = ngtcp2_version_cid()
        switch ngtcp2_pkt_decode_version_cid(&header, base, packet.count, ConnectionID.length) {
        case 0: break
        case NGTCP2_ERR_VERSION_NEGOTIATION: return offerVersion(header, packet, to: remote, from: local)
        default: return ignore()
        }
        guard let id = ConnectionID(UnsafeRawBufferPointer(start: header.dcid, count: header.dcidlen)) else { return ignore() }
        switch routes[id] {
        case .open(let connection):
            // Migration is off: a connection's packets come from where it was made.
            guard connection.remote == remote else { return ignore() }
            read(packet, by: connection)
        case .closed(let rest):
            guard rest.remote == remote, let answer = rest.answer() else { return ignore() }
            self.answer(answer, to: remote, from: local)
        case nil:
            if base[0] & 0x80 != 0 {
                accept(packet, from: remote, to: local)
            } else {
                receiveStray(packet, id: id, from: remote, to: local)
            }
        }
    }

    private func ignore() { counters.packetsIgnored += 1 }

    private func read(_ packet: UnsafeRawBufferPointer, by connection: QUICConnection) {
        switch connection.read(packet, now: .now()) {
        case 0:
            advance(connection)
            markDirty(connection)
        case NGTCP2_ERR_DRAINING: end(connection, connection.wasReset ? .reset : .closedByPeer)
        case NGTCP2_ERR_DROP_CONN, NGTCP2_ERR_RETRY: end(connection, .dropped)
        case let code: end(connection, .failed(code))
        }
    }

    /// A short packet of no connection that we know: the end of one that the peer has forgotten, a packet of one that we have
    /// forgotten, or noise.
    private func receiveStray(_ packet: UnsafeRawBufferPointer, id: ConnectionID, from remote: Address, to local: Address?) {
        // A stateless reset carries no ID, so each connection with the sender gets to look at it.
        if let peer = peers[remote] {
            for connection in peer.connections where connection.phase != .ended {
                read(packet, by: connection)
                if connection.phase == .ended { return }
            }
        }
        ignore()
        // The answer is shorter than the packet, so that two endpoints cannot echo for ever. The bit that is fixed in QUIC
        // version 1 tells nothing: the library greases it (RFC 9287).
        guard packet.count >= 40, answerLimit.take(now: .now()) != nil else { return }
        var token = [UInt8](repeating: 0, count: 16)
        var cid = id.cid
        token.withUnsafeMutableBytes { writeResetToken($0, for: &cid) }
        var random = [UInt8](repeating: 0, count: 22)
        random.withUnsafeMutableBytes { fillRandom($0) }
        var reset = [UInt8](repeating: 0, count: 38)
        let written = ngtcp2_pkt_write_stateless_reset(&reset, reset.count, token, random, random.count)
        guard written > 0 else { return }
        counters.resetsSent += 1
        answer(Array(reset[..<written]), to: remote, from: local)
    }

    /// A long packet of no connection that we know: perhaps the first of a new one.
    private func accept(_ packet: UnsafeRawBufferPointer, from remote: Address, to local: Address?) {
        var header = ngtcp2_pkt_hd()
        guard ngtcp2_accept(&header, packet.baseAddress?.assumingMemoryBound(to: UInt8.self), packet.count) == 0, !isClosing,
            let path = path(to: remote)
        else { return ignore() }
        guard counters.halfOpen < configuration.halfOpenHandshakes, counters.connections < configuration.connections else {
            counters.handshakesRefused += 1
            return
        }
        var proof: ngtcp2_cid?
        if header.token.len > 0 {
            guard let proven = verify(header, path.remote) else { return ignore() }
            proof = proven
        } else if counters.halfOpen >= configuration.halfOpenBeforeRetry {
            return demandProof(header, path.remote, remote, from: local)
        }
        do {
            let connection = try QUICConnection(
                accepting: header, proof: proof, from: remote, to: local, path: path, endpoint: self, now: .now())
            counters.acceptsStarted += 1
            counters.connections += 1
            counters.halfOpen += 1
            read(packet, by: connection)
        } catch {
            warn("cannot accept a connection from \(remote): \(error)")
        }
    }

    /// The destination ID of the client's very first packet, which a Retry token of ours vouches for.
    private func verify(_ header: ngtcp2_pkt_hd, _ remote: SocketAddressStorage) -> ngtcp2_cid? {
        var original = ngtcp2_cid()
        var destination = header.dcid
        let result = ngtcp2_crypto_verify_retry_token(
            &original, header.token.base, header.token.len, tls.retrySecret, tls.retrySecret.count, header.version,
            remote.pointer, remote.count, &destination, 10_000_000_000, NIODeadline.now().uptimeNanoseconds)
        return result == 0 ? original : nil
    }

    /// Many handshakes are half open: the newcomer must show that it receives what is sent to its address.
    private func demandProof(_ header: ngtcp2_pkt_hd, _ storage: SocketAddressStorage, _ remote: Address, from local: Address?) {
        guard answerLimit.take(now: .now()) != nil else {
            counters.handshakesRefused += 1
            return
        }
        var own = ConnectionID.random().cid
        var original = header.dcid
        var theirs = header.scid
        var token = [UInt8](repeating: 0, count: 256)
        let tokenLength = ngtcp2_crypto_generate_retry_token(
            &token, tls.retrySecret, tls.retrySecret.count, header.version, storage.pointer, storage.count, &own, &original,
            NIODeadline.now().uptimeNanoseconds)
        guard tokenLength > 0 else { return ignore() }
        var packet = [UInt8](repeating: 0, count: 512)
        let written = ngtcp2_crypto_write_retry(
            &packet, packet.count, header.version, &theirs, &own, &original, token, Int(tokenLength))
        guard written > 0 else { return ignore() }
        counters.retriesSent += 1
        answer(Array(packet[..<written]), to: remote, from: local)
    }

    /// A packet of another version of QUIC that is long enough to begin a connection is told which version we speak.
    private func offerVersion(_ header: ngtcp2_version_cid, _ packet: UnsafeRawBufferPointer, to remote: Address, from local: Address?) {
        ignore()
        guard packet.count >= 1_200, answerLimit.take(now: .now()) != nil else { return }
        var versions = [NGTCP2_PROTO_VER_V1]
        var answer = [UInt8](repeating: 0, count: 600)
        let written = ngtcp2_pkt_write_version_negotiation(
            &answer, answer.count, UInt8.random(in: 0...255), header.scid, header.scidlen, header.dcid, header.dcidlen, &versions, 1)
        guard written > 0 else { return }
        self.answer(Array(answer[..<written]), to: remote, from: local)
    }

    private func answer(_ packet: [UInt8], to remote: Address, from local: Address?) {
        guard remote.canBeDialled, let storage = SocketAddressStorage(remote, family: socket.family) else { return }
        packet.withUnsafeBytes { send($0, segment: $0.count, packets: 1, to: storage, address: remote, from: local) }
    }

    /// The token by which the peer of `id` will recognise a stateless reset of ours.
    func writeResetToken(_ token: UnsafeMutableRawBufferPointer, for id: UnsafePointer<ngtcp2_cid>) {
        precondition(token.count == 16, "a stateless reset token has 16 bytes")
        let result = ngtcp2_crypto_generate_stateless_reset_token(
            token.baseAddress?.assumingMemoryBound(to: UInt8.self), tls.resetSecret, tls.resetSecret.count, id)
        precondition(result == 0, "the crypto library cannot derive a key")
    }
}
