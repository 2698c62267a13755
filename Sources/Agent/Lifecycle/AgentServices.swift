import Logging
import PatinaProtocol
import PatinaStore
import ServiceLifecycle

/// Keeps the node running, and ends the agent when its storage breaks. The last service to be shut down.
struct NodeService: Service {
    let node: any AgentNode
    let databasePath: String
    let notifier: SystemdNotifier
    let logger: Logger

    func run() async throws {
        let failure = await cancelWhenGracefulShutdown { await node.untilFatal() }
        if let failure {
            logger.critical("the database failed; the agent ends", metadata: ["path": "\(databasePath)", "reason": "\(failure)"])
            notifier.send("STATUS=the database failed: \(failure)")
        }
        await node.shutdown()
        if let failure { throw AgentError.storageFailed(path: databasePath, reason: failure.description) }
    }
}

/// All servers of the HTTP API as one service, so that they end at the same time.
struct ServerGroup: Service {
    let servers: [HTTPServer]

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for server in servers { group.addTask { try await server.run() } }
            // The first that fails ends the others: leaving by an error cancels them.
            while try await group.next() != nil {}
        }
    }
}

/// Says that the agent is ready once everything listens, and that it is stopping once it is told to. The first service to
/// be shut down.
struct ReadinessService: Service {
    let servers: [HTTPServer]
    let socket: AdminSocket
    let node: any AgentNode
    let notifier: SystemdNotifier
    let logger: Logger
    let onReady: @Sendable (Agent.Addresses) -> Void
    /// Told when the shutdown begins, or when a service has failed.
    let onStopping: @Sendable () -> Void

    func run() async throws {
        defer { onStopping() }
        var api: [Address] = []
        for server in servers {
            // A server that cannot listen ends the whole group with its error.
            guard let address = await server.address() else { return await pause() }
            api.append(address)
        }
        guard await socket.isListening() else { return await pause() }
        let addresses = Agent.Addresses(api: api, gossip: node.gossipAddress, adminSocket: socket.path)
        logger.notice(
            "agent ready",
            metadata: [
                "actor": "\(node.actor)", "api": "\(api.map(\.description).joined(separator: ","))", "gossip": "\(node.gossipAddress)",
                "admin": "\(socket.path)",
            ])
        onReady(addresses)
        notifier.send("READY=1\nSTATUS=serving on \(api.map(\.description).joined(separator: ", "))")
        await pause()
        notifier.send("STOPPING=1")
    }

    /// Until the shutdown, feeding the watchdog.
    private func pause() async {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: notifier.watchdogPeriod ?? .seconds(86_400))
                if !Task.isCancelled { notifier.send("WATCHDOG=1") }
            }
        }
    }
}
