import PatinaProtocol

/// The checker `no-resurrection`.
///
/// Verified, for each observer while its process lives: a member that it declared down, or that left, does not come up again with the same
/// or an older generation. Not verified: what an observer forgot after a restart, or after `forget_down_after`.
struct Departures {
    private struct Key: Hashable {
        let observer: Int
        let life: Int
        let actor: ActorID
    }

    private var generations: [Key: UInt64] = [:]

    mutating func departed(_ record: MemberRecord, at observer: Int, life: Int) {
        let key = Key(observer: observer, life: life, actor: record.actor)
        generations[key] = max(generations[key] ?? 0, record.generation)
    }

    func isResurrection(_ record: MemberRecord, at observer: Int, life: Int) -> Bool {
        guard let gone = generations[Key(observer: observer, life: life, actor: record.actor)] else { return false }
        return record.generation <= gone
    }
}
