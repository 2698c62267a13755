import PatinaProtocol

/// Everything that will break in one run, worked out before it starts: a function of the scenario and the seed alone.
struct FaultPlan {
    /// One time that a fault strikes.
    struct Occurrence {
        /// Index into the scenario's faults.
        let fault: Int
        let start: Instant
        /// Nil: never repaired.
        let end: Instant?
        let action: Action
    }

    enum Action {
        case partition(Partition)
        /// In ascending order.
        case crash([Int])
    }

    /// By start, then by the order of the file.
    let occurrences: [Occurrence]
    private let scenario: Scenario

    /// More occurrences of one fault than this are not planned.
    private static let occurrencesMaximum = 100_000

    init(scenario: Scenario, random: Random) {
        self.scenario = scenario
        var planned: [Occurrence] = []
        for (index, fault) in scenario.faults.enumerated() {
            // By id, not by index: another fault in front of this one does not change it.
            var random = random.fork("fault \(fault.id)")
            for start in Self.starts(of: fault, scenario: scenario, planned: planned, random: &random) {
                planned.append(Self.occurrence(of: fault, index, at: start, scenario: scenario, random: &random))
            }
        }
        occurrences = planned.enumerated().sorted {
            ($0.element.start, $0.element.fault, $0.offset) < ($1.element.start, $1.element.fault, $1.offset)
        }.map(\.element)
    }

    /// When an anchor is in this run; nil when it hangs on a fault that does not strike, or never ends, in this run.
    func time(of anchor: TimeAnchor) -> Instant? { Self.time(of: anchor, scenario: scenario, planned: occurrences) }

    private static func time(of anchor: TimeAnchor, scenario: Scenario, planned: [Occurrence]) -> Instant? {
        guard let id = anchor.faultID else { return .zero + scenario.time(of: anchor) }
        let own = planned.filter { scenario.faults[$0.fault].id == id }
        switch anchor.base {
        case .start: return own.map(\.start).min().map { $0 + anchor.offset }
        case .finish:
            let ends = own.map(\.end)
            guard !ends.isEmpty, !ends.contains(nil) else { return nil }
            return ends.compactMap(\.self).max().map { $0 + anchor.offset }
        case .beginning, .end, .warmup, .heal: preconditionFailure("anchor \(anchor.text) hangs on no fault")
        }
    }

    private static func starts(of fault: Fault, scenario: Scenario, planned: [Occurrence], random: inout Random) -> [Instant] {
        switch fault.timing {
        case .once(let anchor):
            return time(of: anchor, scenario: scenario, planned: planned).map { [$0] } ?? []
        case .every(let pause, let from, let to):
            guard var now = time(of: from, scenario: scenario, planned: planned),
                let end = time(of: to, scenario: scenario, planned: planned)
            else { return [] }
            var starts: [Instant] = []
            while starts.count < occurrencesMaximum {
                switch pause {
                case .uniform(let range): now = now + random.duration(in: range)
                // A bounded pause, so that no two strikes share an instant.
                case .exponential(let mean): now = now + max(.milliseconds(1), random.exponential(mean: mean))
                }
                guard now < end else { break }
                starts.append(now)
            }
            return starts
        }
    }

    private static func occurrence(
        of fault: Fault, _ index: Int, at start: Instant, scenario: Scenario, random: inout Random
    ) -> Occurrence {
        let heal = Instant.zero + (scenario.duration - scenario.drain)
        let end: Instant? =
            switch fault.length {
            case .forever: nil
            case .untilHeal: max(start, heal)
            case .uniform(let range): max(start, min(heal, start + random.duration(in: range)))
            }
        let nobody = [Bool](repeating: false, count: scenario.topology.nodes)
        let action: Action
        switch fault.kind {
        case .crash(let selector): action = .crash(selector.choose(from: scenario.topology, taken: nobody, using: &random))
        case .partition(let sides, let direction):
            var taken = nobody
            var sideOf = [UInt8](repeating: Partition.noSide, count: scenario.topology.nodes)
            for (side, selectors) in sides.enumerated() {
                for selector in selectors {
                    for node in selector.choose(from: scenario.topology, taken: taken, using: &random) {
                        taken[node] = true
                        sideOf[node] = UInt8(side)
                    }
                }
            }
            action = .partition(Partition(sideOf: sideOf, direction: direction))
        }
        return Occurrence(fault: index, start: start, end: end, action: action)
    }
}

/// Who does not hear whom.
struct Partition {
    static let noSide = UInt8.max

    /// The side of each node, or `noSide`.
    let sideOf: [UInt8]
    let direction: Fault.Direction

    /// True when nothing that `from` sends reaches `to`.
    func cuts(from: Int, to: Int) -> Bool {
        let (left, right) = (sideOf[from], sideOf[to])
        guard left != right, left != Partition.noSide, right != Partition.noSide else { return false }
        switch direction {
        case .both: return true
        case .firstToSecond: return left == 0
        case .secondToFirst: return left == 1
        }
    }
}
