import ArgumentParser
import PatinaSim

struct Sim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sim", abstract: "Whole clusters in one deterministic process.",
        subcommands: [
            SimRun.self, SimShow.self, SimFaults.self, SimChecks.self, SimChaos.self, SimMutants.self, SimSwarm.self, SimMerge.self,
            SimShrink.self,
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

    @OptionGroup var scenario: ScenarioOptions
    @OptionGroup var seedOption: SeedOption
    @OptionGroup var drawOption: DrawOption

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

    /// The mutant with this name.
    static func mistake(_ name: String) throws -> Mutant {
        guard let mutant = Mutant(rawValue: name) else {
            throw Failure("there is no mutant \"\(name)\"; \"patina sim mutants\" lists them", code: 2)
        }
        return mutant
    }

    func run() throws {
        let report: SimulationReport
        let (settings, draws) = (scenario.settings, drawOption.draws)
        let mistake = try mutant.map(Self.mistake)
        do {
            report = try SimulationCommand.run(
                file: scenario.file, seed: seedOption.seed, overrides: settings, draws: draws, mutant: mistake, out: out)
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
            let again = SimulationCommand.reproduction(file: scenario.file, seed: report.seed, overrides: settings, draws: draws)
            let line = "reproduce with: \(again)\(mutant.map { " --mutant \($0)" } ?? "")"
            if json { Output.error(line) } else { Output.line(line) }
            Output.flush()
            throw ExitCode(1)
        }
    }
}
