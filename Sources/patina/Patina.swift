import ArgumentParser
import PatinaAgent
import PatinaProtocol

/// The command line. Everything below parses arguments, calls one module, and prints; the work is done there.
struct Patina: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patina",
        abstract: "Replicates a SQLite database over a cluster by gossip, and simulates whole clusters of it.",
        discussion: """
            An agent keeps a SQLite database equal to those of all other agents of its cluster. Programs read and write it over HTTP at \
            the agent beside them, without waiting for the network. The same protocol runs in a deterministic simulator.

            Global options may stand before or after the command. What they leave open is taken from the configuration file.

            Exit codes: 0 success; 1 the command failed, or a check of a simulation did; 2 the arguments, or the scenario, made no sense.
            """,
        version: Version.current,
        subcommands: [
            AgentCommand.self, Query.self, Execute.self, Cluster.self, Reload.self, BackupCommand.self, RestoreCommand.self, TLS.self,
            Db.self, Sim.self, Live.self, Compare.self, Dev.self,
        ])

    @OptionGroup(title: "Global options") var global: GlobalOptions
}

/// Options that every command takes, before or after its name.
struct GlobalOptions: ParsableArguments {
    @Option(name: [.short, .customLong("config")], help: ArgumentHelp("The configuration file.", valueName: "path"))
    var configurationPath = AgentConfiguration.defaultFile

    @Option(
        help: ArgumentHelp("The agent's HTTP interface, in place of the configuration's first api.bind_addr.", valueName: "ip:port"),
        transform: { try Address(argument: $0) })
    var apiAddr: Address?

    @Option(help: ArgumentHelp("The database file, in place of the configuration's db.path.", valueName: "path"))
    var dbPath: String?

    @Option(help: ArgumentHelp("The agent's admin socket, in place of the configuration's admin.uds_path.", valueName: "path"))
    var adminPath: String?

    /// The configuration file with the global options over it.
    func configuration() throws -> AgentConfiguration {
        var configuration: AgentConfiguration
        do {
            configuration = try AgentConfiguration.load(file: configurationPath)
        } catch {
            throw Failure("\(error)")
        }
        if let apiAddr { configuration.api.bind = [apiAddr] }
        if let dbPath { configuration.database.path = dbPath }
        if let adminPath { configuration.admin.socketPath = adminPath }
        return configuration
    }
}

extension Address {
    /// For arguments: an address with its port, or an error that says what one looks like.
    init(argument: String) throws {
        guard let address = Address(argument) else {
            throw ValidationError("'\(argument)' is no address with a port, such as 127.0.0.1:8080 or [::1]:8080.")
        }
        self = address
    }
}
