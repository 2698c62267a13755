import PatinaProtocol

extension Scenario {
    /// The scenario with the faults of one run written out: one entry for each time that one strikes, at a fixed moment, for a fixed time
    /// and at fixed nodes. Points in time that hang on faults become moments, so that any entry can be taken away.
    ///
    /// Crashes, pauses and partitions into sides are written out as such. Any other fault becomes one of its own kind for each time that it
    /// strikes, at the nodes that were drawn; whatever else it draws it draws anew.
    func explicit(seed: UInt64) -> Scenario {
        let plan = FaultPlan(scenario: self, random: Random(seed: seed).fork("faults"))
        var result = self
        result.faults = []
        for (index, fault) in faults.enumerated() {
            let own = plan.occurrences.filter { $0.fault == index }
            var written: [Fault] = []
            for (number, occurrence) in own.enumerated() {
                guard let parts = occurrence.parts else { break }
                let length: Fault.Length =
                    if let end = occurrence.end { .uniform((end - occurrence.start)...(end - occurrence.start)) } else { .forever }
                for (part, (kind, values)) in parts.enumerated() {
                    written.append(
                        Fault(
                            id: "\(fault.id)-\(number + 1)\(part == 0 ? "" : "-\(part + 1)")", kind: kind, values: values,
                            timing: .once(TimeAnchor(.beginning, offset: occurrence.start - .zero)), length: length))
                }
            }
            let isComplete = own.allSatisfy { $0.parts != nil }
            result.faults += isComplete ? written : fault.strikes(own)
        }
        let kept = result.faults.map(\.id)
        func moment(_ anchor: TimeAnchor) -> TimeAnchor {
            guard let id = anchor.faultID, !kept.contains(id) else { return anchor }
            // What hangs on a fault that does not strike is beyond the end: it never comes.
            guard let time = plan.time(of: anchor) else { return TimeAnchor(.end) }
            return TimeAnchor(.beginning, offset: time - .zero)
        }
        for index in result.faults.indices {
            if case .once(let anchor) = result.faults[index].timing { result.faults[index].timing = .once(moment(anchor)) }
        }
        for index in workloads.indices {
            result.workloads[index].from = moment(workloads[index].from)
            result.workloads[index].to = moment(workloads[index].to)
        }
        result.checks = checks.map { check in
            if case .eventually(let goal, let after, let within) = check {
                .eventually(goal, after: moment(after), within: within)
            } else {
                check
            }
        }
        return result
    }
}

extension Fault {
    /// The fault as one of its kind for each time that it strikes.
    fileprivate func strikes(_ occurrences: [FaultPlan.Occurrence]) -> [Fault] {
        var wholes: [FaultPlan.Whole] = []
        for occurrence in occurrences where wholes.last != occurrence.whole && !wholes.contains(occurrence.whole) {
            wholes.append(occurrence.whole)
        }
        return wholes.enumerated().flatMap { number, whole in
            let length: Fault.Length = if let end = whole.end { .uniform((end - whole.start)...(end - whole.start)) } else { .forever }
            let selectors: [Selector?] = whole.nodes.map { Selector.ranges($0).map { .nodes($0) } } ?? [nil]
            return selectors.enumerated().map { part, select in
                var values = values
                if let select { values["select"] = .selector(select) }
                return Fault(
                    id: "\(id)-\(number + 1)\(part == 0 ? "" : "-\(part + 1)")", kind: kind, values: values,
                    timing: .once(TimeAnchor(.beginning, offset: whole.start - .zero)), length: length)
            }
        }
    }
}

extension Selector {
    /// Ascending numbers of nodes; neighbours share a range.
    fileprivate static func ranges(_ nodes: [Int]) -> [ClosedRange<Int>] {
        var ranges: [ClosedRange<Int>] = []
        for node in nodes {
            if let last = ranges.last, last.upperBound + 1 == node {
                ranges[ranges.count - 1] = last.lowerBound...node
            } else {
                ranges.append(node...node)
            }
        }
        return ranges
    }
}

extension FaultPlan.Occurrence {
    /// The strike as faults that name their nodes; nil for actions that no fault of fixed nodes does.
    fileprivate var parts: [(kind: String, values: FaultValues)]? {
        switch action {
        case let crash as CrashAction: crash.nodes.map { Self.fault("crash", ["select": .selector(.nodes($0...$0))]) }
        case let pause as PauseAction: pause.nodes.map { Self.fault("pause", ["select": .selector(.nodes($0...$0))]) }
        case let partition as PartitionAction:
            switch partition.partition.shape {
            case .ring, .alone: nil
            case .sides(let sideOf, let direction):
                [Self.fault("partition", ["sides": .sides(Self.selectors(sideOf)), "direction": .word(direction.rawValue)])]
            }
        default: nil
        }
    }

    private static func fault(_ kind: String, _ given: [String: FaultValue]) -> (String, FaultValues) {
        let keys = FaultKind.named(kind)?.keys ?? []
        return (
            kind,
            FaultValues(keys.compactMap { key in (given[key.name] ?? key.fallback).map { FaultValues.Entry(key: key.name, value: $0) } })
        )
    }

    /// The sides of a partition as selectors; neighbours share one.
    private static func selectors(_ sideOf: [UInt8]) -> [[Selector]] {
        let count = (sideOf.filter { $0 != Partition.noSide }.max().map { Int($0) } ?? -1) + 1
        return (0..<count).map { side in
            Selector.ranges(sideOf.indices.filter { Int(sideOf[$0]) == side }).map { .nodes($0) }
        }
    }
}

extension Scenario {
    /// The scenario with the nodes of `kept` only, numbered anew. Nil when something would be left without nodes.
    /// Faults at no kept node go; so do workloads that write at none, and settings of none.
    func keeping(_ kept: [Int]) -> Scenario? {
        var result = self
        result.topology.nodes = kept.count
        func renumbered(_ selector: Selector) -> [Selector] {
            guard case .nodes(let range) = selector else { return [selector] }
            // Neighbours stay neighbours, because the kept ones ascend.
            let places = kept.indices.filter { range.contains(kept[$0]) }
            guard let first = places.first, let last = places.last else { return [] }
            return [.nodes(first...last)]
        }
        result.faults = faults.compactMap { fault in
            var fault = fault
            for entry in fault.values.entries {
                switch entry.value {
                case .selector(let selector):
                    guard let only = renumbered(selector).first else { return nil }
                    fault.values[entry.key] = .selector(only)
                case .sides(let sides):
                    let sides = sides.map { $0.flatMap(renumbered) }
                    guard sides.allSatisfy({ !$0.isEmpty }) else { return nil }
                    fault.values[entry.key] = .sides(sides)
                case .word, .share, .duration, .durations, .count, .bytes, .bandwidth, .partsPerMillion, .statements: break
                }
            }
            return fault
        }
        result.workloads = workloads.compactMap { workload in
            var workload = workload
            guard let at = renumbered(workload.at).first else { return nil }
            workload.at = at
            return workload
        }
        result.links = links.compactMap { link in
            var link = link
            guard let from = renumbered(link.from).first, let to = renumbered(link.to).first else { return nil }
            (link.from, link.to) = (from, to)
            return link
        }
        result.nodeOverrides = nodeOverrides.compactMap { override in
            var override = override
            guard let select = renumbered(override.select).first else { return nil }
            override.select = select
            return override
        }
        if case .random(let count) = topology.join.via { result.topology.join.via = .random(max(1, min(count, kept.count - 1))) }
        guard !result.links.isEmpty, kept.count >= 1 else { return nil }
        return result
    }

    /// Nodes that faults and workloads name, those first without which something would be gone; of a side of a partition the first one.
    var namedNodes: [Int] {
        var (needed, others): ([Int], [Int]) = ([], [])
        for fault in faults {
            for entry in fault.values.entries {
                switch entry.value {
                case .selector(.nodes(let range)):
                    if range.count == 1 { needed.append(range.lowerBound) } else { others += range }
                case .sides(let sides):
                    for side in sides { if case .nodes(let range)? = side.first { needed.append(range.lowerBound) } }
                case .selector, .word, .share, .duration, .durations, .count, .bytes, .bandwidth, .partsPerMillion, .statements: break
                }
            }
        }
        for workload in workloads { if case .nodes(let range) = workload.at { needed.append(range.lowerBound) } }
        var named: [Int] = []
        for node in needed + others where node < topology.nodes && !named.contains(node) { named.append(node) }
        return named
    }
}
