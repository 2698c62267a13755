import ArgumentParser
import PatinaAgent
import PatinaSim

struct DevDemo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Runs a scenario in the simulator, then three live agents, and prints their times side by side.",
        discussion: """
            The simulated part is one scenario with all its checks. The live part starts three agents with mutual TLS on loopback, \
            writes at one over HTTP and reads at the others, kills one with SIGKILL, writes on, restarts it, and waits until all three \
            databases are equal.
            """)

    @Option(help: ArgumentHelp("The scenario of the simulated part.", valueName: "file"))
    var scenario = "scenarios/smoke/partition-heal.toml"

    func run() async throws {
        Output.line("1. Simulated: \(scenario)")
        let simulated = try simulate()
        Output.line("")
        Output.line("2. Live: three agents with mutual TLS on loopback")
        Output.flush()
        let live = try await runLive()
        Output.line("")
        Output.line("3. Side by side")
        for line in DemonstrationTimes.table([simulated, live]).lines(indentation: 3) { Output.line(line) }
        Output.line("")
        Output.line(
            "   The simulated links have the latencies of the scenario, loopback has next to none: the shapes compare, not the numbers.")
        Output.flush()
    }

    /// Runs the scenario, which must hold, and takes the times from its report.
    private func simulate() throws -> DemonstrationTimes {
        let report: SimulationReport
        do {
            report = try SimulationCommand.run(file: scenario)
        } catch {
            throw Failure("\(error)", code: 2)
        }
        for check in report.checks { Output.line("   \(check.valid ? "holds " : "FAILED") \(check.name)") }
        guard report.valid else {
            throw Failure("the scenario failed; reproduce with: \(SimulationCommand.reproduction(file: scenario, seed: report.seed))")
        }
        Output.line("   \(report.simulatedTime.components.seconds) s simulated in \((report.wallTime ?? .zero).inMilliseconds)")
        func time(_ name: String) -> Duration { .microseconds(Int64(((report.metric(name) ?? 0) * 1_000).rounded())) }
        return DemonstrationTimes(
            subject: "simulated: \(report.scenario)", propagationMedian: time("propagation.undisturbed.p50_ms"),
            propagation99: time("propagation.undisturbed.p99_ms"),
            propagationSamples: Int(report.metric("propagation.undisturbed.count") ?? 0),
            catchUp: time("catch_up.max_ms"))
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
