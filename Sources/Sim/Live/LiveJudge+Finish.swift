import PatinaProtocol

/// What a live run showed, and everything that its report page is made of.
package struct LiveVerdict {
    package let report: SimulationReport
    let scenario: Scenario
    let metrics: MetricsDocument
    let recorder: RunRecorder

    /// Writes `report.html`, `metrics.json`, `trace.json` (for Perfetto) and the canonical `scenario.toml` to a folder.
    ///
    /// - Parameter shortcomings: in what the machine did not keep up, a sentence each: the page says so before anything else.
    package func write(to directory: String, shortcomings: [String] = []) throws(ScenarioError) {
        try SimulationCommand.prepare(directory)
        try SimulationCommand.write(metrics.json, to: "\(directory)/metrics.json")
        try SimulationCommand.write(scenario.canonical, to: "\(directory)/scenario.toml")
        try SimulationCommand.write(TraceDocument.text(of: recorder, scenario: scenario), to: "\(directory)/trace.json")
        let page = ReportPage(report: report, scenario: scenario, metrics: metrics, recorder: recorder, shortcomings: shortcomings)
        try SimulationCommand.write(page.html, to: "\(directory)/report.html")
    }
}

extension LiveJudge {
    func finish() -> LiveVerdict {
        poll()
        metrics.catchUpsUnfinished = UInt64(catchUps.count)
        for agent in agents { checkState(of: agent) }
        countNetwork()
        checkAcknowledgedWrites()
        checkBookkeeping()
        let numbers =
            ReportMetrics.all.filter { !ReportMetrics.onlySimulated.contains($0.name) }
            .map { SimulationReport.Metric(name: $0.name, value: $0.value(metrics)) } + timings.measurements + evidence.measurements
        var results = checks.results(metrics: numbers)
        for index in results.indices {
            guard let reason = unjudged(scenario.checks[index]) else { continue }
            results[index].isJudged = false
            results[index].valid = true
            results[index].detail = "not judged: \(reason)"
        }
        results += ownChecks()
        recorder.sent(all: timings.messages, violation: checks.firstViolation?.nanoseconds, leftOut: timings.messagesLeftOut)
        let report = SimulationReport(
            scenario: scenario.name, scenarioHash: scenario.hash, seed: evidence.seed, traceHash: "", simulatedTime: scenario.duration,
            wallTime: scenario.duration, events: lives.reduce(0) { $0 + $1.steps }, messagesDelivered: metrics.deliveredMessages,
            bytesDelivered: metrics.deliveredBytes, checks: results, metrics: numbers)
        return LiveVerdict(
            report: report, scenario: scenario,
            metrics: MetricsDocument(report: report, scenario: scenario, metrics: metrics, recorder: recorder, engine: .live),
            recorder: recorder)
    }

    private func countNetwork() {
        let network = evidence.network
        metrics.deliveredMessages = network.delivered
        metrics.deliveredBytes = network.deliveredBytes
        metrics.datagramsLost = network.lost
        metrics.datagramsDoubled = network.doubled
        metrics.datagramsQueueFull = network.queueFull
        metrics.datagramsCut = network.cut
        metrics.datagramsCorrupted = network.corrupted
        metrics.unroutable = network.unroutable
        metrics.transactionsAcknowledged = UInt64(evidence.acknowledged.count)
        metrics.transactionsRefused = evidence.refused
        if let first = network.firstLoss { checks.occurred(.datagramLost, at: first, "\(network.lost) datagrams in the whole run") }
    }

    // MARK: Checks at the end

    private func checkAcknowledgedWrites() {
        guard checks.watches(.noAcknowledgedWriteLost) else { return }
        for agent in agents {
            if let life = agent.life, let missing = acknowledged.missing(from: life.ledger) {
                return checks.violated(.noAcknowledgedWriteLost, at: now, "node:\(agent.index) lacks \(missing)")
            }
        }
        var seen: [[[Value]]]?
        for (node, tables) in evidence.tables.enumerated() {
            switch tables {
            case nil: continue
            case .unreadable(let reason):
                return checks.violated(.noAcknowledgedWriteLost, at: now, "node:\(node) cannot be read: \(reason)")
            case .rows(let rows):
                // Agents with equal rows need one look only.
                guard rows != seen else { continue }
                seen = rows
                if let wrong = wrongRow(rows) { return checks.violated(.noAcknowledgedWriteLost, at: now, "node:\(node), \(wrong)") }
            }
        }
    }

    private func wrongRow(_ tables: [[[Value]]]) -> String? {
        for (index, (table, rows)) in zip(scenario.tables, tables).enumerated() {
            guard let key = table.keys.first else { continue }
            var marks: [(key: UInt64, marks: [UInt64])] = []
            for row in rows {
                guard let first = row.first, let number = WriteMark.keyNumber(of: first, column: key.name) else {
                    return "table \(table.name) has a row whose key no workload makes"
                }
                marks.append((number, row.dropFirst(table.keys.count).map(WriteMark.number)))
            }
            if let wrong = acknowledged.wrong(table: index, rows: marks) { return "table \(table.name), \(wrong)" }
        }
        return nil
    }

    private func checkBookkeeping() {
        guard checks.watches(.bookkeepingMatchesRows) else { return }
        for (node, problems) in evidence.verification.enumerated() {
            if let problems, let first = problems.first {
                checks.violated(.bookkeepingMatchesRows, at: now, "node:\(node), \(problems.count) problems: \(first)")
            }
        }
    }

    /// Why nothing can be said of a check; nil when it was judged.
    private func unjudged(_ check: Check) -> String? {
        switch check {
        case .only: "conditions are looked at in simulated runs only"
        case .always(.matchesOracle): "the oracle follows simulated stores only"
        case .always(.ledgerMatchesStore): "the store of an agent cannot be asked at the moment of an event"
        case .always(.noVersionFromNowhere): "what an agent gave out is known from its log alone"
        case .always(.bookkeepingMatchesRows) where evidence.verification.allSatisfy { $0 == nil }: "no database was verified"
        case .never(.versionReused, _), .sometimes(.versionReused): "only simulated disks lose what was acknowledged"
        case .metric(let name, _, _) where ReportMetrics.onlySimulated.contains(name): "live runs do not measure \(name)"
        default: nil
        }
    }

    /// What no scenario has to ask for: it invalidates every run.
    private func ownChecks() -> [SimulationReport.CheckResult] {
        let differing = lives.filter { $0.differences > 0 || $0.failure != nil }
        let what = differing.first.map { life in
            "\(differing.count) of \(lives.count) logs differ; node:\(life.node), process \(life.number): "
                + (life.firstDifference.map { "\(life.differences) events, the first \($0)" } ?? life.failure ?? "")
        }
        let steps = lives.reduce(UInt64(0)) { $0 + $1.steps }
        return [
            SimulationReport.CheckResult(
                name: "recordings replay", valid: what == nil && unreadable.isEmpty,
                detail: what ?? unreadable.first ?? "\(steps) events of \(lives.count) processes, and every effect is the same"),
            SimulationReport.CheckResult(
                name: "agents run", valid: evidence.incidents.isEmpty,
                detail: evidence.incidents.first.map { "\(evidence.incidents.count) incidents; first: \($0)" }
                    ?? "none ended without a fault"),
        ]
    }
}

extension ReportMetrics {
    /// What only the simulator counts: it knows of connections and queues that are the kernel's and QUIC's in a live run.
    static let onlySimulated: Set<String> = [
        "network.inbox_drops", "network.messages_lost", "network.connections_lost", "network.sessions",
    ]
}
