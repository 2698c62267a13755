import PatinaProtocol
import PatinaTOML

/// Checks, and what must fit together.
extension ScenarioReader {
    // MARK: [[check]]

    private static let quantifiers = ["always", "eventually", "never", "sometimes", "metric"]

    func readChecks() throws(ScenarioError) -> [Check] {
        var checks: [Check] = []
        for table in try top.tables("check", allowed: Self.quantifiers + ["after", "within", "grace", "at_most", "at_least", "where"]) {
            let present = Self.quantifiers.filter { table[$0] != nil }
            guard present.count == 1, let quantifier = present.first else {
                throw table.error(nil, "a check has exactly one of \(Self.quantifiers.joined(separator: ", "))")
            }
            let plain = try readCheck(quantifier, table)
            let check = try readCondition(of: plain, table).map { .only(plain, $0) } ?? plain
            guard !checks.contains(check) else { throw table.error(quantifier, "the same check is there twice") }
            checks.append(check)
        }
        guard !checks.isEmpty else { throw ScenarioError(file: source.file, line: nil, message: "a scenario needs at least one [[check]]") }
        return checks
    }

    private func readCondition(of check: Check, _ table: TableReader) throws(ScenarioError) -> Condition? {
        guard let text = try table.string("where") else { return nil }
        let condition: Condition
        do throws(Condition.Mistake) {
            condition = try Condition.parse(text)
        } catch {
            throw table.error("where", error.message, suggestion: error.suggestion)
        }
        switch check {
        case .never(let occasion, _), .sometimes(let occasion):
            guard !condition.needsTarget || occasion.hasTarget else {
                let able = Check.Occasion.allCases.filter(\.hasTarget).map(\.rawValue).joined(separator: " and ")
                throw table.error(
                    "where", "\(occasion.rawValue) has an observer and no target; only \(able), and propagation metrics, have both")
            }
        case .metric(let name, _, _):
            guard CheckBoard.conditionalMetrics.contains(name) else {
                let able = CheckBoard.conditionalMetrics.joined(separator: ", ")
                throw table.error("where", "\(name) is a number of the whole run; where is possible for \(able)")
            }
        case .always, .eventually, .only: throw table.error("where", "only never, sometimes and metric have where")
        }
        return condition
    }

    private func readCheck(_ quantifier: String, _ table: TableReader) throws(ScenarioError) -> Check {
        func only(_ keys: String...) throws(ScenarioError) {
            for key in ["after", "within", "grace", "at_most", "at_least"] where table[key] != nil && !keys.contains(key) {
                throw table.error(key, "\(quantifier) has no \(key)")
            }
        }
        switch quantifier {
        case "always":
            try only()
            guard let invariant = try table.choice("always", Check.Invariant.self) else { break }
            return .always(invariant)
        case "eventually":
            try only("after", "within")
            guard let goal = try table.choice("eventually", Check.Goal.self) else { break }
            guard let after = try anchor("after", of: table) else {
                throw table.error(nil, "eventually needs after: \(TimeAnchor.example)")
            }
            guard let within = try table.duration("within") else { throw table.error(nil, "eventually needs within, like \"5s\"") }
            return .eventually(goal, after: after, within: within)
        case "never":
            try only("grace")
            guard let occasion = try table.choice("never", Check.Occasion.self) else { break }
            let grace = try table.duration("grace")
            if grace != nil, occasion != .declaredDown { throw table.error("grace", "only declared-down has a grace") }
            return .never(occasion, grace: grace ?? (occasion == .declaredDown ? .seconds(10) : .zero))
        case "sometimes":
            try only()
            guard let occasion = try table.choice("sometimes", Check.Occasion.self) else { break }
            return .sometimes(occasion)
        default:
            try only("at_most", "at_least")
            let metric = try table.requiredString("metric")
            guard ReportMetrics.names.contains(metric) else {
                throw table.error(
                    "metric", "there is no metric \"\(metric)\"", suggestion: Spelling.nearest(to: metric, among: ReportMetrics.names))
            }
            let bounds = 0...1_000_000_000_000_000
            let (most, least) = (try table.thousandths("at_most", in: bounds), try table.thousandths("at_least", in: bounds))
            guard most != nil || least != nil else { throw table.error(nil, "a metric needs at_most or at_least") }
            return .metric(metric, atMost: most, atLeast: least)
        }
        preconditionFailure("the quantifier was found among the keys a moment ago")
    }

    // MARK: Together

    /// What single tables cannot know: that regions, nodes and faults exist, and that checks have time to come true.
    func validate(_ scenario: Scenario) throws(ScenarioError) {
        for (index, rule) in scenario.links.enumerated() {
            try validate(rule.from, in: scenario, at: [.key("link"), .index(index), .key("from")])
            try validate(rule.to, in: scenario, at: [.key("link"), .index(index), .key("to")])
        }
        for (index, override) in scenario.nodeOverrides.enumerated() {
            try validate(override.select, in: scenario, at: [.key("node"), .key("where"), .index(index), .key("select")])
        }
        for (index, workload) in scenario.workloads.enumerated() {
            let path: [PathStep] = [.key("workload"), .index(index)]
            try validate(workload.at, in: scenario, at: path + [.key("at")])
            try validate(workload.from, in: scenario, at: path + [.key("from")])
            try validate(workload.to, in: scenario, at: path + [.key("to")])
        }
        for (index, fault) in scenario.faults.enumerated() {
            let path: [PathStep] = [.key("fault"), .index(index)]
            for entry in fault.values.entries {
                switch entry.value {
                case .selector(let selector): try validate(selector, in: scenario, at: path + [.key(entry.key)])
                case .sides(let sides):
                    for selector in sides.joined() { try validate(selector, in: scenario, at: path + [.key(entry.key)]) }
                case .word, .share, .duration, .durations, .count, .bytes, .bandwidth, .partsPerMillion, .statements: break
                }
            }
            let anchors: [(String, TimeAnchor)] =
                switch fault.timing {
                case .once(let at): [("at", at)]
                case .every(_, let from, let to): [("from", from), ("to", to)]
                }
            for (key, anchor) in anchors {
                try validate(anchor, in: scenario, at: path + [.key(key)])
                // Earlier faults only: that rules out circles.
                if let id = anchor.faultID, let other = scenario.faults.firstIndex(where: { $0.id == id }), other >= index {
                    throw source.error(
                        at: path + [.key(key)], "\(key) = \"\(anchor.text)\" must name a fault that stands earlier in the file")
                }
            }
        }
        for (index, check) in scenario.checks.enumerated() {
            let path: [PathStep] = [.key("check"), .index(index)]
            switch check {
            case .eventually(_, let after, _): try validate(after, in: scenario, at: path + [.key("after")])
            case .only(_, let condition): try validate(condition, in: scenario, at: path + [.key("where")])
            case .always, .never, .sometimes, .metric: break
            }
        }
    }

    private func validate(_ condition: Condition, in scenario: Scenario, at path: [PathStep]) throws(ScenarioError) {
        let ids = scenario.faults.map(\.id)
        for id in condition.faults where !ids.contains(where: { Condition.names(id, $0) }) {
            throw source.error(at: path, "there is no fault \"\(id)\"", suggestion: Spelling.nearest(to: id, among: ids))
        }
        for term in condition.terms {
            if case .among(_, let selector) = term.test { try validate(selector, in: scenario, at: path) }
        }
    }

    private func validate(_ selector: Selector, in scenario: Scenario, at path: [PathStep]) throws(ScenarioError) {
        switch selector {
        case .region(let name):
            let names = scenario.topology.regions.map(\.name)
            guard names.contains(name) else {
                throw source.error(at: path, "there is no region \"\(name)\"", suggestion: Spelling.nearest(to: name, among: names))
            }
        case .nodes(let range):
            guard range.upperBound < scenario.topology.nodes else {
                throw source.error(at: path, "\(selector.text): the nodes are numbered from 0 to \(scenario.topology.nodes - 1)")
            }
        case .random(let count):
            guard count <= scenario.topology.nodes else {
                throw source.error(at: path, "\(selector.text): there are only \(scenario.topology.nodes) nodes")
            }
        case .all, .share, .rest: break
        }
    }

    private func validate(_ anchor: TimeAnchor, in scenario: Scenario, at path: [PathStep]) throws(ScenarioError) {
        if let id = anchor.faultID {
            let ids = scenario.faults.map(\.id)
            guard ids.contains(id) else {
                throw source.error(at: path, "there is no fault \"\(id)\"", suggestion: Spelling.nearest(to: id, among: ids))
            }
            return
        }
        let time = scenario.time(of: anchor)
        guard time >= .zero, time <= scenario.duration else {
            throw source.error(at: path, "\"\(anchor.text)\" lies outside of the run of \(Quantity.print(scenario.duration))")
        }
    }
}

extension Scenario {
    /// When an anchor is that hangs on no fault. Anchors of faults depend on the seed; see `FaultPlan`.
    func time(of anchor: TimeAnchor) -> Duration {
        switch anchor.base {
        case .beginning: anchor.offset
        case .end: duration + anchor.offset
        case .warmup: warmup + anchor.offset
        case .heal: duration - drain + anchor.offset
        case .start(let id), .finish(let id): preconditionFailure("the time of fault \(id) depends on the seed")
        }
    }
}
