import PatinaProtocol

/// Feeds the log of a recorded node (`docs/event-log.md`) to the same `Node`, event by event, and compares what it wants each time.
///
/// It goes on after a difference as long as that is possible. The node then knows other things than the one that was recorded, so
/// more differences follow, until an event comes that cannot happen to it.
public struct NodeReplay: ~Copyable {
    /// One event, and what came of it then and now.
    public struct Step: Sendable {
        /// Counts from 1.
        public var number: UInt64
        /// What the node was told of the time.
        public var now: Instant
        public var event: Event
        public var recorded: RecordedEffects
        public var replayed: [Effect]
        /// True when the two are the same, in the same order.
        public var isEqual: Bool
    }

    /// How a log ends. Known once `next()` has returned nil.
    public enum Ending: Hashable, Sendable {
        /// As the one who wrote it wanted.
        case finished(EventLogRecord.End)
        /// Behind a whole record: the process was killed, or is still running.
        case open
        /// Within a record, `bytes` of which are there: the process was killed, or the file was cut, at this byte.
        case cut(at: Int, bytes: Int)
    }

    public let header: EventLogHeader
    /// The node as it is after the last step.
    public private(set) var node: Node
    /// Nil until the log was read to its end.
    public private(set) var ending: Ending?
    /// Steps so far, and effects that were recorded in them.
    public private(set) var steps: UInt64 = 0
    public private(set) var effectCount: UInt64 = 0

    private var records: LoggedRecords
    private var contract: EngineContract
    private var effects = Effects()

    /// Replays a log in memory.
    public init(_ bytes: [UInt8]) throws(NodeReplayError) { try self.init(records: LoggedRecords(.bytes(bytes))) }

    /// Replays the log in a file, which is read piece by piece.
    public init(file: String) throws(NodeReplayError) {
        let pieces: FilePieces
        do throws(FileAccess.Failure) {
            pieces = try FilePieces(file)
        } catch {
            throw .unreadable(error.reason)
        }
        try self.init(records: LoggedRecords(.file(pieces)))
    }

    private init(records source: consuming LoggedRecords) throws(NodeReplayError) {
        var records = source
        guard case .header(let header)? = try records.next() else { throw .noHeader }
        self.header = header
        self.records = records
        node = Node(configuration: header.configuration, ledger: header.ledger, members: header.members)
        contract = EngineContract(own: header.configuration.actor)
    }

    /// Bytes of the log that were read so far.
    public var bytes: Int { records.consumed }

    /// Handles the next event; nil at the end of the log.
    public mutating func next() throws(NodeReplayError) -> Step? {
        guard ending == nil else { return nil }
        switch try records.next() {
        case nil:
            ending = records.unread == 0 ? .open : .cut(at: records.consumed, bytes: records.unread)
            return nil
        case .end(let end):
            ending = .finished(end)
            // Nothing may follow; the reader objects to what does.
            _ = try records.next()
            return nil
        case .header: preconditionFailure("the reader lets one header pass")
        case .step(let step):
            steps += 1
            if let reason = contract.objection(to: step.event) { throw .impossible(step: steps, event: step.event, reason: reason) }
            node.handle(step.event, now: step.now, into: &effects)
            var replayed: [Effect] = []
            replayed.reserveCapacity(effects.items.count)
            effects.drain { replayed.append($0) }
            contract.note(replayed)
            effectCount += UInt64(step.effects.count)
            return Step(
                number: steps, now: step.now, event: step.event, recorded: step.effects, replayed: replayed,
                isEqual: step.effects.matches(replayed, now: step.now))
        }
    }
}

/// Why a recorded node cannot be replayed, or not any further.
public enum NodeReplayError: Error, Sendable, CustomStringConvertible {
    case unreadable(String)
    /// It ends before the first event: the process was killed while it started.
    case noHeader
    case log(EventLogError)
    /// This event cannot happen to the node that is being replayed: it wants other things than the recorded one did.
    case impossible(step: UInt64, event: Event, reason: String)

    public var description: String {
        switch self {
        case .unreadable(let reason): "it cannot be read: \(reason)"
        case .noHeader: "it ends within its header: nothing was recorded"
        case .log(let error): "\(error)"
        case .impossible(let step, _, let reason): "event \(step) cannot happen to the node that is being replayed: \(reason)"
        }
    }
}

/// What an engine promises a node, and a log of another node may break: a node traps then.
private struct EngineContract {
    private enum Kind {
        case apply
        case read
        case saveMembers
    }

    let own: ActorID
    /// Store operations that are not answered. A handful.
    private var out: [(token: StoreToken, kind: Kind)] = []

    init(own: ActorID) { self.own = own }

    mutating func note(_ effects: [Effect]) {
        for case .store(let operation, let token) in effects {
            switch operation {
            case .apply: out.append((token, .apply))
            case .read: out.append((token, .read))
            case .saveMembers: out.append((token, .saveMembers))
            }
        }
    }

    mutating func objection(to event: Event) -> String? {
        switch event {
        case .stored(let token, let result):
            guard let index = out.firstIndex(where: { $0.token == token }) else {
                return "the store answers operation \(token.number), which is not out"
            }
            switch (out.remove(at: index).kind, result) {
            case (.apply, .applied), (.read, .read), (.saveMembers, .savedMembers), (_, .failed): return nil
            default: return "the store answers operation \(token.number) with the result of another kind of operation"
            }
        case .transactionCommitted(let chunks):
            guard let first = chunks.first?.id else { return nil }
            let isOwn = chunks.allSatisfy { $0.id.actor == own && $0.id.version == first.version }
            return isOwn ? nil : "a local transaction is one version of the node's own actor"
        default: return nil
        }
    }
}
