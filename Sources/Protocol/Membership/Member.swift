/// A member as this node sees it.
public struct Member: Hashable, Sendable {
    public var record: MemberRecord
    /// Raised by the member itself, and by nobody else, to say that news about it is wrong.
    public var incarnation: UInt64
    public var state: State
    /// Smoothed round-trip time of probes; nil before the first answer.
    public var roundTrip: Duration?

    public init(record: MemberRecord, incarnation: UInt64, state: State, roundTrip: Duration? = nil) {
        self.record = record
        self.incarnation = incarnation
        self.state = state
        self.roundTrip = roundTrip
    }

    /// In the order of precedence: of two claims about the same generation and incarnation the later case wins.
    public enum State: UInt8, Hashable, Sendable, CaseIterable, Comparable {
        case alive
        /// A probe of it failed; it has some seconds to object.
        case suspect
        /// It did not object. It can still come back, by objecting later.
        case down
        /// It said goodbye.
        case left

        public static func < (left: State, right: State) -> Bool { left.rawValue < right.rawValue }

        /// True while the member takes part: it is sent broadcasts and synced with.
        public var isPresent: Bool {
            switch self {
            case .alive, .suspect: true
            case .down, .left: false
            }
        }
    }

    /// Which of two claims about one member wins: the greater. Lexicographic by generation, incarnation, state.
    struct Precedence: Hashable, Comparable, Sendable {
        let generation: UInt64
        let incarnation: UInt64
        let state: State

        static func < (left: Precedence, right: Precedence) -> Bool {
            (left.generation, left.incarnation, left.state) < (right.generation, right.incarnation, right.state)
        }
    }

    var precedence: Precedence { Precedence(generation: record.generation, incarnation: incarnation, state: state) }
}
