import PatinaProtocol

/// The wall clock of a machine: the time of the run, and how far it is off.
///
/// Not checked for races: it belongs to the thread of its simulation, as its `VirtualClock` does.
final class WallClock: @unchecked Sendable {
    private let clock: VirtualClock
    private var offset: Int64
    /// Nanoseconds that it gains in a second of the run, and since when; in the order in which they began.
    private var drifts: [(strike: Int, partsPerMillion: Int, since: Instant)] = []

    init(clock: VirtualClock, skew: Duration) {
        self.clock = clock
        offset = skew.nanoseconds
    }

    /// Nanoseconds since 1970.
    var nanoseconds: Int64 {
        var result = VirtualClock.epochNanoseconds + clock.now.nanoseconds + offset
        for drift in drifts { result += gained(drift.partsPerMillion, since: drift.since) }
        return result
    }

    func step(by duration: Duration) { offset += duration.nanoseconds }

    func drift(by partsPerMillion: Int, strike: Int) { drifts.append((strike, partsPerMillion, clock.now)) }

    /// The clock is set right: what it gained is taken back at once.
    func endDrift(strike: Int) { drifts.removeAll { $0.strike == strike } }

    private func gained(_ partsPerMillion: Int, since: Instant) -> Int64 {
        (clock.now - since).nanoseconds / 1_000_000 * Int64(partsPerMillion)
    }
}

/// Wall clocks that are off by something while the fault lasts, or for good.
package struct ClockAction: FaultAction {
    package let steps: [(node: Int, by: Duration)]
    package let isReverted: Bool

    package func begin(in simulation: Simulation, strike: Int) {
        for (node, by) in steps { simulation.hosts[node].wall.step(by: by) }
    }

    package func end(in simulation: Simulation, strike: Int) {
        guard isReverted else { return }
        for (node, by) in steps { simulation.hosts[node].wall.step(by: .zero - by) }
    }
}

/// Wall clocks that run at a wrong speed.
package struct DriftAction: FaultAction {
    package let nodes: [Int]
    package let partsPerMillion: Int

    package func begin(in simulation: Simulation, strike: Int) {
        for node in nodes { simulation.hosts[node].wall.drift(by: partsPerMillion, strike: strike) }
    }

    package func end(in simulation: Simulation, strike: Int) {
        for node in nodes { simulation.hosts[node].wall.endDrift(strike: strike) }
    }
}

extension FaultKind {
    /// Wall clocks. The clock that deadlines are measured by is never wrong.
    static let clocks: [FaultKind] = [
        FaultKind("clock-skew", "wall clocks are off while it lasts", keys: clockKeys, engines: [.sim, .live]) { planning in
            planning.whole(ClockAction(steps: planning.steps(), isReverted: true))
        },
        FaultKind("clock-step", "wall clocks jump, and stay there", keys: clockKeys, lasts: false, engines: [.sim, .live]) { planning in
            planning.whole(ClockAction(steps: planning.steps(), isReverted: false))
        },
        FaultKind(
            "clock-drift", "wall clocks run too fast or too slow while it lasts; at its end they are set right",
            keys: [
                .select, FaultKey("rate", .partsPerMillion, nil, "such as `\"200ppm\"`: microseconds a second"),
                FaultKey("direction", .word(["ahead", "behind"]), .word("ahead"), "`ahead`: too fast"),
            ], engines: [.sim, .live]
        ) { planning in
            let rate = planning.partsPerMillion("rate") * (planning.word("direction") == "ahead" ? 1 : -1)
            return planning.whole(DriftAction(nodes: planning.nodes(), partsPerMillion: rate))
        },
    ]

    private static let clockKeys = [
        FaultKey.select, FaultKey("by", .durations, nil, "how far, drawn for each node"),
        FaultKey("direction", .word(["ahead", "behind", "either"]), .word("either"), "`either`: drawn for each node"),
    ]
}

extension FaultPlanning {
    fileprivate mutating func steps() -> [(node: Int, by: Duration)] {
        let direction = word("direction")
        var steps: [(node: Int, by: Duration)] = []
        for node in nodes() {
            let by = drawn("by")
            let isAhead = direction == "either" ? random.below(2) == 0 : direction == "ahead"
            steps.append((node, isAhead ? by : .zero - by))
        }
        return steps
    }
}
