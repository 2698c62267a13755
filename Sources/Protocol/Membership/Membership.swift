/// Who is in the cluster, and who is alive.
///
/// Every member knows every other one. Once a period each member probes one of them; whoever does not answer, neither to
/// the probe, nor through three others, nor on a reliable stream, is suspected, and the suspicion is spread. Whoever is
/// suspected has some seconds to object, by raising its incarnation; then it is declared down. News rides on every
/// datagram, and on gossip of its own while it is fresh.
///
/// Sources: Das, Gupta, Motivala, "SWIM", 2002; Dadgar, Phillips, Currey, "Lifeguard", 2017, of which all three parts
/// are here (a node that doubts its own health is slower to accuse; a suspicion lasts longer while nobody confirms it; a
/// suspect is told at once). Deviations: the wait for an answer follows measured round-trip times; a reliable-stream
/// probe runs beside the indirect ones; identity is (actor, generation), so that a restarted node overrides its former
/// life without waiting; lists are compared by a digest and sent only when they differ; a process that stood still notices
/// it and accuses nobody; whoever is said to be down and was hardly suspected here is suspected first, so that two sides of a
/// cut that has healed do not bury each other's members.
public struct Membership: ~Copyable {
    /// Everything that can happen to the machine.
    public enum Event: Hashable, Sendable {
        case started
        /// The body of a datagram, without the envelope. `from` is for logs only; nothing is ever sent there.
        case datagramReceived(ArraySlice<UInt8>, from: Address)
        /// The body of a message, without the envelope.
        case messageReceived(ArraySlice<UInt8>, from: Address)
        /// Replaces the bootstrap addresses.
        case bootstrapResolved([Address])
        case deadlinePassed(Timer)
        case leaveRequested
        case rejoinRequested
    }

    /// Everything that the machine wants done.
    public enum Output: Hashable, Sendable {
        case sendDatagram(to: Address, bytes: [UInt8])
        case sendMessage(to: Address, bytes: [UInt8])
        case schedule(Timer, at: Instant)
        case notify(Notice)
        case measure(Measurement)
        /// A member told what digest it has, by a ping or an acknowledgement.
        case digestHeard(from: ActorID, Fingerprint)
    }

    /// A deadline. Timers are never cancelled; one that no longer matters is ignored when it fires.
    public enum Timer: Hashable, Sendable {
        /// The next probe is due. `life` counts starts and rejoins.
        case probe(life: UInt64)
        /// The direct probe with this sequence number was not answered in time.
        case probeTimeout(sequence: UInt64)
        /// The probe that this node does for another one, with this sequence number of its own, was not answered in time.
        case relayTimeout(sequence: UInt64)
        /// The suspicion of a member may have lasted long enough.
        case suspicion(ActorID)
        case gossip(life: UInt64)
        case exchange(life: UInt64)
        case announce(life: UInt64)
        case forget(life: UInt64)
    }

    enum Phase: Hashable, Sendable { case idle, running, left }

    public let configuration: MembershipConfiguration
    /// This node, with its incarnation.
    public internal(set) var identity: Member
    /// What this node wants the peers that it probes, and those that probe it, to know.
    public var digest: Fingerprint = .zero

    let limits: Limits
    /// Stands before every packet: the envelope, which is the node's business.
    let prefix: [UInt8]
    /// Counts starts and rejoins, so that the timers of a former life are recognised.
    var life: UInt64 = 0
    var phase = Phase.idle
    /// Events handled so far.
    var events: UInt64 = 0

    /// Everybody, this node included.
    var members: MemberTable
    /// Of exactly the suspects.
    var suspicions: [ActorID: Suspicion] = [:]
    var updates = UpdateQueue()
    /// The sum of what identifies each present member: equal for equal lists.
    var view: Fingerprint

    var probeOrder = ProbeOrder()
    var probe: Probe?
    var lastSequence: UInt64
    var relays: [UInt64: Relay] = [:]
    /// How much this node doubts its own health: 0 to `healthCap` (Lifeguard's local health multiplier).
    var doubt = 0
    var probeDue = Instant.zero
    var isGossipScheduled = false
    /// A list was found to differ, or none was compared yet.
    var isExchangeUrgent = true
    var exchangesSkipped = 0

    var bootstrap: [Address]
    /// Members of an earlier run that were not heard of yet.
    var known: [MemberRecord]
    /// Who sent the first list after the start.
    var firstInformant: ActorID?
    /// Announcements since the node last knew somebody.
    var joinAttempts = 0
    var startedAt = Instant.zero

    var probeRandom: Random
    var gossipRandom: Random
    var timingRandom: Random
    /// Set by the node before the first event.
    var chaos = Chaos()

    /// - Parameters:
    ///   - identity: this node; its generation must be higher than in every earlier run.
    ///   - cluster: not looked at, because packets of other clusters do not get this far; kept for the signature's sake.
    ///   - bootstrap: where to look for the cluster first.
    ///   - known: the members that an earlier run knew, where to look next.
    ///   - limits: `datagramBytes` is what a datagram's body may have, without the prefix; at least 256 are assumed.
    ///   - prefix: what every packet that is sent begins with.
    public init(
        configuration: MembershipConfiguration, identity: MemberRecord, cluster: UInt16, bootstrap: [Address], known: [MemberRecord],
        limits: Limits, prefix: [UInt8] = [], random: Random
    ) {
        self.configuration = configuration.sane
        self.identity = Member(record: identity, incarnation: 0, state: .alive)
        self.limits = limits
        self.prefix = prefix
        self.bootstrap = bootstrap
        self.known = known.prefix(limits.members).filter { $0.actor != identity.actor && $0.address != identity.address }
        members = MemberTable(own: identity)
        view = Membership.viewElement(identity, incarnation: 0)
        probeRandom = random.fork("probe")
        gossipRandom = random.fork("gossip")
        timingRandom = random.fork("timing")
        // A random start keeps answers to an earlier run from being taken for answers to this one.
        lastSequence = timingRandom.next() >> 32
    }

    /// Takes one event and appends what is to be done about it.
    public mutating func handle(_ event: Event, now: Instant, into outputs: inout [Output]) {
        events += 1
        switch event {
        case .started:
            if phase == .idle { begin(now: now, into: &outputs) }
        case .datagramReceived(let bytes, let source):
            receive(bytes, from: source, reliably: false, now: now, into: &outputs)
        case .messageReceived(let bytes, let source):
            receive(bytes, from: source, reliably: true, now: now, into: &outputs)
        case .bootstrapResolved(let addresses):
            bootstrap = addresses
            if phase == .running, members.count == 1 { announce(now: now, into: &outputs) }
        case .deadlinePassed(let timer):
            if phase == .running { deadlinePassed(timer, now: now, into: &outputs) }
        case .leaveRequested:
            if phase != .left { leave(into: &outputs) }
        case .rejoinRequested:
            if phase != .idle { rejoin(now: now, into: &outputs) }
        }
    }

    /// The members that are alive or suspected, this node included, in ascending order of actor. O(n).
    public var alive: [MemberRecord] { Array(members) }

    /// Every member that is remembered, this node and those that are down or left included, in ascending order of actor. O(n).
    public var all: [Member] {
        var result: [Member] = []
        result.reserveCapacity(members.remembered)
        var gone = members.departed[...]
        for position in members.indices {
            let place = members.place(at: position)
            while let first = gone.first, members[first].record.actor < members[place].record.actor {
                result.append(member(at: gone.removeFirst()))
            }
            result.append(member(at: place))
        }
        for place in gone { result.append(member(at: place)) }
        return result
    }

    /// What is known of one member; this node included.
    public func member(_ actor: ActorID) -> Member? {
        guard let place = members.place(of: actor) else { return nil }
        return member(at: place)
    }

    private func member(at place: MemberTable.Place) -> Member {
        if place == MemberTable.own { return identity }
        let entry = members[place]
        return Member(
            record: entry.record, incarnation: entry.incarnation, state: entry.state, roundTrip: entry.roundTrip.smoothed)
    }

    private mutating func deadlinePassed(_ timer: Timer, now: Instant, into outputs: inout [Output]) {
        switch timer {
        case .probe(let life):
            if life == self.life { probePeriodPassed(now: now, into: &outputs) }
        case .probeTimeout(let sequence):
            probeTimedOut(sequence, now: now, into: &outputs)
        case .relayTimeout(let sequence):
            relayTimedOut(sequence, now: now, into: &outputs)
        case .suspicion(let actor):
            suspicionTimePassed(actor, now: now, into: &outputs)
        case .gossip(let life):
            if life == self.life { gossip(now: now, into: &outputs) }
        case .exchange(let life):
            if life == self.life { exchange(now: now, into: &outputs) }
        case .announce(let life):
            if life == self.life { announcePeriodPassed(now: now, into: &outputs) }
        case .forget(let life):
            if life == self.life { forget(now: now, into: &outputs) }
        }
    }
}
