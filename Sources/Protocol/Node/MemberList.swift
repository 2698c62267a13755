/// Which list of members is persisted, and whether a newer one should be.
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
}
