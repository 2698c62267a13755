// Goal: a live run does what a simulated run of the same scenario and seed does, or says before it starts that it cannot.
// Method: plans of small scenarios, and reports of a relay that were made up.

import PatinaProtocol
import PatinaSim
import Testing

@testable import PatinaLive

@Suite struct LivePlanTests {
    private static func scenario(nodes: Int = 4, _ tables: String = "", duration: String = "20s") throws -> Scenario {
        try Scenario.parse(
            """
            format = 1
            name = "plan"
            about = "What will happen."
            [run]
            duration = "\(duration)"
            warmup = "2s"
            drain = "5s"
            [topology]
            nodes = \(nodes)
            [[workload]]
            kind = "upsert"
            rate = "50/s"
            \(tables)
            [[check]]
            never = "malformed-input"
            """, file: "plan.toml")
    }

    @Test("live plan: transactions come in the order of their times, and a seed always plans the same ones")
    func workload() throws {
        let scenario = try Self.scenario(
            """
            [[workload]]
            kind = "delete"
            rate = "20/s"
            """)
        let plan = try LivePlan(scenario, seed: 5)
        #expect(plan.workload.count > 500)
        #expect(plan.workload.map(\.at) == plan.workload.map(\.at).sorted())
        let again = try LivePlan(scenario, seed: 5)
        #expect(again.workload.map(\.transaction.rows) == plan.workload.map(\.transaction.rows))
        #expect(again.contacts == plan.contacts)
        #expect(try LivePlan(scenario, seed: 6).workload.map(\.at) != plan.workload.map(\.at))
    }

    @Test(
        "live plan: every kind of fault that says so can be planned, and the others are refused by name",
        arguments: FaultKind.all.map(\.name))
    func faults(name: String) throws {
        let kind = try #require(FaultKind.named(name))
        var lines = ["[[fault]]", "id = \"it\"", "kind = \"\(name)\"", "at = \"4s\""]
        if kind.lasts { lines.append("for = \"3s\"") }
        for key in kind.keys where key.fallback == nil {
            let value =
                switch key.form {
                case .selector: "\"node:1-2\""
                case .sides: "[[\"node:0-1\"], [\"rest\"]]"
                case .share: "\"20%\""
                case .duration, .durations: "\"200ms\""
                case .bandwidth: "\"200kbit/s\""
                case .partsPerMillion: "\"500ppm\""
                case .statements: "[\"CREATE TABLE extra (id INTEGER PRIMARY KEY NOT NULL)\"]"
                case .word(let words): "\"\(words[0])\""
                case .count(let range): "\(range.lowerBound)"
                case .bytes(let range): "\"\(range.lowerBound)B\""
                }
            lines.append("\(key.name) = \(value)")
        }
        let scenario = try Self.scenario(lines.joined(separator: "\n"))
        if kind.engines.contains(.live) {
            let plan = try LivePlan(scenario, seed: 1)
            #expect(!plan.processes.isEmpty || plan.network.count > 0)
        } else {
            let error = #expect(throws: LiveError.self) { try LivePlan(scenario, seed: 1) }
            #expect(error?.description.contains("cannot bring about \(name)") == true)
            #expect(error?.description.contains(kind.notLive ?? "a reason is missing") == true)
            #expect(error?.description.contains("partition-halves") == true)
        }
    }

    @Test("live plan: a crash is a kill and a revival at the times of the fault plan")
    func crash() throws {
        let plan = try LivePlan(
            try Self.scenario(
                """
                [[fault]]
                id = "crash"
                kind = "crash"
                select = "node:2"
                at = "3s"
                for = "4s"
                """), seed: 1)
        try #require(plan.processes.count == 2)
        #expect(plan.processes.map(\.at) == [.zero + .seconds(3), .zero + .seconds(7)])
        guard case .kill([2]) = plan.processes[0].kind, case .revive([2]) = plan.processes[1].kind else {
            Issue.record("the steps are \(plan.processes)")
            return
        }
    }

    @Test("live plan: what a machine or an agent cannot hold is refused with what to do")
    func refusals() throws {
        let cases: [(Scenario, String)] = [
            (try Self.scenario(nodes: 65), "--nodes 16"),
            (try Self.scenario(duration: "2h"), "run.duration"),
            (try Self.scenario("[node.disk]\nsimulated = true"), "disk.simulated"),
            (try Self.scenario("[chaos]\npoints = [\"*\"]"), "[chaos]"),
            (try Self.scenario("[[node.where]]\nselect = \"node:1\"\ntransport.connect_timeout = \"1ms\""), "transport.connect_timeout"),
        ]
        for (scenario, words) in cases {
            let error = #expect(throws: LiveError.self) { try LivePlan(scenario, seed: 1) }
            #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
        }
        // What the simulator needs to know of a machine, a real one has by itself.
        _ = try LivePlan(try Self.scenario("[node.disk]\nwrite = \"1ms\"\nsynchronous = \"full\"\n[node.clock]\nskew = \"1s\""), seed: 1)
    }

    @Test("live plan: settings of the protocol reach the agents that they are for, and nobody else")
    func settings() throws {
        let scenario = try Self.scenario(
            """
            [node.swim]
            period = "700ms"
            [node.clock]
            drift = "200ppm"
            [[node.where]]
            select = "node:2"
            sync.maximum_interval = "9s"
            cpu.event = "1ms"
            """)
        let plan = try LivePlan(scenario, seed: 1)
        #expect(plan.settings.map(\.membership.probePeriod) == Array(repeating: .milliseconds(700), count: 4))
        #expect(plan.settings.map { $0.sync.maximumInterval == .seconds(9) } == [false, false, true, false])
        #expect(plan.settings.map(\.machine.eventTime) == [.zero, .zero, .milliseconds(1), .zero])
        #expect(Set(plan.drifts).count > 1 && plan.drifts.allSatisfy { abs($0) <= 200 })
        let sent = plan.settings[2].protocolSettings
        #expect(try ProtocolSettings(bytes: sent.bytes) == sent)
        #expect(throws: MalformedInput.self) { try ProtocolSettings(bytes: sent.bytes + [0]) }
        #expect(throws: MalformedInput.self) { try ProtocolSettings(bytes: Array(sent.bytes.dropLast())) }
        #expect(throws: MalformedInput.self) { try ProtocolSettings(bytes: [200] + sent.bytes.dropFirst()) }
    }

    @Test("live plan: a restored copy is one that was made before, and bits are turned over before the process comes back")
    func disks() throws {
        let plan = try LivePlan(
            try Self.scenario(
                """
                [[fault]]
                id = "old"
                kind = "restore-backup"
                select = "node:2"
                age = "2s"
                at = "6s"
                for = "1s"
                [[fault]]
                id = "bit"
                kind = "bit-flip"
                select = "node:1"
                at = "9s"
                for = "1s"
                """), seed: 1)
        try #require(plan.processes.count == 5)
        #expect(plan.processes.map(\.at) == [4, 6, 7, 9, 10].map { .zero + .seconds($0) })
        guard case .keepCopy([2], let mark) = plan.processes[0].kind, case .restoreCopy([2], mark, .kept) = plan.processes[1].kind,
            case .revive([2]) = plan.processes[2].kind, case .kill([1]) = plan.processes[3].kind,
            case .damage([1], .log, bits: 1) = plan.processes[4].kind
        else {
            Issue.record("the steps are \(plan.processes)")
            return
        }
    }

    @Test("live verdict: a machine that was late, or dropped something, is named; one that was not is not")
    func shortcomings() {
        var report = RelayReport()
        for _ in 0..<98 { report.delayError.record(.microseconds(300)) }
        #expect(report.shortcomings(.milliseconds(1)) == [])
        for _ in 0..<2 { report.delayError.record(.milliseconds(3)) }
        #expect(report.shortcomings(.milliseconds(1)).count == 1)
        #expect(report.shortcomings(.milliseconds(4)) == [])
        report.socketDrops = 5
        report.overflow = 6
        report.refused = 7
        let reasons = report.shortcomings(.milliseconds(4))
        #expect(reasons.count == 3)
        for number in ["5", "6", "7"] { #expect(reasons.contains { $0.contains("\(number) datagrams") }) }
    }
}
