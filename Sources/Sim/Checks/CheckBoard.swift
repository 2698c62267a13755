import PatinaProtocol

/// The checks of a run and how they stand.
struct CheckBoard {
    private struct Entry {
        let check: Check
        /// What the report calls it.
        let name: String
        /// Nil: it is about everything.
        let condition: Condition?
        /// The latencies that it is about; for a metric with a condition.
        var latencies = Histogram()
        /// For `eventually`: when it begins and when it must have come true; nil when its fault does not strike in this run.
        var window: ClosedRange<Instant>?
        var goal: GoalTracker?
        /// Set once it can change no more.
        var verdict: Verdict?
        /// The last reason why it does not hold yet.
        var reason = "it was never looked at"
    }

    struct Verdict {
        let valid: Bool
        let detail: String
    }

    private var entries: [Entry] = []
    /// How often each occasion occurred, and what the first one was.
    private var counts = [UInt64](repeating: 0, count: Check.Occasion.allCases.count)
    private var firsts = [String?](repeating: nil, count: Check.Occasion.allCases.count)
    /// Each `never declared-down` has its own grace, and each condition speaks of other occurrences, so these are counted by check.
    private var declarations: [Int: (count: UInt64, first: String)] = [:]
    /// The occasions that some check forbids.
    private let forbidden: [Check.Occasion]
    /// The checks with a condition, by what they are about.
    private var conditional: [(check: Int, occasion: Check.Occasion)] = []
    private var conditionalLatencies: [Int] = []
    /// When something was first seen that must not be; nil while all is well.
    private(set) var firstViolation: Instant?

    init(checks: [Check], faults: FaultPlan, end: Instant) {
        forbidden = checks.compactMap { if case .never(let occasion, _) = $0, occasion != .declaredDown { occasion } else { nil } }
        for (index, whole) in checks.enumerated() {
            var (check, condition): (Check, Condition?) = (whole, nil)
            if case .only(let inner, let when) = whole { (check, condition) = (inner, when) }
            var entry = Entry(check: check, name: whole.name, condition: condition)
            if condition != nil {
                switch check {
                case .never(let occasion, _), .sometimes(let occasion): conditional.append((index, occasion))
                case .metric: conditionalLatencies.append(index)
                case .always, .eventually, .only: break
                }
            }
            if case .eventually(_, let after, let within) = check, let begin = faults.time(of: after), begin <= end {
                entry.window = begin...min(end, begin + within)
            }
            entries.append(entry)
        }
    }

    /// When the checks that have a beginning begin.
    var beginnings: [(check: Int, at: Instant)] {
        entries.enumerated().compactMap { index, entry in entry.window.map { (index, $0.lowerBound) } }
    }

    // MARK: Occasions

    /// The checks whose condition decides whether an occasion concerns them.
    func conditions(on occasion: Check.Occasion) -> [(check: Int, condition: Condition)] {
        conditional.compactMap { each in
            guard each.occasion == occasion, let condition = entries[each.check].condition else { return nil }
            return (each.check, condition)
        }
    }

    /// True when some check with a condition is about an occasion.
    var hasConditions: Bool { !conditional.isEmpty || !conditionalLatencies.isEmpty }

    /// An occasion of which the condition of a check is true.
    mutating func occurred(inCheck check: Int, at now: Instant, _ detail: String) {
        if case .never = entries[check].check { violation(at: now) }
        let known = declarations[check]
        declarations[check] = ((known?.count ?? 0) + 1, known?.first ?? "\(now) \(detail)")
    }

    /// The metrics that a condition can be put on.
    static let conditionalMetrics = ["propagation.count", "propagation.p50_ms", "propagation.p99_ms", "propagation.max_ms"]

    /// The checks that measure some versions only.
    var latencyConditions: [(check: Int, condition: Condition)] {
        conditionalLatencies.compactMap { index in entries[index].condition.map { (index, $0) } }
    }

    mutating func measured(_ latency: Duration, inCheck check: Int) { entries[check].latencies.record(latency) }

    mutating func occurred(_ occasion: Check.Occasion, at now: Instant, _ detail: @autoclosure () -> String) {
        let index = occasion.ordinal
        counts[index] += 1
        if firsts[index] == nil {
            firsts[index] = "\(now) \(detail())"
            if forbidden.contains(occasion) { violation(at: now) }
        }
    }

    /// The graces of the checks that no live node is declared down, by index of the check.
    var declaredDownGraces: [(check: Int, grace: Duration)] {
        entries.enumerated().compactMap { index, entry in
            if case .never(.declaredDown, let grace) = entry.check { (index, grace) } else { nil }
        }
    }

    /// The condition of a check; nil when it has none.
    func condition(of check: Int) -> Condition? { entries[check].condition }

    mutating func declaredDown(check: Int, at now: Instant, _ detail: @autoclosure () -> String) {
        violation(at: now)
        let known = declarations[check]
        declarations[check] = ((known?.count ?? 0) + 1, known?.first ?? "\(now) \(detail())")
    }

    private mutating func violation(at now: Instant) { firstViolation = firstViolation ?? now }

    // MARK: Always

    /// An invariant does not hold. The first violation is kept.
    mutating func violated(_ invariant: Check.Invariant, at now: Instant, _ detail: String) {
        for index in entries.indices where entries[index].verdict == nil {
            if case .always(invariant) = entries[index].check {
                entries[index].verdict = Verdict(valid: false, detail: "at \(now) \(detail)")
                violation(at: now)
            }
        }
    }

    /// Whether some check asks for the invariant and still stands.
    func watches(_ invariant: Check.Invariant) -> Bool {
        entries.contains { entry in
            if case .always(invariant) = entry.check { return entry.verdict == nil }
            return false
        }
    }

    // MARK: Eventually

    mutating func begin(_ index: Int, goal: GoalTracker) {
        entries[index].goal = goal
        entries[index].reason = "no look has found it true"
    }

    /// The checks whose goal is not reached yet, with what they wait for.
    func pending(at now: Instant) -> [(check: Int, goal: Check.Goal)] {
        entries.enumerated().compactMap { index, entry in
            guard case .eventually(let goal, _, _) = entry.check, entry.goal != nil, entry.verdict == nil else { return nil }
            return (index, goal)
        }
    }

    /// Looks at a goal: `judge` says what still stands in its way, nil when nothing does.
    mutating func look(_ index: Int, at now: Instant, judge: (inout GoalTracker) -> String?) {
        guard var goal = entries[index].goal, let window = entries[index].window, entries[index].verdict == nil else { return }
        let obstacle = judge(&goal)
        entries[index].goal = goal
        if let obstacle {
            entries[index].reason = obstacle
            if now >= window.upperBound {
                violation(at: now)
                entries[index].verdict = Verdict(
                    valid: false,
                    detail: "not within \(Quantity.print(window.upperBound - window.lowerBound)) after \(window.lowerBound): \(obstacle)")
            }
        } else {
            entries[index].verdict = Verdict(valid: true, detail: "\(Instant.zero + (now - window.lowerBound)) after \(window.lowerBound)")
        }
    }

    /// When a pending check must be looked at for the last time; nil when none is pending.
    func nextDeadline(at now: Instant) -> Instant? {
        pending(at: now).compactMap { entries[$0.check].window?.upperBound }.min()
    }

    // MARK: The end

    /// The verdicts, in the order of the scenario.
    func results(metrics: [SimulationReport.Metric]) -> [SimulationReport.CheckResult] {
        entries.enumerated().map { index, entry in
            var result = SimulationReport.CheckResult(name: entry.name, valid: true, detail: "", occurrences: nil)
            if case .sometimes = entry.check { result.mustOccur = true }
            switch entry.check {
            case .always:
                result.valid = entry.verdict?.valid ?? true
                result.detail = entry.verdict?.detail ?? "held at every look"
            case .eventually(_, let after, _):
                result.valid = entry.verdict?.valid ?? (entry.window == nil)
                result.detail = entry.verdict?.detail ?? (entry.window == nil ? "\(after.text) does not come in this run" : entry.reason)
            case .never(.declaredDown, let grace):
                let found = declarations[index]
                result.valid = found == nil
                result.occurrences = found?.count ?? 0
                result.detail =
                    found.map { "\($0.count) times; first at \($0.first)" }
                    ?? "no live node was declared down that had been in reach for \(Quantity.print(grace))"
            case .never where entry.condition != nil:
                result.valid = declarations[index] == nil
                result.occurrences = declarations[index]?.count ?? 0
                result.detail = declarations[index].map { "\($0.count) times; first at \($0.first)" } ?? "never occurred"
            case .sometimes where entry.condition != nil:
                let count = declarations[index]?.count ?? 0
                result.occurrences = count
                result.detail = count == 0 ? "did not occur in this run; it must in one of the scenario's seeds" : "\(count) times"
            case .never(let occasion, _):
                let count = counts[occasion.ordinal]
                result.valid = count == 0
                result.occurrences = count
                result.detail = count == 0 ? "never occurred" : "\(count) times; first at \(firsts[occasion.ordinal] ?? "")"
            case .sometimes(let occasion):
                let count = counts[occasion.ordinal]
                result.occurrences = count
                result.detail = count == 0 ? "did not occur in this run; it must in one of the scenario's seeds" : "\(count) times"
            case .metric(let name, let atMost, let atLeast):
                let value = entry.condition == nil ? metrics.first { $0.name == name }?.value ?? 0 : Self.value(of: name, entry.latencies)
                (result.valid, result.detail) = MetricBound.judge(value, atMost: atMost, atLeast: atLeast)
            case .only: preconditionFailure("a condition was taken off at the beginning")
            }
            return result
        }
    }

    private static func value(of metric: String, _ latencies: Histogram) -> Double {
        switch metric {
        case "propagation.count": Double(latencies.count)
        case "propagation.p50_ms": latencies.milliseconds(percentile: 500)
        case "propagation.p99_ms": latencies.milliseconds(percentile: 990)
        default: latencies.maximumMilliseconds
        }
    }
}

/// Whether a number is within bounds.
enum MetricBound {
    /// Bounds in thousandths.
    static func judge(_ value: Double, atMost: Int?, atLeast: Int?) -> (valid: Bool, detail: String) {
        let scaled = (value * 1_000).rounded()
        if let atMost, scaled > Double(atMost) { return (false, "\(value) is more than \(Double(atMost) / 1_000)") }
        if let atLeast, scaled < Double(atLeast) { return (false, "\(value) is less than \(Double(atLeast) / 1_000)") }
        return (true, "\(value)")
    }
}

extension Check.Occasion {
    /// True when it is about a node beside the one that says it.
    var hasTarget: Bool { self == .declaredDown || self == .suspected }

    /// Its place in tables.
    var ordinal: Int {
        switch self {
        case .declaredDown: 0
        case .suspected: 1
        case .refuted: 2
        case .lazyRepair: 3
        case .syncRepair: 4
        case .datagramLost: 5
        case .limitReached: 6
        case .malformedInput: 7
        case .chunkRefused: 8
        case .storeFailed: 9
        case .versionReused: 10
        case .laterKindSkipped: 11
        }
    }
}
