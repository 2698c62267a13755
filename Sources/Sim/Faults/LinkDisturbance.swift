import PatinaProtocol

/// What a fault does to the links of some nodes while it lasts.
struct LinkDisturbance: Sendable {
    enum Change: Sendable {
        case loss(UInt32)
        case bursts(LinkModel.Bursts)
        case duplicate(UInt32)
        case reorder(UInt32, delay: Duration)
        case corrupt(UInt32)
        case bandwidth(UInt64, queueBytes: Int)
        case latency(ClosedRange<Duration>)
        /// Nothing gets through until then, and nothing is lost; nil: it never does.
        case clog(until: Instant?)
    }

    enum Direction: String, Sendable, CaseIterable { case both, out, `in` }

    /// By node.
    let nodes: [Bool]
    let direction: Direction
    let change: Change

    func touches(from: Int, to: Int) -> Bool {
        switch direction {
        case .both: nodes[from] || nodes[to]
        case .out: nodes[from]
        case .in: nodes[to]
        }
    }

    /// Makes a link worse: what is bad already stays at least as bad.
    func apply(to model: inout LinkModel) {
        switch change {
        case .loss(let share): model.loss = Self.either(model.loss, share)
        case .bursts(let bursts): model.bursts = bursts
        case .duplicate(let share): model.duplicate = Self.either(model.duplicate, share)
        case .reorder(let share, let delay):
            model.reorder = Self.either(model.reorder, share)
            model.reorderDelay = max(model.reorderDelay, delay)
        case .corrupt(let share): model.corrupt = Self.either(model.corrupt, share)
        case .bandwidth(let bandwidth, let queueBytes):
            model.bandwidth = min(model.bandwidth ?? .max, bandwidth)
            model.queueBytes = min(model.queueBytes, queueBytes)
        case .latency(let added):
            model.addedLatency = (model.addedLatency.lowerBound + added.lowerBound)...(model.addedLatency.upperBound + added.upperBound)
        case .clog: break
        }
    }

    /// The share of what one of two independent causes hits, in millionths.
    private static func either(_ left: UInt32, _ right: UInt32) -> UInt32 {
        UInt32((UInt64(left) + UInt64(right)) - UInt64(left) * UInt64(right) / 1_000_000)
    }
}

/// A disturbance of links while it lasts.
struct LinkAction: FaultAction {
    let disturbance: LinkDisturbance

    func begin(in simulation: Simulation, strike: Int) { simulation.network.disturb(disturbance, strike: strike) }

    func end(in simulation: Simulation, strike: Int) {
        simulation.network.calm(strike: strike, at: simulation.clock.now)
        if case .clog = disturbance.change { simulation.catchUpBegins() }
    }
}
