import PatinaProtocol

/// What a fault does when it strikes. Made by its kind's plan before the run, so it holds the nodes that were drawn, not how to draw them.
package protocol FaultAction: Sendable {
    /// It begins. `strike` tells it from every other strike of the run.
    func begin(in simulation: Simulation, strike: Int)
    /// It is over: what it broke works again. Called at the same instant for faults that have no length.
    func end(in simulation: Simulation, strike: Int)
}

/// One thing that one occurrence of a fault does. Most faults do one; flapping and rolling ones do several.
struct Strike {
    var start: Instant
    /// Nil: never repaired.
    var end: Instant?
    var action: any FaultAction
}

/// What a kind's plan is given: the fault, when it strikes, and the stream of randomness of that fault.
struct FaultPlanning {
    let fault: Fault
    let scenario: Scenario
    let start: Instant
    /// Nil: never repaired. Equal to the start for faults that have no length.
    let end: Instant?
    var random: Random
    /// The nodes that `select` drew; nil for a kind that does not ask.
    private(set) var selected: [Int]?

    init(fault: Fault, scenario: Scenario, start: Instant, end: Instant?, random: Random) {
        self.fault = fault
        self.scenario = scenario
        self.start = start
        self.end = end
        self.random = random
    }

    var nodeCount: Int { scenario.topology.nodes }
    /// When an occurrence that is never repaired stops doing new things.
    var last: Instant { end ?? .zero + scenario.duration }

    /// One strike for the whole time of the occurrence.
    func whole(_ action: any FaultAction) -> [Strike] { [Strike(start: start, end: end, action: action)] }

    /// The nodes of a selector, ascending; drawn now.
    mutating func nodes(_ key: String = "select") -> [Int] {
        guard case .selector(let selector) = value(key) else { wrongForm(key) }
        let nodes = selector.choose(from: scenario.topology, taken: [Bool](repeating: false, count: nodeCount), using: &random)
        if key == "select" { selected = nodes }
        return nodes
    }

    /// The side of each node, drawn now; `Partition.noSide` for those on none.
    mutating func sides(_ key: String = "sides") -> [UInt8] {
        guard case .sides(let sides) = value(key) else { wrongForm(key) }
        var taken = [Bool](repeating: false, count: nodeCount)
        var sideOf = [UInt8](repeating: Partition.noSide, count: nodeCount)
        for (side, selectors) in sides.enumerated() {
            for selector in selectors {
                for node in selector.choose(from: scenario.topology, taken: taken, using: &random) {
                    taken[node] = true
                    sideOf[node] = UInt8(side)
                }
            }
        }
        return sideOf
    }

    func word(_ key: String) -> String {
        guard case .word(let word) = value(key) else { wrongForm(key) }
        return word
    }

    /// Millionths.
    func share(_ key: String) -> UInt32 {
        guard case .share(let share) = value(key) else { wrongForm(key) }
        return share
    }

    func duration(_ key: String) -> Duration {
        guard case .duration(let duration) = value(key) else { wrongForm(key) }
        return duration
    }

    /// A time drawn from a range.
    mutating func drawn(_ key: String) -> Duration {
        guard case .durations(let range) = value(key) else { wrongForm(key) }
        return random.duration(in: range)
    }

    func durations(_ key: String) -> ClosedRange<Duration> {
        guard case .durations(let range) = value(key) else { wrongForm(key) }
        return range
    }

    func count(_ key: String) -> Int {
        guard case .count(let count) = value(key) else { wrongForm(key) }
        return count
    }

    func bytes(_ key: String) -> Int {
        guard case .bytes(let bytes) = value(key) else { wrongForm(key) }
        return bytes
    }

    /// Bits a second.
    func bandwidth(_ key: String) -> UInt64 {
        guard case .bandwidth(let bandwidth) = value(key) else { wrongForm(key) }
        return bandwidth
    }

    func partsPerMillion(_ key: String) -> Int {
        guard case .partsPerMillion(let parts) = value(key) else { wrongForm(key) }
        return parts
    }

    private func value(_ key: String) -> FaultValue {
        guard let value = fault.values[key] else { preconditionFailure("a fault of kind \(fault.kind) has no value for \(key)") }
        return value
    }

    private func wrongForm(_ key: String) -> Never {
        preconditionFailure("the value of \(key) of a fault of kind \(fault.kind) does not have the form that its kind declares")
    }
}
