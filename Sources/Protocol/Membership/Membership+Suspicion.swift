/// A member that did not answer, and the time that it has to object.
struct Suspicion: Hashable, Sendable {
    let started: Instant
    /// Marks of those whose probes failed.
    var marks: SuspicionMarks
    /// When the member is declared down. Comes nearer with each mark.
    var deadline: Instant
}

/// Lifeguard's dynamic suspicion: the fewer members confirm it, the longer it lasts, because one accuser may be the
/// one whose network is broken.
extension Membership {
    mutating func beginSuspicion(of actor: ActorID, by marks: SuspicionMarks, now: Instant, into outputs: inout [Output]) -> Suspicion {
        let deadline = now + suspicionTime(confirmations: marks.count - 1)
        outputs.append(.schedule(.suspicion(actor), at: deadline))
        return Suspicion(started: now, marks: marks, deadline: deadline)
    }

    /// Others suspect the suspect `actor` too. News about it is spread again while it may still shorten the suspicion. Returns
    /// whether there was any.
    @discardableResult
    mutating func confirm(_ actor: ActorID, by marks: SuspicionMarks, now: Instant, into outputs: inout [Output]) -> Bool {
        guard var suspicion = suspicions[actor] else {
            preconditionFailure("a member is confirmed as suspect, but no suspicion of it is known")
        }
        var grew = false
        for mark in marks where suspicion.marks.count < SuspicionMarks.limit && !suspicion.marks.contains(mark) {
            suspicion.marks.append(mark)
            grew = true
        }
        guard grew else { return false }
        let deadline = suspicion.started + suspicionTime(confirmations: suspicion.marks.count - 1)
        if deadline < suspicion.deadline {
            suspicion.deadline = deadline
            outputs.append(.schedule(.suspicion(actor), at: max(deadline, now)))
        }
        suspicions[actor] = suspicion
        if let place = members.place(of: actor) { spread(place, now: now, into: &outputs) }
        return true
    }

    /// A suspect was declared down elsewhere: its suspicion lasts as long here as one that enough members have confirmed.
    mutating func hasten(_ actor: ActorID, into outputs: inout [Output]) {
        guard let suspicion = suspicions[actor] else { return }
        let deadline = suspicion.started + suspicionTime(confirmations: configuration.confirmations)
        guard deadline < suspicion.deadline else { return }
        suspicions[actor]?.deadline = deadline
        outputs.append(.schedule(.suspicion(actor), at: deadline))
    }

    /// This node's own probe of `actor` failed.
    mutating func suspect(_ actor: ActorID, now: Instant, into outputs: inout [Output]) {
        guard let place = members.place(of: actor) else { return }
        let entry = members[place]
        let mark = MemberClaim.mark(of: identity.record.actor)
        switch entry.state {
        case .alive:
            let claim = MemberClaim(record: entry.record, incarnation: entry.incarnation, state: .suspect, marks: [mark])
            adopt(claim, at: place, now: now, into: &outputs)
        case .suspect:
            confirm(actor, by: [mark], now: now, into: &outputs)
        case .down, .left:
            return
        }
        // Tell the suspect on the way that loses nothing; its objection comes back with its next packets.
        send(.gossip, to: entry.record.address, about: actor, reliably: true, into: &outputs)
    }

    mutating func suspicionTimePassed(_ actor: ActorID, now: Instant, into outputs: inout [Output]) {
        // Nil when the member objected, left or was declared down by another; early when this is the timer of an older
        // suspicion, or of a deadline that has moved.
        guard let suspicion = suspicions[actor], now >= suspicion.deadline, let place = members.place(of: actor) else {
            if configuration.mutants.contains(.staleTimerObeyed), let place = members.place(of: actor) {
                let claim = MemberClaim(record: members[place].record, incarnation: members[place].incarnation, state: .down)
                adopt(claim, at: place, now: now, into: &outputs)
            }
            return
        }
        if now - suspicion.deadline > configuration.stallTolerance {
            // The process stood still. The objection may be among the packets that wait to be read.
            let deadline = now + suspicionTime(confirmations: configuration.confirmations)
            suspicions[actor]?.deadline = deadline
            outputs.append(.schedule(.suspicion(actor), at: deadline))
            return
        }
        if chaos.point(.suspicionLate) {
            let deadline = now + .milliseconds(500)
            suspicions[actor]?.deadline = deadline
            outputs.append(.schedule(.suspicion(actor), at: deadline))
            return
        }
        let claim = MemberClaim(record: members[place].record, incarnation: members[place].incarnation, state: .down)
        adopt(claim, at: place, now: now, into: &outputs)
    }

    /// How long a suspicion lasts that was confirmed so many times.
    func suspicionTime(confirmations: Int) -> Duration {
        if configuration.mutants.contains(.suspicionNotWaited) { return .milliseconds(1) }
        // News crosses the cluster in time proportional to the logarithm of its size.
        let scale = max(7, bitWidth(members.count))
        let floor = configuration.suspicionFloor * scale / 7
        let cap = configuration.suspicionCap * scale / 7
        // Only those who are neither the suspect nor its first accuser can confirm.
        let possible = min(configuration.confirmations, max(0, members.count - 2))
        guard confirmations < possible else { return floor }
        // log(c + 1) / log(k + 1) in thousandths, for k possible confirmations of which c were made.
        let share = [[0], [0, 631], [0, 500, 792]][possible - 1][max(0, confirmations)]
        return cap - (cap - floor) * share / 1_000
    }
}
