import PatinaProtocol

/// How long real agents take for what a scenario gives simulated ones a time for: `disk.write` and `transport.time`.
struct LiveTimings {
    private struct Store: Hashable {
        let life: Int
        let token: StoreToken
    }

    private struct Flight: Hashable {
        let from: Int
        let to: Int
        let bytes: [UInt8]
    }

    private var stores: [Store: Instant] = [:]
    private var flights: [Flight: Instant] = [:]
    /// From the wish to apply chunks until the store answers, the queue of the writer included.
    private(set) var applications = Histogram()
    /// From the wish to send a message or datagram until the other node is handed it, the link's latency included; losses are delays here.
    private(set) var hops = Histogram()

    /// Takes in one event and what it led to.
    mutating func note(_ step: NodeReplay.Step, at node: Int, life: Int, node index: (Address) -> Int?) {
        let now = step.now
        switch step.event {
        case .stored(let token, _):
            if let start = stores.removeValue(forKey: Store(life: life, token: token)) { applications.record(now - start) }
        case .messageReceived(let from, let bytes), .datagramReceived(let from, let bytes):
            guard let from = index(from), let start = flights.removeValue(forKey: Flight(from: from, to: node, bytes: bytes)) else { break }
            hops.record(now - start)
        default: break
        }
        for effect in step.replayed {
            switch effect {
            case .store(.apply, let token): stores[Store(life: life, token: token)] = now
            case .sendMessage(let to, let bytes), .sendDatagram(let to, let bytes):
                if let to = index(to) { flights[Flight(from: node, to: to, bytes: bytes)] = now }
            default: break
            }
        }
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
