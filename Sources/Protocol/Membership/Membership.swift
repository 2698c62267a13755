public struct MembershipConfiguration: Hashable, Sendable {
    public init() {}
}

public struct Membership: ~Copyable {
    public enum Timer: Hashable, Sendable { case probe }
}

/// A member as this node sees it.
public struct Member: Hashable, Sendable {
    public var record: MemberRecord
    public var incarnation: UInt64
    public var state: State
    /// Smoothed round-trip time of probes; nil before the first answer.
    public var roundTrip: Duration?

    public enum State: UInt8, Hashable, Sendable, CaseIterable { case alive, suspect, down, left }
}
