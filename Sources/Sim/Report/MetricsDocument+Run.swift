import PatinaProtocol

extension MetricsDocument {
    /// The metrics of a run that was recorded.
    init(report: SimulationReport, scenario: Scenario, metrics: RunMetrics, recorder: RunRecorder, engine: Engine = .sim) {
        self.init(
            engine: engine, scenario: report.scenario, scenarioHash: report.scenarioHash, seed: report.seed, nodes: scenario.topology.nodes,
            duration: scenario.duration, metrics: report.metrics,
            distributions: [
                Distribution(name: "propagation", buckets: metrics.propagation.buckets),
                Distribution(name: "propagation.undisturbed", buckets: metrics.undisturbed.buckets),
                Distribution(name: "coverage", buckets: metrics.coverage.buckets),
                Distribution(name: "catch_up", buckets: metrics.catchUp.buckets),
                Distribution(name: "membership.detection", buckets: metrics.detection.buckets),
            ],
            series: Series(recorder))
    }
}

extension MetricsDocument.Series {
    init(_ recorder: RunRecorder) {
        let seconds = Double(recorder.interval) / 1e9
        var columns: [Column] = []
        for (name, thousandths) in [("p50", UInt64(500)), ("p99", 990), ("max", 1_000)] {
            columns.append(
                Column(
                    name: "propagation.\(name)_ms",
                    values: recorder.latency.map { $0.count == 0 ? nil : $0.milliseconds(percentile: thousandths) }))
        }
        for traffic in TrafficClass.allCases {
            columns.append(
                Column(
                    name: "\(traffic.word).messages_per_second",
                    values: recorder.sentMessages[traffic.rawValue].map { Self.rounded(Double($0) / seconds) }))
            columns.append(
                Column(
                    name: "\(traffic.word).bytes_per_second",
                    values: recorder.sentBytes[traffic.rawValue].map { Self.rounded(Double($0) / seconds) }))
        }
        let samples = recorder.samples
        columns.append(Column(name: "membership.agreement", values: samples.map { $0.agreement.map { Double($0) / 1_000_000 } }))
        columns.append(Column(name: "versions.missing_worst", values: samples.map { Double($0.missingWorst) }))
        columns.append(Column(name: "versions.missing_mean", values: samples.map { Double($0.missingMean) / 1_000 }))
        columns.append(Column(name: "nodes.live", values: samples.map { Double($0.liveNodes) }))
        self.init(interval: .nanoseconds(recorder.interval), columns: columns)
    }

    private static func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }
}
