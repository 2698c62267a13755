import PatinaProtocol
import Testing

@testable import PatinaSim

/// A run of the sample with a recorder, and what it left.
private struct Recorded {
    let scenario: Scenario
    let report: SimulationReport
    let recorder: RunRecorder
    let metrics: MetricsDocument

    init(_ scenario: Scenario, seed: UInt64 = 1) throws {
        self.scenario = scenario
        let simulation = Simulation(scenario: scenario, seed: seed)
        simulation.startRecording()
        report = simulation.run()
        recorder = try #require(simulation.recorder)
        metrics = MetricsDocument(report: report, scenario: scenario, metrics: simulation.metrics, recorder: recorder)
    }

    var page: String { ReportPage(report: report, scenario: scenario, metrics: metrics, recorder: recorder).html }
}

private let crash = """
    [[fault]]
    id = "crash"
    kind = "crash"
    select = "node:1"
    at = "10s"
    for = "2s"
    """

@Suite struct RecordingTests {
    @Test("recording: a recorded run has the trace of one that is not")
    func harmless() throws {
        let scenario = try Sample.scenario(adding: crash)
        #expect(try Recorded(scenario).report.traceHash == Simulation(scenario: scenario, seed: 1).run().traceHash)
    }

    @Test("recording: series agree with the totals")
    func totals() throws {
        let run = try Recorded(try Sample.scenario(adding: crash))
        for traffic in [TrafficClass.membership, .broadcast, .sync] {
            let sum = run.recorder.sentMessages[traffic.rawValue].reduce(0, +)
            #expect(Double(sum) == run.report.metric("\(traffic.word).messages_sent"))
            #expect(Double(run.recorder.sentBytes[traffic.rawValue].reduce(0, +)) == run.report.metric("\(traffic.word).bytes_sent"))
        }
        #expect(Double(run.recorder.latency.reduce(0) { $0 + $1.count }) == run.report.metric("propagation.count"))
        #expect(run.metrics.distribution("propagation")?.count == UInt64(run.report.metric("propagation.count") ?? 0))
        #expect(run.recorder.samples.count == RunRecorder.Bounds.intervals)
        #expect(run.recorder.samples.last?.agreement == 1_000_000 && run.recorder.samples.last?.missingWorst == 0)
        #expect(run.recorder.samples.contains { $0.missingWorst > 0 })
    }

    @Test("recording: faults and crashes have their times")
    func times() throws {
        let run = try Recorded(try Sample.scenario(adding: crash))
        #expect(run.recorder.bands.map(\.id) == ["cut", "crash"])
        #expect(run.recorder.bands.map(\.start) == [5_000_000_000, 10_000_000_000])
        #expect(run.recorder.bands.map(\.end) == [8_000_000_000, 12_000_000_000])
        let down = run.recorder.segments.filter { $0.node == 1 && $0.state == .down && $0.start > 1_000_000_000 }
        #expect(down.map(\.start) == [10_000_000_000] && down.map(\.end) == [12_000_000_000])
        for node in 0..<3 {
            let own = run.recorder.segments.filter { $0.node == node }
            #expect(own.first?.start == 0 && own.last?.end == run.recorder.duration)
            #expect(zip(own, own.dropFirst()).allSatisfy { $0.end == $1.start })
        }
    }

    @Test("recording: the window holds what was sent right before and after the moment")
    func window() {
        var window = MessageWindow(before: 3, after: 2)
        func message(_ time: Int64) -> RecordedMessage {
            RecordedMessage(from: 0, to: 1, sent: time, arrival: nil, traffic: .sync, transport: .session, bytes: 1)
        }
        for time in 1...7 { window.append(message(Int64(time))) }
        window.keep(at: 7)
        window.keep(at: 9)
        for time in 8...20 { window.append(message(Int64(time))) }
        #expect(window.kept.map(\.sent) == [5, 6, 7, 8, 9] && window.moment == 7)
    }

    @Test("recording: the first violation is where the checker saw it")
    func violation() throws {
        let scenario = try Sample.scenario(adding: crash + "\n[[check]]\nnever = \"suspected\"\n")
        let run = try Recorded(scenario)
        let moment = try #require(run.recorder.violation.moment)
        #expect(!run.report.valid)
        let detail = try #require(run.report.checks.first { !$0.valid }?.detail)
        #expect(detail.contains("first at \(Instant(nanoseconds: moment))"))
        #expect(run.recorder.violation.kept.contains { $0.sent <= moment } && run.recorder.violation.kept.contains { $0.sent > moment })
        #expect(run.page.contains("Messages around the first violation"))
        #expect(try Recorded(try Sample.scenario()).recorder.violation.moment == nil)
    }
}

@Suite struct ReportFilesTests {
    @Test("metrics: what is written is read again, and damage is refused")
    func metrics() throws {
        let run = try Recorded(try Sample.scenario(adding: crash))
        let text = run.metrics.json
        #expect(try MetricsDocument(json: text) == run.metrics)
        for (part, other) in [
            ("\"format\": 1", "\"format\": 2"), ("\"engine\": \"sim\"", "\"engine\": \"dream\""),
            ("\"buckets\": [[", "\"buckets\": [[1],["),
        ] {
            let damaged = text.replacing(part, with: other)
            #expect(damaged != text)
            #expect(throws: JSONFailure.self) { try MetricsDocument(json: damaged) }
        }
        // Every prefix is refused, and none traps.
        for length in stride(from: 0, to: text.utf8.count - 2, by: 397) {
            #expect(throws: JSONFailure.self) { try MetricsDocument(json: String(text.prefix(length))) }
        }
    }

    @Test("page: every chart is there, nothing comes from elsewhere, and text is escaped")
    func page() throws {
        let run = try Recorded(try Sample.scenario("name=<b>&\"x\"", adding: crash))
        let page = run.page
        for id in [
            "propagation-cdf", "latency-median", "latency-tail", "messages", "bytes", "agreement", "convergence", "timeline", "lamport",
        ] {
            #expect(page.contains("<figure id=\"\(id)\""), "\(id)")
        }
        #expect(page.contains("<h1>&lt;b&gt;&amp;&quot;x&quot;</h1>") && !page.contains("<b>&"))
        for word in ["<script", "http:", "https:", "@import", "url(http", "<link", "<img"] { #expect(!page.contains(word), "\(word)") }
        #expect(page.contains("prefers-color-scheme:dark") && !page.contains("nan") && !page.contains("inf,"))
    }

    @Test("trace: the file is JSON, arrows come in pairs, and what is left out is said")
    func trace() throws {
        let run = try Recorded(try Sample.scenario(adding: crash))
        let document = try JSONDocument.parse(TraceDocument.text(of: run.recorder, scenario: run.scenario))
        let events = try document.required("traceEvents").elements()
        func ids(_ phase: String) throws -> [UInt64] {
            try events.filter { $0["ph"] == .text(phase) }.map { try $0.required("id").whole() }.sorted()
        }
        #expect(try !ids("s").isEmpty && ids("s") == ids("f"))
        #expect(events.count { $0["name"] == .text("process_name") } == 4)
        #expect(events.contains { $0["name"] == .text("cut") && $0["dur"] == .literal("3000000.000") })
        let kept =
            try #require(document["otherData"]).required("messages").whole()
            - document.required("otherData").required("messages_left_out").whole()
        #expect(kept == UInt64(run.recorder.traceMessages.count))
    }

    @Test("axes: ticks are round, begin at zero and are few", arguments: [0.003, 0.7, 1, 9.9, 42, 100, 5_300, 1e7])
    func ticks(maximum: Double) {
        let ticks = Markup.ticks(to: maximum, count: 5)
        #expect(ticks.first == 0 && ticks.count <= 6 && ticks.count >= 2)
        #expect(ticks.allSatisfy { $0 <= maximum * 1.000_001 })
    }

    @Test("numbers: grouped, and without superfluous decimals")
    func numbers() {
        #expect(Markup.number(1_234_567) == "1\u{202F}234\u{202F}567")
        #expect(Markup.number(0.25) == "0.25" && Markup.number(-3.1) == "-3.1" && Markup.number(0) == "0")
        #expect(Markup.point(-0.25) == "-0.3" || Markup.point(-0.25) == "-0.2")
    }
}

@Suite struct JSONDocumentTests {
    @Test("JSON: values are read as they are written")
    func values() throws {
        let text = #"{"a": [1, -2.5e3, true, null], "b": {"c": "x\n\"é\u00e9\ud83d\ude00"}, "d": []}"#
        let document = try JSONDocument.parse(text)
        #expect(try document.required("a").elements()[0].whole() == 1)
        #expect(try document.required("a").elements()[1].number() == -2_500)
        #expect(try document.required("a").elements()[3].numberOrNull() == nil)
        #expect(try document.required("b").required("c").string() == "x\n\"éé😀")
        #expect(try document.required("d").elements().isEmpty)
        #expect(try JSONDocument.parse(JSONWriter.quote("a\u{1}\\\"\t")).string() == "a\u{1}\\\"\t")
    }

    @Test(
        "JSON: what is none is refused",
        arguments: [
            "", "{", "[1,]", "[1 2]", "{\"a\" 1}", "nul", "\"a", "\"\\x\"", "\"\\ud800\"", "1 2", "{\"a\":1,}", "01x", "\"\u{1}\"",
            String(repeating: "[", count: 100),
        ])
    func refused(text: String) {
        #expect(throws: JSONFailure.self) { try JSONDocument.parse(text) }
    }
}
