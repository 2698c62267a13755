import PatinaProtocol

/// One message of a run, as the diagrams and the trace show it.
struct RecordedMessage: Hashable {
    /// How it travelled.
    enum Transport: UInt8, Hashable, CaseIterable {
        case datagram, message, session

        var word: String { "\(self)" }
    }

    let from: Int
    let to: Int
    let sent: Int64
    /// When it reached the other machine; nil when the network lost it.
    var arrival: Int64?
    let traffic: TrafficClass
    let transport: Transport
    let bytes: Int
}

/// What a message is for, as `Measurement.MessageClass` has it, in the order of the charts.
enum TrafficClass: Int, Hashable, CaseIterable {
    case membership, broadcast, sync, unknown

    var word: String { "\(self)" }

    /// What the bytes of a datagram or message are for.
    init(of bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        switch (try? Envelope.read(from: &reader)).flatMap({ MessageKind(rawValue: $0.kind) }) {
        case .membership: self = .membership
        case .broadcast: self = .broadcast
        case .sync: self = .sync
        case nil: self = .unknown
        }
    }
}

/// A ring of the last messages, and the window that is kept of it: the messages before and after a moment that matters.
struct MessageWindow {
    private var ring: [RecordedMessage] = []
    private var next = 0
    private let capacity: Int
    private let after: Int
    private var outstanding = 0
    /// The kept window, in the order of sending; empty when there was no such moment.
    private(set) var kept: [RecordedMessage] = []
    private(set) var moment: Int64?

    init(before: Int, after: Int) {
        capacity = before
        self.after = after
    }

    mutating func append(_ message: RecordedMessage) {
        if outstanding > 0 {
            outstanding -= 1
            kept.append(message)
        }
        if ring.count < capacity {
            ring.append(message)
        } else {
            ring[next] = message
            next = (next + 1) % capacity
        }
    }

    /// Keeps what the ring holds, and what follows next. Only the first call counts.
    mutating func keep(at time: Int64) {
        guard moment == nil else { return }
        moment = time
        kept = Array(ring[next...] + ring[..<next])
        outstanding = after
    }
}
