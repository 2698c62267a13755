import ArgumentParser
@preconcurrency import Foundation
import PatinaAgent

struct Dev: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dev", abstract: "Whole clusters on this machine, for trying things out.",
        subcommands: [DevCluster.self, DevDemo.self])
}

struct DevCluster: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster",
        abstract: "Starts a local cluster of agents with mutual TLS; Ctrl-C stops it.",
        discussion: """
            Every agent is a child process that listens on ports of 127.0.0.1 that are free, with certificates made for this cluster. \
            The files are in a temporary folder that is removed at the end, unless --directory says where to keep them.
            """)

    @Option(name: [.customShort("n"), .customLong("nodes")], help: ArgumentHelp("How many agents, 1 to 64.", valueName: "count"))
    var nodes = 3

    @Option(help: ArgumentHelp("Keep the files here, and begin with the databases that are here already.", valueName: "path"))
    var directory: String?

    @Option(help: ArgumentHelp("A schema file or folder. (default: one table of notes)", valueName: "path"))
    var schema: String?

    func validate() throws {
        guard DevelopmentClusterConfiguration.nodeRange.contains(nodes) else {
            throw ValidationError("--nodes must be between 1 and 64, not \(nodes).")
        }
    }

    func run() async throws {
        let stop = StopSignals.task()
        let cluster = try DevelopmentCluster(
            DevelopmentClusterConfiguration(nodes: nodes, directory: directory, schema: schema, executable: Executable.path))
        Output.error("starting \(nodes) agents in \(cluster.directory)")
        let starting = Task { try await cluster.start() }
        Task {
            await stop.value
            starting.cancel()
        }
        do {
            try await starting.value
        } catch {
            await cluster.stop()
            if error is CancellationError { return }
            throw Failure("the cluster did not start: \(error)")
        }

        var table = TextTable(columns: [("agent", .left), ("HTTP interface", .left), ("gossip", .left), ("files", .left)])
        for node in cluster.nodes { table.add([node.name, "http://\(node.api)", "\(node.gossip)", node.directory]) }
        for line in table.lines() { Output.line(line) }
        Output.line("")
        if schema == nil, let first = cluster.nodes.first {
            Output.line("Write at one agent, read at any other:")
            let write = #"["INSERT INTO notes (text) VALUES ('hello')"]"#
            Output.line(Self.curl(first, "transactions", write.replacingOccurrences(of: "'", with: #"'\''"#)))
            Output.line(Self.curl(cluster.nodes[cluster.nodes.count - 1], "queries", #""SELECT * FROM notes""#))
            Output.line("")
        }
        Output.line("Ctrl-C stops the cluster.")
        Output.flush()

        let watching = Task {
            for await case .died(_, let text) in cluster.incidents { Output.error(text) }
        }
        await stop.value
        Output.error("stopping")
        await cluster.stop()
        await watching.value
    }

    private static func curl(_ node: DevelopmentNode, _ route: String, _ body: String) -> String {
        "  curl http://\(node.api)/v1/\(route) -H 'content-type: application/json' -d '\(body)'"
    }
}

/// The path of this executable, which a development cluster starts again as its agents.
enum Executable {
    static var path: String {
        #if os(Linux)
            if let resolved = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") { return resolved }
        #endif
        return Bundle.main.executablePath ?? CommandLine.arguments[0]
    }
}
