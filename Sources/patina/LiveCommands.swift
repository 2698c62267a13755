import ArgumentParser
import PatinaAgent
import PatinaLive
import PatinaSim

struct Live: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "live", abstract: "Scenarios on real agents of this machine.", subcommands: [LiveRunCommand.self])
}

struct LiveRunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs a scenario on agent processes on loopback and judges its checks.",
        discussion: """
            The agents talk through a relay that delays, loses and cuts their datagrams as the scenario says, and the same faults strike \
            at the same times as in a simulated run of the same seed. The run takes as long as the scenario. It measures how exact \
            the relay was, and is unusable when the machine could not keep up. docs/live.md says what is the same as in a simulation \
            and what is not.

            Exit codes: 0 all checks that were judged hold; 1 a check failed; 2 the scenario cannot be run, or the machine could not \
            keep up.
            """)

    @OptionGroup var scenario: ScenarioOptions
    @OptionGroup var seedOption: SeedOption

    @Option(help: ArgumentHelp("How many agents; the same as --set topology.nodes=count.", valueName: "count"))
    var nodes: Int?

    @Flag(help: "Print the report as one JSON object.")
    var json = false

    @Option(
        help: ArgumentHelp(
            "Write report.html, report.json, metrics.json, trace.json and scenario.toml to this folder.", valueName: "folder"))
    var out: String?

    @Flag(help: "Leave the agents' databases, logs and recordings behind, and say where; with --out below that folder.")
    var keep = false

    @Option(
        help: ArgumentHelp(
            "The run is unusable when the 99th percentile of the relay's delay error is larger than so many milliseconds. (default: 1)",
            valueName: "milliseconds"))
    var delayError: Double?

    func run() async throws {
        var command = LiveCommand(file: scenario.file, executable: Executable.path)
        command.seed = seedOption.seed
        command.overrides = scenario.settings + (nodes.map { ["topology.nodes=\($0)"] } ?? [])
        command.output = out
        command.keepsFiles = keep
        if let delayError { command.delayErrorBound = .nanoseconds(Int64(max(0, min(delayError, 1e6)) * 1e6)) }
        command.progress = { Output.error($0) }
        let stop = StopSignals.task()
        let running = Task { [command] in try await command.run() }
        Task {
            await stop.value
            running.cancel()
        }
        let outcome: LiveCommand.Outcome
        do {
            outcome = try await running.value
        } catch is CancellationError {
            throw Failure("interrupted; all agents are gone", code: 2)
        } catch {
            throw Failure("\(error)", code: 2)
        }
        if json {
            Output.bytes(Array(outcome.json.utf8))
        } else {
            for line in SimulationSummary.lines(outcome.report) { Output.line(line) }
        }
        Output.flush()
        for shortcoming in outcome.shortcomings { Output.error(shortcoming) }
        if let kept = outcome.kept { Output.error("the agents' files are in \(kept)") }
        if outcome.exitCode != 0 { throw ExitCode(outcome.exitCode) }
    }
}
