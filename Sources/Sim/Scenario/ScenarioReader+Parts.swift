import PatinaProtocol

/// Links and workloads.
extension ScenarioReader {
    // MARK: [[link]]

    func readLinks(in topology: Topology) throws(ScenarioError) -> [LinkRule] {
        var rules: [LinkRule] = []
        let keys = ["from", "to", "direction", "latency", "loss", "duplicate", "reorder", "reorder_delay", "bandwidth", "queue"]
        for table in try top.tables("link", allowed: keys) {
            var rule = LinkRule()
            rule.from = try selector("from", of: table, fixed: true) ?? .all
            rule.to = try selector("to", of: table, fixed: true) ?? .all
            rule.both = try table.choice("direction", LinkDirection.self) == .both
            rule.latency = try readLatency(table, in: topology) ?? rule.latency
            guard rule.latency.longest <= Self.latencyMaximum else {
                throw table.error("latency", "a latency is at most \(Quantity.print(Self.latencyMaximum))")
            }
            try readLoss(table, into: &rule.model)
            rule.model.duplicate = try table.share("duplicate") ?? 0
            rule.model.reorder = try table.share("reorder") ?? 0
            rule.model.reorderDelay = try table.duration("reorder_delay") ?? rule.model.reorderDelay
            rule.model.bandwidth = try table.quantity("bandwidth", like: "\"100Mbit/s\"") { Quantity.bandwidth($0) }
            rule.model.queueBytes = try table.bytes("queue") ?? rule.model.queueBytes
            guard rule.model.queueBytes >= 2_048 else {
                throw table.error("queue", "a queue must hold at least one datagram: 2KiB or more")
            }
            rules.append(rule)
        }
        // The rule that catches what no other one matched.
        if rules.last?.from != .all || rules.last?.to != .all { rules.append(LinkRule()) }
        return rules
    }

    private enum LossModel: String, CaseIterable { case gilbert }

    private func readLoss(_ link: TableReader, into model: inout LinkModel) throws(ScenarioError) {
        guard case .table? = link["loss"],
            let table = try link.table("loss", allowed: ["model", "good_to_bad", "bad_to_good", "bad_loss"])
        else {
            model.loss = try link.share("loss") ?? 0
            return
        }
        guard try table.choice("model", LossModel.self) != nil else { throw table.error(nil, "loss as a table needs model = \"gilbert\"") }
        guard let bad = try table.share("good_to_bad"), let good = try table.share("bad_to_good"), let loss = try table.share("bad_loss")
        else {
            throw table.error(nil, "loss model \"gilbert\" needs good_to_bad, bad_to_good and bad_loss")
        }
        model.bursts = LinkModel.Bursts(goodToBad: bad, badToGood: good, loss: loss)
    }

    private static let latencyMaximum: Duration = .seconds(3_600)

    private enum LinkDirection: String, CaseIterable { case one, both }

    private static let latencyKeys = ["model", "value", "min", "max", "mean", "floor", "km_per_ms", "jitter", "file", "points"]

    private enum LatencyModel: String, CaseIterable {
        case constant, uniform, geo, empirical
        case exponential = "exp"
    }

    private func readLatency(_ link: TableReader, in topology: Topology) throws(ScenarioError) -> LinkRule.LatencyRule? {
        switch link["latency"] {
        case nil: return nil
        case .string:
            guard let range = try link.durationRange("latency") else { return nil }
            return .fixed(range.lowerBound == range.upperBound ? .constant(range.lowerBound) : .uniform(range))
        case .some:
            let keys = Self.latencyKeys
            guard let table = try link.table("latency", allowed: keys) else { return nil }
            guard let model = try table.choice("model", LatencyModel.self) else {
                throw table.error(
                    nil, "latency needs a model: \(LatencyModel.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", "))")
            }
            return try readLatency(model, table, in: topology)
        }
    }

    private func readLatency(_ model: LatencyModel, _ table: TableReader, in topology: Topology) throws(ScenarioError)
        -> LinkRule.LatencyRule
    {
        func required(_ key: String) throws(ScenarioError) -> Duration {
            guard let duration = try table.duration(key) else { throw table.error(nil, "latency model \"\(model.rawValue)\" needs \(key)") }
            return duration
        }
        func only(_ keys: String...) throws(ScenarioError) {
            for key in Self.latencyKeys where key != "model" && table[key] != nil && !keys.contains(key) {
                throw table.error(key, "latency model \"\(model.rawValue)\" has no \(key)")
            }
        }
        switch model {
        case .constant:
            try only("value")
            return .fixed(.constant(try required("value")))
        case .uniform:
            try only("min", "max")
            let (low, high) = (try required("min"), try required("max"))
            guard low <= high else { throw table.error("max", "max must not be below min") }
            return .fixed(.uniform(low...high))
        case .exponential:
            try only("min", "mean")
            return .fixed(.exponential(minimum: try table.duration("min") ?? .zero, mean: try required("mean")))
        case .empirical:
            try only("file", "points")
            return .fixed(.empirical(try readPoints(table)))
        case .geo:
            try only("floor", "km_per_ms", "jitter")
            guard !topology.regions.isEmpty else {
                throw table.error("model", "latency model \"geo\" needs topology.regions with lat and lon")
            }
            return .geographic(
                floor: try table.duration("floor") ?? .milliseconds(1),
                kilometresPerMillisecond: try table.integer("km_per_ms", in: 1...300) ?? 75,
                jitterPercent: try table.quantity("jitter", like: "\"15%\"") { Quantity.percent($0) } ?? 0)
        }
    }

    /// Points that a measured distribution may have.
    private static let pointsMaximum = 10_000

    /// A distribution: lines of `SHARE LATENCY`, such as `50% 12ms`, ascending, from 0% to 100%; what follows `#` is a comment.
    private func readPoints(_ table: TableReader) throws(ScenarioError) -> [LinkModel.Latency.Point] {
        let key = table["file"] == nil ? "points" : "file"
        var lines = try table.strings("points") ?? []
        if let file = try table.string("file") {
            guard lines.isEmpty else { throw table.error("points", "an empirical latency has either a file or points") }
            do throws(FileAccess.Failure) {
                lines = try FileAccess.read(FileAccess.resolve(file, besides: source.file)).split(separator: "\n").map(String.init)
            } catch {
                throw table.error("file", "the distribution \(file) cannot be read: \(error.reason)")
            }
        }
        var points: [LinkModel.Latency.Point] = []
        for line in lines {
            let text = Quantity.trim(line.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)[0])
            guard !text.isEmpty else { continue }
            let words = text.split(separator: " ", omittingEmptySubsequences: true)
            guard words.count == 2, let share = Quantity.share(words[0]), let latency = Quantity.duration(words[1]) else {
                throw table.error(key, "\"\(text)\" is no point of a distribution; expected something like \"50% 12ms\"")
            }
            if let last = points.last, last.share >= share || last.latency > latency {
                throw table.error(key, "the points of a distribution must ascend: \"\(text)\" does not")
            }
            points.append(LinkModel.Latency.Point(share: share, latency: latency))
        }
        guard points.first?.share == 0, points.last?.share == 1_000_000, points.count <= Self.pointsMaximum else {
            throw table.error(key, "a distribution has 2 to \(Self.pointsMaximum) points, from 0% to 100%")
        }
        return points
    }
}
