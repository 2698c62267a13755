import Foundation
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import PatinaProtocol
import ServiceLifecycle

/// The HTTP API on one address. Create, `run()` in a task, and wait for `listening()`.
public final class HTTPServer: Service {
    /// What every server of an agent has in common.
    public struct Configuration: Sendable {
        public var bind: Address
        public var endpointName: String?
        public var bearerToken: String?
        public var limits = HTTPLimits()

        public init(bind: Address) { self.bind = bind }
    }

    private let configuration: Configuration
    private let logger: Logger
    private let registry = ConnectionRegistry()
    private let responder: APIResponder
    private let listening = Announcement<Address>()

    public init(_ configuration: Configuration, backend: any AgentBackend, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        responder = APIResponder(
            backend: backend,
            authorization: Authorization(endpointName: configuration.endpointName, bearerToken: configuration.bearerToken),
            limits: configuration.limits, registry: registry, logger: logger)
    }

    /// The address that is listened on, once it is; nil when that failed or the server has ended.
    public func address() async -> Address? { await listening.value() }

    /// Serves until the surrounding service group shuts down or the task is cancelled. Requests in progress then have
    /// `HTTPLimits.shutdownGrace` to end. To be called once.
    ///
    /// - Throws: `AgentError.cannotListen` when the address cannot be bound.
    public func run() async throws {
        defer { listening.give(nil) }
        let responder = responder
        let channel = DualProtocolChannel(limits: configuration.limits, registry: registry) { version, request, writer, channel in
            try await responder.respond(version, request, writer, channel)
        }
        // It tells of its listening too, in words of its own.
        var serverLogger = logger
        serverLogger.logLevel = max(logger.logLevel, .warning)
        let bind = configuration.bind
        let server = Server(
            childChannelSetup: channel,
            configuration: ServerConfiguration(address: .hostname(bind.host, port: Int(bind.port))),
            onServerRunning: { [listening] channel in
                let port = channel.localAddress?.port.flatMap { UInt16(exactly: $0) } ?? bind.port
                listening.give(Address(high: bind.high, low: bind.low, port: port))
            },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: serverLogger)
        try await withGracefulShutdownHandler {
            try await withTaskCancellationHandler {
                do {
                    try await server.run()
                } catch let error as IOError {
                    throw AgentError.cannotListen(key: "api.bind_addr", address: "\(bind)", reason: error.reason)
                }
            } onCancel: { [registry] in
                registry.closeAll()
            }
        } onGracefulShutdown: { [registry, grace = configuration.limits.shutdownGrace] in
            Task {
                try await Task.sleep(for: grace)
                registry.closeAll()
            }
        }
    }
}

extension IOError {
    /// The system's words for the error alone.
    var reason: String { String(cString: strerror(errnoCode)) }
}
