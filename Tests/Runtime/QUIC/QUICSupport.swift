import Logging
import NIOCore
import NIOPosix
import PatinaProtocol
import Synchronization
import Testing

@testable import PatinaRuntime

/// Keeps all that an endpoint tells; echoes the sessions that peers open, datagrams or messages when asked to.
final class Recorder: QUICEndpointDelegate {
    struct State {
        var datagrams: [[UInt8]] = []
        var messages: [[UInt8]] = []
        var opened: [SessionID] = []
        var received: [SessionID: [UInt8]] = [:]
        var finished: [SessionID] = []
        var sessionsLost: [SessionID] = []
        var peersLost: [Address] = []
        var senders: Set<Address> = []
    }

    /// What to do with what arrives, beside keeping it. Called on the event loop.
    struct Reaction: OptionSet {
        let rawValue: Int
        static let echoSessions = Reaction(rawValue: 1)
        static let echoDatagrams = Reaction(rawValue: 2)
        static let echoMessages = Reaction(rawValue: 4)
    }

    private let content = Mutex(State())
    private let link = Mutex<(endpoint: QUICEndpoint, reaction: Reaction)?>(nil)

    var state: State { content.withLock { $0 } }
    func clear() { content.withLock { $0 = State() } }
    func react(_ reaction: Reaction, with endpoint: QUICEndpoint?) { link.withLock { $0 = endpoint.map { ($0, reaction) } } }
    private func note(_ change: (inout State) -> Void) { content.withLock { change(&$0) } }
    private func echo(_ wanted: Reaction, _ body: (QUICEndpoint) -> Void) {
        if let (endpoint, reaction) = link.withLock({ $0 }), reaction.contains(wanted) { body(endpoint) }
    }

    func datagramReceived(_ bytes: [UInt8], from address: Address) {
        note {
            $0.datagrams.append(bytes)
            $0.senders.insert(address)
        }
        echo(.echoDatagrams) { $0.sendDatagram(to: address, bytes) }
    }
    func messageReceived(_ bytes: [UInt8], from address: Address) {
        note {
            $0.messages.append(bytes)
            $0.senders.insert(address)
        }
        echo(.echoMessages) { $0.sendMessage(to: address, bytes) }
    }
    func sessionOpened(_ session: SessionID, from address: Address) { note { $0.opened.append(session) } }
    func sessionReceived(_ session: SessionID, _ bytes: [UInt8]) {
        note { $0.received[session, default: []] += bytes }
        if session.initiator == .peer { echo(.echoSessions) { $0.writeSession(session, bytes) } }
    }
    func sessionFinished(_ session: SessionID) {
        note { $0.finished.append(session) }
        if session.initiator == .peer { echo(.echoSessions) { $0.finishSession(session) } }
    }
    func sessionLost(_ session: SessionID) { note { $0.sessionsLost.append(session) } }
    func peerLost(_ address: Address) { note { $0.peersLost.append(address) } }
}

/// Keeps the lines that an endpoint logs.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func warns(of words: String) -> Bool { all.contains { $0.hasPrefix("warning") && $0.contains(words) } }

    var logger: Logger {
        Logger(label: "test") { _ in Handler(lines: self) }
    }

    private struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.debug
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { lines.lines.withLock { $0.append("\(event.level): \(event.message)") } }
    }
}

/// An endpoint on a loopback port of its own, what it was told and what it logged.
struct TestPeer {
    let endpoint: QUICEndpoint
    let recorder: Recorder
    let log: LogLines

    var address: Address { endpoint.localAddress }

    static let loopback = Address(ipv4: 0x7F00_0001, port: 0)

    static func start(
        _ security: QUICSecurity = .plaintext, at address: Address = loopback, reaction: Recorder.Reaction = [.echoSessions],
        _ change: (inout QUICConfiguration) -> Void = { _ in }
    ) async throws -> TestPeer {
        var configuration = QUICConfiguration(bind: address, security: security)
        // Tests share two cores with much else.
        configuration.connectTimeout = .seconds(20)
        configuration.drainTimeout = .seconds(10)
        configuration.backoffMinimum = .milliseconds(10)
        configuration.backoffMaximum = .milliseconds(100)
        configuration.attemptsPerMinute = 1_000
        change(&configuration)
        let recorder = Recorder()
        let log = LogLines()
        let endpoint = try await QUICEndpoint.bind(
            configuration, on: MultiThreadedEventLoopGroup.singleton.next(), delegate: recorder, logger: log.logger)
        recorder.react(reaction, with: endpoint)
        return TestPeer(endpoint: endpoint, recorder: recorder, log: log)
    }

    /// Runs `body` on the endpoint's loop.
    @discardableResult
    func on<Result: Sendable>(_ body: @escaping @Sendable (QUICEndpoint) throws -> Result) async throws -> Result {
        let endpoint = endpoint
        return try await endpoint.loop.submit { try body(endpoint) }.get()
    }

    var counters: QUICCounters { get async throws { try await on { $0.counters } } }

    func stop() async throws {
        let endpoint = endpoint
        try await endpoint.loop.flatSubmit { endpoint.shutdown() }.get()
        recorder.react([], with: nil)
    }

    /// Ends without a word, as a process that is killed.
    func kill() async throws {
        let endpoint = endpoint
        try await endpoint.loop.flatSubmit { endpoint.abandon() }.get()
        recorder.react([], with: nil)
    }
}

/// Starts peers, runs `body`, and stops them whatever happens.
func withPeers(_ peers: [TestPeer], _ body: () async throws -> Void) async throws {
    do {
        try await body()
    } catch {
        for peer in peers { try? await peer.stop() }
        throw error
    }
    for peer in peers { try await peer.stop() }
}

/// Waits until `condition` holds; a failed expectation that says what was waited for when it does not within `timeout`.
func expectSoon(
    _ what: Comment, within timeout: Duration = .seconds(30), sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + timeout
    while try await !condition() {
        if ContinuousClock.now >= deadline {
            Issue.record(what, sourceLocation: sourceLocation)
            return
        }
        try await Task.sleep(for: .milliseconds(2))
    }
}

/// Bytes that are not all alike. Made of one small block, because tests are not optimised.
func pattern(_ count: Int, _ start: Int = 0) -> [UInt8] {
    let block = (0..<251).map { UInt8(truncatingIfNeeded: ($0 &+ start) &* 31) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + block.count)
    while bytes.count < count { bytes.append(contentsOf: block) }
    bytes.removeLast(bytes.count - count)
    return bytes
}
