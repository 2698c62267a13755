import Foundation
import PatinaAgent
import PatinaProtocol
import PatinaSim
import PatinaStore

/// What `patina live run` does: runs a scenario on real agents, judges it, writes the results.
public struct LiveCommand: Sendable {
    /// The scenario, a TOML file.
    public var file: String
    /// Nil: the scenario's first seed.
    public var seed: UInt64?
    /// `path=value` each, as with `--set`.
    public var overrides: [String] = []
    /// Receives `report.html`, `report.json`, `metrics.json`, `trace.json` and `scenario.toml`; nil: nothing is written.
    public var output: String?
    /// Leave the agents' files, logs and recordings behind.
    public var keepsFiles = false
    /// A run whose delay error has a larger 99th percentile is unusable.
    public var delayErrorBound = LiveCommand.delayErrorBound
    /// The executable that has the command `agent`.
    public var executable: String
    /// Told how the run goes, a line each time.
    public var progress: @Sendable (String) -> Void = { _ in }

    /// The bound of the delay error where nothing else is asked for: half of the shortest latency of the scenarios that are compared.
    public static let delayErrorBound: Duration = .milliseconds(1)

    public init(file: String, executable: String) {
        self.file = file
        self.executable = executable
    }

    /// What a run showed.
    public struct Outcome: Sendable {
        public var report: SimulationReport
        /// Why the machine did not keep up, a sentence each; the report says little then.
        public var shortcomings: [String]
        /// The folder of the agents' files, when they are kept.
        public var kept: String?

        /// 0: every check that was judged holds. 1: one does not. 2: the machine did not keep up.
        public var exitCode: Int32 { !shortcomings.isEmpty ? 2 : report.valid ? 0 : 1 }
    }

    /// Runs the scenario; takes as long as the scenario says, and some seconds more.
    ///
    /// - Throws: `ScenarioError` or `LiveError` when the scenario cannot be run or judged, `CancellationError` when the task was cancelled.
    ///   No process is left behind in any case.
    public func run() async throws -> Outcome {
        let scenario = try Scenario.load(path: file, overrides: overrides)
        let plan = try LivePlan(scenario, seed: seed ?? scenario.seeds.first)
        let evidence = try await LiveRun(
            plan: plan, executable: executable, directory: keepsFiles ? output : nil, keepsFiles: keepsFiles, progress: progress
        ).run()
        progress("judging")
        let verdict = LiveJudge(evidence.forJudge).judge()
        let outcome = Outcome(
            report: verdict.report, shortcomings: evidence.relay.shortcomings(delayErrorBound), kept: keepsFiles ? evidence.files.root : nil
        )
        if let output {
            try verdict.write(to: output, shortcomings: outcome.shortcomings)
            try outcome.json.write(toFile: output + "/report.json", atomically: true, encoding: .utf8)
        }
        evidence.files.remove(keeping: keepsFiles)
        return outcome
    }
}

extension LiveCommand.Outcome {
    /// The report with what only a live run has in front of it.
    public var json: String {
        let reasons = shortcomings.map { "\"" + $0.replacingOccurrences(of: "\"", with: "'") + "\"" }.joined(separator: ", ")
        return "{\n  \"engine\": \"live\",\n  \"usable\": \(shortcomings.isEmpty),\n  \"shortcomings\": [\(reasons)],"
            + report.json.dropFirst()
    }
}

extension LiveRun.Evidence {
    /// What the judge needs to know, in its words.
    var forJudge: LiveEvidence {
        var evidence = LiveEvidence(scenario: plan.scenario, seed: plan.seed, faults: plan.faults, zero: zero)
        for life in lives {
            switch life.kind {
            case .started:
                let number = evidence.lives.count { $0.node == life.node } + 1
                evidence.lives.append(
                    LiveEvidence.Life(
                        node: life.node, number: number, log: .file(EventLogFile.find(in: files.recording(life.node, life: number))),
                        ended: nil))
            case .ended:
                guard let index = evidence.lives.lastIndex(where: { $0.node == life.node }) else { continue }
                evidence.lives[index].ended = life.at
            case .paused: evidence.pauses.append(LiveEvidence.Pause(node: life.node, from: life.at, to: nil))
            case .resumed:
                guard let index = evidence.pauses.lastIndex(where: { $0.node == life.node }) else { continue }
                evidence.pauses[index].to = life.at
            }
        }
        // A process that ended before its node was made, because its database is damaged or it was killed, has recorded nothing.
        evidence.lives.removeAll { life in
            guard life.ended != nil, case .file(let path) = life.log else { return false }
            return !FileManager.default.fileExists(atPath: path)
        }
        for entry in workload.entries {
            switch entry.outcome {
            case .acknowledged(let actor?, let version?, let rows):
                evidence.acknowledged.append(
                    LiveEvidence.Acknowledged(node: entry.transaction.node, actor: actor, version: version, rows: rows))
            case .acknowledged: break
            case .refused: evidence.refused += 1
            case .unknown: evidence.uncertain += entry.transaction.rows
            }
        }
        evidence.tables = tables.map { dump in dump.map { $0.failure.map { .unreadable($0) } ?? .rows($0.tables) } }
        evidence.verification = verification
        evidence.network.delivered = relay.delivered
        evidence.network.deliveredBytes = relay.deliveredBytes
        evidence.network.lost = relay.lost
        evidence.network.doubled = relay.doubled
        evidence.network.queueFull = relay.queueFull
        evidence.network.cut = relay.cut
        evidence.network.corrupted = relay.corrupted
        evidence.network.unroutable = relay.unroutable
        evidence.network.firstLoss = relay.firstLoss
        evidence.incidents = incidents
        evidence.measurements = measurements
        return evidence
    }

    /// How exact the run was.
    private var measurements: [SimulationReport.Metric] {
        let error = relay.delayError
        var numbers: [(String, Double)] = [
            ("live.delay_error.p50_ms", error.milliseconds(percentile: 500)),
            ("live.delay_error.p99_ms", error.milliseconds(percentile: 990)),
            ("live.delay_error.max_ms", error.maximumMilliseconds), ("live.socket_drops", Double(relay.socketDrops)),
            ("live.transactions.late", Double(workload.late)),
            ("live.transactions.lateness.p99_ms", workload.lateness.milliseconds(percentile: 990)),
            ("live.transactions.unknown", Double(workload.entries.count { if case .unknown = $0.outcome { true } else { false } })),
            ("live.faults.lateness_max_ms", Double(faultLateness.nanoseconds / 1_000) / 1_000),
        ]
        if let busyShare { numbers.append(("live.machine_busy_percent", (busyShare * 1_000).rounded() / 10)) }
        return numbers.map { SimulationReport.Metric(name: $0.0, value: $0.1) }
    }
}
