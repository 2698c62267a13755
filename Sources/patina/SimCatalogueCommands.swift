import ArgumentParser
import PatinaSim

struct SimShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Prints a scenario with everything spelled out, and its hash.",
        discussion: """
            Two files with the same hash are the same experiment. With --swarm, the scenario that a swarm runs with one seed: its values, \
            faults and chaos points. Exit code 2: the file or an override cannot be understood.
            """)

    @OptionGroup var options: ScenarioOptions
    @OptionGroup var seedOption: SeedOption
    @OptionGroup var drawOption: DrawOption

    func run() throws {
        var scenario: Scenario
        do {
            scenario = try Scenario.load(path: options.file, overrides: options.settings)
        } catch {
            throw Failure("\(error)", code: 2)
        }
        if drawOption.draws { scenario = scenario.drawn(seed: seedOption.seed ?? scenario.seeds.first) }
        Output.bytes(Array(scenario.shown.utf8))
        Output.flush()
    }
}

struct SimFaults: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "faults", abstract: "What can break in a scenario.")

    @Flag(help: "Print all kinds, their keys and the engines that can bring them about. This is what the command does anyway.")
    var list = false

    @Flag(help: "Print them as JSON.")
    var json = false

    func run() {
        Output.bytes(Array((json ? Catalogue.faultsJSON : Catalogue.faults).utf8))
        Output.flush()
    }
}

struct SimChecks: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "checks", abstract: "What a scenario can demand.")

    @Flag(help: "Print all checks. This is what the command does anyway.")
    var list = false

    @Flag(help: "Print them as JSON.")
    var json = false

    func run() {
        Output.bytes(Array((json ? Catalogue.checksJSON : Catalogue.checks).utf8))
        Output.flush()
    }
}

struct SimChaos: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chaos", abstract: "The points in the code at which a scenario can make something unlucky happen.")

    @Flag(help: "Print all points. This is what the command does anyway.")
    var list = false

    @Flag(help: "Print them as JSON.")
    var json = false

    func run() {
        Output.bytes(Array((json ? Catalogue.chaosJSON : Catalogue.chaos).utf8))
        Output.flush()
    }
}

struct SimMutants: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mutants",
        abstract: "Mistakes that show whether checks find them.",
        discussion: """
            With scenarios that name mutants, such as scenarios/negative/*.toml, runs each with each of its own until it fails, and prints \
            a table. Exit code 1: a mutant survived.
            """)

    @Argument(help: ArgumentHelp("Scenarios with a line \"# mutants: NAME, NAME\".", valueName: "file"))
    var files: [String] = []

    @Option(help: "Seeds that a mutant may survive.")
    var seeds: UInt64 = 500

    @Flag(help: "Print all mutants. This is what the command does anyway.")
    var list = false

    func run() throws {
        guard !files.isEmpty else {
            Output.bytes(Array(Catalogue.mutants.utf8))
            return Output.flush()
        }
        Output.bytes(Array(MutantHunt.header.utf8))
        let isComplete: Bool
        do {
            isComplete = try MutantHunt(files: files, seeds: seeds).run { line in
                Output.bytes(Array(line.utf8))
                Output.flush()
            }
        } catch {
            throw Failure("\(error)", code: 2)
        }
        if !isComplete { throw ExitCode(1) }
    }
}
