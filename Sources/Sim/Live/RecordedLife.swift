import PatinaProtocol

/// One process of an agent, replayed step by step.
///
/// A step is handled by the replayed node when it is read, which is before its turn has come among the steps of the other agents. So
/// `ledger` and `members` are kept from before it; what else is asked of the node is one event ahead of the time.
final class RecordedLife {
    let node: Int
    let number: Int
    let actor: ActorID
    let ended: Instant?
    private var replay: NodeReplay
    /// The step whose turn comes next; nil at the end of the log.
    private(set) var next: NodeReplay.Step?
    /// What the node knew before `next`.
    private(set) var ledger: VersionLedger
    /// Whom the node remembered before `next`.
    private(set) var members: [Member]
    /// Steps whose effects are not those that the agent recorded, and what the first one was.
    private(set) var differences: UInt64 = 0
    private(set) var firstDifference: String?
    /// Why the log could not be read further; nil when it could.
    private(set) var failure: String?

    /// - Throws: when the log has not even a header.
    init(_ life: LiveEvidence.Life) throws(NodeReplayError) {
        node = life.node
        number = life.number
        ended = life.ended
        replay =
            switch life.log {
            case .file(let path): try NodeReplay(file: path)
            case .bytes(let bytes): try NodeReplay(bytes)
            }
        actor = replay.header.configuration.actor
        ledger = replay.header.ledger
        members = []
        advance()
    }

    var steps: UInt64 { replay.steps }
    /// Where the others believe it to be.
    var address: Address { replay.header.configuration.address }
    var generation: UInt64 { replay.header.configuration.generation }
    var limits: Limits { replay.header.configuration.limits }
    var status: NodeStatus { replay.node.status }
    /// Those that take part, in ascending order.
    var aliveMembers: [ActorID] { members.filter(\.state.isPresent).map(\.record.actor).sorted() }
    var ownGeneration: UInt64 { replay.node.aliveMembers.first { $0.actor == actor }?.generation ?? 0 }

    /// Moves on to the step after `next`.
    func advance() {
        ledger = replay.node.ledger
        members = replay.node.members
        guard failure == nil else {
            next = nil
            return
        }
        do throws(NodeReplayError) {
            next = try replay.next()
        } catch {
            failure = "\(error)"
            next = nil
        }
        if case .finished(let end) = replay.ending, end != .shutdown { failure = "the recording ends because \(end.words)" }
        if let step = next, !step.isEqual {
            differences += 1
            if firstDifference == nil { firstDifference = "event \(step.number), \(step.event)" }
        }
    }
}
