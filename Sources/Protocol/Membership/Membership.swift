/// Who is in the cluster, and who is alive: SWIM with Lifeguard's three extensions.
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

    public let configuration: MembershipConfiguration
    /// This node, with its incarnation.
    public private(set) var identity: Member
    /// The members that are alive or suspected, this node included, in ascending order of actor.
    public private(set) var alive: [MemberRecord]
    /// What the node wants every peer that it probes, and every peer that probes it, to know.
    public var digest: Fingerprint = .zero

    /// - Parameters:
    ///   - bootstrap: where to look for the cluster first.
    ///   - known: the members that an earlier run knew, where to look next.
    ///   - limits: `datagramBytes` is what a datagram's body may have, without the envelope.
    public init(
        configuration: MembershipConfiguration, identity: MemberRecord, cluster: UInt16, bootstrap: [Address], known: [MemberRecord],
        limits: Limits, random: Random
    ) {
        self.configuration = configuration.sane
        self.identity = Member(record: identity, incarnation: 0, state: .alive)
        alive = [identity]
    }

    /// Takes one event and appends what is to be done about it.
    public mutating func handle(_ event: Event, now: Instant, into outputs: inout [Output]) {}

    /// Every member that is remembered, this node and those that are down or left included, in ascending order of actor. O(n).
    public var all: [Member] { [identity] }

    /// What is known of one member; this node included.
    public func member(_ actor: ActorID) -> Member? { actor == identity.record.actor ? identity : nil }

    /// Traps with a sentence when a state that must never occur has occurred. Cheap: it looks at a few members at a time.
    public func checkInvariants() {}
}
