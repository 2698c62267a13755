import PatinaProtocol

/// Everything that will break in one run, worked out before it starts: a function of the scenario and the seed alone.
package struct FaultPlan {
    /// One strike of a fault.
    package struct Occurrence {
        /// Index into the scenario's faults.
        package let fault: Int
        package let start: Instant
        /// Nil: never repaired.
        package let end: Instant?
        package let action: any FaultAction
        /// What the strike is a part of.
        let whole: Whole
    }

    /// One time that a fault strikes, with all that it does then: flapping and rolling ones do more than one thing.
    struct Whole: Hashable {
        let start: Instant
        /// Nil: never repaired.
        let end: Instant?
        /// The nodes that its `select` drew; nil where it has none.
        let nodes: [Int]?
    }

    /// By start, then by the order of the file.
    package let occurrences: [Occurrence]
    private let scenario: Scenario

    /// More strikes of one fault than this are not planned.
    static let strikesMaximum = 100_000

    package init(scenario: Scenario, random: Random) {
        self.scenario = scenario
        var planned: [Occurrence] = []
        for (index, fault) in scenario.faults.enumerated() {
            // By id, not by index: another fault in front of this one does not change it.
            var random = random.fork("fault \(fault.id)")
            var own: [Occurrence] = []
            for start in Self.starts(of: fault, scenario: scenario, planned: planned, random: &random) {
                own += Self.strikes(of: fault, index, at: start, scenario: scenario, random: &random)
            }
            planned += own.prefix(Self.strikesMaximum)
        }
        occurrences = planned.enumerated().sorted {
            ($0.element.start, $0.element.fault, $0.offset) < ($1.element.start, $1.element.fault, $1.offset)
        }.map(\.element)
    }

    /// When an anchor is in this run; nil when it hangs on a fault that does not strike, or never ends, in this run.
    package func time(of anchor: TimeAnchor) -> Instant? { Self.time(of: anchor, scenario: scenario, planned: occurrences) }

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
            while starts.count < strikesMaximum {
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

    private static func strikes(
        of fault: Fault, _ index: Int, at start: Instant, scenario: Scenario, random: inout Random
    ) -> [Occurrence] {
        guard let kind = FaultKind.named(fault.kind) else {
            preconditionFailure("a scenario with a fault of the unknown kind \(fault.kind)")
        }
        let heal = Instant.zero + (scenario.duration - scenario.drain)
        let end: Instant? =
            switch fault.length {
            case _ where !kind.lasts: start
            case .forever: nil
            case .untilHeal: max(start, heal)
            case .uniform(let range): max(start, min(heal, start + random.duration(in: range)))
            }
        var planning = FaultPlanning(fault: fault, scenario: scenario, start: start, end: end, random: random)
        let strikes = kind.plan(&planning)
        random = planning.random
        let whole = Whole(start: start, end: end, nodes: planning.selected)
        return strikes.map { Occurrence(fault: index, start: $0.start, end: $0.end, action: $0.action, whole: whole) }
    }
}
