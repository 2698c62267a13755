import Foundation
import PatinaAgent
import PatinaProtocol
import PatinaSim
import PatinaStore

/// One run: agents behind a relay, the workload and the faults at their times, and what all of them showed.
struct LiveRun: Sendable {
    /// What a run leaves behind for the judge.
    struct Evidence: Sendable {
        let plan: LivePlan
        let files: AgentFiles
        /// When the scenario began, by the clock of this machine.
        let zero: Instant
        let relay: RelayReport
        let lives: [AgentFleet.LifeEvent]
        let incidents: [String]
        let workload: WorkloadDriver.Result
        /// What the tables held at the end, by agent; nil for one that was not running.
        let tables: [TableDump?]
        /// What the verification of each database found after the agents had ended; nil where it was not made.
        let verification: [[String]?]
        /// By how much the latest fault of a process missed its time.
        let faultLateness: Duration
        /// Share of the processors that was busy during the run, by whatever; nil where the system does not say.
        let busyShare: Double?
    }

    let plan: LivePlan
    let executable: String
    /// Where the agents' files go; nil for a temporary folder.
    let directory: String?
    /// Leave everything behind that the agents wrote.
    let keepsFiles: Bool
    let progress: @Sendable (String) -> Void
    /// For tests: the relay sleeps so long before each look.
    var stall: Duration = .zero

    /// - Returns: the evidence, whose files the caller removes.
    /// - Throws: `LiveError`, or `CancellationError` when the task was cancelled. No process and no file is left then.
    func run() async throws -> Evidence {
        let files = try AgentFiles(nodes: plan.nodes, directory: directory, keeps: keepsFiles)
        do {
            let relay = try Relay(
                nodes: plan.nodes, network: plan.makeNetwork(), timeline: plan.network, random: Random(seed: plan.seed).fork("flips"),
                stall: stall)
            let fleet = AgentFleet(executable: executable, files: files, addresses: relay.plan)
            relay.start()
            do {
                return try await run(files, relay, fleet)
            } catch {
                await fleet.stop(gracefully: false)
                _ = relay.stop()
                throw error
            }
        } catch {
            files.remove(keeping: false)
            throw error
        }
    }

    private func run(_ files: AgentFiles, _ relay: Relay, _ fleet: AgentFleet) async throws -> Evidence {
        try files.write(plan, relay.plan)
        let clocks = AgentClocks(files, skews: plan.skews)
        progress("starting \(plan.nodes) agents in \(files.root)")
        try await fleet.startAll()
        for node in 0..<plan.nodes where plan.drifts[node] != 0 { clocks.drift(node, by: plan.drifts[node]) }
        for node in 0..<plan.nodes where plan.settings[node].machine.eventTime > .zero {
            await fleet.slowDown(node, by: plan.settings[node].machine.eventTime)
        }
        let zero = Monotonic.now + .milliseconds(100)
        relay.begin(at: zero)
        try await Monotonic.sleep(until: zero)
        let before = ProcessorTime.now
        progress("all agents answer; the scenario begins and takes \(plan.scenario.duration.components.seconds) s")
        let end = zero + plan.scenario.duration
        let workload = WorkloadDriver(addresses: relay.plan)
        let driver = FaultDriver(plan: plan, fleet: fleet, files: files, addresses: relay.plan, clocks: clocks)
        let lateness = try await withThrowingTaskGroup(of: Duration?.self) { group in
            group.addTask { try await driver.run(zero: zero) }
            group.addTask {
                await workload.run(plan.workload, zero: zero)
                return nil
            }
            group.addTask {
                try await clocks.run()
                return nil
            }
            group.addTask {
                try await report(until: end, zero: zero, fleet, workload)
                return nil
            }
            var latest: Duration = .zero
            try await Monotonic.sleep(until: end)
            group.cancelAll()
            while let result = await group.nextResult() {
                switch result {
                case .success(let lateness): latest = max(latest, lateness ?? .zero)
                case .failure(let error) where error is CancellationError: break
                case .failure(let error): throw error
                }
            }
            try Task.checkCancellation()
            return latest
        }
        let busy = before.flatMap { start in ProcessorTime.now.flatMap { $0.busyShare(since: start) } }
        let relayed = relay.snapshot()
        progress("reading the tables")
        let tables = await TableDump.all(plan, relay.plan, running: await fleet.responsive)
        let broken = await fleet.broken
        await fleet.stop(gracefully: true)
        _ = relay.stop()
        return Evidence(
            plan: plan, files: files, zero: zero, relay: relayed, lives: await fleet.lives, incidents: await fleet.incidents,
            workload: workload.results, tables: tables, verification: verified(files, except: broken), faultLateness: lateness,
            busyShare: busy)
    }

    /// Verifies each database as `patina db verify` would.
    ///
    /// - Parameter broken: agents that ended because a fault damaged their files.
    private func verified(_ files: AgentFiles, except broken: Set<Int>) -> [[String]?] {
        (0..<plan.nodes).map { node in
            guard !broken.contains(node), FileManager.default.fileExists(atPath: files.database(node)) else { return nil }
            do throws(StoreError) {
                let store = try Store(.file(files.database(node)), options: StoreOptions())
                defer { store.close() }
                return try store.verify().map { "\($0)" }
            } catch {
                return ["it cannot be verified: \(error)"]
            }
        }
    }

    private func report(until end: Instant, zero: Instant, _ fleet: AgentFleet, _ workload: WorkloadDriver) async throws {
        let interval: Duration = .seconds(10)
        var next = zero + interval
        while next < end {
            try await Monotonic.sleep(until: next)
            let up = await fleet.responsive.count
            progress("\((next - zero).components.seconds) s: \(up) agents run, \(workload.results.entries.count) transactions answered")
            next = next + interval
        }
    }
}

/// What the processors of this machine have done since it started.
struct ProcessorTime: Sendable {
    private let idle: UInt64
    private let total: UInt64

    /// Nil where there is no `/proc/stat`.
    static var now: ProcessorTime? {
        guard let text = try? String(contentsOfFile: "/proc/stat", encoding: .utf8), let line = text.split(separator: "\n").first else {
            return nil
        }
        // user, nice, system, idle, iowait, irq, softirq, steal: what others stole from a virtual machine counts as busy.
        let numbers = line.split(separator: " ").dropFirst().prefix(8).compactMap { UInt64($0) }
        guard numbers.count == 8 else { return nil }
        return ProcessorTime(idle: numbers[3] + numbers[4], total: numbers.reduce(0, +))
    }

    func busyShare(since start: ProcessorTime) -> Double? {
        guard total > start.total else { return nil }
        return 1 - Double(idle - start.idle) / Double(total - start.total)
    }
}
