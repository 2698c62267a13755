import Logging
import NIOCore
import NIOPosix
import PatinaProtocol
import PatinaStore
import Synchronization

/// A node of the cluster with its database: opened, connected and running.
///
/// Any task may use it. It must be shut down: what is released without `shutdown()` keeps its threads until the process ends.
public final class NodeRuntime: Sendable {
    /// How long the steps of a shutdown may take; together less than the 5 seconds that the whole may take.
    private enum Patience {
        static let commits = Duration.milliseconds(1_500)
        static let farewell = Duration.milliseconds(700)
        static let transport = Duration.milliseconds(1_000)
        static let readers = Duration.milliseconds(500)
        static let checkpoint = Duration.milliseconds(300)
        static let recording = Duration.milliseconds(300)
        static let store = Duration.milliseconds(1_000)
    }

    /// The identity of the database.
    public let actor: ActorID
    /// How often the database was opened, this time included.
    public let generation: UInt64
    /// The address that other nodes reach this one at.
    public let gossipAddress: Address
    private let configuration: RuntimeConfiguration
    private let logger: Logger
    private let driver: NodeDriver
    private let transport: any Transport
    let writer: WriterThread
    private let readers: ReaderPool
    /// Nil for a database that has no log.
    private let checkpoints: CheckpointThread?
    /// Nil when nothing is recorded.
    private let recorder: EventRecorder?
    private let watchdog: Watchdog
    private let fatal: OneShot<StoreError>
    private let isEnding = Mutex(false)
    private let ended = OneShot<Void>()
    /// The thread of the loop, when the runtime has one of its own.
    private let ownGroup: MultiThreadedEventLoopGroup?
    /// True once nothing may be handed to the loop any more.
    private let isLoopGone = Mutex(false)

    private init(
        configuration: RuntimeConfiguration, opened: WriterThread.Opened, readers: ReaderPool, watchdog: Watchdog,
        fatal: OneShot<StoreError>, driver: NodeDriver, transport: any Transport, address: Address, checkpoints: CheckpointThread?,
        recorder: EventRecorder?, ownGroup: MultiThreadedEventLoopGroup?, logger: Logger
    ) {
        actor = opened.actor
        generation = opened.generation
        gossipAddress = address
        self.configuration = configuration
        self.logger = logger
        self.driver = driver
        self.transport = transport
        writer = opened.writer
        self.checkpoints = checkpoints
        self.readers = readers
        self.recorder = recorder
        self.watchdog = watchdog
        self.fatal = fatal
        self.ownGroup = ownGroup
    }

    // MARK: Start

    /// Opens the database, applies the schema, binds the socket and starts the node.
    ///
    /// - Throws: `StoreError` for the database and the schema, `QUICError` for the socket and its certificates,
    ///   `RuntimeError` for the rest. Nothing is left open then.
    public static func start(_ configuration: RuntimeConfiguration, logger: Logger) async throws -> NodeRuntime {
        var quic = configuration.quic
        quic.limits = configuration.limits
        return try await start(configuration, logger: logger) { [quic] loop, delegate, logger in
            try await QUICEndpoint.bind(quic, on: loop, delegate: delegate, logger: logger)
        }
    }

    static func start(_ configuration: RuntimeConfiguration, logger: Logger, binding: TransportBinding) async throws -> NodeRuntime {
        guard configuration.readers >= 2 else {
            throw RuntimeError.configuration("a runtime needs at least 2 readers, not \(configuration.readers)")
        }
        let entries = try configuration.bootstrap.map { text throws(RuntimeError) in try BootstrapEntry(text) }
        let recorder = try configuration.recording.map { recording throws(RuntimeError) in try EventRecorder(recording, logger: logger) }
        let watchdog = Watchdog()
        let fatal = OneShot<StoreError>()
        var bounds = WriterQueue.Bounds()
        bounds.local = configuration.waitingTransactions
        watchdog.start()
        let opened: WriterThread.Opened
        do {
            opened = try await WriterThread.open(
                configuration.location, options: configuration.storeOptions, readerCount: configuration.readers, bounds: bounds,
                maintenance: configuration.maintenance, watchdog: watchdog, fatal: fatal)
        } catch {
            watchdog.stop()
            await recorder?.discard(atMost: Patience.recording)
            throw error
        }
        var readerBounds = ReaderPool.Bounds()
        readerBounds.waitingQueries = configuration.waitingQueries
        let readers = ReaderPool(
            readers: opened.readers, interrupters: opened.readerInterrupters, bounds: readerBounds, watchdog: watchdog, fatal: fatal)
        let ownGroup = configuration.group == nil ? MultiThreadedEventLoopGroup(numberOfThreads: 1) : nil
        do {
            let schema = configuration.schema
            let allowDestructive = configuration.allowDestructiveSchema
            var adopted: [Chunk] = []
            if !schema.isEmpty {
                adopted =
                    try await opened.writer.request(lane: .control, timeout: nil) { (store: Store) throws(StoreError) in
                        try store.applySchema(schema, allowDestructive: allowDestructive)
                    }.adoption?.chunks ?? []
            }
            let loop = configuration.group?.next() ?? ownGroup?.next() ?? MultiThreadedEventLoopGroup.singleton.next()
            let driver = NodeDriver(configuration, loop: loop, logger: logger)
            let transport = try await binding(loop, driver, logger)
            let address = configuration.advertisedAddress(bound: transport.localAddress, logger: logger)
            let resolver = BootstrapResolver(entries: entries, own: address, isIPv4Only: transport.localAddress.ipv4 != nil)
            let start = NodeDriver.Start(
                node: configuration.node(opened, address: address, bootstrap: resolver.literal), ledger: opened.ledger,
                members: opened.members, transport: transport, writer: opened.writer, readers: readers, resolver: resolver,
                recorder: recorder)
            try await loop.submit { [adopted] in
                driver.start(start)
                if !adopted.isEmpty { driver.transactionCommitted(adopted) }
            }.get()
            if let damage = opened.damagedLog { logger.warning("the database was mended", metadata: ["reason": "\(damage)"]) }
            let checkpoints = opened.startCheckpoints(configuration, logger: logger, fatal: fatal, driver: driver)
            logger.info(
                "node is running",
                metadata: ["actor": "\(opened.actor)", "address": "\(address)", "generation": "\(opened.generation)"])
            return NodeRuntime(
                configuration: configuration, opened: opened, readers: readers, watchdog: watchdog, fatal: fatal, driver: driver,
                transport: transport, address: address, checkpoints: checkpoints, recorder: recorder, ownGroup: ownGroup,
                logger: logger)
        } catch {
            try? await ownGroup?.shutdownGracefully()
            _ = await readers.close(atMost: Patience.readers)
            _ = await opened.writer.close(atMost: Patience.store)
            watchdog.stop()
            await recorder?.discard(atMost: Patience.recording)
            throw error
        }
    }

    // MARK: Data

    /// Runs the statements as one transaction and returns once it is committed here; the cluster hears of it afterwards.
    /// Cancelling the task interrupts a transaction that is not committed yet.
    ///
    /// - Parameter timeout: how long each statement, and the commit, may take; nil: as long as they need.
    /// - Throws: `.busy` when too many wait already, `.interrupted` after the timeout, `.closed` after `shutdown()`, or
    ///   what the database says. Nothing was changed then.
    public func transact(_ statements: [Statement], timeout: Duration?) async throws(StoreError) -> TransactionOutcome {
        let driver = driver
        return try await writer.transact(statements, timeout: timeout) { outcome in
            guard !outcome.chunks.isEmpty else { return }
            driver.loop.execute { driver.transactionCommitted(outcome.chunks) }
        }
    }

    /// Starts a query; the columns are known when this returns, the rows follow at the pace of the consumer.
    ///
    /// - Parameter timeout: how long SQLite may take for the first row, and for each that follows; nil: as long as it needs.
    /// - Throws: `.busy` when too many wait already, `.closed` after `shutdown()`, or what preparing the statement gave.
    public func query(_ statement: Statement, timeout: Duration?) async throws(StoreError) -> QueryStream {
        var bounds = QueryPipe.Bounds()
        bounds.patience = configuration.consumerPatience
        return try await readers.query(statement, timeout: timeout, bounds: bounds)
    }

    /// Brings the database to the schema of `files`.
    ///
    /// - Parameter allowDestructive: also drops columns and tables and changes columns; what they held is lost on this node.
    /// - Throws: `.schema` with file and line for what is not possible; nothing has changed then.
    public func reloadSchema(_ files: [SchemaFile], allowDestructive: Bool = false) async throws(StoreError) -> SchemaReport {
        let driver = driver
        return try await writer.request(lane: .control, timeout: nil) { (store: Store) throws(StoreError) in
            let report = try store.applySchema(files, allowDestructive: allowDestructive)
            if let adoption = report.adoption { driver.loop.execute { driver.transactionCommitted(adoption.chunks) } }
            return report
        }
    }

    /// Digest of all replicated rows: equal on nodes whose tables are equal. Reads everything, on the writer's thread.
    public func contentFingerprint() async throws(StoreError) -> Fingerprint {
        try await writer.request(lane: .control, timeout: nil) { (store: Store) throws(StoreError) in try store.contentFingerprint() }
    }

    // MARK: Cluster

    /// Every member that is remembered, this node included, in ascending order of actor. Empty after `shutdown()`.
    public func members() async -> [Member] { await ask { $0.members } ?? [] }

    /// A snapshot of the node; nil after `shutdown()`.
    public func status() async -> RuntimeStatus? { await ask { $0.status() } ?? nil }

    /// Takes a new generation and joins the cluster again.
    public func rejoin() async { await ask { $0.rejoin() } }

    /// Closes every connection to other nodes. They are made anew when they are wanted, which is at once.
    public func closeConnections() async { await ask { $0.closeConnections() } }

    @discardableResult
    private func ask<Answer: Sendable>(_ question: @escaping @Sendable (NodeDriver) -> Answer) async -> Answer? {
        let driver = driver
        let answer = isLoopGone.withLock { isGone in isGone ? nil : driver.loop.submit { question(driver) } }
        // Fails only when the loop is shut down, and the node with it.
        return try? await answer?.get()
    }

    // MARK: End

    /// Waits until the storage breaks (disk full, I/O error, corruption) and tells how; nil when the runtime was shut down, or
    /// the task cancelled, first. A process should end then: what it would answer is no longer worth anything.
    public func untilFatal() async -> StoreError? {
        if let failure = fatal.current { return failure }
        return await withTaskGroup(of: StoreError?.self) { group in
            group.addTask { await self.fatal.wait() }
            group.addTask {
                _ = await self.ended.wait()
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }

    /// Finishes the transactions that were accepted, says goodbye to the cluster, and closes everything; at most 5 seconds.
    /// Queries are ended at once. A second call waits for the first.
    public func shutdown() async {
        let isFirst = isEnding.withLock { isEnding in
            defer { isEnding = true }
            return !isEnding
        }
        // In a task of its own: the caller's being cancelled must not cut it short.
        if isFirst { await Task { await end() }.value }
        _ = await ended.wait()
    }

    private func end() async {
        // Queries first: they hold connections, and their consumers are going away. Their rows are nobody's commits.
        async let queriesEnded = readers.close(atMost: Patience.readers)
        await writer.drain(atMost: Patience.commits)
        // The loop has the events of all commits by now, so the farewell goes out after the last broadcast.
        let driver = driver
        _ = try? await driver.loop.submit { driver.deliver(.commanded(.leave)) }.get()
        if await driver.left.wait(atMost: Patience.farewell) == nil { logger.warning("the cluster could not be told goodbye") }
        let transportClosed = OneShot<Void>()
        let transport = transport
        driver.loop.execute {
            transport.shutdown().whenComplete { _ in transportClosed.complete(()) }
        }
        if await transportClosed.wait(atMost: Patience.transport) == nil { logger.warning("the transport did not close in time") }
        let isIdle = (try? await driver.loop.submit { driver.stop() }.get()) ?? true
        if let recorder, await !recorder.close(atMost: Patience.recording) { logger.warning("the recording did not end in time") }
        // The writer last: the last connection to close takes the write-ahead log away.
        let areReadersClosed = await queriesEnded
        if !areReadersClosed { logger.warning("a query did not end in time") }
        if let checkpoints, await !checkpoints.close(atMost: Patience.checkpoint) { logger.warning("a checkpoint did not end in time") }
        let isWriterClosed = await writer.close(atMost: Patience.store)
        if !isWriterClosed { logger.warning("the database did not close in time") }
        watchdog.stop()
        isLoopGone.withLock { $0 = true }
        ended.complete(())
        // A thread that is late would hand its result to a loop that is gone; then the loop stays until the process ends.
        if isIdle, areReadersClosed, isWriterClosed { try? await ownGroup?.shutdownGracefully() }
    }
}

extension WriterThread.Opened {
    /// Starts the thread that moves the log, and lets the writer do what nobody waits for, now that there is somebody to tell.
    fileprivate func startCheckpoints(
        _ configuration: RuntimeConfiguration, logger: Logger, fatal: OneShot<StoreError>, driver: NodeDriver
    ) -> CheckpointThread? {
        guard let checkpointer else { return nil }
        let checkpoints = CheckpointThread(
            checkpointer, warningBytes: configuration.maintenance.logWarningBytes, logger: logger, fatal: fatal,
            pace: { [writer] in writer.pace($0) }, finish: { [writer] in writer.finishCheckpoint() })
        writer.beginMaintenance(checkpoints, logger: logger) { changes in
            driver.loop.execute { driver.deliver(.storeChanged(changes)) }
        }
        return checkpoints
    }
}

extension RuntimeConfiguration {
    fileprivate var storeOptions: StoreOptions {
        var options = StoreOptions()
        options.synchronous = synchronous
        options.cacheKiB = cacheKiB
        options.limits = limits
        options.tombstoneRetention = tombstoneRetention
        options.logBytes = logBytes
        options.leavesCheckpoints = true
        options.wallClock = wallClock
        return options
    }

    fileprivate func node(_ opened: WriterThread.Opened, address: Address, bootstrap: [Address]) -> NodeConfiguration {
        var system = SystemRandomNumberGenerator()
        return NodeConfiguration(
            actor: opened.actor, address: address, generation: opened.generation, cluster: cluster, bootstrap: bootstrap,
            membership: membership, broadcast: broadcast, sync: sync, limits: limits, seed: seed ?? system.next())
    }

    /// The address to tell others. `bound` has the port that the system chose.
    fileprivate func advertisedAddress(bound: Address, logger: Logger) -> Address {
        if let advertised {
            return advertised.port == 0 ? Address(high: advertised.high, low: advertised.low, port: bound.port) : advertised
        }
        guard bound.isWildcard else { return bound }
        let chosen = Address.ofInterface(likeWildcard: bound)
        logger.warning(
            "the socket listens on all interfaces and no external address is configured; advertising one of this machine's",
            metadata: ["bound": "\(bound)", "advertised": "\(chosen)"])
        return chosen
    }
}

extension Address {
    /// `0.0.0.0` or `::`: every address of the machine.
    fileprivate var isWildcard: Bool { ipv4 == 0 || (high == 0 && low == 0) }

    /// An address of an interface that is up, loopback last; IPv4 first, since an IPv6 wildcard is reached by both.
    fileprivate static func ofInterface(likeWildcard bound: Address) -> Address {
        let devices = (try? System.enumerateDevices()) ?? []
        let addresses = devices.compactMap { device -> Address? in
            guard let host = device.address?.ipAddress else { return nil }
            return Address(host.contains(":") ? "[\(host)]:\(bound.port)" : "\(host):\(bound.port)")
        }
        let loopback = Address(ipv4: 0x7F00_0001, port: bound.port)
        let usable = addresses.filter { address in
            if let ipv4 = address.ipv4 { return ipv4 >> 24 != 127 }
            // No IPv6 for an IPv4 socket, and neither loopback nor link-local addresses.
            return bound.ipv4 == nil && address.low != 1 && address.high >> 54 != 0x3FA
        }
        return usable.first { $0.ipv4 != nil } ?? usable.first ?? loopback
    }
}
