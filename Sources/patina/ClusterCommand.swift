import ArgumentParser
import PatinaAgent

struct Cluster: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster", abstract: "What an agent knows of its cluster.", subcommands: [ClusterMembers.self])
}

struct ClusterMembers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "members", abstract: "Prints the members that the agent knows, each as a JSON object.",
        discussion: "Asks the agent on its admin socket, so it must run on this host.")

    @OptionGroup(title: "Global options") var global: GlobalOptions

    func run() async throws {
        do {
            let documents = try await AdminClient(path: global.adminSocket()).send(.members) { level, message in
                Output.error("\(level): \(message)")
            }
            for document in documents { Output.line(String(decoding: document.json(indented: true), as: UTF8.self)) }
        } catch {
            throw Failure("\(error)")
        }
        Output.flush()
    }
}

extension GlobalOptions {
    /// The admin socket that is meant: the option's, the configuration's when it can be read, or the one that agents have by default.
    func adminSocket() -> String {
        if let adminPath { return adminPath }
        return (try? AgentConfiguration.load(file: configurationPath))?.admin.socketPath ?? AgentConfiguration.Admin.defaultSocketPath
    }
}
