import PatinaProtocol

/// `report.html`: one run for people. One file without scripts, fonts or images from elsewhere.
struct ReportPage {
    let report: SimulationReport
    let scenario: Scenario
    let metrics: MetricsDocument
    let recorder: RunRecorder
    /// Why a live run says nothing; empty when it does, and for simulated ones.
    var shortcomings: [String] = []

    var html: String {
        let title = Markup.escape("\(report.scenario), seed \(report.seed)")
        return """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
            <title>\(title)</title>
            <style>
            \(Stylesheet.text)
            </style></head><body>
            \(Stylesheet.patterns)
            \(header)
            <h2>Checks</h2>
            \(checks)
            <h2>What happened</h2>
            <div class="charts">
            \(charts)</div>
            <h2>Numbers</h2>
            \(numbers)
            \(chaos)\(footer)
            </body></html>

            """
    }

    private var header: String {
        let failed = report.checks.count(where: { !$0.valid })
        let unusable = shortcomings.map { "<span class=\"verdict invalid\">✗ unusable: \(Markup.escape($0))</span> " }.joined()
        let judged = report.checks.allSatisfy(\.isJudged) ? "" : "that was judged "
        let verdict =
            unusable
            + (report.valid
                ? "<span class=\"verdict valid\">✓ every check \(judged)holds</span>"
                : "<span class=\"verdict invalid\">✗ \(failed) of \(report.checks.count) checks failed</span>")
        let isSimulated = metrics.engine == .sim
        let unit = isSimulated ? "messages" : "UDP datagrams"
        let facts: [(String, String)] = [
            ("engine", isSimulated ? "simulator" : "real agents on this machine"), ("seed", "\(report.seed)"),
            ("nodes", "\(scenario.topology.nodes)"),
            (isSimulated ? "simulated" : "took", "\(Markup.number(JSONWriter.seconds(report.simulatedTime))) s"),
            ("events", Markup.number(Double(report.events))),
            (
                "delivered",
                "\(Markup.number(Double(report.messagesDelivered))) \(unit), \(Markup.number(Double(report.bytesDelivered))) bytes"
            ),
            ("trace hash", report.traceHash.isEmpty ? "none: a live run" : "<code>\(report.traceHash)</code>"),
            ("scenario hash", "<code>\(report.scenarioHash)</code>"),
        ]
        let rows = facts.map { "<tr><th>\($0.0)</th><td>\($0.1)</td></tr>" }.joined()
        return "<h1>\(Markup.escape(report.scenario))</h1><p>\(Markup.escape(scenario.about))</p><p>\(verdict)</p>"
            + "<table id=\"facts\">\(rows)</table>"
    }

    private var checks: String {
        let rows = report.checks.map { check in
            (check.isJudged
                ? "<tr><td class=\"judgement \(check.valid ? "valid" : "invalid")\">\(check.valid ? "✓ holds" : "✗ failed")</td>"
                : "<tr><td>– not judged</td>")
                + "<td>\(Markup.escape(check.name))</td><td>\(Markup.escape(check.detail))</td></tr>"
        }
        return
            "<table id=\"checks\"><tr><th class=\"judgement\">verdict</th><th>check</th><th>what was seen</th></tr>"
            + "\(rows.joined(separator: "\n"))</table>"
    }

    private var numbers: String {
        let rows = report.metrics.map {
            "<tr><td>\(Markup.escape($0.name))</td><td class=\"number\">\(Markup.number($0.value))</td></tr>"
        }
        return "<div class=\"columns\"><table id=\"metrics\">\(rows.joined(separator: "\n"))</table></div>"
    }

    private var chaos: String {
        guard !report.chaos.isEmpty else { return "" }
        let rows = report.chaos.map { strikes in
            let summary = ChaosPoint(name: strikes.point)?.summary ?? ""
            return "<tr><td>\(Markup.escape(strikes.point))</td><td>\(Markup.escape(summary))</td>"
                + "<td class=\"number\">\(Markup.number(Double(strikes.count)))</td></tr>"
        }
        return "<h2>Chaos</h2><table id=\"chaos\"><tr><th>point</th><th>what happened there</th><th>times</th></tr>"
            + "\(rows.joined(separator: "\n"))</table>"
    }

    private var footer: String {
        var lines = [
            "Latencies are from acknowledgement at the writing node to visibility at each other node, by the time of the acknowledgement."
        ]
        if metrics.engine == .sim {
            lines.append(
                "Not modelled: QUIC's congestion and flow control, the scheduling and caches of an operating system, "
                    + "the time of computations."
            )
        }
        if metrics.engine == .live {
            lines.append(
                "network.* counts UDP datagrams, which carry QUIC's packets; messages are the protocol's own, as agents recorded them, "
                    + "without what sync sessions carry. A message without an end was not handed to its receiver.")
        }
        let trace = UInt64(recorder.traceMessages.count)
        if recorder.messagesSeen > trace {
            lines.append(
                "trace.json holds \(trace) of \(recorder.messagesSeen) messages: those of the beginning and around the first violation.")
        }
        if recorder.notesLeftOut > 0 { lines.append("\(recorder.notesLeftOut) things that nodes said are left out of trace.json.") }
        if recorder.changesLeftOut > 0 { lines.append("\(recorder.changesLeftOut) changes of machines are left out of the timeline.") }
        if recorder.nodes > RunRecorder.Bounds.observers {
            lines.append(
                "\(RunRecorder.Bounds.observers) of \(recorder.nodes) nodes were asked for membership agreement and missing versions.")
        }
        return "<h2>How to read this</h2>" + lines.map { "<p>\(Markup.escape($0))</p>" }.joined(separator: "\n")
    }

    // MARK: Charts

    private var seconds: Double { JSONWriter.seconds(scenario.duration) }

    private var bands: [LineChart.Band] {
        recorder.bands.map {
            LineChart.Band(name: $0.id, from: Double($0.start) / 1e9, to: Double($0.end ?? recorder.duration) / 1e9)
        }
    }

    private func column(_ name: String, _ title: String, scale: Double = 1, step: Bool = true) -> LineChart.Line {
        let values = metrics.series.columns.first { $0.name == name }?.values ?? []
        let interval = JSONWriter.seconds(metrics.series.interval)
        return LineChart.Line(
            name: title, points: values.enumerated().map { (Double($0.offset) * interval, $0.element.map { $0 * scale }) }, isStep: step)
    }

    private func overTime(_ id: String, _ title: String, _ unit: String, _ lines: [LineChart.Line], _ explanation: String = "") -> LineChart
    {
        LineChart(
            id: id, title: title, explanation: explanation, xTitle: "time (s)", yTitle: unit, xMaximum: seconds, lines: lines, bands: bands)
    }

    private var charts: String {
        let classes: [TrafficClass] = [.membership, .broadcast, .sync]
        var agreement = overTime(
            "agreement", "Membership agreement", "share of right views (%)",
            [column("membership.agreement", "views that match the machines", scale: 100)],
            "A view is one live node's opinion of another; alive and suspected count as present.")
        agreement.yMaximum = 105
        let parts = [
            DistributionChart.propagation(metrics).html,
            overTime(
                "latency-median", "Propagation latency over time: median", "median (ms)", [column("propagation.p50_ms", "p50", step: false)]
            ).html,
            overTime(
                "latency-tail", "Propagation latency over time: tail", "latency (ms)",
                [column("propagation.p99_ms", "p99", step: false), column("propagation.max_ms", "max", step: false)]
            ).html,
            overTime(
                "messages", "Messages by class", "sent by all nodes (messages/s)",
                classes.map { column("\($0.word).messages_per_second", $0.word) }
            ).html,
            overTime(
                "bytes", "Bytes by class", "sent by all nodes (kB/s)",
                classes.map { column("\($0.word).bytes_per_second", $0.word, scale: 0.001) }
            ).html,
            agreement.html,
            overTime(
                "convergence", "Convergence: acknowledged versions that a node lacks", "missing versions",
                [column("versions.missing_worst", "worst live node"), column("versions.missing_mean", "mean of live nodes")]
            ).html,
            TimelineChart(recorder: recorder, regions: regions).html,
            LamportDiagram(recorder: recorder, violation: violation).html,
        ]
        return parts.joined()
    }

    private var regions: [String] {
        guard !scenario.topology.regions.isEmpty else { return [] }
        return scenario.topology.placement.map { scenario.topology.regions[$0].name }
    }

    /// The check that was violated first, where its detail says when; otherwise the first one that does not hold.
    private var violation: String? {
        let failed = report.checks.filter { !$0.valid }
        let moment = recorder.violation.moment.map { "\(Instant(nanoseconds: $0))" }
        let first = failed.first { check in moment.map { check.detail.contains($0) } ?? false } ?? failed.first
        return first.map { "\($0.name): \($0.detail)" }
    }
}

/// The cumulative distribution of how long versions take.
enum DistributionChart {
    /// The axis ends at this many thousandths of the widest distribution; what lies beyond is said in words.
    private static let cutThousandths: UInt64 = 990

    static func propagation(_ metrics: MetricsDocument) -> LineChart {
        let shown = [
            ("propagation", "to each other node"), ("propagation.undisturbed", "the same, while no fault is active"),
            ("coverage", "to the last node"),
        ].compactMap { name, title in metrics.distribution(name).map { ($0, title) } }.filter { $0.0.count > 0 }
        let end = shown.map { percentile($0.0, cutThousandths) }.max() ?? 1
        let beyond = shown.first.map { first in first.0.buckets.filter { Double($0.upTo) / 1_000 > end }.reduce(0) { $0 + $1.count } } ?? 0
        let largest = shown.compactMap { $0.0.buckets.last?.upTo }.max() ?? 0
        let note =
            beyond == 0 ? "" : "\(beyond) deliveries took longer than the axis; the longest \(Markup.number(Double(largest) / 1_000)) ms."
        return LineChart(
            id: "propagation-cdf", title: "Propagation latency", explanation: note, xTitle: "latency (ms)",
            yTitle: "share of deliveries (%)",
            xMaximum: end, yMaximum: 105,
            lines: shown.map { distribution, title in LineChart.Line(name: title, points: curve(distribution, to: end), isStep: true) })
    }

    /// The curve in percent, thinned to what a screen can show.
    static func curve(_ distribution: MetricsDocument.Distribution, to end: Double) -> [(x: Double, y: Double?)] {
        let total = Double(distribution.count)
        var points: [(x: Double, y: Double?)] = [(0, 0)]
        var seen: UInt64 = 0
        var last = 0.0
        for bucket in distribution.buckets {
            seen += bucket.count
            let x = Double(bucket.upTo) / 1_000
            guard x <= end else { break }
            if x - last >= end / 400 || seen == distribution.count {
                points.append((x, Double(seen) * 100 / total))
                last = x
            }
        }
        return points
    }

    static func percentile(_ distribution: MetricsDocument.Distribution, _ thousandths: UInt64) -> Double {
        var seen: UInt64 = 0
        for bucket in distribution.buckets {
            seen += bucket.count
            if seen * 1_000 >= distribution.count * thousandths { return Double(bucket.upTo) / 1_000 }
        }
        return 0
    }
}
