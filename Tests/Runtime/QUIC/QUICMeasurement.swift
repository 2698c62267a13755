import Foundation
import Logging
import NIOCore
import NIOPosix
import PatinaProtocol
import Synchronization
import Testing

@testable import PatinaRuntime

/// Goal: figures of the transport alone, on loopback, for `docs/quic.md`. Nothing is asserted but that all arrives.
/// Method: PATINA_MEASURE=1 swift test -c release -Xswiftc -enable-testing --filter QUICMeasurement
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["PATINA_MEASURE"] == "1", "PATINA_MEASURE is not set"))
struct QUICMeasurement {
    /// Sends one datagram after the other, each when the last has come back.
    private final class Pinger: QUICEndpointDelegate {
        struct State {
            var endpoint: QUICEndpoint?
            var target = TestPeer.loopback
            var sentAt = NIODeadline.now()
            var roundTrips: [Int64] = []
        }
        let state = Mutex(State())

        func ping() {
            let (endpoint, target) = state.withLock {
                $0.sentAt = .now()
                return ($0.endpoint, $0.target)
            }
            endpoint?.sendDatagram(to: target, [UInt8](repeating: 7, count: 64))
        }

        func datagramReceived(_ bytes: [UInt8], from address: Address) {
            state.withLock { $0.roundTrips.append((NIODeadline.now() - $0.sentAt).nanoseconds) }
            ping()
        }
        func messageReceived(_ bytes: [UInt8], from address: Address) {}
        func sessionOpened(_ session: SessionID, from address: Address) {}
        func sessionReceived(_ session: SessionID, _ bytes: [UInt8]) {}
        func sessionFinished(_ session: SessionID) {}
        func sessionLost(_ session: SessionID) {}
        func peerLost(_ address: Address) {}
    }

    @Test("measurement: messages a second", arguments: [(50_000, 100), (20_000, 1_000), (2_000, 65_536), (50, 4_194_304)])
    func messages(count: Int, size: Int) async throws {
        let authority = try CertificateAuthority()
        let a = try await TestPeer.start(authority.mutualTLS()) { $0.queuedMessages = count }
        let b = try await TestPeer.start(authority.mutualTLS())
        try await withPeers([a, b]) {
            let target = b.address
            try await a.on { $0.sendMessage(to: target, [0]) }
            try await expectSoon("the connection stands") { b.recorder.state.messages.count == 1 }
            let body = pattern(size)
            let start = ContinuousClock.now
            var sent = 0
            while sent < count {
                // In rounds, as much as the queue takes.
                sent += try await a.on { [sent] endpoint in
                    var round = 0
                    while sent + round < count, endpoint.peers[target].map({ $0.bytes < 32 << 20 }) ?? true {
                        endpoint.sendMessage(to: target, body)
                        round += 1
                    }
                    return round
                }
                try await Task.sleep(for: .microseconds(200))
            }
            try await expectSoon("all arrive", within: .seconds(120)) { try await b.counters.messagesReceived == UInt64(count + 1) }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            print(
                "\(count) messages of \(size) bytes: \(Int(Double(count) / seconds))/s, \(Int(Double(count * size) / seconds / 1e6)) MB/s")
        }
    }

    @Test("measurement: datagram round trips, one after the other (64 bytes)")
    func roundTrips() async throws {
        let b = try await TestPeer.start(reaction: [.echoDatagrams])
        let pinger = Pinger()
        let endpoint = try await QUICEndpoint.bind(
            QUICConfiguration(bind: TestPeer.loopback, security: .plaintext), on: MultiThreadedEventLoopGroup.singleton.next(),
            delegate: pinger, logger: LogLines().logger)
        pinger.state.withLock {
            $0.endpoint = endpoint
            $0.target = b.address
        }
        try await endpoint.loop.submit { pinger.ping() }.get()
        try await expectSoon("the pings return") { pinger.state.withLock { $0.roundTrips.count } >= 5_000 }
        let sorted = pinger.state.withLock {
            $0.endpoint = nil
            return $0.roundTrips.dropFirst(500).sorted()
        }
        let part = { (share: Double) in Double(sorted[Int(Double(sorted.count - 1) * share)]) / 1_000 }
        print("datagram round trip: median \(part(0.5)) us, 99 % \(part(0.99)) us, of \(sorted.count)")
        try await endpoint.loop.flatSubmit { endpoint.shutdown() }.get()
        try await b.stop()
    }
}
