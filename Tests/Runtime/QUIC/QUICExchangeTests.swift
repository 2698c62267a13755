import PatinaProtocol
import Testing

@testable import PatinaRuntime

/// Goal: messages, datagrams and sessions arrive whole, in both directions of one connection.
/// Method: two endpoints on loopback.
@Suite(.serialized, .timeLimit(.minutes(2))) struct QUICExchangeTests {
    @Test("exchange: message, datagram and session echo, both ways over one connection", arguments: [true, false])
    func everything(mutual: Bool) async throws {
        let authority = try CertificateAuthority()
        let a = try await TestPeer.start(mutual ? authority.mutualTLS() : .plaintext)
        let b = try await TestPeer.start(mutual ? authority.mutualTLS() : .plaintext)
        try await withPeers([a, b]) {
            for (from, to) in [(a, b), (b, a)] {
                let target = to.address
                try await from.on { endpoint in
                    endpoint.sendMessage(to: target, pattern(40_000))
                    endpoint.sendDatagram(to: target, pattern(1_150))
                    endpoint.openSession(SessionID(.node, 7), to: target)
                    endpoint.writeSession(SessionID(.node, 7), pattern(100_000))
                    endpoint.writeSession(SessionID(.node, 7), pattern(10))
                    endpoint.finishSession(SessionID(.node, 7))
                }
                try await expectSoon("the message arrives") { to.recorder.state.messages == [pattern(40_000)] }
                try await expectSoon("the datagram arrives") { to.recorder.state.datagrams == [pattern(1_150)] }
                try await expectSoon("the echo arrives") {
                    from.recorder.state.received[SessionID(.node, 7)] == pattern(100_000) + pattern(10)
                        && from.recorder.state.finished.contains(SessionID(.node, 7))
                }
                #expect(to.recorder.state.senders == [from.address])
                #expect(to.recorder.state.opened.allSatisfy { $0.initiator == .peer })
                from.recorder.clear()
                to.recorder.clear()
            }
            #expect(try await a.counters.connections == 1)
            #expect(try await b.counters.connectsStarted == 0)
            try await expectSoon("ended sessions are forgotten") {
                let counts = try await [a.on { $0.sessions.count }, b.on { $0.sessions.count }]
                return counts == [0, 0]
            }
            try await expectSoon("all bytes are accounted for") { try await a.on { $0.peers.values.allSatisfy { $0.bytes == 0 } } }
        }
    }

    @Test("messages: large ones arrive whole (5 of 1 MB)")
    func large() async throws {
        let a = try await TestPeer.start()
        let b = try await TestPeer.start()
        try await withPeers([a, b]) {
            let target = b.address
            try await a.on { endpoint in
                for index in 0..<5 { endpoint.sendMessage(to: target, pattern(1_048_576, index)) }
            }
            try await expectSoon("all messages arrive") { b.recorder.state.messages.count == 5 }
            // Compared as one truth value: a failure must not print megabytes.
            let arrived = b.recorder.state.messages
            let isComplete = (0..<5).allSatisfy { arrived.contains(pattern(1_048_576, $0)) }
            #expect(isComplete)
            try await expectSoon("all messages are acknowledged") { try await a.counters.messagesSent == 5 }
        }
    }

    @Test("messages: more than may be under way at once arrive, each once (1,000 of 100 bytes)", arguments: [1, 4])
    func many(lanes: Int) async throws {
        let a = try await TestPeer.start {
            $0.messagesUnderWay = 50
            $0.messageLanes = lanes
        }
        let b = try await TestPeer.start()
        try await withPeers([a, b]) {
            let target = b.address
            try await a.on { endpoint in
                for index in 0..<1_000 { endpoint.sendMessage(to: target, Array("\(index) ".utf8) + pattern(100)) }
            }
            try await expectSoon("all messages arrive") { b.recorder.state.messages.count == 1_000 }
            #expect(Set(b.recorder.state.messages).count == 1_000)
            #expect(try await a.counters.messagesDropped == 0)
            #expect(try await a.on { $0.peers[target]?.active?.lanes.count } == lanes)
        }
    }

    @Test("messages: a long one does not hold up the short ones behind it")
    func overtaken() async throws {
        let a = try await TestPeer.start()
        let b = try await TestPeer.start()
        try await withPeers([a, b]) {
            let target = b.address
            try await a.on { endpoint in
                endpoint.sendMessage(to: target, pattern(4_194_304))
                for index in 0..<20 as Range<UInt8> { endpoint.sendMessage(to: target, [index]) }
            }
            try await expectSoon("all arrive") { b.recorder.state.messages.count == 21 }
            #expect(b.recorder.state.messages.last?.count == 4_194_304)
        }
    }

    @Test("messages: without the kernel's help, and at a fixed packet size", arguments: [nil, 1_200, 8_000] as [Int?])
    func withoutOffload(size: Int?) async throws {
        let a = try await TestPeer.start {
            $0.disableSegmentationOffload = true
            $0.maximumMTU = size
        }
        let b = try await TestPeer.start { $0.maximumMTU = size }
        try await withPeers([a, b]) {
            let (target, source) = (b.address, a.address)
            try await a.on { $0.sendMessage(to: target, pattern(300_000)) }
            try await expectSoon("the message arrives") { b.recorder.state.messages == [pattern(300_000)] }
            try await b.on { $0.sendMessage(to: source, pattern(300_000)) }
            try await expectSoon("the answer arrives") { a.recorder.state.messages == [pattern(300_000)] }
        }
    }

    @Test("messages: empty ones are messages too")
    func empty() async throws {
        let a = try await TestPeer.start()
        let b = try await TestPeer.start()
        try await withPeers([a, b]) {
            let target = b.address
            try await a.on {
                $0.sendMessage(to: target, [])
                $0.sendDatagram(to: target, [])
            }
            try await expectSoon("both arrive") { b.recorder.state.messages == [[]] && b.recorder.state.datagrams == [[]] }
        }
    }

    @Test("addresses: IPv6, and a socket for all addresses of the host", arguments: ["[::1]:0", "[::]:0", "0.0.0.0:0"])
    func addresses(bind: String) async throws {
        let bound = try #require(Address(bind))
        let a = try await TestPeer.start(at: bound)
        let b = try await TestPeer.start(at: bound)
        try await withPeers([a, b]) {
            // 127.0.0.2 shows that answers come from the address that was asked, not from the first of the interface.
            let hosts = bind == "[::1]:0" ? ["[::1]"] : bind == "[::]:0" ? ["[::1]", "127.0.0.2"] : ["127.0.0.2"]
            for host in hosts {
                let target = try #require(Address("\(host):\(b.address.port)"))
                try await a.on { $0.sendMessage(to: target, Array(host.utf8)) }
                try await expectSoon("the message for \(host) arrives") { b.recorder.state.messages.contains(Array(host.utf8)) }
            }
            for sender in b.recorder.state.senders { try await b.on { $0.sendMessage(to: sender, [1]) } }
            try await expectSoon("the answers arrive") { a.recorder.state.messages.count == b.recorder.state.senders.count }
            #expect(try await b.counters.connectsStarted == 0)
        }
    }

    @Test("sessions: more than the peer allows at once wait for their turn (20 at 4)")
    func manySessions() async throws {
        let a = try await TestPeer.start { $0.sessionStreams = 4 }
        let b = try await TestPeer.start { $0.sessionStreams = 4 }
        try await withPeers([a, b]) {
            let target = b.address
            try await a.on { endpoint in
                for number in 0..<20 as Range<UInt64> {
                    endpoint.openSession(SessionID(.node, number), to: target)
                    endpoint.writeSession(SessionID(.node, number), pattern(30_000, Int(number)))
                    endpoint.finishSession(SessionID(.node, number))
                }
            }
            try await expectSoon("all sessions end") { a.recorder.state.finished.count == 20 }
            for number in 0..<20 as Range<UInt64> {
                let isWhole = a.recorder.state.received[SessionID(.node, number)] == pattern(30_000, Int(number))
                #expect(isWhole)
            }
        }
    }

    @Test("sessions: a reset is told to the other side once, and the connection lives on")
    func reset() async throws {
        let a = try await TestPeer.start()
        let b = try await TestPeer.start()
        try await withPeers([a, b]) {
            let target = b.address
            let session = SessionID(.node, 0)
            try await a.on { endpoint in
                endpoint.openSession(session, to: target)
                endpoint.writeSession(session, [1, 2, 3])
            }
            try await expectSoon("the session is open at both ends") {
                b.recorder.state.opened.count == 1 && a.recorder.state.received[session] == [1, 2, 3]
            }
            try await a.on { $0.resetSession(session) }
            try await expectSoon("the peer is told") { b.recorder.state.sessionsLost == b.recorder.state.opened }
            // And the other way: the side that did not open it resets.
            let second = SessionID(.node, 1)
            try await a.on { endpoint in
                endpoint.openSession(second, to: target)
                endpoint.writeSession(second, [4])
            }
            try await expectSoon("the second session is open") { b.recorder.state.opened.count == 2 }
            let theirs = b.recorder.state.opened[1]
            try await b.on { $0.resetSession(theirs) }
            try await expectSoon("the opener is told") { a.recorder.state.sessionsLost == [second] }
            #expect(b.recorder.state.sessionsLost.count == 1)
            try await a.on { $0.sendMessage(to: target, [9]) }
            try await expectSoon("the connection lives") { b.recorder.state.messages == [[9]] }
            #expect(try await a.counters.connections == 1)
        }
    }

    @Test("simultaneous open: both ends connect at once, everything arrives, nobody is lost (20 times)")
    func simultaneous() async throws {
        for round in 0..<20 {
            let a = try await TestPeer.start()
            let b = try await TestPeer.start()
            try await withPeers([a, b]) {
                let (left, right) = (a.address, b.address)
                async let first: Void = a.on { $0.sendMessage(to: right, [UInt8(round)]) }
                async let second: Void = b.on { $0.sendMessage(to: left, [UInt8(round)]) }
                _ = try await (first, second)
                try await expectSoon("both arrive") { a.recorder.state.messages.count == 1 && b.recorder.state.messages.count == 1 }
                for index in 0..<10 as Range<UInt8> {
                    try await a.on { $0.sendMessage(to: right, [index]) }
                    try await b.on { $0.sendMessage(to: left, [index]) }
                }
                try await expectSoon("all arrive") { a.recorder.state.messages.count == 11 && b.recorder.state.messages.count == 11 }
                #expect(a.recorder.state.peersLost.isEmpty && b.recorder.state.peersLost.isEmpty)
                #expect(try await a.counters.connectsStarted <= 1)
                #expect(try await b.counters.connectsStarted <= 1)
            }
        }
    }
}
