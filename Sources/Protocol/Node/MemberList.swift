/// Which list of members is persisted, and whether a newer one should be.
///
/// The list is what a restarted node looks for its cluster with when no bootstrap address answers. For that a sample does as well
/// as the whole cluster, and costs each of thousands of nodes a hundred rows instead of thousands after every change.
struct MemberList: Sendable {
    private var persisted: [MemberRecord]
    /// True while the store has a list in hand.
    private(set) var isSaving = false
    /// True while a `saveMembers` timer is out.
    var isScheduled = false

    init(saved: [MemberRecord]) { persisted = saved.sorted { $0.actor < $1.actor } }

    /// The list to persist now; nil when nothing is to be done.
    mutating func next(_ members: [MemberRecord]) -> [MemberRecord]? {
        guard !isSaving, members != persisted else { return nil }
        isSaving = true
        return members
    }

    mutating func saved(_ members: [MemberRecord]) {
        persisted = members
        isSaving = false
    }

    /// The next upkeep tries again.
    mutating func failed() { isSaving = false }

    /// Up to `limit` members to persist, in ascending order of actor: all of a small cluster, else those whose hash together with the
    /// node's own is least. So every node keeps others, and a change of the members rarely changes the list.
    static func sample(of members: MemberTable, by own: ActorID, limit: Int) -> [MemberRecord] {
        guard members.count > limit else { return Array(members) }
        var best: [(score: UInt64, index: Int)] = []
        best.reserveCapacity(limit + 1)
        for (index, record) in members.enumerated() {
            let score = mixed(mixed(record.actor.high ^ own.low) ^ record.actor.low)
            if best.count == limit, let worst = best.last, worst.score <= score { continue }
            best.insert((score, index), at: best.partitioningIndex { $0.score > score })
            if best.count > limit { best.removeLast() }
        }
        return best.map(\.index).sorted().map { members[$0] }
    }
}
