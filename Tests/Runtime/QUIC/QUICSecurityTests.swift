import Foundation
import NIOPosix
import PatinaProtocol
import Testing

@testable import PatinaRuntime

/// Goal: only those whose certificates the configuration trusts are heard, and the log says who was refused and why.
/// Method: endpoints of two authorities on loopback.
@Suite(.serialized, .timeLimit(.minutes(2))) struct QUICSecurityTests {
    /// Sends from `client` to `server`, and expects that the client is told of the loss and that nothing arrives.
    private func expectRefused(_ client: TestPeer, by server: TestPeer) async throws {
        let target = server.address
        server.recorder.clear()
        try await client.on { endpoint in
            endpoint.sendMessage(to: target, [1])
            endpoint.sendDatagram(to: target, [2])
            endpoint.openSession(SessionID(.node, 0), to: target)
            endpoint.writeSession(SessionID(.node, 0), [3])
        }
        try await expectSoon("the client is told") { client.recorder.state.peersLost.contains(target) }
        #expect(client.recorder.state.sessionsLost == [SessionID(.node, 0)])
        let heard = server.recorder.state
        #expect(heard.messages.isEmpty && heard.datagrams.isEmpty && heard.opened.isEmpty && heard.peersLost.isEmpty)
        #expect(try await server.counters.handshakesCompleted == 0)
        try await expectSoon("the server keeps nothing of it") {
            let counters = try await server.counters
            return counters.halfOpen == 0 && counters.connections == 0
        }
        #expect(try await client.counters.messagesDropped == 1)
    }

    @Test("mutual TLS: a peer of another authority is refused in either role, and the log says why")
    func otherAuthority() async throws {
        let (ours, theirs) = (try CertificateAuthority(name: "ours"), try CertificateAuthority(name: "theirs"))
        let a = try await TestPeer.start(ours.mutualTLS())
        let b = try await TestPeer.start(theirs.mutualTLS())
        try await withPeers([a, b]) {
            // The client judges first: it refuses the server's certificate.
            try await expectRefused(a, by: b)
            #expect(a.log.warns(of: "refused the server at \(b.address)"))
            #expect(a.log.warns(of: "issuer is unknown"))
            try await expectRefused(b, by: a)
        }
    }

    @Test("mutual TLS: a client of another authority that trusts the server is refused by the server")
    func otherClient() async throws {
        let (ours, theirs) = (try CertificateAuthority(name: "ours"), try CertificateAuthority(name: "theirs"))
        let stranger = try theirs.issue()
        let server = try await TestPeer.start(ours.mutualTLS())
        let client = try await TestPeer.start(
            .mutualTLS(certificate: stranger.certificate, key: stranger.key, authority: ours.authorityFile))
        try await withPeers([server, client]) {
            try await expectRefused(client, by: server)
            #expect(server.log.warns(of: "refused the client at \(client.address)"))
            #expect(server.log.warns(of: "issuer is unknown"))
            #expect(client.log.warns(of: "\(server.address) refused the connection: TLS alert"))
        }
    }

    @Test("mutual TLS: a client without a certificate is refused", arguments: ["plaintext", "serverTLS"])
    func noCertificate(client kind: String) async throws {
        let authority = try CertificateAuthority()
        let pair = try authority.issue()
        let server = try await TestPeer.start(authority.mutualTLS())
        let client = try await TestPeer.start(
            kind == "plaintext"
                ? .plaintext : .serverTLS(certificate: pair.certificate, key: pair.key, authority: authority.authorityFile))
        try await withPeers([server, client]) {
            try await expectRefused(client, by: server)
            #expect(server.log.warns(of: "refused the client at \(client.address)"))
            #expect(client.log.warns(of: "\(server.address) refused the connection: TLS alert"))
        }
    }

    @Test("mutual TLS: a server whose certificate names another address is refused by the client")
    func otherAddress() async throws {
        let authority = try CertificateAuthority()
        let server = try await TestPeer.start(authority.mutualTLS(host: "127.0.0.9"))
        let client = try await TestPeer.start(authority.mutualTLS())
        try await withPeers([server, client]) {
            try await expectRefused(client, by: server)
            #expect(client.log.warns(of: "does not match"))
        }
    }

    @Test("mutual TLS: a second certificate serves the client's role")
    func clientCertificate() async throws {
        let (servers, clients) = (try CertificateAuthority(name: "servers"), try CertificateAuthority(name: "clients"))
        let (serverPair, clientPair) = (try servers.issue(), try clients.issue())
        // Each side trusts both authorities.
        let both = servers.directory.appending(path: "both.pem")
        let bundle =
            try String(contentsOfFile: servers.authorityFile, encoding: .utf8)
            + String(contentsOfFile: clients.authorityFile, encoding: .utf8)
        try bundle.write(to: both, atomically: true, encoding: .utf8)
        let security = QUICSecurity.mutualTLS(
            certificate: serverPair.certificate, key: serverPair.key, authority: both.path, client: clientPair)
        let a = try await TestPeer.start(security)
        let b = try await TestPeer.start(security)
        try await withPeers([a, b]) {
            let target = b.address
            try await a.on { $0.sendMessage(to: target, [1]) }
            try await expectSoon("the message arrives") { b.recorder.state.messages == [[1]] }
        }
    }

    @Test("server TLS: servers are verified, clients are not; without an authority nobody is", arguments: [true, false])
    func serverTLS(verifying: Bool) async throws {
        let (ours, theirs) = (try CertificateAuthority(), try CertificateAuthority())
        let (a, b) = (try ours.issue(), try theirs.issue())
        let trusting = try await TestPeer.start(
            .serverTLS(certificate: a.certificate, key: a.key, authority: verifying ? ours.authorityFile : nil))
        let other = try await TestPeer.start(.serverTLS(certificate: b.certificate, key: b.key, authority: ours.authorityFile))
        try await withPeers([trusting, other]) {
            // `other` trusts our authority, so it may connect to us, whatever its own certificate is.
            let (left, right) = (trusting.address, other.address)
            try await other.on { $0.sendMessage(to: left, [1]) }
            try await expectSoon("the message arrives") { trusting.recorder.state.messages == [[1]] }
            let second = try await TestPeer.start(
                .serverTLS(certificate: a.certificate, key: a.key, authority: verifying ? ours.authorityFile : nil))
            try await withPeers([second]) {
                try await second.on { $0.sendMessage(to: right, [2]) }
                try await expectSoon("the server is judged") {
                    verifying ? second.recorder.state.peersLost == [right] : other.recorder.state.messages == [[2]]
                }
                #expect(other.recorder.state.messages.isEmpty == verifying)
            }
        }
    }

    @Test("plaintext: works without files, and warns once at start")
    func plaintext() async throws {
        let a = try await TestPeer.start()
        let b = try await TestPeer.start()
        try await withPeers([a, b]) {
            let target = b.address
            try await a.on { $0.sendMessage(to: target, [1]) }
            try await expectSoon("the message arrives") { b.recorder.state.messages == [[1]] }
            for peer in [a, b] { #expect(peer.log.all.count { $0.contains("verifies nobody") } == 1) }
        }
    }

    @Test("files: what is missing, unreadable or does not fit is named with the reason")
    func files() async throws {
        let authority = try CertificateAuthority()
        let (first, second) = (try authority.issue(), try authority.issue())
        let garbage = authority.directory.appending(path: "garbage.pem").path
        try "this is no certificate".write(toFile: garbage, atomically: true, encoding: .utf8)
        let empty = authority.directory.appending(path: "empty.pem").path
        try "".write(toFile: empty, atomically: true, encoding: .utf8)
        let ca = authority.authorityFile
        let cases: [(QUICSecurity, path: String, words: String)] = [
            (.mutualTLS(certificate: "/nowhere/a.pem", key: first.key, authority: ca), "/nowhere/a.pem", "No such file"),
            (.mutualTLS(certificate: first.certificate, key: "/nowhere/a.key", authority: ca), "/nowhere/a.key", "No such file"),
            (.mutualTLS(certificate: first.certificate, key: first.key, authority: "/nowhere/ca.pem"), "/nowhere/ca.pem", "No such file"),
            (.mutualTLS(certificate: garbage, key: first.key, authority: ca), garbage, "not a certificate"),
            (.mutualTLS(certificate: first.certificate, key: garbage, authority: ca), garbage, "not a private key"),
            (.mutualTLS(certificate: first.certificate, key: first.key, authority: garbage), garbage, "certificate"),
            (.mutualTLS(certificate: first.certificate, key: first.key, authority: empty), empty, "is empty"),
            (.mutualTLS(certificate: first.certificate, key: second.key, authority: ca), second.key, "does not belong"),
            (.serverTLS(certificate: "/", key: first.key, authority: nil), "/", "directory"),
        ]
        for (security, path, words) in cases {
            let error = await #expect(throws: QUICError.self) { _ = try await TestPeer.start(security) }
            guard case .file(path: let named, let reason)? = error else {
                Issue.record("\(String(describing: error)) does not name a file")
                continue
            }
            #expect(named == path)
            #expect(reason.contains(words), "\(path): \(reason)")
        }
    }

    @Test("start: a taken port and values out of bounds are refused with the reason")
    func configuration() async throws {
        let a = try await TestPeer.start()
        try await withPeers([a]) {
            let taken = await #expect(throws: QUICError.self) { _ = try await TestPeer.start(at: a.address) }
            #expect(taken?.description.contains("\(a.address)") == true && taken?.description.contains("in use") == true)
            let changes: [@Sendable (inout QUICConfiguration) -> Void] = [
                { $0.maximumMTU = 1_199 }, { $0.idleTimeout = .milliseconds(99) }, { $0.backoffMaximum = .milliseconds(1) },
                { $0.queuedBytes = 1 }, { $0.messagesUnderWay = 0 }, { $0.messageLanes = 0 }, { $0.laneAllowance = 1 },
                { $0.streamWindow = $0.connectionWindow + 1 },
            ]
            for (index, change) in changes.enumerated() {
                let error = await #expect(throws: QUICError.self) { _ = try await TestPeer.start(.plaintext, change) }
                guard case .configuration? = error else {
                    Issue.record("change \(index): \(String(describing: error))")
                    continue
                }
            }
        }
    }
}
