// Goal: the judge of a live run says of recordings what the simulator says of the run that they were made of, and finds what is wrong.
// Method: a simulated run keeps the event logs of its nodes; the judge reads them as if real agents had written them. Then one thing
// after the other is not as it should be.

import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct LiveJudgeTests {
    private static let crash = """
        [[fault]]
        id = "crash"
        kind = "crash"
        select = "node:1"
        at = "8s"
        for = "2s"
        [[check]]
        always = "bookkeeping-matches-rows"
        [[check]]
        always = "matches-oracle"
        [[check]]
        eventually = "caught-up"
        after = "crash.end"
        within = "5s"
        [[check]]
        eventually = "converged"
        after = "heal"
        within = "4s"
        """

    /// A run in the simulator, and what its nodes would have left behind had they been agents.
    private static func recorded() throws -> (report: SimulationReport, evidence: LiveEvidence) {
        let simulation = Simulation(scenario: try Sample.scenario(adding: crash), seed: 3)
        simulation.nodeLogs = NodeLogs()
        let report = simulation.run()
        var logs = try #require(simulation.nodeLogs)
        var evidence = LiveEvidence(scenario: simulation.scenario, seed: 3, faults: simulation.faults, zero: .zero)
        let crash = try #require(simulation.faults.occurrences.first { $0.action is CrashAction })
        for log in logs.take() {
            let number = evidence.lives.count { $0.node == log.host } + 1
            let isKilled = log.host == 1 && number == 1
            evidence.lives.append(
                LiveEvidence.Life(node: log.host, number: number, log: .bytes(log.bytes), ended: isKilled ? crash.start : nil))
        }
        evidence.tables = simulation.hosts.map { _ in .rows(simulation.scenario.tables.map { _ in [] }) }
        evidence.verification = simulation.hosts.map { _ in [] }
        return (report, evidence)
    }

    private static func result(_ name: String, of evidence: LiveEvidence) throws -> SimulationReport.CheckResult {
        try #require(LiveJudge(evidence).judge().report.checks.first { $0.name.hasPrefix(name) })
    }

    @Test("live judge: recordings of a simulated run give the numbers of that run")
    func sameNumbers() throws {
        let (report, evidence) = try Self.recorded()
        let verdict = LiveJudge(evidence).judge().report
        let groups = ["propagation.", "coverage.", "membership.", "broadcast.", "sync.", "limits.", "faults"]
        let compared = report.metrics.filter { metric in groups.contains { metric.name.hasPrefix($0) } }
        #expect(compared.count > 25)
        for metric in compared { #expect(verdict.metric(metric.name) == metric.value, "\(metric.name)") }
        #expect((report.metric("propagation.count") ?? 0) > 100)
        #expect(verdict.metric("catch_up.count") == report.metric("catch_up.count"))
        // What nobody told the judge, it does not make up.
        #expect(verdict.metric("network.sessions") == nil)
    }

    @Test("live judge: the messages of the recordings are those that the simulator sent")
    func messages() throws {
        struct Passage: Hashable { let from, to, bytes: Int, sent: Int64, arrival: Int64?, traffic: TrafficClass }
        func passages(_ messages: [RecordedMessage]) -> Set<Passage> {
            Set(
                // What is sent into the partition, from second 5 to 8, arrives when it ends; the simulator records it when it is sent.
                messages.filter { message in
                    message.transport != .session && message.arrival != nil && !(4_900_000_000..<8_000_000_000).contains(message.sent)
                }.map {
                    Passage(from: $0.from, to: $0.to, bytes: $0.bytes, sent: $0.sent, arrival: $0.arrival, traffic: $0.traffic)
                })
        }
        let simulation = Simulation(scenario: try Sample.scenario(adding: Self.crash), seed: 3)
        simulation.startRecording()
        _ = simulation.run()
        let simulated = passages(try #require(simulation.recorder).messages)
        let recorder = LiveJudge(try Self.recorded().evidence).judge().recorder
        let recorded = passages(recorder.messages)
        #expect(recorded.count > 500)
        #expect(recorded.isSubset(of: simulated), "\(recorded.subtracting(simulated).prefix(3))")
        // Around the first fault as well, where some are sent before it and some after it.
        let moment = try #require(recorder.firstFault.moment)
        #expect(recorder.firstFault.kept.contains { $0.sent < moment } && recorder.firstFault.kept.contains { $0.sent > moment })
        #expect(recorder.samples.allSatisfy { ($0.agreement ?? 0) <= 1_000_000 })
        #expect(recorder.samples.last?.agreement == 1_000_000)
    }

    @Test("live judge: a run that is as it should be holds, and says which checks it could not judge")
    func holds() throws {
        let report = LiveJudge(try Self.recorded().evidence).judge().report
        #expect(report.valid, "\(report.checks.filter { !$0.valid })")
        #expect(report.checks.filter { !$0.isJudged }.map(\.name) == ["always matches-oracle"])
        #expect(report.json.contains("\"valid\": null"))
    }

    @Test("live judge: an acknowledged version that an agent lacks is lost")
    func lostWrite() throws {
        var evidence = try Self.recorded().evidence
        let actor = try #require(LiveJudge(evidence).lives.first).actor
        evidence.acknowledged.append(LiveEvidence.Acknowledged(node: 0, actor: actor, version: 1_000_000, rows: []))
        let result = try Self.result("always no-acked-write-lost", of: evidence)
        #expect(!result.valid)
        #expect(result.detail.contains("1000000"), "\(result.detail)")
    }

    @Test("live judge: a row that nobody deleted must be there, unless nobody knows whether it was written")
    func lostRow() throws {
        var evidence = try Self.recorded().evidence
        let actor = try #require(LiveJudge(evidence).lives.first).actor
        let row = RowWrite(table: 0, key: 77, number: 5, kind: .upsert(columns: 1))
        evidence.acknowledged.append(LiveEvidence.Acknowledged(node: 0, actor: actor, version: 1, rows: [row]))
        #expect(try Self.result("always no-acked-write-lost", of: evidence).detail.contains("key 77"))
        evidence.uncertain = [row]
        #expect(try Self.result("always no-acked-write-lost", of: evidence).valid)
    }

    @Test("live judge: rows that differ at the end, or cannot be read, are no convergence")
    func differingRows() throws {
        var evidence = try Self.recorded().evidence
        evidence.tables[2] = .rows(evidence.scenario.tables.map { _ in [[.integer(1)]] })
        #expect(try Self.result("eventually converged", of: evidence).detail.contains("node:2"))
        evidence.tables[2] = .unreadable("out of order")
        #expect(try Self.result("eventually converged", of: evidence).detail.contains("out of order"))
        evidence.tables[2] = nil
        #expect(try Self.result("eventually converged", of: evidence).valid)
    }

    @Test("live judge: a database that does not verify, an agent that died, and a recording that is cut off are found")
    func incidents() throws {
        let evidence = try Self.recorded().evidence
        var broken = evidence
        broken.verification[1] = ["a row without a clock"]
        #expect(try Self.result("always bookkeeping", of: broken).detail.contains("a row without a clock"))
        broken = evidence
        broken.verification = [nil, nil, nil]
        #expect(try !Self.result("always bookkeeping", of: broken).isJudged)
        broken = evidence
        broken.incidents = ["node:1 exited with code 1"]
        #expect(try !Self.result("agents run", of: broken).valid)
        broken = evidence
        broken.lives[0].log = .bytes([])
        #expect(try !Self.result("recordings replay", of: broken).valid)
    }

    @Test("live judge: a node that does not do again what it did is found")
    func otherEffects() throws {
        var evidence = try Self.recorded().evidence
        guard case .bytes(let bytes) = evidence.lives[2].log else { return }
        var reader = EventLogReader()
        reader.feed(bytes)
        guard case .header(let header)? = try reader.next() else { return }
        var writer = try #require(EventLogWriter(header))
        var changed = false
        while case .step(let step)? = try reader.next() {
            guard case .whole(var effects) = step.effects else { continue }
            if !changed, effects.count > 1 {
                effects.removeLast()
                changed = true
            }
            _ = writer.append(step.event, now: step.now, effects: effects)
        }
        writer.finish(.shutdown)
        evidence.lives[2].log = .bytes(writer.take())
        let result = try Self.result("recordings replay", of: evidence)
        #expect(changed && !result.valid)
        #expect(result.detail.contains("node:2"), "\(result.detail)")
    }

    @Test("live judge: a pause counts as one, and what was lost on the way is an occasion")
    func pauseAndLoss() throws {
        var evidence = try Self.recorded().evidence
        evidence.pauses = [LiveEvidence.Pause(node: 2, from: .zero + .seconds(9), to: .zero + .seconds(10))]
        evidence.network.lost = 3
        evidence.network.firstLoss = .zero + .seconds(1)
        let judge = LiveJudge(evidence)
        let report = judge.judge().report
        #expect(report.metric("network.datagrams_lost") == 3)
        #expect(judge.agents[2].lastHindered == .zero + .seconds(10))
        #expect(judge.recorder.changes.contains { $0.node == 2 && $0.state == .paused })
    }
}
