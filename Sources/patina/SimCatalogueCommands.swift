import ArgumentParser
import PatinaSim

struct SimShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Prints a scenario with everything spelled out, and its hash.",
        discussion: "Two files with the same hash are the same experiment. Exit code 2: the file or an override cannot be understood.")

    @Argument(help: ArgumentHelp("The scenario, a TOML file.", valueName: "file"))
    var file: String

    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp("Replace a value of the scenario, such as topology.nodes=50. May be repeated.", valueName: "path=value"))
    var settings: [String] = []

    func run() throws {
        let scenario: Scenario
        do {
            scenario = try Scenario.load(path: file, overrides: settings)
        } catch {
            throw Failure("\(error)", code: 2)
        }
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

struct SimMutants: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "mutants", abstract: "Mistakes that show whether checks find them.")

    @Flag(help: "Print all mutants. This is what the command does anyway.")
    var list = false

    func run() {
        Output.bytes(Array(Catalogue.mutants.utf8))
        Output.flush()
    }
}
