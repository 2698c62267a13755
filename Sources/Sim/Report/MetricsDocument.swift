import PatinaProtocol

/// What `metrics.json` holds: the numbers, distributions and series of one run, in one schema for every engine.
///
/// The values come from the measurements and notices of the protocol core, so a simulated run and a live one count the same things.
/// `docs/metrics.md` describes each field.
public struct MetricsDocument: Hashable, Sendable {
    public static let formatVersion = 1

    /// What ran the scenario.
    public enum Engine: String, Hashable, Sendable, CaseIterable { case sim, live }

    public var engine: Engine
    public var scenario: String
    /// SHA-256 of the scenario's canonical form: runs with different ones are different experiments.
    public var scenarioHash: String
    public var seed: UInt64
    public var nodes: Int
    public var duration: Duration
    public var metrics: [SimulationReport.Metric]
    public var distributions: [Distribution]
    public var series: Series

    public init(
        engine: Engine, scenario: String, scenarioHash: String, seed: UInt64, nodes: Int, duration: Duration,
        metrics: [SimulationReport.Metric], distributions: [Distribution], series: Series
    ) {
        self.engine = engine
        self.scenario = scenario
        self.scenarioHash = scenarioHash
        self.seed = seed
        self.nodes = nodes
        self.duration = duration
        self.metrics = metrics
        self.distributions = distributions
        self.series = series
    }

    /// A distribution of durations, as a histogram whose buckets are at most 0.8% wide.
    public struct Distribution: Hashable, Sendable {
        public var name: String
        /// Largest duration of each bucket in microseconds, ascending, and how many fell into it. Empty buckets are left out.
        public var buckets: [Bucket]

        public init(name: String, buckets: [Bucket]) {
            self.name = name
            self.buckets = buckets
        }

        public struct Bucket: Hashable, Sendable {
            public var upTo: UInt64
            public var count: UInt64

            public init(upTo: UInt64, count: UInt64) {
                self.upTo = upTo
                self.count = count
            }
        }

        public var count: UInt64 { buckets.reduce(0) { $0 + $1.count } }
    }

    /// Values over time, one for each interval of the run.
    public struct Series: Hashable, Sendable {
        /// Length of an interval.
        public var interval: Duration
        public var columns: [Column]

        public init(interval: Duration, columns: [Column]) {
            self.interval = interval
            self.columns = columns
        }

        public struct Column: Hashable, Sendable {
            public var name: String
            /// Nil where there is nothing to say.
            public var values: [Double?]

            public init(name: String, values: [Double?]) {
                self.name = name
                self.values = values
            }
        }
    }

    /// The distribution with this name; nil when there is none.
    public func distribution(_ name: String) -> Distribution? { distributions.first { $0.name == name } }

    /// One JSON object.
    public var json: String {
        var writer = JSONWriter()
        writer.object {
            $0.field("format", number: "\(Self.formatVersion)")
            $0.field("engine", engine.rawValue)
            $0.field("scenario", scenario)
            $0.field("scenario_hash", scenarioHash)
            $0.field("seed", number: "\(seed)")
            $0.field("nodes", number: "\(nodes)")
            $0.field("seconds", JSONWriter.seconds(duration))
            $0.key("metrics")
            $0.object { writer in
                for metric in metrics { writer.field(metric.name, metric.value) }
            }
            $0.key("distributions")
            $0.object { writer in
                for distribution in distributions {
                    let buckets = distribution.buckets.map { "[\($0.upTo),\($0.count)]" }.joined(separator: ",")
                    writer.key(distribution.name)
                    writer.object {
                        $0.field("unit", "us")
                        $0.field("count", number: "\(distribution.count)")
                        $0.field("buckets", number: "[\(buckets)]")
                    }
                }
            }
            $0.key("series")
            $0.object { writer in
                writer.field("interval_seconds", JSONWriter.seconds(series.interval))
                for column in series.columns {
                    writer.field(column.name, number: "[\(column.values.map(JSONWriter.number).joined(separator: ","))]")
                }
            }
        }
        return writer.text + "\n"
    }
}

extension MetricsDocument {
    /// Reads what `json` writes. Unknown fields are skipped.
    ///
    /// - Throws: a sentence that says what is missing or wrong.
    public init(json text: String) throws(JSONFailure) {
        let top = try JSONDocument.parse(text)
        let format = try top.required("format").whole()
        guard format == UInt64(Self.formatVersion) else {
            throw JSONFailure("metrics of format \(format); this build reads format \(Self.formatVersion)")
        }
        let word = try top.required("engine").string()
        guard let engine = Engine(rawValue: word) else { throw JSONFailure("\"\(word)\" is no engine") }
        self.engine = engine
        scenario = try top.required("scenario").string()
        scenarioHash = try top.required("scenario_hash").string()
        seed = try top.required("seed").whole()
        nodes = Int(clamping: try top.required("nodes").whole())
        duration = .microseconds(Int64((try top.required("seconds").number() * 1_000_000).rounded()))
        metrics = []
        for (name, value) in try top.required("metrics").members() {
            metrics.append(SimulationReport.Metric(name: name, value: try value.number()))
        }
        distributions = []
        for (name, value) in try top.required("distributions").members() {
            var buckets: [Distribution.Bucket] = []
            for pair in try value.required("buckets").elements() {
                let numbers = try pair.elements()
                guard numbers.count == 2 else { throw JSONFailure("a bucket of \(name) is not a pair of numbers") }
                buckets.append(Distribution.Bucket(upTo: try numbers[0].whole(), count: try numbers[1].whole()))
            }
            guard zip(buckets, buckets.dropFirst()).allSatisfy({ $0.upTo < $1.upTo }) else {
                throw JSONFailure("the buckets of \(name) are not in ascending order")
            }
            distributions.append(Distribution(name: name, buckets: buckets))
        }
        let stored = try top.required("series")
        series = Series(
            interval: .microseconds(Int64((try stored.required("interval_seconds").number() * 1_000_000).rounded())), columns: [])
        for (name, value) in try stored.members() where name != "interval_seconds" {
            var values: [Double?] = []
            for each in try value.elements() { values.append(try each.numberOrNull()) }
            series.columns.append(Series.Column(name: name, values: values))
        }
    }
}

extension Histogram {
    /// The buckets that something fell into.
    var buckets: [MetricsDocument.Distribution.Bucket] {
        filled.map { MetricsDocument.Distribution.Bucket(upTo: $0.upTo, count: $0.count) }
    }
}
