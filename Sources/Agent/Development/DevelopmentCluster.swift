import Foundation
import Synchronization

/// What a development cluster is made of.
public struct DevelopmentClusterConfiguration: Sendable {
    /// How many agents, 1 to 64: they share this machine.
    public var nodes: Int
    /// Where the files go; nil for a temporary folder that is removed at the end.
    public var directory: String?
    /// A schema file or folder; nil for one table of notes.
    public var schema: String?
    /// The executable that has the command `agent`.
    public var executable: String

    /// The numbers of nodes that are accepted.
    public static let nodeRange = 1...64

    public init(nodes: Int, directory: String? = nil, schema: String? = nil, executable: String) {
        self.nodes = nodes
        self.directory = directory
        self.schema = schema
        self.executable = executable
    }
}

/// Agents on loopback with mutual TLS, as child processes: for trying things out, and for the demonstration.
///
/// Every agent is the same executable with a configuration of its own. The children watch their standard input, so that they end
/// even when this process is killed.
public actor DevelopmentCluster {
    /// What happens to the agents without anybody having asked for it.
    public enum Incident: Sendable {
        /// An agent ended by itself, or somebody else ended it. The text says how, and where its log is.
        case died(DevelopmentNode, String)
    }

    public nonisolated let nodes: [DevelopmentNode]
    /// The folder with everything that the cluster writes.
    public nonisolated let directory: String
    /// Ends when the cluster is stopped.
    public nonisolated let incidents: AsyncStream<Incident>

    private let layout: DevelopmentLayout
    private let executable: String
    private let report: AsyncStream<Incident>.Continuation
    private var children: [String: ChildProcess] = [:]
    /// Agents that are being stopped or killed on purpose: their end is no incident.
    private var expected: Set<String> = []

    /// Writes certificates, schema and configurations; starts nothing yet.
    public init(_ configuration: DevelopmentClusterConfiguration) throws {
        precondition(DevelopmentClusterConfiguration.nodeRange.contains(configuration.nodes), "the caller checks the number of nodes")
        layout = try DevelopmentLayout(configuration)
        nodes = layout.nodes
        directory = layout.root
        executable = configuration.executable
        (incidents, report) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(64))
    }

    /// Starts all agents and waits until each one answers and sees all others; at most 30 s.
    public func start() async throws {
        for node in nodes { try launch(node) }
        for node in nodes { try await waitUntilReady(node) }
        for node in nodes { try await waitUntilMembers(nodes.count, at: node) }
    }

    /// Starts one agent that does not run. Returns as soon as the process exists.
    public func launch(_ node: DevelopmentNode) throws {
        precondition(children[node.name]?.hasEnded ?? true, "\(node.name) runs already")
        expected.remove(node.name)
        children[node.name] = try ChildProcess(
            executable: executable, arguments: ["--config", node.configuration, "agent", "--until-input-ends"], output: node.log
        ) { [weak self] ending in
            Task { await self?.ended(node, ending) }
        }
    }

    /// Kills one agent as a power failure of its process would, and waits for its end.
    public func kill(_ node: DevelopmentNode) async {
        guard let child = children[node.name] else { return }
        expected.insert(node.name)
        child.signal(SIGKILL)
        _ = await child.waitUntilEnded()
    }

    /// Waits until the agent answers over HTTP; at most 20 s.
    public func waitUntilReady(_ node: DevelopmentNode) async throws {
        let client = APIClient(address: node.api)
        try await poll(node, every: .milliseconds(20), for: .seconds(20), until: "answers over HTTP") {
            (try? await client.health()) != nil
        }
    }

    /// Waits until the agent counts that many members alive, itself included; at most 20 s.
    public func waitUntilMembers(_ count: Int, at node: DevelopmentNode) async throws {
        let client = APIClient(address: node.api)
        try await poll(node, every: .milliseconds(50), for: .seconds(20), until: "sees \(count) members") {
            (try? await client.health())?.members == Int64(count)
        }
    }

    /// Asks every agent to leave, kills those that take longer than 7 s, and removes the temporary folder.
    public func stop() async {
        let running = nodes.compactMap { node in children[node.name].flatMap { $0.hasEnded ? nil : $0 } }
        expected.formUnion(nodes.map(\.name))
        for child in running { child.signal(SIGTERM) }
        let deadline = Task {
            try await Task.sleep(for: .seconds(7))
            for child in running { child.signal(SIGKILL) }
        }
        for child in running { _ = await child.waitUntilEnded() }
        deadline.cancel()
        report.finish()
        layout.remove()
    }

    private func ended(_ node: DevelopmentNode, _ ending: ChildProcess.Ending) {
        guard expected.remove(node.name) == nil else { return }
        report.yield(.died(node, "\(node.name) died: it \(ending); its log is \(node.log)"))
    }

    private func poll(
        _ node: DevelopmentNode, every pause: Duration, for limit: Duration, until what: String, _ condition: () async -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + limit
        while true {
            try Task.checkCancellation()
            if await condition() { return }
            if children[node.name]?.hasEnded ?? true {
                throw DevelopmentError("\(node.name) ended before it \(what):\n\(endOfLog(node))")
            }
            guard ContinuousClock.now < deadline else {
                throw DevelopmentError(
                    "after \(limit.components.seconds) s it is still not so that \(node.name) \(what):\n\(endOfLog(node))")
            }
            try await Task.sleep(for: pause)
        }
    }

    /// The last lines of an agent's log, for error messages.
    private func endOfLog(_ node: DevelopmentNode) -> String {
        let text = (try? String(contentsOfFile: node.log, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(15).map { "  " + $0 }.joined(separator: "\n")
    }
}
