import Foundation
import PatinaProtocol
import Testing

@testable import PatinaRuntime

/// Goal: the endpoint speaks QUIC as others understand it, not only to itself.
/// Method: `aioquic_peer.py`, in either role. Needs the Python environment of `make deps`.
@Suite(
    .serialized, .timeLimit(.minutes(2)),
    .enabled(if: ProcessInfo.processInfo.environment["PATINA_SKIP_AIOQUIC"] != "1", "PATINA_SKIP_AIOQUIC is set"))
struct AioquicTests {
    private struct Missing: Error, CustomStringConvertible {
        let description = "aioquic is missing: run `make deps` to install it into .venv, or set PATINA_SKIP_AIOQUIC=1 to skip these tests"
    }

    /// The script as a process, and what it has printed so far.
    private final class Script {
        private let process = Process()
        private let file: URL

        init(_ arguments: String...) throws {
            let folder = URL(filePath: #filePath).deletingLastPathComponent()
            let root = folder.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            file = FileManager.default.temporaryDirectory.appending(path: "patina-aioquic-\(UUID().uuidString)")
            process.executableURL = try Script.python(root: root)
            process.arguments = [folder.appending(path: "aioquic_peer.py").path] + arguments
            _ = FileManager.default.createFile(atPath: file.path, contents: nil)
            let output = try FileHandle(forWritingTo: file)
            process.standardOutput = output
            process.standardError = output
            try process.run()
        }

        deinit {
            if process.isRunning { process.terminate() }
            try? FileManager.default.removeItem(at: file)
        }

        var lines: [String] {
            ((try? String(contentsOf: file, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
        }
        var isRunning: Bool { process.isRunning }
        var succeeded: Bool { !process.isRunning && process.terminationStatus == 0 }

        /// The first Python that has aioquic: the one of `make deps`, then the system's.
        private static func python(root: URL) throws -> URL {
            for candidate in [root.appending(path: ".venv/bin/python3").path, "/usr/bin/python3"]
            where FileManager.default.isExecutableFile(atPath: candidate) {
                let probe = Process()
                probe.executableURL = URL(filePath: candidate)
                probe.arguments = ["-c", "import aioquic"]
                probe.standardError = FileHandle.nullDevice
                try probe.run()
                probe.waitUntilExit()
                if probe.terminationStatus == 0 { return URL(filePath: candidate) }
            }
            throw Missing()
        }
    }

    @Test("foreign client: mutual TLS, datagram, session, messages, key update, new connection ID, close")
    func foreignClient() async throws {
        let authority = try CertificateAuthority()
        let peer = try await TestPeer.start(authority.mutualTLS(), reaction: [.echoSessions, .echoDatagrams, .echoMessages])
        try await withPeers([peer]) {
            let pair = try authority.issue(rsa: true)
            let script = try Script(
                "client", "127.0.0.1", "\(peer.address.port)", authority.authorityFile, pair.certificate, pair.key)
            try await expectSoon("the foreign client is done", within: .seconds(60)) { !script.isRunning }
            #expect(script.succeeded, "\(script.lines)")
            #expect(script.lines.last == "ok closed")
            try await expectSoon("its end is noticed") { peer.recorder.state.peersLost.count == 1 }
            #expect(try await peer.counters.messagesReceived == 304)
            #expect(try await peer.counters.messagesRefused == 1)
        }
    }

    @Test("foreign client: one of another authority, and one of another protocol, are refused")
    func foreignStrangers() async throws {
        let (ours, theirs) = (try CertificateAuthority(name: "ours"), try CertificateAuthority(name: "theirs"))
        let peer = try await TestPeer.start(ours.mutualTLS())
        try await withPeers([peer]) {
            let pair = try theirs.issue(rsa: true)
            let stranger = try Script(
                "client", "127.0.0.1", "\(peer.address.port)", ours.authorityFile, pair.certificate, pair.key)
            try await expectSoon("the stranger is done", within: .seconds(60)) { !stranger.isRunning }
            #expect(!stranger.succeeded)
            #expect(peer.log.warns(of: "issuer is unknown"))
            let other = try Script("wrong-alpn", "127.0.0.1", "\(peer.address.port)")
            try await expectSoon("the other is done", within: .seconds(60)) { !other.isRunning }
            // 0x100 + 120: no application protocol.
            #expect(other.lines == ["refused 0x178"])
            #expect(peer.recorder.state.datagrams.isEmpty && peer.recorder.state.messages.isEmpty)
            #expect(try await peer.counters.handshakesCompleted == 0)
        }
    }

    @Test("foreign server: datagram, session and messages, with Retry and without", arguments: [false, true])
    func foreignServer(retry: Bool) async throws {
        let authority = try CertificateAuthority()
        let pair = try authority.issue(rsa: true)
        let script = retry ? try Script("server", pair.certificate, pair.key, "--retry") : try Script("server", pair.certificate, pair.key)
        try await expectSoon("the foreign server listens") { script.lines.contains { $0.hasPrefix("listening ") } }
        let line = try #require(script.lines.first { $0.hasPrefix("listening ") }, "\(script.lines)")
        let port = try #require(UInt16(line.dropFirst("listening ".count)))
        let target = Address(ipv4: 0x7F00_0001, port: port)
        let peer = try await TestPeer.start(authority.mutualTLS(), reaction: [])
        try await withPeers([peer]) {
            try await peer.on { $0.sendDatagram(to: target, Array("a datagram".utf8)) }
            try await expectSoon("the datagram is echoed") { peer.recorder.state.datagrams == [Array("a datagram".utf8)] }
            let body = pattern(200_000)
            try await peer.on { endpoint in
                endpoint.openSession(SessionID(.node, 0), to: target)
                endpoint.writeSession(SessionID(.node, 0), body)
                endpoint.finishSession(SessionID(.node, 0))
            }
            try await expectSoon("the session ends") { peer.recorder.state.finished == [SessionID(.node, 0)] }
            let isEchoed = peer.recorder.state.received[SessionID(.node, 0)] == body
            #expect(isEchoed)
            try await peer.on { endpoint in
                for index in 0..<300 { endpoint.sendMessage(to: target, Array("message \(index)".utf8)) }
            }
            try await expectSoon("the messages come back") { peer.recorder.state.messages.count == 300 }
            #expect(Set(peer.recorder.state.messages).count == 300)
            #expect(peer.recorder.state.peersLost.isEmpty)
        }
    }
}
