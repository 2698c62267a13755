import PatinaProtocol

/// Two results side by side, each of one or more runs of either engine.
public struct Comparison: Hashable, Sendable {
    /// One result: where it is, and what its runs showed.
    public struct Side: Hashable, Sendable {
        public var name: String
        public var runs: [MetricsDocument]

        var engine: String {
            let engines = MetricsDocument.Engine.allCases.filter { engine in runs.contains { $0.engine == engine } }.map(\.rawValue)
            return engines.joined(separator: " and ")
        }
    }

    public struct MetricRow: Hashable, Sendable {
        public var name: String
        /// Means over the runs.
        public var left: Double
        public var right: Double
        public var interval: ClosedRange<Double>?

        public var delta: Double { right - left }
        /// Nil when there is nothing to be relative to.
        public var percent: Double? { left == 0 ? nil : (right - left) * 100 / abs(left) }
        /// True when 95% of the resamples lie on one side of zero.
        public var isDifferent: Bool { interval.map { !$0.contains(0) } ?? false }
    }

    public struct DistanceRow: Hashable, Sendable {
        public var name: String
        public var ks: Double
        public var ksInterval: ClosedRange<Double>?
        public var wassersteinMilliseconds: Double
        public var wassersteinInterval: ClosedRange<Double>?
        /// The same two numbers between the right side and another result of the same kind: what noise alone does.
        public var floorKS: Double?
        public var floorWassersteinMilliseconds: Double?
    }

    public let left: Side
    public let right: Side
    public let floor: Side?
    public let metrics: [MetricRow]
    public let distances: [DistanceRow]

    /// Distributions that are compared, in this order, as far as both sides have them.
    static let distributions = ["propagation", "propagation.undisturbed", "coverage", "catch_up", "membership.detection"]

    /// - Throws: when a side has no run.
    public init(_ left: Side, _ right: Side, floor: Side? = nil) throws(JSONFailure) {
        guard let first = left.runs.first, !right.runs.isEmpty, floor.map({ !$0.runs.isEmpty }) ?? true else {
            throw JSONFailure("a result without a run cannot be compared")
        }
        self.left = left
        self.right = right
        self.floor = floor
        metrics = first.metrics.map(\.name).compactMap { Self.row($0, left, right) }
        distances = Self.distributions.compactMap { Self.distance($0, left, right, floor) }
    }

    private static func row(_ name: String, _ left: Side, _ right: Side) -> MetricRow? {
        func values(_ side: Side) -> [Double] { side.runs.compactMap { run in run.metrics.first { $0.name == name }?.value } }
        let (first, second) = (values(left), values(right))
        guard !first.isEmpty, !second.isEmpty else { return nil }
        func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
        return MetricRow(
            name: name, left: mean(first), right: mean(second),
            interval: Bootstrap.interval(left: first.count, right: second.count) { picked, others in
                mean(others.map { second[$0] }) - mean(picked.map { first[$0] })
            })
    }

    private static func distance(_ name: String, _ left: Side, _ right: Side, _ floor: Side?) -> DistanceRow? {
        func buckets(_ side: Side) -> [[MetricsDocument.Distribution.Bucket]] { side.runs.compactMap { $0.distribution(name)?.buckets } }
        let (first, second) = (buckets(left), buckets(right))
        guard let distance = DistributionDistance(DistributionDistance.pool(first), DistributionDistance.pool(second)) else { return nil }
        func interval(_ measure: @escaping (DistributionDistance) -> Double) -> ClosedRange<Double>? {
            Bootstrap.interval(left: first.count, right: second.count) { picked, others in
                DistributionDistance(
                    DistributionDistance.pool(picked.map { first[$0] }), DistributionDistance.pool(others.map { second[$0] })
                ).map(measure)
            }
        }
        var row = DistanceRow(
            name: name, ks: distance.ks, ksInterval: interval(\.ks), wassersteinMilliseconds: distance.wassersteinMilliseconds,
            wassersteinInterval: interval(\.wassersteinMilliseconds))
        if let floor, let noise = DistributionDistance(DistributionDistance.pool(second), DistributionDistance.pool(buckets(floor))) {
            row.floorKS = noise.ks
            row.floorWassersteinMilliseconds = noise.wassersteinMilliseconds
        }
        return row
    }

    /// The KS distance of the propagation latencies; nil when a side has none.
    public var propagationDistance: Double? { distances.first { $0.name == "propagation" }?.ks }

    /// What a reader must know before believing a number.
    public var warnings: [String] {
        var warnings: [String] = []
        let hashes = Set((left.runs + right.runs).map(\.scenarioHash))
        if hashes.count > 1 { warnings.append("the runs are of \(hashes.count) different scenarios") }
        for side in [left, right] where side.runs.count < 10 {
            warnings.append("\(side.name) has \(side.runs.count) \(side.runs.count == 1 ? "run" : "runs"): fewer than 10 are no evidence")
        }
        if Set(left.runs.map(\.engine) + right.runs.map(\.engine)).count > 1 {
            warnings.append(
                "the simulator does not model QUIC's congestion control, the scheduling and caches of the operating system, "
                    + "or the time of computations")
        }
        return warnings
    }
}
