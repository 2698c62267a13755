/// The order in which members are probed: round after round over all of them, each round in a new random order.
///
/// The order is drawn member by member (Fisher-Yates, one step a probe). New members enter at a random place. So the
/// time until some member probes a crashed one stays short on average, and nobody waits longer than two rounds (SWIM,
/// section 4.3).
struct ProbeOrder: Sendable {
    private(set) var members: [ActorID] = []
    /// Members before this index were probed in the present round.
    private(set) var position = 0

    init() {}

    /// The next member to probe; nil when there is none.
    mutating func next(using random: inout Random) -> ActorID? {
        guard !members.isEmpty else { return nil }
        if position == members.count { position = 0 }
        members.swapAt(position, position + random.below(members.count - position))
        defer { position += 1 }
        return members[position]
    }

    /// `actor` must not be in the list.
    mutating func insert(_ actor: ActorID, using random: inout Random) {
        let index = random.below(members.count + 1)
        members.insert(actor, at: index)
        if index < position { position += 1 }
    }

    mutating func remove(_ actor: ActorID) {
        guard let index = members.firstIndex(of: actor) else { return }
        members.remove(at: index)
        if index < position { position -= 1 }
    }
}
