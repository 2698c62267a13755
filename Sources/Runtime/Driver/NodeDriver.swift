import Logging
import NIOCore
import NIOPosix
import PatinaProtocol
import PatinaStore

/// Drives one `Node` for real: turns what happens into events, and effects into calls of the transport, the storage threads
/// and the clock. Everything is on one event loop, so nothing is locked and events have one order.
///
/// Unchecked because the compiler does not know event loops: every method but `init` checks that it runs on `loop`, and
/// nothing is touched elsewhere.
final class NodeDriver: @unchecked Sendable {
    /// What a driver is given to work with, once the transport is bound.
    struct Start: Sendable {
        var node: NodeConfiguration
        var ledger: VersionLedger
        var members: [MemberRecord]
        var transport: any Transport
        var writer: WriterThread
        var readers: ReaderPool
        var resolver: BootstrapResolver
        var recorder: EventRecorder?
    }

    fileprivate struct Running: ~Copyable {
        var node: Node
        let transport: any Transport
        let writer: WriterThread
        let readers: ReaderPool
        let recorder: EventRecorder?
    }

    let loop: any EventLoop
    /// Completed when the farewell is on its way.
    let left = OneShot<Void>()
    private let configuration: RuntimeConfiguration
    private let logger: Logger
    /// Nil before `start` and after `stop`: what happens then is nobody's business.
    private var running: Running?
    private var bootstrap: BootstrapLoop?
    private var effects = Effects()
    /// Events that wait for the one that is being handled; more than one only while timers fire or a transport calls back.
    private var backlog = CircularBuffer<Event>()
    private var isHandling = false
    private var timers = TimerHeap()
    private var alarm: (at: Instant, task: Scheduled<Void>)?
    private var counters = RuntimeCounters()
    private var lag = LagWindow()

    init(_ configuration: RuntimeConfiguration, loop: any EventLoop, logger: Logger) {
        self.configuration = configuration
        self.loop = loop
        self.logger = logger
    }

    // MARK: Life

    func start(_ start: Start) {
        loop.preconditionInEventLoop()
        precondition(running == nil, "a driver starts once")
        running = Running(
            node: Node(configuration: start.node, ledger: start.ledger, members: start.members), transport: start.transport,
            writer: start.writer, readers: start.readers, recorder: start.recorder)
        start.recorder?.begin(start.node, ledger: start.ledger, members: start.members, wall: systemWallClock(), now: .now)
        bootstrap = BootstrapLoop(start.resolver, driver: self, configuration: configuration, logger: logger)
        deliver(.started)
        bootstrap?.resolve()
    }

    /// Handles nothing any more. Stores that are under way are forgotten.
    /// Returns true when nothing but the storage threads will still use the loop.
    func stop() -> Bool {
        loop.preconditionInEventLoop()
        running?.recorder?.end()
        running = nil
        let isIdle = bootstrap?.stop() ?? true
        bootstrap = nil
        alarm?.task.cancel()
        alarm = nil
        timers.removeAll()
        backlog.removeAll()
        return isIdle
    }

    // MARK: Events in

    /// Hands an event to the node and does what the node wants, then the same with what happened meanwhile.
    func deliver(_ event: Event) {
        loop.preconditionInEventLoop()
        guard running != nil else { return }
        backlog.append(event)
        handleBacklog()
    }

    private func handleBacklog() {
        guard !isHandling else { return }
        isHandling = true
        while running != nil, let event = backlog.popFirst() {
            let now = Instant.now
            running?.node.handle(event, now: now, into: &effects)
            running?.recorder?.append(event, now: now, effects: effects.items)
            effects.drain { perform($0) }
        }
        isHandling = false
        setAlarm()
    }

    /// A local transaction committed. Called in the order of the commits.
    func transactionCommitted(_ chunks: [Chunk]) {
        counters.versionsCommitted += 1
        deliver(.transactionCommitted(chunks))
    }

    private func stored(_ token: StoreToken, _ result: StoreResult, lags: [Duration]) {
        let now = Instant.now
        for each in lags { lag.record(each, now: now) }
        deliver(.stored(token, result))
    }

    /// The bootstrap names were resolved.
    func resolved(_ addresses: [Address]) { deliver(.bootstrapResolved(addresses)) }

    /// Announces this node again, under a new generation, at addresses that are resolved now.
    func rejoin() {
        loop.preconditionInEventLoop()
        deliver(.commanded(.rejoin))
        bootstrap?.resolve()
    }

    /// Closes every connection to other nodes; new ones are made when they are wanted.
    func closeConnections() {
        loop.preconditionInEventLoop()
        running?.transport.closeConnections()
    }

    // MARK: Effects out

    private func perform(_ effect: Effect) {
        switch effect {
        case .sendDatagram(let address, let bytes): running?.transport.sendDatagram(to: address, bytes)
        case .sendMessage(let address, let bytes): running?.transport.sendMessage(to: address, bytes)
        case .openSession(let session, let address): running?.transport.openSession(session, to: address)
        case .writeSession(let session, let bytes): running?.transport.writeSession(session, bytes)
        case .finishSession(let session): running?.transport.finishSession(session)
        case .resetSession(let session): running?.transport.resetSession(session)
        case .store(let operation, let token): store(operation, token)
        case .schedule(let timer, let deadline): timers.insert(timer, at: deadline)
        case .notify(let notice): tell(notice)
        case .measure(let measurement): counters.add(measurement)
        }
    }

    private func store(_ operation: StoreOperation, _ token: StoreToken) {
        let answer = { @Sendable [self] (result: StoreResult, lags: [Duration]) in
            loop.execute { self.stored(token, result, lags: lags) }
        }
        let wallClock = configuration.wallClock
        switch operation {
        case .apply(let chunks, _):
            running?.writer.perform(operation) { answer($0, LagWindow.lags(of: chunks, in: $0, wall: wallClock())) }
        case .saveMembers:
            running?.writer.perform(operation) { answer($0, []) }
        case .read(let request):
            running?.readers.read(request) { answer($0, []) }
        }
    }

    /// One task of the loop stands for the earliest timer. A task that comes too early does no harm.
    private func setAlarm() {
        guard running != nil, let earliest = timers.earliest else { return }
        if let alarm {
            guard earliest < alarm.at else { return }
            alarm.task.cancel()
        }
        alarm = (earliest, loop.scheduleTask(deadline: earliest.deadline) { [weak self] in self?.ring() })
    }

    private func ring() {
        alarm = nil
        let now = Instant.now
        while let timer = timers.popDue(now: now) { backlog.append(.deadlinePassed(timer)) }
        handleBacklog()
    }

    private func tell(_ notice: Notice) {
        switch notice {
        case .memberUp(let member): logger.info("member is up", metadata: member.metadata)
        case .memberSuspected(let member): logger.info("member is suspected", metadata: member.metadata)
        case .memberDown(let member): logger.warning("member is down", metadata: member.metadata)
        case .memberLeft(let member): logger.info("member left", metadata: member.metadata)
        case .refuted(let incarnation):
            logger.info("others thought this node was gone; told them otherwise", metadata: ["incarnation": "\(incarnation)"])
        case .left:
            left.complete(())
        case .versionApplied:
            counters.versionsApplied += 1
        case .malformed(let address, let reason):
            counters.malformed += 1
            logger.debug("input was not understood", metadata: ["from": "\(address)", "reason": "\(reason)"])
        case .chunkRefused(let chunk, let reason):
            counters.chunksRefused += 1
            logger.warning("a change was refused", metadata: ["chunk": "\(chunk)", "reason": "\(reason)"])
        case .storeFailed(let reason):
            logger.error("the store failed", metadata: ["reason": "\(reason)"])
        }
        configuration.observe?(notice)
    }

    // MARK: Questions

    var members: [Member] {
        loop.preconditionInEventLoop()
        return running?.node.members ?? []
    }

    /// True while no other member is present.
    var isAlone: Bool { (running?.node.status.aliveMembers ?? 0) <= 1 }

    /// Nil when the driver does not run.
    func status() -> RuntimeStatus? {
        loop.preconditionInEventLoop()
        guard running != nil else { return nil }
        return running?.status(lag99: lag.percentile99(now: .now), counters: counters)
    }
}

extension NodeDriver.Running {
    fileprivate func status(lag99: Duration?, counters: RuntimeCounters) -> RuntimeStatus {
        let members = node.members
        let ledger = node.ledger
        let configuration = node.configuration
        let actors = ledger.actors.compactMap { actor -> RuntimeStatus.ActorProgress? in
            guard let entry = ledger[actor] else { return nil }
            return RuntimeStatus.ActorProgress(
                actor: actor, head: entry.head, needs: entry.gaps, partials: Array(entry.partials.keys))
        }
        return RuntimeStatus(
            actor: configuration.actor,
            generation: members.first { $0.record.actor == configuration.actor }?.record.generation ?? configuration.generation,
            address: configuration.address, rememberedMembers: members.count, gaps: actors.reduce(0) { $0 + $1.needs.count },
            partialVersions: actors.reduce(0) { $0 + $1.partials.count }, waitingVersions: writer.waitingVersions,
            waitingTransactions: writer.waitingTransactions,
            lag99: lag99, node: node.status, actors: actors, counters: counters, transport: transport.counters)
    }
}

extension NodeDriver: QUICEndpointDelegate {
    func datagramReceived(_ bytes: [UInt8], from address: Address) { deliver(.datagramReceived(from: address, bytes: bytes)) }
    func messageReceived(_ bytes: [UInt8], from address: Address) { deliver(.messageReceived(from: address, bytes: bytes)) }
    func sessionOpened(_ session: SessionID, from address: Address) { deliver(.sessionOpened(session, from: address)) }
    func sessionReceived(_ session: SessionID, _ bytes: [UInt8]) { deliver(.sessionReceived(session, bytes: bytes)) }
    func sessionFinished(_ session: SessionID) { deliver(.sessionFinished(session)) }
    func sessionLost(_ session: SessionID) { deliver(.sessionLost(session)) }
    func peerLost(_ address: Address) { deliver(.peerLost(address)) }
}

extension MemberRecord {
    fileprivate var metadata: Logger.Metadata {
        ["actor": "\(actor)", "address": "\(address)", "generation": "\(generation)"]
    }
}
