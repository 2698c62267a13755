import Foundation
import Logging
import PatinaProtocol
import PatinaStore
import ServiceLifecycle
import UnixSignals

/// A node with everything that its users touch: the HTTP API and the admin socket.
public struct Agent: Sendable {
    /// Where an agent listens; ports that were 0 in the configuration are the ones that the system chose.
    public struct Addresses: Hashable, Sendable {
        public var api: [Address]
        public var gossip: Address
        public var adminSocket: String
    }

    /// Starts the node. Throws `StoreError`, `AgentError`, or what the node says.
    typealias NodeStarter = @Sendable (AgentConfiguration, Logger) async throws -> any AgentNode

    public let configuration: AgentConfiguration
    /// Told once, when everything listens.
    public var onReady: @Sendable (Addresses) -> Void = { _ in }
    /// Signals that end the agent gracefully.
    public var signals: [UnixSignal] = [.sigterm, .sigint]
    /// The whole of a shutdown; what is not finished then is cut short.
    var shutdownLimit = Duration.milliseconds(4_900)
    private let log: AgentLog
    private let logger: Logger
    private let environment: [String: String]
    private let startNode: NodeStarter

    /// - Parameters:
    ///   - configuration: what `AgentConfiguration.load` gave.
    ///   - log: whose filter the admin socket may change.
    ///   - environment: where systemd leaves its addresses.
    public init(configuration: AgentConfiguration, log: AgentLog, environment: [String: String] = ProcessInfo.processInfo.environment) {
        self.init(configuration: configuration, log: log, environment: environment, startNode: startRuntime)
    }

    init(configuration: AgentConfiguration, log: AgentLog, environment: [String: String], startNode: @escaping NodeStarter) {
        self.configuration = configuration
        self.log = log
        self.environment = environment
        self.startNode = startNode
        logger = log.logger(label: "patina.agent")
    }

    /// Runs until a signal, the cancellation of the task, or a failure, and ends within 5 seconds then.
    ///
    /// - Throws: `AgentError` when it could not start or its storage broke.
    public func run() async throws {
        // A reader of our output that goes away must not end us.
        signal(SIGPIPE, SIG_IGN)
        for warning in configuration.warnings { logger.warning("\(warning)") }
        let node = try await startNode(configuration, log.logger(label: "patina.node"))
        let notifier = SystemdNotifier(environment: environment)
        let servers = configuration.api.bind.map { bind in
            var server = HTTPServer.Configuration(bind: bind)
            server.endpointName = configuration.api.endpointName
            server.bearerToken = configuration.api.bearerToken
            server.limits.bodyBytes = configuration.api.maximumBodyBytes
            return HTTPServer(server, backend: node, logger: log.logger(label: "patina.http"))
        }
        let socket = AdminSocket(
            path: configuration.admin.socketPath, backend: node, log: log, databasePath: configuration.database.path,
            schemaPaths: configuration.database.schemaPaths, allowDestructiveSchema: configuration.database.allowDestructiveSchema,
            cluster: configuration.gossip.cluster, logger: log.logger(label: "patina.admin"))
        let outcome = Announcement<Result<Void, any Error>>()
        let limitShutdown: @Sendable () -> Void = { [shutdownLimit] in
            Task {
                try await Task.sleep(for: shutdownLimit)
                outcome.give(.failure(AgentError.shutdownTimedOut))
            }
        }
        let services: [any Service] = [
            NodeService(node: node, databasePath: configuration.database.path, notifier: notifier, logger: logger),
            socket,
            ServerGroup(servers: servers),
            ReadinessService(
                servers: servers, socket: socket, node: node, notifier: notifier, logger: logger, onReady: onReady,
                onStopping: limitShutdown),
        ]
        var lifecycleLogger = log.logger(label: "patina.lifecycle")
        lifecycleLogger.logLevel = max(lifecycleLogger.logLevel, .warning)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(services: services, gracefulShutdownSignals: signals, logger: lifecycleLogger))
        try await run(group, outcome)
    }

    /// Runs the group until it ends, or until `outcome` is given because it takes too long to.
    private func run(_ group: ServiceGroup, _ outcome: Announcement<Result<Void, any Error>>) async throws {
        let running = Task {
            do {
                try await group.run()
                outcome.give(.success(()))
            } catch {
                outcome.give(.failure(error))
            }
        }
        let stop: @Sendable () -> Void = { Task { await group.triggerGracefulShutdown() } }
        let result = await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                await outcome.value()
            } onGracefulShutdown: {
                stop()
            }
        } onCancel: {
            stop()
        }
        running.cancel()
        logger.notice("agent ended")
        try result?.get()
    }
}
