import ArgumentParser
import PatinaSim

struct Sim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sim", abstract: "Whole clusters in one deterministic process.",
        subcommands: [
            SimRun.self, SimShow.self, SimFaults.self, SimChecks.self, SimMutants.self, SimSwarm.self, SimMerge.self, SimShrink.self,
            SimReplay.self,
        ])
}

struct SimRun: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs a scenario and judges its checks.",
        discussion: """
            The same build, scenario and seed give the same run on every machine; the trace hash in the report says so. A run that fails \
            prints one line that reproduces it.

            Exit codes: 0 all checks hold; 1 a check failed; 2 the scenario could not be judged.
            """)

    @Argument(help: ArgumentHelp("The scenario, a TOML file.", valueName: "file"))
    var file: String

    @Option(help: ArgumentHelp("The seed of all randomness. (default: the first of run.seeds)", valueName: "number"))
    var seed: UInt64?

    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp(
            "Replace a value of the scenario, such as topology.nodes=50 or link.*.loss=5%. May be repeated.", valueName: "path=value"))
    var settings: [String] = []

    @Option(
        help: ArgumentHelp(
            "Give all nodes a mistake, to see whether the checks find it; \"patina sim mutants\" lists them.", valueName: "name"))
    var mutant: String?

    @Flag(help: "Print the report as one JSON object.")
    var json = false

    @Option(
        help: ArgumentHelp(
            "Write report.html, report.json, metrics.json, trace.json (for Perfetto) and scenario.toml, the scenario with everything "
                + "spelled out, to this folder.", valueName: "folder"))
    var out: String?

    @Flag(name: .customLong("swarm"), help: "Draw the values that [swarm] names from the seed, as sim swarm does.")
    var draws = false

    func run() throws {
        let report: SimulationReport
        let mistake = mutant.flatMap { Mutant(rawValue: $0) }
        if let mutant, mistake == nil {
            throw Failure("there is no mutant \"\(mutant)\"; \"patina sim mutants\" lists them", code: 2)
        }
        do {
            report = try SimulationCommand.run(file: file, seed: seed, overrides: settings, draws: draws, mutant: mistake, out: out)
        } catch {
            throw Failure("\(error)", code: 2)
        }
        if json {
            Output.bytes(Array(report.json.utf8))
        } else {
            for line in SimulationSummary.lines(report) { Output.line(line) }
        }
        Output.flush()
        guard report.valid else {
            let again = SimulationCommand.reproduction(file: file, seed: report.seed, overrides: settings, draws: draws)
            let line = "reproduce with: \(again)\(mutant.map { " --mutant \($0)" } ?? "")"
            if json { Output.error(line) } else { Output.line(line) }
            Output.flush()
            throw ExitCode(1)
        }
    }
}
