import ArgumentParser

/// `--set`, of every command that reads a scenario.
struct OverrideOptions: ParsableArguments {
    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp(
            "Replace a value of the scenario, such as topology.nodes=50 or link.*.loss=5%. May be repeated.", valueName: "path=value"))
    var settings: [String] = []
}

/// A scenario file and `--set`.
struct ScenarioOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("The scenario, a TOML file.", valueName: "file"))
    var file: String

    @OptionGroup var overrides: OverrideOptions

    var settings: [String] { overrides.settings }
}

/// `--seed`, of commands that look at one run.
struct SeedOption: ParsableArguments {
    @Option(help: ArgumentHelp("The seed of all randomness. (default: the first of run.seeds)", valueName: "number"))
    var seed: UInt64?
}

/// `--swarm`, of commands that look at one run.
struct DrawOption: ParsableArguments {
    @Flag(name: .customLong("swarm"), help: "Draw the values that [swarm] names from the seed, as sim swarm does.")
    var draws = false
}
