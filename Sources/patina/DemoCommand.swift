import ArgumentParser
import PatinaAgent
import PatinaSim

struct DevDemo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Runs two scenarios in the simulator, then three live agents, and prints their times side by side.",
        discussion: """
            The simulated part is two scenarios with all their checks. The live part starts three agents with mutual TLS on loopback, \
            writes at one over HTTP and reads at the others, kills one with SIGKILL, writes on, restarts it, and waits until all three \
            databases are equal.
            """)

    @Option(help: ArgumentHelp("The folder of the two scenarios, partition-heal.toml and restart-three.toml.", valueName: "folder"))
    var scenarios = "scenarios/smoke"

    func run() async throws {
        Output.line("1. Simulated")
        let partition = try simulate("partition-heal")
        let restart = try simulate("restart-three")
        Output.line("")
        Output.line("2. Live: three agents with mutual TLS on loopback")
        Output.flush()
        let live = try await runLive()
        Output.line("")
        Output.line("3. Side by side")
        for line in DemonstrationTimes.table([partition, restart, live]).lines(indentation: 3) { Output.line(line) }
        Output.line("")
        Output.line("   partition-heal has 20 nodes with milliseconds between them; restart-three does what the three live agents do.")
        Output.flush()
    }

    /// Runs a scenario, which must hold, and takes the times from its report.
    private func simulate(_ name: String) throws -> DemonstrationTimes {
        let file = "\(scenarios)/\(name).toml"
        let report: SimulationReport
        do {
            report = try SimulationCommand.run(file: file)
        } catch {
            throw Failure("\(error)", code: 2)
        }
        guard report.valid else {
            for check in report.checks where !check.valid { Output.line("   FAILED \(check.name): \(check.detail)") }
            throw Failure("\(file) failed; reproduce with: \(SimulationCommand.reproduction(file: file, seed: report.seed))")
        }
        let seconds = report.simulatedTime.components.seconds
        Output.line("   \(file): \(report.checks.count) checks hold; \(seconds) s in \((report.wallTime ?? .zero).inMilliseconds)")
        Output.flush()
        func time(_ name: String) -> Duration { .microseconds(Int64(((report.metric(name) ?? 0) * 1_000).rounded())) }
        return DemonstrationTimes(
            subject: "simulated, \(report.scenario)", propagationMedian: time("propagation.undisturbed.p50_ms"),
            propagation99: time("propagation.undisturbed.p99_ms"),
            propagationSamples: Int(report.metric("propagation.undisturbed.count") ?? 0),
            catchUp: time("catch_up.p50_ms"))
    }

    private func runLive() async throws -> DemonstrationTimes {
        let stop = StopSignals.task()
        let cluster = try DevelopmentCluster(.init(nodes: 3, executable: Executable.path))
        let work = Task {
            try await cluster.start()
            Output.line("   started \(cluster.nodes.map { "\($0.name) (http://\($0.api))" }.joined(separator: ", "))")
            Output.flush()
            return try await Demonstration(cluster) { line in
                Output.line("   \(line)")
                Output.flush()
            }.run()
        }
        Task {
            await stop.value
            work.cancel()
        }
        do {
            let times = try await work.value
            await cluster.stop()
            return times
        } catch {
            await cluster.stop()
            if error is CancellationError { throw Failure("stopped") }
            throw Failure("the live part failed: \(error)")
        }
    }
}
