import PatinaProtocol

/// What went from agent to agent and how long it took, and how long real agents take for what a scenario gives simulated ones a time for:
/// `disk.write` and `transport.time`.
struct LiveTimings {
    enum Bounds {
        /// Messages that are kept for the diagrams and the trace; later ones are counted.
        static let messages = 500_000
    }

    private struct Store: Hashable {
        let life: Int
        let token: StoreToken
    }

    private struct Flight: Hashable {
        let from: Int
        let to: Int
        let bytes: [UInt8]
    }

    private struct Departure {
        let at: Instant
        /// Its place among `messages`; nil: it is not kept.
        let message: Int?
    }

    private var stores: [Store: Instant] = [:]
    private var flights: [Flight: Departure] = [:]
    /// From the wish to apply chunks until the store answers, the queue of the writer included.
    private(set) var applications = Histogram()
    /// From the wish to send a message or datagram until the other node is handed it, the link's latency included; losses are delays here.
    private(set) var hops = Histogram()
    /// Messages and datagrams in the order of sending, without what sync sessions carry. A message whose arrival is nil was lost.
    private(set) var messages: [RecordedMessage] = []
    private(set) var messagesLeftOut: UInt64 = 0

    /// Takes in one event and what it led to.
    ///
    /// - Parameter time: of an instant of the recordings, since the run began.
    mutating func note(
        _ step: NodeReplay.Step, at node: Int, life: Int, time: (Instant) -> Instant, node index: (Address) -> Int?
    ) {
        let now = step.now
        switch step.event {
        case .stored(let token, _):
            if let start = stores.removeValue(forKey: Store(life: life, token: token)) { applications.record(now - start) }
        case .messageReceived(let from, let bytes), .datagramReceived(let from, let bytes):
            guard let from = index(from), let start = flights.removeValue(forKey: Flight(from: from, to: node, bytes: bytes)) else { break }
            hops.record(now - start.at)
            if let message = start.message { messages[message].arrival = time(now).nanoseconds }
        default: break
        }
        for effect in step.replayed {
            switch effect {
            case .store(.apply, let token): stores[Store(life: life, token: token)] = now
            case .sendMessage(let to, let bytes): depart(bytes, .message, from: node, to: index(to), at: now, time(now))
            case .sendDatagram(let to, let bytes): depart(bytes, .datagram, from: node, to: index(to), at: now, time(now))
            default: break
            }
        }
    }

    private mutating func depart(
        _ bytes: [UInt8], _ transport: RecordedMessage.Transport, from: Int, to: Int?, at now: Instant, _ time: Instant
    ) {
        guard let to else { return }
        let isKept = messages.count < Bounds.messages
        flights[Flight(from: from, to: to, bytes: bytes)] = Departure(at: now, message: isKept ? messages.count : nil)
        guard isKept else {
            messagesLeftOut += 1
            return
        }
        messages.append(
            RecordedMessage(
                from: from, to: to, sent: time.nanoseconds, arrival: nil, traffic: TrafficClass(of: bytes), transport: transport,
                bytes: bytes.count))
    }

    /// For the report.
    var measurements: [SimulationReport.Metric] {
        [("live.apply", applications), ("live.hop", hops)].flatMap { name, histogram in
            [("p10", UInt64(100)), ("p50", 500), ("p90", 900), ("p99", 990)].map { suffix, thousandths in
                SimulationReport.Metric(name: "\(name).\(suffix)_ms", value: histogram.milliseconds(percentile: thousandths))
            }
        }
    }
}
