/// The members: what others may read of them, and how they are persisted.
extension Node {
    /// Every member that is remembered, this node included, in ascending order of actor.
    public var members: [Member] { membership.all }

    /// Alive and suspected members, this node included.
    public var aliveMembers: [MemberRecord] { membership.alive }

    mutating func membersChanged(_ notice: Notice, now: Instant, into effects: inout Effects) {
        switch notice {
        case .memberUp(let record):
            sync.memberUp(record.actor, now: now, into: &syncOutputs)
        case .memberDown, .memberLeft:
            break
        case .memberSuspected, .refuted, .left, .versionApplied, .malformed, .chunkRefused, .storeFailed:
            return
        }
        // A wave of changes is one write.
        guard !memberList.isScheduled else { return }
        memberList.isScheduled = true
        effects.append(.schedule(.node(.saveMembers), at: now + configuration.memberSaveDelay))
    }

    mutating func passed(_ timer: Timer, now: Instant, into effects: inout Effects) {
        switch timer {
        case .saveMembers: memberList.isScheduled = false
        case .maintenance: effects.append(.schedule(.node(.maintenance), at: now + configuration.maintenanceInterval))
        }
        let sample = MemberList.sample(of: membership.members, by: configuration.actor, limit: configuration.limits.savedMembers)
        guard let list = memberList.next(sample) else { return }
        effects.append(.store(.saveMembers(list), operations.give(.saveMembers(list))))
    }
}
