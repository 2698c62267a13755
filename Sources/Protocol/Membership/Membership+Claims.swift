/// What becomes of news: which claim wins, and what changes when one does.
extension Membership {
    /// Takes note of a claim that `sender` made. In a `wholesale` claim, a piece of a member list, "down" may be
    /// much older than what is known here; it counts as a suspicion, so that the member is heard first. So does a rumour.
    /// - Parameter known: the member's place, if that has been looked up; nil when it was not remembered then, or is not known.
    mutating func learn(
        _ claim: MemberClaim, about known: MemberTable.Place? = nil, by sender: ActorID, wholesale: Bool, now: Instant,
        into outputs: inout [Output]
    ) {
        guard let place = known ?? members.place(of: claim.record.actor) else {
            // Nobody who is not there needs to be introduced. (And whoever was forgotten stays forgotten.)
            guard claim.state.isPresent else { return }
            guard members.remembered < limits.members else {
                outputs.append(.measure(.dropped(.members)))
                return
            }
            // What the first list introduces, those who sent it spread already. Doing it too helps when many join together,
            // as long as there is little of it.
            let isSpread = hasBacklog && wholesale && sender == firstInformant
            return adopt(claim, at: nil, isNews: !isSpread, now: now, into: &outputs)
        }
        guard place != MemberTable.own else { return learnAboutSelf(claim, now: now, into: &outputs) }
        let present = members[place].precedence
        if claim.precedence == present {
            if claim.state == .suspect, confirm(claim.record.actor, by: claim.marks, now: now, into: &outputs) { return }
            // Only a backlog is worth saving at; otherwise sending more than is needed is what beats loss.
            if hasBacklog, claim.record.actor != sender { updates.heard(place, weight: hearingWeight) }
            return
        }
        var claim = claim
        var isRumour = false
        if claim.state == .down, present.state.isPresent {
            isRumour = !wholesale && self.isRumour(about: claim.record.actor, now: now)
            if wholesale || isRumour {
                claim.state = .suspect
                claim.marks = [MemberClaim.mark(of: sender)]
            }
        }
        if claim.state == .suspect, claim.precedence == present {
            confirm(claim.record.actor, by: claim.marks, now: now, into: &outputs)
        } else if claim.precedence > present {
            adopt(claim, at: place, now: now, into: &outputs)
        } else {
            return
        }
        if isRumour { hasten(claim.record.actor, into: &outputs) }
    }

    /// Whether it is too early to believe that a member is down which is present here. In a cluster that is whole the suspicion was heard
    /// of seconds before; where it was not, the news comes from the other side of a cut that has healed, or an objection is on its way.
    private func isRumour(about actor: ActorID, now: Instant) -> Bool {
        if configuration.mutants.contains(.rumourBelieved) { return false }
        guard let suspicion = suspicions[actor] else { return true }
        return now - suspicion.started < suspicionTime(confirmations: configuration.confirmations) / 2
    }

    /// Makes a claim what this node believes. It must be about another member, and win over what is known in `place`; nil when the
    /// member is not remembered.
    mutating func adopt(
        _ claim: MemberClaim, at place: MemberTable.Place?, isNews: Bool = true, now: Instant, into outputs: inout [Output]
    ) {
        let former = place.map { members[$0] }
        let wasPresent = former?.state.isPresent ?? false
        let isPresent = claim.state.isPresent
        if wasPresent, let former { view -= Membership.viewElement(former.record, incarnation: former.incarnation) }
        if isPresent { view += Membership.viewElement(claim.record, incarnation: claim.incarnation) }
        var entry = former ?? MemberTable.Entry(record: claim.record, state: claim.state, incarnation: claim.incarnation, since: now)
        if entry.record.address != claim.record.address { entry.roundTrip = RoundTripEstimate() }
        if wasPresent != isPresent { entry.since = now }
        entry.record = claim.record
        entry.incarnation = claim.incarnation
        entry.state = claim.state
        let known: MemberTable.Place
        if let place {
            known = place
            members[place] = entry
            if wasPresent != isPresent { members.moved(place) }
        } else {
            known = members.insert(entry)
        }
        if !wasPresent, isPresent { probeOrder.insert(known, using: &probeRandom) }
        if wasPresent, !isPresent { probeOrder.remove(known) }
        if claim.state == .suspect {
            suspicions[claim.record.actor] = beginSuspicion(of: claim.record.actor, by: claim.marks, now: now, into: &outputs)
        } else if former?.state == .suspect {
            suspicions[claim.record.actor] = nil
        }
        notify(claim, over: former, into: &outputs)
        if isNews { spread(known, now: now, into: &outputs) }
    }

    private func notify(_ claim: MemberClaim, over former: MemberTable.Entry?, into outputs: inout [Output]) {
        let wasPresent = former?.state.isPresent ?? false
        let isNew = !wasPresent || former?.record.generation != claim.record.generation
        switch claim.state {
        case .alive:
            if isNew { outputs.append(.notify(.memberUp(claim.record))) }
        case .suspect:
            if isNew { outputs.append(.notify(.memberUp(claim.record))) }
            outputs.append(.notify(.memberSuspected(claim.record)))
        case .down:
            if wasPresent { outputs.append(.notify(.memberDown(claim.record))) }
        case .left:
            if wasPresent { outputs.append(.notify(.memberLeft(claim.record))) }
        }
    }

    /// Objects to a claim about this node that is not older than what it says itself.
    mutating func learnAboutSelf(_ claim: MemberClaim, now: Instant, into outputs: inout [Output]) {
        if configuration.mutants.contains(.suspicionNeverRefuted), claim.state == .suspect { return }
        var generation = identity.record.generation
        var incarnation: UInt64
        if claim.record.generation > generation {
            // Another run of this node was there after us: its database was restored from a backup, or copied.
            generation = claim.record.generation + 1
            incarnation = 0
        } else if claim.record.generation < generation {
            return
        } else if claim.record.address != identity.record.address {
            generation += 1
            incarnation = 0
        } else if claim.incarnation > identity.incarnation {
            incarnation = claim.incarnation + 1
        } else if claim.incarnation == identity.incarnation, claim.state > .alive {
            incarnation = claim.incarnation + 1
        } else {
            return
        }
        if configuration.mutants.contains(.incarnationNotRaised) { incarnation = identity.incarnation }
        if incarnation > MemberClaim.counterLimit {
            generation += 1
            incarnation = 0
        }
        // Nobody would read a higher one. Only forged claims lead here.
        guard generation <= MemberClaim.counterLimit else { return }
        // To be suspected without reason is a sign that this node is too slow.
        if claim.state > .alive { adjustDoubt(by: 1) }
        changeIdentity(generation: generation, incarnation: incarnation)
        outputs.append(.notify(.refuted(incarnation: incarnation)))
        spread(MemberTable.own, now: now, into: &outputs)
    }

    mutating func changeIdentity(generation: UInt64, incarnation: UInt64) {
        view -= Membership.viewElement(identity.record, incarnation: identity.incarnation)
        identity.record.generation = generation
        identity.incarnation = incarnation
        view += Membership.viewElement(identity.record, incarnation: incarnation)
        members[MemberTable.own].record = identity.record
        members[MemberTable.own].incarnation = incarnation
    }

    /// Drops members that have been gone for long enough, and looks again later.
    mutating func forget(now: Instant, into outputs: inout [Output]) {
        let configuration = configuration
        let forgotten = members.forget { entry in
            now - entry.since >= (entry.state == .left ? configuration.forgetLeftAfter : configuration.forgetDownAfter)
        }
        for place in forgotten { updates.remove(place) }
        if now - startedAt >= configuration.forgetDownAfter { known.removeAll() }
        outputs.append(.schedule(.forget(life: life), at: now + forgetPeriod))
    }

    var forgetPeriod: Duration {
        let shortest = min(configuration.forgetDownAfter, configuration.forgetLeftAfter) / 8
        return min(max(shortest, .seconds(1)), .seconds(600))
    }

    static func viewElement(_ record: MemberRecord, incarnation: UInt64) -> Fingerprint {
        var hasher = Fingerprint.Hasher(seed: 0x6D65_6D62_6572)
        hasher.combine(record.actor)
        hasher.combine(record.generation)
        hasher.combine(incarnation)
        return hasher.finish()
    }
}

extension MemberTable.Entry {
    var precedence: Member.Precedence { Member.Precedence(generation: record.generation, incarnation: incarnation, state: state) }
}
