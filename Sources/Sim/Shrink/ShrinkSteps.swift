import PatinaProtocol

/// Smaller scenarios that might fail in the same way, from the boldest to the most careful.
enum ShrinkStep: String, CaseIterable {
    // Nodes before time: a short run of many nodes is harder to understand than a long one of few.
    case checks, faults, chaos, workloads, nodes, duration, load, links, settings

    func candidates(_ scenario: Scenario, violated: String) -> [Scenario] {
        switch self {
        case .checks: checks(scenario, violated)
        case .faults: Self.removals(scenario, \.faults)
        case .chaos: Self.removals(scenario, \.chaos.points)
        case .workloads: Self.removals(scenario, \.workloads)
        case .duration: duration(scenario)
        case .nodes: nodes(scenario)
        case .load: load(scenario)
        case .links: links(scenario)
        case .settings: settings(scenario)
        }
    }

    /// Where another seed may show the same violation: what is left is drawn differently anyway.
    var triesOtherSeeds: Bool { self == .nodes || self == .duration || self == .load }

    /// Delta debugging (Zeller and Hildebrandt, 2002): without everything, without each half, each quarter… each single element.
    private static func removals<Element>(_ scenario: Scenario, _ path: WritableKeyPath<Scenario, [Element]>) -> [Scenario] {
        let count = scenario[keyPath: path].count
        guard count > 0 else { return [] }
        var candidates: [Scenario] = []
        var length = count
        while true {
            for start in stride(from: 0, to: count, by: length) {
                var candidate = scenario
                candidate[keyPath: path].removeSubrange(start..<min(count, start + length))
                candidates.append(candidate)
            }
            if length == 1 { return candidates }
            length = (length + 1) / 2
        }
    }

    private static func changed(_ scenario: Scenario, _ change: (inout Scenario) -> Void) -> Scenario? {
        var candidate = scenario
        change(&candidate)
        return candidate == scenario ? nil : candidate
    }

    private func checks(_ scenario: Scenario, _ violated: String) -> [Scenario] {
        [Self.changed(scenario) { $0.checks.removeAll { $0.name != violated } }].compactMap(\.self)
    }

    private func duration(_ scenario: Scenario) -> [Scenario] {
        // Whole seconds read better.
        let seconds = scenario.duration.nanoseconds / 1_000_000_000
        let lengths: [Int64] = [seconds / 4, seconds / 2, seconds * 3 / 4, seconds * 7 / 8]
        return lengths.filter { $0 >= 2 }.compactMap { Self.shortened(scenario, to: .seconds($0)) }
    }

    private static func shortened(_ scenario: Scenario, to length: Duration) -> Scenario? {
        guard length < scenario.duration else { return nil }
        var candidate = scenario
        candidate.duration = length
        candidate.warmup = min(scenario.warmup, length / 4)
        candidate.drain = min(scenario.drain, length / 4)
        let end = TimeAnchor(.beginning, offset: length)
        candidate.faults.removeAll { fault in
            if case .once(let anchor) = fault.timing, anchor.base == .beginning { return anchor.offset >= end.offset }
            return false
        }
        return candidate
    }

    private func nodes(_ scenario: Scenario) -> [Scenario] {
        let count = scenario.topology.nodes
        var wanted: [Int] = []
        for number in [2, 3, 4, 5, count / 4, count / 2, count * 3 / 4, count - 1] where number >= 1 && number < count {
            if !wanted.contains(number) { wanted.append(number) }
        }
        let named = scenario.namedNodes
        let others = (0..<count).filter { !named.contains($0) }
        let kept = wanted.sorted().compactMap { scenario.keeping((named + others).prefix($0).sorted()) }
        // Few nodes may repair in a long run what they have not in a short one, so both shrink at once, too.
        let short = kept.filter { $0.topology.nodes <= Self.fewNodes }.flatMap { duration($0) }
        return kept + short
    }

    /// Where nothing less is needed to understand a run.
    private static let fewNodes = 4

    private func load(_ scenario: Scenario) -> [Scenario] {
        var candidates: [Scenario?] = []
        for index in scenario.workloads.indices {
            candidates.append(
                Self.changed(scenario) {
                    $0.workloads[index].rows = 1
                    $0.workloads[index].rowBytes = min(64, $0.workloads[index].rowBytes)
                })
            for factor in [16, 4, 2] {
                candidates.append(
                    Self.changed(scenario) { candidate in
                        let interval = candidate.workloads[index].interval * factor
                        // Less than a few writes in a run are none.
                        if interval * 4 < candidate.duration { candidate.workloads[index].interval = interval }
                    })
            }
        }
        return candidates.compactMap(\.self)
    }

    private func links(_ scenario: Scenario) -> [Scenario] {
        var candidates: [Scenario?] = [
            Self.changed(scenario) { $0.links = [LinkRule()] },
            Self.changed(scenario) { candidate in
                for index in candidate.links.indices { candidate.links[index].model = LinkModel() }
            },
        ]
        if scenario.links.count > 1 {
            for index in scenario.links.indices.dropLast() {
                candidates.append(Self.changed(scenario) { $0.links.remove(at: index) })
            }
        }
        for index in scenario.links.indices {
            candidates.append(Self.changed(scenario) { $0.links[index].model.loss = 0 })
            candidates.append(Self.changed(scenario) { $0.links[index].model.duplicate = 0 })
            candidates.append(Self.changed(scenario) { $0.links[index].model.reorder = 0 })
            candidates.append(Self.changed(scenario) { $0.links[index].model.bandwidth = nil })
        }
        return candidates.compactMap(\.self)
    }

    private func settings(_ scenario: Scenario) -> [Scenario] {
        [
            Self.changed(scenario) { $0.node = NodeSettings() },
            Self.changed(scenario) { $0.node.membership = MembershipConfiguration() },
            Self.changed(scenario) { $0.node.broadcast = BroadcastConfiguration() },
            Self.changed(scenario) { $0.node.sync = SyncConfiguration() },
            Self.changed(scenario) { $0.node.limits = Limits() },
            Self.changed(scenario) { $0.node.machine = NodeSettings.Machine() },
        ].compactMap(\.self)
    }
}
