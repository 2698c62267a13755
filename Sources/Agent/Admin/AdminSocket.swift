import Foundation
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// Listens on a Unix socket for commands. Whoever may open the socket may give them: its mode is 0600.
public final class AdminSocket: Service {
    public let path: String
    private let service: AdminService
    private let snapshots: AdminSnapshots?
    private let logger: Logger
    private let listening = Announcement<Bool>()
    private let registry = ConnectionRegistry()

    /// - Parameter databasePath: the database that snapshots are taken of; nil: none are.
    public init(
        path: String, backend: any AgentBackend, log: AgentLog, databasePath: String? = nil, schemaPaths: [String],
        allowDestructiveSchema: Bool = false, cluster: UInt16, logger: Logger
    ) {
        self.path = path
        snapshots = databasePath.map { AdminSnapshots(database: $0) }
        self.logger = logger
        service = AdminService(
            backend: backend, log: log, schemaPaths: schemaPaths, allowDestructiveSchema: allowDestructiveSchema, cluster: cluster)
    }

    /// True once commands are accepted; false when that failed or the socket has ended.
    public func isListening() async -> Bool { await listening.value() ?? false }

    /// Serves until the surrounding service group shuts down or the task is cancelled. To be called once.
    ///
    /// - Throws: `AgentError.cannotListen` when the socket cannot be made.
    public func run() async throws {
        defer { listening.give(nil) }
        let descriptor = try bind()
        defer { unlink(path) }
        typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>
        let server: NIOAsyncChannel<Connection, Never> = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(NIOBSDSocket.Handle(descriptor)) { [registry] channel in
                channel.eventLoop.makeCompletedFuture {
                    registry.register(channel)
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
        listening.give(true)
        try await withGracefulShutdownHandler {
            try await withTaskCancellationHandler {
                try await server.executeThenClose { connections in
                    try await withThrowingDiscardingTaskGroup { group in
                        for try await connection in connections {
                            group.addTask { await self.serve(connection) }
                        }
                    }
                }
            } onCancel: {
                self.close(server.channel)
            }
        } onGracefulShutdown: {
            self.close(server.channel)
        }
    }

    private func close(_ server: any Channel) {
        server.close(promise: nil)
        registry.closeAll()
    }

    private func serve(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>) async {
        do {
            try await connection.executeThenClose { inbound, outbound in
                var decoder = AdminFrame.Decoder()
                for try await buffer in inbound {
                    decoder.append(buffer.readableBytesView)
                    do {
                        while let frame = try decoder.next() {
                            if let snapshots, (try? AdminCommand(json: frame)) == .snapshot {
                                let last = try await snapshots.answer { try await outbound.write(ByteBuffer(bytes: AdminFrame.encode($0))) }
                                try await outbound.write(ByteBuffer(bytes: AdminFrame.encode(last.json())))
                                continue
                            }
                            for response in await service.answer(frame) {
                                let bytes = try AdminFrame.encode(response.json(timestamp: timestampNow()))
                                try await outbound.write(ByteBuffer(bytes: bytes))
                            }
                        }
                    } catch let error as AdminFrame.TooLong {
                        try await outbound.write(ByteBuffer(bytes: AdminFrame.encode(AdminResponse.failure(error.description).json())))
                        return
                    }
                }
            }
        } catch {
            logger.debug("admin connection ended", metadata: ["reason": "\(error)"])
        }
    }

    // MARK: The socket file

    /// A bound socket whose file nobody but the owner may open, from its first moment on.
    private func bind() throws(AgentError) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path), !bytes.contains(0) else {
            throw refuse("the path is longer than the \(MemoryLayout.size(ofValue: address.sun_path) - 1) bytes that the system allows")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let directory = (path as NSString).deletingLastPathComponent
        if !directory.isEmpty {
            do {
                try FileManager.default.createDirectory(
                    atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            } catch {
                throw refuse("the directory \(directory) cannot be made")
            }
        }
        try removeStaleSocket(address)
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw refuse(lastError()) }
        // Linux gives the file the mode of the socket (unix(7)): set before there is a file.
        guard fchmod(descriptor, 0o600) == 0, call(address, { Foundation.bind(descriptor, $0, $1) }) == 0 else {
            let reason = lastError()
            Foundation.close(descriptor)
            throw refuse(reason)
        }
        return descriptor
    }

    /// A socket that nobody answers on is what an agent left that was killed. Anything else stays.
    private func removeStaleSocket(_ address: sockaddr_un) throws(AgentError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw refuse("there is a file that is no socket; remove it, or choose another path")
        }
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw refuse(lastError()) }
        defer { Foundation.close(descriptor) }
        guard call(address, { connect(descriptor, $0, $1) }) != 0, errno == ECONNREFUSED else {
            throw refuse("another agent answers there already")
        }
        guard unlink(path) == 0 else { throw refuse(lastError()) }
    }

    private func call(_ address: sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }

    private func refuse(_ reason: String) -> AgentError { .cannotListen(key: "admin.uds_path", address: path, reason: reason) }

    private func lastError() -> String { String(cString: strerror(errno)) }
}

/// Year, day of the year, hour, minute, second, nanosecond, and the offset from UTC in hours, minutes and seconds.
private func timestampNow() -> [Int64] {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    var parts = tm()
    gmtime_r(&time.tv_sec, &parts)
    let clock = [parts.tm_year + 1_900, parts.tm_yday + 1, parts.tm_hour, parts.tm_min, parts.tm_sec]
    return clock.map(Int64.init) + [Int64(time.tv_nsec), 0, 0, 0]
}
