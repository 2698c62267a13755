import NIOCore
import NIOPosix

/// Asks an agent over its admin socket.
public struct AdminClient: Sendable {
    public let path: String
    /// How long one command may take.
    public var timeout: Duration = .seconds(60)

    public init(path: String) { self.path = path }

    /// Why there is no answer.
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// Nobody listens there, or may not be asked.
        case unreachable(path: String, reason: String)
        /// The agent refused the command, or could not carry it out.
        case refused(String)
        /// The agent closed the connection, said something that is no answer, or took too long.
        case broken(String)

        public var description: String {
            switch self {
            case .unreachable(let path, let reason): "no agent answers on the admin socket \(path): \(reason)"
            case .refused(let message): message
            case .broken(let reason): "the admin socket gave no answer: \(reason)"
            }
        }
    }

    /// Sends one command and collects its answer.
    ///
    /// - Parameter log: receives the log lines of the answer, as they come.
    /// - Returns: the JSON documents of the answer, in order.
    public func send(
        _ command: AdminCommand, log: @Sendable (_ level: String, _ message: String) -> Void = { _, _ in }
    ) async throws(Failure) -> [JSONValue] {
        let connection = try await connect()
        let channel = connection.channel
        let deadline = channel.eventLoop.scheduleTask(in: TimeAmount(timeout)) { channel.close(promise: nil) }
        defer { deadline.cancel() }
        do {
            return try await connection.executeThenClose { inbound, outbound in
                try await outbound.write(ByteBuffer(bytes: AdminFrame.encode(command.json)))
                return try await Self.collect(inbound, log)
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw .broken("\(error)")
        }
    }

    func connect() async throws(Failure) -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
        do {
            let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            return try await bootstrap.connect(unixDomainSocketPath: path) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(wrappingChannelSynchronously: channel) }
            }
        } catch {
            throw .unreachable(path: path, reason: (error as? IOError)?.reason ?? "\(error)")
        }
    }

    /// True when somebody accepts connections on the socket, whatever they would answer.
    public func isAnswered() async -> Bool {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        guard let channel = try? await bootstrap.connect(unixDomainSocketPath: path).get() else { return false }
        try? await channel.close()
        return true
    }

    private static func collect(
        _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>, _ log: @Sendable (String, String) -> Void
    ) async throws -> [JSONValue] {
        var decoder = AdminFrame.Decoder()
        var documents: [JSONValue] = []
        for try await buffer in inbound {
            decoder.append(buffer.readableBytesView)
            while let frame = try decoder.next() {
                switch try AdminResponse(json: frame) {
                case .success: return documents
                case .failure(let message): throw Failure.refused(message)
                case .json(let document): documents.append(document)
                case .log(let level, let message): log(level, message)
                }
            }
        }
        throw Failure.broken("the connection was closed before the answer was complete")
    }
}
