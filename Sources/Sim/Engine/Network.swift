import PatinaProtocol

/// All links between the machines, and what cuts them. A link costs memory from its first use on.
package struct Network {
    private struct Link {
        var state: LinkState
        /// Index into `models`.
        let model: Int32
        /// Index of the connection between the two machines, in both of their links; -1 before there is one.
        var connection: Int32 = -1
    }

    private let topology: Topology
    private let placement: [Int]
    private let rules: [LinkRule]
    private let random: Random
    private var models: [LinkModel] = []
    /// Rule and regions to the index of the model that they make.
    private var modelIndex: [ModelKey: Int] = [:]
    private var links: [Link] = []
    /// For each sender the index of its link to each receiver, -1 where there is none yet; empty until it sends.
    private var rows: [[Int32]]
    private var partitions: [(occurrence: Int, partition: Partition)] = []
    /// Partitions that are over, and since when.
    private var healed: [(at: Instant, partition: Partition)] = []
    private var disturbances: [(strike: Int, disturbance: LinkDisturbance)] = []
    /// Clogs that are over, and since when.
    private var freed: [(at: Instant, disturbance: LinkDisturbance)] = []

    private struct ModelKey: Hashable {
        let rule: Int
        let fromRegion: Int
        let toRegion: Int
    }

    package init(scenario: Scenario, random: Random) {
        topology = scenario.topology
        placement = scenario.topology.placement
        rules = scenario.links
        self.random = random
        rows = Array(repeating: [], count: scenario.topology.nodes)
    }

    // MARK: Partitions

    mutating func cut(_ partition: Partition, occurrence: Int) { partitions.append((occurrence, partition)) }

    mutating func heal(occurrence: Int, at now: Instant) {
        for (number, partition) in partitions where number == occurrence { healed.append((now, partition)) }
        partitions.removeAll { $0.occurrence == occurrence }
    }

    /// True when what `from` sends does not reach `to`.
    package func isCut(from: Int, to: Int) -> Bool {
        for (_, partition) in partitions where partition.cuts(from: from, to: to) { return true }
        return false
    }

    /// True when nothing acknowledged can travel between the two.
    func isCut(between left: Int, and right: Int) -> Bool { isCut(from: left, to: right) || isCut(from: right, to: left) }

    /// True when one of the two does not accept the other: an attempt to connect is answered with a refusal.
    func isRefused(between left: Int, and right: Int) -> Bool {
        for (_, partition) in partitions where partition.refuses && partition.cuts(from: left, to: right) { return true }
        return false
    }

    /// True when the two have heard each other all the time since `start`.
    func wasWhole(between left: Int, and right: Int, since start: Instant) -> Bool {
        if isCut(between: left, and: right) { return false }
        for (at, partition) in healed where at > start && (partition.cuts(from: left, to: right) || partition.cuts(from: right, to: left)) {
            return false
        }
        for (at, clog) in freed where at > start && (clog.touches(from: left, to: right) || clog.touches(from: right, to: left)) {
            return false
        }
        return !isClogged(from: left, to: right) && !isClogged(from: right, to: left)
    }

    // MARK: Disturbances

    mutating func disturb(_ disturbance: LinkDisturbance, strike: Int) { disturbances.append((strike, disturbance)) }

    mutating func calm(strike: Int, at now: Instant) {
        for (number, disturbance) in disturbances where number == strike {
            if case .clog = disturbance.change { freed.append((now, disturbance)) }
        }
        disturbances.removeAll { $0.strike == strike }
    }

    private func isClogged(from: Int, to: Int) -> Bool {
        disturbances.contains { entry in
            if case .clog = entry.disturbance.change { entry.disturbance.touches(from: from, to: to) } else { false }
        }
    }

    /// When a datagram of now gets through the clogs: now where there are none, nil when it never does.
    private func release(from: Int, to: Int, at now: Instant) -> Instant? {
        var release = now
        for (_, disturbance) in disturbances {
            guard case .clog(let until) = disturbance.change, disturbance.touches(from: from, to: to) else { continue }
            guard let until else { return nil }
            release = max(release, until)
        }
        return release
    }

    private func disturbed(_ model: LinkModel, from: Int, to: Int) -> LinkModel {
        var model = model
        for (_, disturbance) in disturbances where disturbance.touches(from: from, to: to) { disturbance.apply(to: &model) }
        return model
    }

    // MARK: Sending

    package mutating func sendDatagram(_ bytes: Int, from: Int, to: Int, at now: Instant) -> DatagramFate {
        let link = link(from: from, to: to)
        guard !disturbances.isEmpty else { return models[Int(links[link].model)].sendDatagram(bytes, at: now, over: &links[link].state) }
        guard let release = release(from: from, to: to, at: now) else { return .lost }
        return disturbed(models[Int(links[link].model)], from: from, to: to).sendDatagram(bytes, at: release, over: &links[link].state)
    }

    /// When a transfer has arrived; nil when it must be tried again.
    mutating func transfer(_ bytes: Int, from: Int, to: Int, at now: Instant) -> Instant? {
        let link = link(from: from, to: to)
        guard !disturbances.isEmpty else { return models[Int(links[link].model)].transfer(bytes, at: now, over: &links[link].state) }
        // Nothing is acknowledged through a clog in either direction: the sender tries again, as behind a cut.
        guard !isClogged(from: from, to: to), !isClogged(from: to, to: from) else { return nil }
        return disturbed(models[Int(links[link].model)], from: from, to: to).transfer(bytes, at: now, over: &links[link].state)
    }

    /// The latency that half of the datagrams of a link stay under.
    package mutating func typicalLatency(from: Int, to: Int) -> Duration {
        models[Int(links[link(from: from, to: to)].model)].latency.typical
    }

    mutating func retransmissionTimeout(from: Int, to: Int) -> Duration {
        models[Int(links[link(from: from, to: to)].model)].retransmissionTimeout
    }

    /// The connection between two machines; -1 when there was none yet.
    mutating func connection(between left: Int, and right: Int) -> Int { Int(links[link(from: left, to: right)].connection) }

    mutating func setConnection(_ connection: Int, between left: Int, and right: Int) {
        links[link(from: left, to: right)].connection = Int32(connection)
        links[link(from: right, to: left)].connection = Int32(connection)
    }

    private mutating func link(from: Int, to: Int) -> Int {
        if rows[from].isEmpty { rows[from] = Array(repeating: -1, count: topology.nodes) }
        let known = Int(rows[from][to])
        if known >= 0 { return known }
        let number = UInt64(from) * UInt64(topology.nodes) + UInt64(to)
        links.append(Link(state: LinkState(random: random.fork("link", number)), model: Int32(model(from: from, to: to))))
        rows[from][to] = Int32(links.count - 1)
        return links.count - 1
    }

    // MARK: Rules

    private mutating func model(from: Int, to: Int) -> Int {
        let rule = rules.firstIndex { matches($0, from: from, to: to) }
        guard let rule else { preconditionFailure("the last rule of a scenario matches every link") }
        let key = ModelKey(rule: rule, fromRegion: placement.isEmpty ? 0 : placement[from], toRegion: placement.isEmpty ? 0 : placement[to])
        if let known = modelIndex[key] { return known }
        var model = rules[rule].model
        switch rules[rule].latency {
        case .fixed(let latency): model.latency = latency
        case .geographic(let floor, let speed, let jitter):
            let distance = Geography.kilometres(from: topology.regions[key.fromRegion], to: topology.regions[key.toRegion])
            let base = max(floor, .microseconds(distance * 1_000 / speed))
            model.latency = .uniform(base...(base + .nanoseconds(base.nanoseconds * Int64(jitter) / 100)))
        }
        models.append(model)
        modelIndex[key] = models.count - 1
        return models.count - 1
    }

    private func matches(_ rule: LinkRule, from: Int, to: Int) -> Bool {
        if matches(rule.from, from), matches(rule.to, to) { return true }
        return rule.both && matches(rule.from, to) && matches(rule.to, from)
    }

    private func matches(_ selector: Selector, _ node: Int) -> Bool {
        switch selector {
        case .all: true
        case .nodes(let range): range.contains(node)
        case .region(let name): !placement.isEmpty && topology.regions[placement[node]].name == name
        case .random, .share, .rest: preconditionFailure("a link rule selects the same nodes in every run")
        }
    }
}
