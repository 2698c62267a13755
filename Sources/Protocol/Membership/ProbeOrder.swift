/// The order in which members are probed: round after round over all of them, each round in a new random order.
///
/// The order is drawn member by member (Fisher-Yates, one step a probe). New members enter at a random place. So the
/// time until some member probes a crashed one stays short on average, and nobody waits longer than two rounds (SWIM,
/// section 4.3).
struct ProbeOrder: Sendable {
    private(set) var members: [MemberTable.Place] = []
    /// Members before this index were probed in the present round.
    private(set) var position = 0

    init() {}

    /// The next member to probe; nil when there is none.
    mutating func next(using random: inout Random) -> MemberTable.Place? {
        guard !members.isEmpty else { return nil }
        if position == members.count { position = 0 }
        members.swapAt(position, position + random.below(members.count - position))
        defer { position += 1 }
        return members[position]
    }

    /// `member` must not be in the list.
    mutating func insert(_ member: MemberTable.Place, using random: inout Random) {
        if members.count == members.capacity { members.reserveCapacity(members.count + max(8, members.count / 4)) }
        let index = random.below(members.count + 1)
        members.insert(member, at: index)
        if index < position { position += 1 }
    }

    mutating func remove(_ member: MemberTable.Place) {
        guard let index = members.firstIndex(of: member) else { return }
        members.remove(at: index)
        if index < position { position -= 1 }
    }
}
