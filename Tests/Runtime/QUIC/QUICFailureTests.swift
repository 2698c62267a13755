import PatinaProtocol
import Testing

@testable import PatinaRuntime

/// Goal: a peer that is gone is noticed and told, what was meant for it is accounted for, and it is found again.
/// Method: endpoints that vanish, return, shut down or never were.
@Suite(.serialized, .timeLimit(.minutes(2))) struct QUICFailureTests {
    /// Connects `from` to `to`, so that both know the other.
    private func connect(_ from: TestPeer, _ to: TestPeer) async throws {
        let target = to.address
        try await from.on { $0.sendMessage(to: target, [0]) }
        try await expectSoon("the first message arrives") { to.recorder.state.messages == [[0]] }
        try await expectSoon("it is acknowledged") { try await from.counters.messagesSent == 1 }
        to.recorder.clear()
    }

    @Test("loss: a peer that vanishes is lost within the idle timeout, and found again when it returns to its port")
    func vanished() async throws {
        let a = try await TestPeer.start { $0.idleTimeout = .milliseconds(400) }
        let b = try await TestPeer.start { $0.idleTimeout = .milliseconds(400) }
        let target = b.address
        try await withPeers([a]) {
            try await connect(a, b)
            let session = SessionID(.node, 0)
            try await a.on { $0.openSession(session, to: target) }
            try await expectSoon("the session is open") { b.recorder.state.opened.count == 1 }
            try await b.kill()
            let start = ContinuousClock.now
            try await a.on { $0.sendDatagram(to: target, [1]) }
            try await expectSoon("the loss is told") { a.recorder.state.peersLost.contains(target) }
            // The timeout counts from the last packet of the peer; scheduling on a busy machine is the rest.
            #expect(ContinuousClock.now - start < .seconds(5))
            #expect(a.recorder.state.sessionsLost == [session])
            let again = try await TestPeer.start(at: target)
            try await withPeers([again]) {
                try await expectSoon("messages arrive again") {
                    try await a.on { $0.sendMessage(to: target, [2]) }
                    try await Task.sleep(for: .milliseconds(20))
                    return again.recorder.state.messages.contains([2])
                }
            }
        }
    }

    @Test("idle: a connection that nobody uses stays, thanks to keep-alives")
    func keepAlive() async throws {
        let a = try await TestPeer.start { $0.idleTimeout = .milliseconds(600) }
        let b = try await TestPeer.start { $0.idleTimeout = .milliseconds(600) }
        try await withPeers([a, b]) {
            try await connect(a, b)
            try await Task.sleep(for: .milliseconds(2_000))
            #expect(a.recorder.state.peersLost.isEmpty && b.recorder.state.peersLost.isEmpty)
            #expect(try await a.counters.connectsStarted == 1)
            #expect(try await a.counters.connections == 1)
        }
    }

    @Test("closing: both ends lose all connections at once, and what is sent next makes a new one")
    func closed() async throws {
        let a = try await TestPeer.start()
        let b = try await TestPeer.start()
        let server = b.address
        try await withPeers([a, b]) {
            try await connect(a, b)
            try await a.on { $0.closeConnections() }
            #expect(try await a.counters.connections == 0)
            try await expectSoon("the other end hears of it") { try await b.counters.connections == 0 }
            try await a.on { $0.sendMessage(to: server, [9]) }
            try await expectSoon("the message arrives") { b.recorder.state.messages.last == [9] }
            #expect(try await a.counters.connectsStarted == 2)
        }
    }

    @Test("restart: a peer that forgot us says so at once (stateless reset), long before the idle timeout")
    func restarted() async throws {
        let authority = try CertificateAuthority()
        let security = try authority.mutualTLS()
        let a = try await TestPeer.start(authority.mutualTLS())
        let b = try await TestPeer.start(security)
        let target = b.address
        try await withPeers([a]) {
            try await connect(a, b)
            try await b.kill()
            let again = try await TestPeer.start(security, at: target)
            try await withPeers([again]) {
                try await a.on { $0.sendMessage(to: target, pattern(500)) }
                try await expectSoon("the loss is told") { a.recorder.state.peersLost == [target] }
                #expect(try await a.counters.resetsReceived == 1)
                #expect(try await a.counters.messagesDropped == 1)
                try await a.on { $0.sendMessage(to: target, [3]) }
                try await expectSoon("the next message arrives") { again.recorder.state.messages == [[3]] }
            }
        }
    }

    @Test("restart: a client that returns and connects again replaces its old connection")
    func replaced() async throws {
        let a = try await TestPeer.start()
        let b = try await TestPeer.start()
        let (server, client) = (b.address, a.address)
        try await withPeers([b]) {
            try await connect(a, b)
            try await a.kill()
            let again = try await TestPeer.start(at: client)
            try await withPeers([again]) {
                try await again.on { $0.sendMessage(to: server, [4]) }
                try await expectSoon("the message arrives") { b.recorder.state.messages == [[4]] }
                try await b.on { $0.sendMessage(to: client, [5]) }
                try await expectSoon("the answer takes the new connection") { again.recorder.state.messages == [[5]] }
                #expect(try await b.counters.connections == 1)
                #expect(try await b.counters.connectsStarted == 0)
            }
        }
    }

    @Test("nobody there: what was queued is dropped and told, sessions are lost, attempts are bounded (3 a minute)")
    func nobody() async throws {
        let a = try await TestPeer.start {
            $0.connectTimeout = .milliseconds(50)
            $0.attemptsPerMinute = 3
            $0.queuedMessages = 10
        }
        // A port that was free a moment ago.
        let gone = try await TestPeer.start()
        let target = gone.address
        try await gone.stop()
        try await withPeers([a]) {
            try await a.on { endpoint in
                for index in 0..<50 as Range<UInt8> { endpoint.sendMessage(to: target, [index]) }
                endpoint.openSession(SessionID(.node, 1), to: target)
            }
            try await expectSoon("the peer is lost") { a.recorder.state.peersLost == [target] }
            #expect(a.recorder.state.sessionsLost == [SessionID(.node, 1)])
            #expect(try await a.counters.messagesDropped == 50)
            // A storm of retries: whatever is asked for, three attempts are made.
            for _ in 0..<60 {
                try await a.on { $0.sendMessage(to: target, [1]) }
                try await Task.sleep(for: .milliseconds(10))
            }
            try await expectSoon("all attempts were made") { a.recorder.state.peersLost.count == 3 }
            #expect(try await a.counters.connectsStarted == 3)
            #expect(try await a.on { $0.peers[target]?.messages.count ?? 0 } <= 10)
        }
    }

    @Test("addresses: what cannot be reached is lost at once, and the socket lives on")
    func unreachable() async throws {
        let a = try await TestPeer.start()
        let b = try await TestPeer.start()
        try await withPeers([a, b]) {
            let hopeless = ["10.0.0.1:0", "0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "[::1]:1", "[ff02::1]:1"].compactMap {
                Address($0)
            }
            #expect(hopeless.count == 6)
            for address in hopeless {
                try await a.on { $0.sendMessage(to: address, [1]) }
                try await expectSoon("\(address) is lost") { a.recorder.state.peersLost.contains(address) }
            }
            try await connect(a, b)
        }
    }

    @Test("bounds: messages over the limit are refused at either end, and the next one passes")
    func oversized() async throws {
        let a = try await TestPeer.start { $0.limits.messageBytes = 100_000 }
        let b = try await TestPeer.start { $0.limits.messageBytes = 10_000 }
        try await withPeers([a, b]) {
            let target = b.address
            try await a.on { endpoint in
                endpoint.sendMessage(to: target, pattern(100_001))
                endpoint.sendMessage(to: target, pattern(10_001))
                endpoint.sendMessage(to: target, pattern(90_000))
                endpoint.sendMessage(to: target, pattern(10_000))
                endpoint.sendDatagram(to: target, pattern(1_151))
            }
            try await expectSoon("the message within the limit arrives") { b.recorder.state.messages == [pattern(10_000)] }
            #expect(try await a.counters.messagesRefused == 1)
            #expect(try await a.counters.datagramsDropped == 1)
            try await expectSoon("the others are refused") { try await b.counters.messagesRefused == 2 }
            try await expectSoon("the peer has taken all of them off the lanes") { try await a.counters.messagesSent == 3 }
            try await expectSoon("nothing is left over") {
                let left = try await [a, b].asyncMap { peer in
                    try await peer.on { $0.peers.values.reduce(0) { $0 + ($1.active?.assembledBytes ?? 0) + $1.bytes } }
                }
                return left == [0, 0]
            }
            #expect(try await a.on { $0.peers[target]?.active?.lanes.count ?? 0 } <= 4)
            try await a.on { $0.sendMessage(to: target, [1]) }
            try await expectSoon("the connection lives") { b.recorder.state.messages.contains([1]) }
            #expect(try await a.counters.connectsStarted == 1)
        }
    }

    @Test("bounds: a session that its peer does not read from is not buffered without end")
    func sessionBound() async throws {
        let a = try await TestPeer.start {
            $0.limits.messageBytes = 10_000
            $0.queuedBytes = 50_000
        }
        try await withPeers([a]) {
            let nowhere = Address(ipv4: 0x7F00_0001, port: 1)
            try await a.on { endpoint in
                endpoint.openSession(SessionID(.node, 0), to: nowhere)
                for _ in 0..<6 { endpoint.writeSession(SessionID(.node, 0), pattern(10_000)) }
            }
            try await expectSoon("the session is lost") { a.recorder.state.sessionsLost == [SessionID(.node, 0)] }
            #expect(try await a.on { $0.peers[nowhere]?.bytes } == 0)
        }
    }

    @Test("bounds: what may wait for all peers together is bounded too")
    func allBound() async throws {
        let a = try await TestPeer.start {
            $0.limits.messageBytes = 10_000
            $0.allQueuedBytes = 25_000
        }
        try await withPeers([a]) {
            try await a.on { endpoint in
                for port in 1...3 as ClosedRange<UInt16> {
                    endpoint.sendMessage(to: Address(ipv4: 0x7F00_0001, port: port), pattern(10_000))
                }
            }
            #expect(try await a.counters.messagesDropped == 1)
            #expect(try await a.on { $0.queuedBytes } == 20_008)
        }
        #expect(a.endpoint.queuedBytes == 0)
    }

    @Test("bounds: datagrams that may wait, and connections, are bounded")
    func otherBounds() async throws {
        let a = try await TestPeer.start {
            $0.queuedDatagrams = 10
            $0.connections = 1
        }
        let (first, second) = (Address(ipv4: 0x7F00_0001, port: 1), Address(ipv4: 0x7F00_0001, port: 2))
        try await withPeers([a]) {
            try await a.on { endpoint in
                for index in 0..<50 as Range<UInt8> { endpoint.sendDatagram(to: first, [index]) }
            }
            #expect(try await a.counters.datagramsDropped == 40)
            // The attempt to reach the first takes the only place.
            try await a.on { $0.sendMessage(to: second, [1]) }
            try await expectSoon("the second is lost") { a.recorder.state.peersLost == [second] }
            #expect(try await a.counters.connections == 1)
            #expect(a.log.all.contains { $0.contains("the limit of 1 connections is reached") })
        }
    }

    @Test("socket: one that the system closes under us is opened again, and connections live on")
    func reopened() async throws {
        let a = try await TestPeer.start()
        let b = try await TestPeer.start()
        try await withPeers([a, b]) {
            try await connect(a, b)
            try await b.on { _ = $0.channel?.close() }
            let target = b.address
            try await a.on { $0.sendMessage(to: target, [1]) }
            try await expectSoon("the message arrives") { b.recorder.state.messages == [[1]] }
            #expect(try await a.counters.connectsStarted == 1)
            #expect(b.log.all.contains { $0.hasPrefix("error") && $0.contains("opened again") })
        }
    }

    @Test("shutdown: what is queued arrives first, peers are told at once, and the port is free again")
    func shutdown() async throws {
        let a = try await TestPeer.start()
        let b = try await TestPeer.start()
        let (left, right) = (a.address, b.address)
        try await withPeers([b]) {
            try await connect(a, b)
            let session = SessionID(.node, 0)
            try await b.on { $0.openSession(session, to: left) }
            try await expectSoon("the session is open") { a.recorder.state.opened.count == 1 }
            try await a.on { $0.sendMessage(to: right, pattern(200_000)) }
            let start = ContinuousClock.now
            try await a.stop()
            #expect(ContinuousClock.now - start < .seconds(9))
            try await expectSoon("the peer is told") { b.recorder.state.peersLost == [left] }
            #expect(b.recorder.state.sessionsLost == [session])
            let arrived = b.recorder.state.messages == [pattern(200_000)]
            #expect(arrived)
            let again = try await TestPeer.start(at: left)
            try await again.stop()
        }
    }
}

extension Array {
    func asyncMap<Result>(_ body: (Element) async throws -> Result) async rethrows -> [Result] {
        var results: [Result] = []
        for element in self { results.append(try await body(element)) }
        return results
    }
}
