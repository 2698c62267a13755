import CNgtcp2
import NIOCore
import PatinaProtocol

/// What an endpoint knows of one peer address: its connections, what waits for one, and when the next may be tried.
final class QUICPeer {
    let address: Address
    /// Attempts of ours that are under way, and established connections of either role. Two at most times of a simultaneous open.
    private(set) var connections: [QUICConnection] = []
    /// The connection that new messages, datagrams and sessions go to. Both ends choose the same one.
    private(set) var active: QUICConnection?
    var messages = CircularBuffer<[UInt8]>()
    var datagrams = CircularBuffer<[UInt8]>()
    /// Sessions that wait for a connection, or for a stream of the peer's allowance.
    var waitingSessions = CircularBuffer<SendStream>()
    /// Bytes of messages and sessions that wait or are not acknowledged.
    var bytes = 0 {
        didSet { endpoint.queuedBytes += bytes - oldValue }
    }
    private unowned let endpoint: QUICEndpoint
    /// Attempts, or short-lived connections, that failed in a row.
    var failures = 0
    var notBefore = NIODeadline.uptimeNanoseconds(0)
    /// The attempts of the last minute.
    var attempts: [NIODeadline] = []
    var retry: Scheduled<Void>?

    init(address: Address, endpoint: QUICEndpoint) {
        self.address = address
        self.endpoint = endpoint
    }

    /// Whether so many bytes more may wait, by the bound of this peer and by that of all.
    func hasRoom(for count: Int) -> Bool {
        bytes + count <= endpoint.configuration.queuedBytes && endpoint.queuedBytes + count <= endpoint.configuration.allQueuedBytes
    }

    var hasWork: Bool { !messages.isEmpty || !datagrams.isEmpty || !waitingSessions.isEmpty }

    func add(_ connection: QUICConnection) {
        connections.append(connection)
        choose()
    }

    func remove(_ connection: QUICConnection) {
        connections.removeAll { $0 === connection }
        choose()
    }

    /// Chooses the active connection. After a simultaneous open there are two; the client's first destination ID is known to
    /// both ends and settles it. The other one is used no more and falls silent.
    func choose() {
        active = connections.filter(\.isUsable).min {
            ($0.phase == .established ? 0 : 1, $0.originalID) < ($1.phase == .established ? 0 : 1, $1.originalID)
        }
    }
}

/// A bidirectional stream as its owner sees it.
final class QUICSession {
    let id: SessionID
    let peer: QUICPeer
    let stream: SendStream
    /// Nil while the session waits for one.
    var connection: QUICConnection?

    init(id: SessionID, peer: QUICPeer, stream: SendStream, connection: QUICConnection?) {
        self.id = id
        self.peer = peer
        self.stream = stream
        self.connection = connection
    }
}
