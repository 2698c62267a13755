/// What becomes of news: which claim wins, and what changes when one does.
extension Membership {
    /// Takes note of a claim that `sender` made. In a `wholesale` claim, a piece of a member list, "down" may be
    /// much older than what is known here; it counts as a suspicion, so that the member is heard first.
    mutating func learn(
        _ claim: MemberClaim, by sender: ActorID, wholesale: Bool, now: Instant, into outputs: inout [Output]
    ) {
        let actor = claim.record.actor
        guard actor != identity.record.actor else { return learnAboutSelf(claim, now: now, into: &outputs) }
        guard let entry = entries[actor] else {
            // Nobody who is not there needs to be introduced. (And whoever was forgotten stays forgotten.)
            guard claim.state.isPresent else { return }
            guard entries.count + 1 < limits.members else {
                outputs.append(.measure(.dropped(.members)))
                return
            }
            // What the first list introduces, those who sent it spread already. Doing it too helps when many join together,
            // as long as there is little of it.
            let isSpread = hasBacklog && wholesale && sender == firstInformant
            return adopt(claim, over: nil, isNews: !isSpread, now: now, into: &outputs)
        }
        var claim = claim
        if wholesale, claim.state == .down, entry.state.isPresent {
            claim.state = .suspect
            claim.marks = [MemberClaim.mark(of: sender)]
        }
        let present = Member.Precedence(
            generation: entry.record.generation, incarnation: entry.incarnation, state: entry.state)
        if claim.precedence > present {
            adopt(claim, over: entry, now: now, into: &outputs)
        } else if claim.precedence == present {
            if claim.state == .suspect, confirm(actor, by: claim.marks, now: now, into: &outputs) { return }
            // Only a backlog is worth saving at; otherwise sending more than is needed is what beats loss.
            if hasBacklog, actor != sender { updates.heard(actor) }
        }
    }

    /// Makes a claim what this node believes. It must be about another member, and win over `former`.
    mutating func adopt(
        _ claim: MemberClaim, over former: Entry?, isNews: Bool = true, now: Instant, into outputs: inout [Output]
    ) {
        let actor = claim.record.actor
        let wasPresent = former?.state.isPresent ?? false
        var entry = former ?? Entry(record: claim.record, incarnation: claim.incarnation, state: claim.state, since: now)
        if wasPresent, let former { view -= Membership.viewElement(former.record, incarnation: former.incarnation) }
        if claim.state.isPresent { view += Membership.viewElement(claim.record, incarnation: claim.incarnation) }
        if entry.record.address != claim.record.address { entry.roundTrip = RoundTripEstimate() }
        if wasPresent != claim.state.isPresent { entry.since = now }
        entry.record = claim.record
        entry.incarnation = claim.incarnation
        entry.state = claim.state
        entries[actor] = entry

        switch (wasPresent, claim.state.isPresent) {
        case (true, true):
            if former?.record != claim.record { alive[aliveIndex(of: actor)] = claim.record }
        case (false, true):
            alive.insert(claim.record, at: aliveIndex(of: actor))
            probeOrder.insert(actor, using: &probeRandom)
            if former != nil { departed.remove(at: departedIndex(of: actor)) }
        case (true, false):
            alive.remove(at: aliveIndex(of: actor))
            probeOrder.remove(actor)
            departed.insert(actor, at: departedIndex(of: actor))
        case (false, false):
            break
        }
        if claim.state == .suspect {
            suspicions[actor] = beginSuspicion(of: actor, by: claim.marks, now: now, into: &outputs)
        } else {
            suspicions[actor] = nil
        }
        notify(claim, over: former, into: &outputs)
        if isNews { spread(actor, now: now, into: &outputs) }
    }

    private func notify(_ claim: MemberClaim, over former: Entry?, into outputs: inout [Output]) {
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
        spread(identity.record.actor, now: now, into: &outputs)
    }

    mutating func changeIdentity(generation: UInt64, incarnation: UInt64) {
        view -= Membership.viewElement(identity.record, incarnation: identity.incarnation)
        identity.record.generation = generation
        identity.incarnation = incarnation
        view += Membership.viewElement(identity.record, incarnation: incarnation)
        alive[aliveIndex(of: identity.record.actor)] = identity.record
    }

    /// Drops members that have been gone for long enough, and looks again later.
    mutating func forget(now: Instant, into outputs: inout [Output]) {
        var kept: [ActorID] = []
        for actor in departed {
            guard let entry = entries[actor] else { preconditionFailure("a departed member is not among the entries") }
            let memory = entry.state == .left ? configuration.forgetLeftAfter : configuration.forgetDownAfter
            if now - entry.since < memory {
                kept.append(actor)
            } else {
                entries[actor] = nil
                updates.remove(actor)
            }
        }
        departed = kept
        if now - startedAt >= configuration.forgetDownAfter { known.removeAll() }
        outputs.append(.schedule(.forget(life: life), at: now + forgetPeriod))
    }

    var forgetPeriod: Duration {
        let shortest = min(configuration.forgetDownAfter, configuration.forgetLeftAfter) / 8
        return min(max(shortest, .seconds(1)), .seconds(600))
    }

    // MARK: Places in the sorted arrays

    /// Where `actor` is in `alive`, or belongs.
    func aliveIndex(of actor: ActorID) -> Int {
        var (low, high) = (0, alive.count)
        while low < high {
            let middle = (low + high) / 2
            if alive[middle].actor < actor { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Where `actor` is in `departed`, or belongs.
    func departedIndex(of actor: ActorID) -> Int {
        var (low, high) = (0, departed.count)
        while low < high {
            let middle = (low + high) / 2
            if departed[middle] < actor { low = middle + 1 } else { high = middle }
        }
        return low
    }

    static func viewElement(_ record: MemberRecord, incarnation: UInt64) -> Fingerprint {
        var hasher = Fingerprint.Hasher(seed: 0x6D65_6D62_6572)
        hasher.combine(record.actor)
        hasher.combine(record.generation)
        hasher.combine(incarnation)
        return hasher.finish()
    }
}
