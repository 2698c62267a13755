/// One node of the cluster: the same value drives a simulated node and a real agent.
public struct Node: ~Copyable {
    /// The node's own deadlines.
    public enum Timer: Hashable, Sendable {
        /// The members changed a moment ago: persist them.
        case saveMembers
        /// Regular upkeep: persist the members if their list differs from what was saved.
        case maintenance
    }

    public let configuration: NodeConfiguration
    /// What is known of every actor's versions; equal to the store's once the store has answered everything.
    public private(set) var ledger: VersionLedger

    /// - Parameters:
    ///   - ledger: what the store knew when it was opened.
    ///   - members: the members that were persisted, to rejoin through when no bootstrap address answers.
    public init(configuration: NodeConfiguration, ledger: VersionLedger, members: [MemberRecord]) {
        self.configuration = configuration
        self.ledger = ledger
    }

    /// Takes one event and appends what the node wants done about it. Never suspends, blocks, reads a clock, or fails
    /// because of a peer's input.
    public mutating func handle(_ event: Event, now: Instant, into effects: inout Effects) {}

    /// Every member that is remembered, this node included, in ascending order of actor.
    public var members: [Member] { [] }

    /// Traps with a sentence when a state that must never occur has occurred.
    public func checkInvariants() {}
}
