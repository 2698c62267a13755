import Foundation
import Logging
import PatinaProtocol
import PatinaRuntime
import PatinaStore

/// The real node behind the agent's interfaces.
struct RuntimeBackend: AgentNode {
    let runtime: NodeRuntime

    var actor: ActorID { runtime.actor }
    var gossipAddress: Address { runtime.gossipAddress }

    func transact(_ statements: [Statement], timeout: Duration?) async throws(StoreError) -> TransactionOutcome {
        try await runtime.transact(statements, timeout: timeout)
    }

    func query(_ statement: Statement, timeout: Duration?) async throws(StoreError) -> RowBatches {
        let stream = try await runtime.query(statement, timeout: timeout)
        let rows = RowSource(stream.makeAsyncIterator())
        return RowBatches(columns: stream.columns) { () throws(StoreError) in try await rows.next() }
    }

    func members() async -> [Member] { await runtime.members() }

    func status() async -> AgentStatus? {
        guard let status = await runtime.status() else { return nil }
        return AgentStatus(
            actor: status.actor, aliveMembers: status.aliveMembers, gaps: status.gaps, queueLength: status.pendingChunks,
            waitingVersions: status.waitingVersions, lag99: status.lag99,
            progress: status.actors.map { .init(actor: $0.actor, head: $0.head, needs: $0.needs, partials: $0.partials) })
    }

    func reloadSchema(_ files: [SchemaFile], allowDestructive: Bool) async throws(StoreError) -> SchemaReport {
        try await runtime.reloadSchema(files, allowDestructive: allowDestructive)
    }

    func rejoin() async { await runtime.rejoin() }

    func closeConnections() async { await runtime.closeConnections() }

    func untilFatal() async -> StoreError? { await runtime.untilFatal() }

    func shutdown() async { await runtime.shutdown() }

    /// Unchecked: `RowBatches` promises that its pull is never called concurrently.
    private final class RowSource: @unchecked Sendable {
        private var iterator: QueryStream.AsyncIterator

        init(_ iterator: QueryStream.AsyncIterator) { self.iterator = iterator }

        func next() async throws(StoreError) -> [[Value]]? { try await iterator.next() }
    }
}

/// Starts the real node, and says what is wrong in terms of the configuration.
let startRuntime: Agent.NodeStarter = { configuration, logger in
    var runtime = RuntimeConfiguration(
        location: .file(configuration.database.path),
        quic: QUICConfiguration(bind: configuration.gossip.bind, security: QUICSecurity(configuration.gossip.security)))
    runtime.synchronous = configuration.database.synchronous
    runtime.tombstoneRetention = configuration.database.tombstoneRetention
    runtime.logBytes = configuration.database.logBytes
    runtime.maintenance.logWarningBytes = 4 * configuration.database.logBytes
    runtime.cacheKiB = configuration.database.cacheKiB
    runtime.allowDestructiveSchema = configuration.database.allowDestructiveSchema
    runtime.schema = try SchemaFiles.load(configuration.database.schemaPaths)
    runtime.quic.idleTimeout = configuration.gossip.idleTimeout
    runtime.quic.maximumMTU = configuration.gossip.maximumMTU
    runtime.quic.disableSegmentationOffload = configuration.gossip.disableSegmentationOffload
    runtime.advertised = configuration.gossip.external
    runtime.bootstrap = configuration.gossip.bootstrap
    runtime.cluster = configuration.gossip.cluster
    runtime.recording = configuration.recording.map(RecordingConfiguration.init)
    if let file = configuration.protocolSettingsFile { try runtime.apply(ProtocolSettings(file: file)) }
    if let file = configuration.clockOffsetFile { runtime.wallClock = try OffsetClock(file: file).wallClock }
    do {
        return RuntimeBackend(runtime: try await NodeRuntime.start(runtime, logger: logger))
    } catch let error as StoreError {
        switch error {
        case .schema: throw AgentError.schema(reason: error.description)
        case .sqlite, .corrupt, .notReadOnly, .statementRefused, .parameter, .tooLarge, .interrupted, .busy, .closed:
            throw AgentError.database(path: configuration.database.path, reason: error.description)
        }
    } catch let error as QUICError {
        switch error {
        case .bind(let address, let reason):
            throw AgentError.cannotListen(key: "gossip.bind_addr", address: "\(address)", reason: reason)
        case .file: throw AgentError.configuration(key: "gossip.tls", reason: error.description)
        case .configuration, .library: throw AgentError.configuration(key: "gossip", reason: error.description)
        }
    } catch let error as RuntimeError {
        switch error {
        case .bootstrap: throw AgentError.configuration(key: "gossip.bootstrap", reason: error.description)
        case .configuration: throw AgentError.configuration(key: "configuration", reason: error.description)
        case .recording: throw AgentError.configuration(key: "--record", reason: error.description)
        }
    }
}

extension RuntimeConfiguration {
    fileprivate mutating func apply(_ settings: ProtocolSettings) {
        membership = settings.membership
        broadcast = settings.broadcast
        sync = settings.sync
        limits = settings.limits
    }
}

extension ProtocolSettings {
    /// - Throws: `AgentError` when the file cannot be read, or holds something else.
    fileprivate init(file: String) throws(AgentError) {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw .configuration(key: "--protocol-settings-file", reason: "\(file) cannot be read")
        }
        do {
            try self.init(bytes: Array(data))
        } catch {
            throw .configuration(key: "--protocol-settings-file", reason: "\(file): \(error)")
        }
    }
}

extension RecordingConfiguration {
    fileprivate init(_ recording: AgentConfiguration.Recording) {
        self.init(directory: recording.directory, build: recording.build)
        if let limitBytes = recording.limitBytes { self.limitBytes = limitBytes }
        if recording.keepsDigestsOnly { detail = .digest }
    }
}

extension QUICSecurity {
    fileprivate init(_ security: AgentConfiguration.Security) {
        switch security {
        case .plaintext:
            self = .plaintext
        case .server(let pair, let authority):
            self = .serverTLS(certificate: pair.certificate, key: pair.key, authority: authority)
        case .mutual(let server, let authority, let client):
            self = .mutualTLS(
                certificate: server.certificate, key: server.key, authority: authority,
                client: QUICKeyPair(certificate: client.certificate, key: client.key))
        }
    }
}
