import PatinaProtocol
import PatinaTOML

extension Scenario {
    /// The canonical form behind a comment with its hash: itself a scenario with that hash.
    public var shown: String { "# SHA-256 of the canonical form: \(hash)\n\(canonical)" }

    /// The scenario with everything spelled out, in one fixed order and in TOML. Two files with the same canonical form are the same
    /// experiment; reading the canonical form gives it again.
    public var canonical: String {
        var text = Canonical()
        text.line("format", 1)
        text.line("name", quoted: name)
        text.line("about", quoted: about)
        text.header("[run]")
        text.line("duration", duration)
        text.line("warmup", warmup)
        text.line("drain", drain)
        switch seeds {
        case .range(let from, let count): text.line("seeds", raw: "{ from = \(from), count = \(count) }")
        case .list(let seeds): text.line("seeds", raw: "[\(seeds.map { "\($0)" }.joined(separator: ", "))]")
        }
        text.header("[topology]")
        text.line("nodes", topology.nodes)
        if !topology.regions.isEmpty {
            text.line("regions", raw: "[\(topology.regions.map(Canonical.region).joined(separator: ", "))]")
        }
        if !topology.regions.isEmpty { text.line("place", quoted: topology.place.rawValue) }
        let via =
            switch topology.join.via {
            case .first: "first"
            case .random(let count): "\(count) random"
            }
        text.line("join", raw: "{ via = \(TOMLText.quote(via)), over = \(TOMLText.quote(Quantity.print(topology.join.over))) }")
        for rule in links { text.append(rule) }
        text.header("[node]")
        for key in NodeKey.all { text.line(key.name, raw: key.text(node)) }
        for override in nodeOverrides {
            text.header("[[node.where]]")
            text.line("select", quoted: override.select.text)
            for setting in override.settings { text.line(setting.key, raw: setting.value) }
        }
        text.header("[schema]")
        text.line("sql", raw: "[\(schema.map { TOMLText.quote($0.text) }.joined(separator: ", "))]")
        for workload in workloads { text.append(workload) }
        for fault in faults { text.append(fault) }
        for check in checks { text.append(check, faults: faults.map(\.id)) }
        text.append(chaos)
        if swarm != SwarmSettings() {
            text.header("[swarm]")
            text.line("vary", raw: "[\(swarm.vary.map { TOMLText.quote($0.text) }.joined(separator: ", "))]")
            func shares(_ first: (String, UInt32), _ second: (String, UInt32)) -> String {
                let texts = [first, second].map { "\($0.0) = \(TOMLText.quote(Quantity.print(share: $0.1)))" }
                return "{ \(texts.joined(separator: ", ")) }"
            }
            if let faults = swarm.faults { text.line("faults", raw: shares(("kinds", faults.kinds), ("strike", faults.strike))) }
            if let chaos = swarm.chaos { text.line("chaos", raw: shares(("sites", chaos.sites), ("fire", chaos.fire))) }
        }
        return text.text
    }
}

/// Writes the canonical form line by line.
private struct Canonical {
    var text = ""

    mutating func header(_ header: String) { text += "\n\(header)\n" }
    mutating func line(_ key: String, raw value: String) { text += "\(key) = \(value)\n" }
    mutating func line(_ key: String, quoted value: String) { line(key, raw: TOMLText.quote(value)) }
    mutating func line(_ key: String, _ value: Int) { line(key, raw: "\(value)") }
    mutating func line(_ key: String, _ value: Duration) { line(key, quoted: Quantity.print(value)) }

    mutating func append(_ rule: LinkRule) {
        header("[[link]]")
        line("from", quoted: rule.from.text)
        line("to", quoted: rule.to.text)
        line("direction", quoted: rule.both ? "both" : "one")
        line("latency", raw: Canonical.latency(rule.latency))
        if let bursts = rule.model.bursts {
            let shares = [bursts.goodToBad, bursts.badToGood, bursts.loss].map { TOMLText.quote(Quantity.print(share: $0)) }
            line("loss", raw: "{ model = \"gilbert\", good_to_bad = \(shares[0]), bad_to_good = \(shares[1]), bad_loss = \(shares[2]) }")
        } else {
            line("loss", quoted: Quantity.print(share: rule.model.loss))
        }
        line("duplicate", quoted: Quantity.print(share: rule.model.duplicate))
        line("reorder", quoted: Quantity.print(share: rule.model.reorder))
        line("reorder_delay", rule.model.reorderDelay)
        if let bandwidth = rule.model.bandwidth { line("bandwidth", quoted: Quantity.print(bandwidth: bandwidth)) }
        line("queue", quoted: Quantity.print(bytes: rule.model.queueBytes))
    }

    mutating func append(_ workload: Workload) {
        header("[[workload]]")
        line("kind", quoted: workload.kind.rawValue)
        line("table", quoted: workload.table)
        line("every", workload.interval)
        switch workload.keys {
        case .uniform(let count): line("keys", raw: "{ dist = \"uniform\", n = \(count) }")
        case .zipf(let count, let exponent): line("keys", raw: "{ dist = \"zipf\", n = \(count), s = \(Double(exponent) / 1_000) }")
        case .sequential: line("keys", raw: "{ dist = \"sequential\" }")
        }
        line("at", quoted: workload.at.text)
        line("from", quoted: workload.from.text)
        line("to", quoted: workload.to.text)
        line("rows", workload.rows)
        line("row", quoted: Quantity.print(bytes: workload.rowBytes))
        line("columns", quoted: workload.columns.rawValue)
        if let schema = workload.schema { line("schema", quoted: schema) }
    }

    mutating func append(_ fault: Fault) {
        header("[[fault]]")
        line("id", quoted: fault.id)
        line("kind", quoted: fault.kind)
        for entry in fault.values.entries { line(entry.key, raw: entry.value.text) }
        switch fault.timing {
        case .once(let anchor): line("at", quoted: anchor.text)
        case .every(let pause, let from, let to):
            switch pause {
            case .uniform(let range): line("every", quoted: Quantity.print(range))
            case .exponential(let mean): line("every", quoted: "exp(\(Quantity.print(mean)))")
            }
            line("from", quoted: from.text)
            line("to", quoted: to.text)
        }
        guard FaultKind.named(fault.kind)?.lasts != false else { return }
        switch fault.length {
        case .uniform(let range): line("for", quoted: Quantity.print(range))
        case .untilHeal: line("for", quoted: "heal")
        case .forever: line("for", quoted: "forever")
        }
    }

    mutating func append(_ check: Check, faults: [String]) {
        header("[[check]]")
        if case .only(let check, let condition) = check {
            body(of: check)
            // Shrinking may have taken away a fault that a term is about.
            let kept = condition.keeping(faults: faults)
            if !kept.terms.isEmpty { line("where", quoted: kept.text) }
        } else {
            body(of: check)
        }
    }

    mutating func append(_ chaos: ChaosSettings) {
        guard !chaos.points.isEmpty else { return }
        header("[chaos]")
        line("points", raw: "[\(chaos.points.map { TOMLText.quote($0.name) }.joined(separator: ", "))]")
        line("fire", quoted: Quantity.print(share: chaos.fire))
    }

    private mutating func body(of check: Check) {
        switch check {
        case .always(let invariant): line("always", quoted: invariant.rawValue)
        case .eventually(let goal, let after, let within):
            line("eventually", quoted: goal.rawValue)
            line("after", quoted: after.text)
            line("within", within)
        case .never(let occasion, let grace):
            line("never", quoted: occasion.rawValue)
            if occasion == .declaredDown { line("grace", grace) }
        case .sometimes(let occasion): line("sometimes", quoted: occasion.rawValue)
        case .metric(let name, let atMost, let atLeast):
            line("metric", quoted: name)
            if let atMost { line("at_most", raw: "\(Double(atMost) / 1_000)") }
            if let atLeast { line("at_least", raw: "\(Double(atLeast) / 1_000)") }
        case .only: preconditionFailure("a check has one condition")
        }
    }

    static func latency(_ rule: LinkRule.LatencyRule) -> String {
        func text(_ duration: Duration) -> String { TOMLText.quote(Quantity.print(duration)) }
        switch rule {
        case .fixed(.constant(let duration)): return text(duration)
        case .fixed(.uniform(let range)): return TOMLText.quote(Quantity.print(range))
        case .fixed(.exponential(let minimum, let mean)): return "{ model = \"exp\", min = \(text(minimum)), mean = \(text(mean)) }"
        case .fixed(.empirical(let points)):
            let texts = points.map { TOMLText.quote("\(Quantity.print(share: $0.share)) \(Quantity.print($0.latency))") }
            return "{ model = \"empirical\", points = [\(texts.joined(separator: ", "))] }"
        case .geographic(let floor, let speed, let jitter):
            return "{ model = \"geo\", floor = \(text(floor)), km_per_ms = \(speed), jitter = \"\(jitter)%\" }"
        }
    }

    static func region(_ region: Topology.Region) -> String {
        "{ name = \(TOMLText.quote(region.name)), lat = \(Double(region.latitude) / 1_000), "
            + "lon = \(Double(region.longitude) / 1_000), weight = \(region.weight) }"
    }
}
