import CNgtcp2
import NIOCore
import NIOPosix
import PatinaProtocol
import Testing

@testable import PatinaRuntime

/// Goal: neither a bad network nor a stranger's packets stop an endpoint, and each is accounted for.
/// Method: a relay that harms packets from a seed, and a raw UDP socket.
@Suite(.serialized, .timeLimit(.minutes(2))) struct QUICHostileTests {
    /// A raw socket that keeps what it is answered.
    private final class Stranger: ChannelInboundHandler, @unchecked Sendable {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        private var answers: [[UInt8]] = []
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = unwrapInboundIn(data).data
            answers.append(bytes.readBytes(length: bytes.readableBytes) ?? [])
        }

        /// Sends packets to `target`, calls `until` again and again, and returns the answers once it is satisfied and
        /// `wanted` of them have come.
        static func send(
            _ packets: [[UInt8]], to target: Address, answers wanted: Int = 0, until: () async throws -> Bool
        ) async throws -> [[UInt8]] {
            let stranger = Stranger()
            let channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelInitializer { $0.pipeline.addHandler(stranger) }
                .bind(host: "127.0.0.1", port: 0).get()
            let remote = try SocketAddress(ipAddress: target.host, port: Int(target.port))
            // In bursts that the socket's buffer holds.
            for start in stride(from: 0, to: packets.count, by: 100) {
                for packet in packets[start..<min(start + 100, packets.count)] {
                    channel.write(AddressedEnvelope(remoteAddress: remote, data: ByteBuffer(bytes: packet)), promise: nil)
                }
                channel.flush()
                try await Task.sleep(for: .milliseconds(1))
            }
            try await expectSoon("the stranger's packets are dealt with", until)
            try await expectSoon("the stranger is answered") {
                try await channel.eventLoop.submit { stranger.answers.count }.get() >= wanted
            }
            let answers = try await channel.eventLoop.submit { stranger.answers }.get()
            try await channel.close()
            return answers
        }
    }

    private func expectWorking(_ server: TestPeer, from client: TestPeer) async throws {
        let target = server.address
        try await client.on { $0.sendMessage(to: target, [42]) }
        try await expectSoon("a message arrives") { server.recorder.state.messages.contains([42]) }
    }

    @Test("garbage: a flood of random packets is counted and ignored, and the endpoint works (5,000 packets)", arguments: [1, 2])
    func flood(seed: UInt64) async throws {
        let server = try await TestPeer.start()
        let client = try await TestPeer.start()
        try await withPeers([server, client]) {
            var random = Random(seed: seed)
            let packets = (0..<5_000).map { _ in
                (0..<(1 + random.below(random.chance(partsPerMillion: 100_000) ? 1_400 : 100)))
                    .map { _ in UInt8(truncatingIfNeeded: random.next()) }
            }
            let answers = try await Stranger.send(packets, to: server.address) {
                // The kernel may drop some of a flood.
                try await server.counters.packetsIgnored >= 4_000
            }
            #expect(answers.count <= 1_000)
            let counters = try await server.counters
            #expect(counters.connections == 0 && counters.halfOpen == 0 && counters.handshakesCompleted == 0)
            try await expectWorking(server, from: client)
        }
    }

    @Test("garbage: packets that look like the first of a connection leave nothing behind (500 packets)")
    func falseInitials() async throws {
        let server = try await TestPeer.start()
        let client = try await TestPeer.start()
        try await withPeers([server, client]) {
            var random = Random(seed: 3)
            let packets = (0..<500).map { _ -> [UInt8] in
                let ids: [UInt8] = [8] + (0..<8).map { _ in UInt8(truncatingIfNeeded: random.next()) } + [0]
                // Long header, Initial; version 1; two IDs; no token; a length that covers the rest.
                let head: [UInt8] = [0xC3, 0, 0, 0, 1] + ids + [0, 0x44, 0x9E]
                return head + (0..<(1_200 - head.count)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            }
            _ = try await Stranger.send(packets, to: server.address) { try await server.counters.packetsReceived >= 400 }
            let counters = try await server.counters
            #expect(counters.acceptsStarted > 0)
            #expect(counters.connections == 0 && counters.halfOpen == 0)
            #expect(try await server.on { $0.routes.isEmpty })
            try await expectWorking(server, from: client)
        }
    }

    @Test("versions: a packet of a future version is told the one that is spoken, a short one is not answered")
    func versions() async throws {
        let server = try await TestPeer.start()
        try await withPeers([server]) {
            let head: [UInt8] = [0xC0, 0x7A, 0x7A, 0x7A, 0x7A, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 7, 6, 5, 4, 3, 2, 1]
            let long = head + [UInt8](repeating: 0, count: 1_200 - head.count)
            let short = head + [UInt8](repeating: 0, count: 100)
            let answers = try await Stranger.send([short, long], to: server.address, answers: 1) {
                try await server.counters.packetsIgnored == 2
            }
            try #require(answers.count == 1)
            // Version negotiation: version 0, the IDs exchanged, then version 1 somewhere in the list.
            #expect(answers[0][1...4] == [0, 0, 0, 0])
            #expect(answers[0].suffix(4) == [0, 0, 0, 1])
        }
    }

    @Test("half-open handshakes: many demand a proof of address (Retry), too many are turned away")
    func halfOpen() async throws {
        let wary = try await TestPeer.start { $0.halfOpenBeforeRetry = 0 }
        let full = try await TestPeer.start { $0.halfOpenHandshakes = 0 }
        let client = try await TestPeer.start()
        let hasty = try await TestPeer.start { $0.connectTimeout = .milliseconds(300) }
        try await withPeers([wary, full, client, hasty]) {
            try await expectWorking(wary, from: client)
            #expect(try await wary.counters.retriesSent >= 1)
            let target = full.address
            try await hasty.on { $0.sendMessage(to: target, [1]) }
            try await expectSoon("nobody answers") { hasty.recorder.state.peersLost == [target] }
            #expect(try await full.counters.handshakesRefused > 0)
            #expect(try await full.counters.acceptsStarted == 0)
        }
    }

    @Test(
        "network: messages, datagrams and sessions pass a bad one, and what is damaged harms nobody",
        arguments: [
            Relay.Faults(lost: 100), Relay.Faults(damaged: 100), Relay.Faults(doubled: 500, delayed: 500),
            Relay.Faults(lost: 50, damaged: 100, doubled: 100, delayed: 200),
        ], [1, 2])
    func badNetwork(faults: Relay.Faults, seed: UInt64) async throws {
        let server = try await TestPeer.start()
        let client = try await TestPeer.start()
        let relay = try await Relay.start(to: server.address, faults: faults, seed: seed)
        try await withPeers([server, client]) {
            let target = relay.address
            let bodies = (0..<20).map { pattern(1_000 * $0, $0) }
            try await client.on { endpoint in
                for body in bodies { endpoint.sendMessage(to: target, body) }
                for _ in 0..<50 { endpoint.sendDatagram(to: target, [1, 2, 3]) }
                endpoint.openSession(SessionID(.node, 0), to: target)
                endpoint.writeSession(SessionID(.node, 0), bodies[19])
                endpoint.finishSession(SessionID(.node, 0))
            }
            try await expectSoon("all messages arrive") { server.recorder.state.messages.count == 20 }
            let arrived = Set(server.recorder.state.messages) == Set(bodies)
            #expect(arrived)
            try await expectSoon("the session echoes") { client.recorder.state.finished == [SessionID(.node, 0)] }
            let echoed = client.recorder.state.received[SessionID(.node, 0)] == bodies[19]
            #expect(echoed)
            #expect(server.recorder.state.datagrams.allSatisfy { $0 == [1, 2, 3] })
            try await expectSoon("all is acknowledged") { try await client.on { $0.peers[target]?.bytes == 0 } }
        }
        try await relay.stop()
    }
}
