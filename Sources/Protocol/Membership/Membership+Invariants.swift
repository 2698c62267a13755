extension Membership {
    /// Traps with a sentence when a state that must never occur has occurred.
    ///
    /// Meant to be called after every event in simulation: it looks at the counts and at a window of some members that
    /// moves on from event to event. Small clusters are checked whole.
    public func checkInvariants() {
        checkCounts()
        let window = 16
        if alive.count <= window {
            checkMembers(alive.indices)
        } else {
            let start = Int(events % UInt64(alive.count))
            checkMembers(start..<min(start + window, alive.count))
        }
    }

    /// Everything, in time proportional to the members.
    func checkEverything() {
        checkCounts()
        checkMembers(alive.indices)
        var sum = Fingerprint.zero
        for record in alive {
            guard let member = member(record.actor) else { preconditionFailure("an alive member is not known") }
            sum += Membership.viewElement(record, incarnation: member.incarnation)
        }
        precondition(sum == view, "the sum of the view is not that of its members")
        for (index, actor) in departed.enumerated() {
            precondition(index == 0 || departed[index - 1] < actor, "the departed members are not in order")
            guard let entry = entries[actor] else { preconditionFailure("a departed member is not among the entries") }
            precondition(!entry.state.isPresent, "a member is departed and present at once")
        }
        precondition(
            probeOrder.members.sorted() == alive.map(\.actor).filter { $0 != identity.record.actor },
            "the members to probe are not the members that are present")
        var suspects = 0
        for record in alive where entries[record.actor]?.state == .suspect { suspects += 1 }
        precondition(suspects == suspicions.count, "there are as many suspicions as suspects")
    }

    private func checkCounts() {
        precondition(entries.count == alive.count - 1 + departed.count, "every member is present or departed")
        precondition(probeOrder.members.count == alive.count - 1, "exactly the present members are probed")
        precondition(probeOrder.position <= probeOrder.members.count, "the probe round stands behind its end")
        precondition(suspicions.count < alive.count, "only present members are suspected")
        precondition(updates.count <= entries.count + 1, "news is spread of nobody")
        precondition(entries.count < max(limits.members, 1), "more members are remembered than the limit says")
        precondition(relays.count <= limits.relayedProbes, "more probes are relayed than the limit says")
        precondition((0...configuration.healthCap).contains(doubt), "the doubt in the own health is out of its bounds")
        precondition((identity.state == .left) == (phase == .left), "whoever left is in the phase of having left")
    }

    private func checkMembers(_ indices: Range<Int>) {
        for index in indices {
            let record = alive[index]
            if index > 0 { precondition(alive[index - 1].actor < record.actor, "the alive members are not in order") }
            if record.actor == identity.record.actor {
                precondition(record == identity.record, "this node's record among the alive is not its identity")
                continue
            }
            guard let entry = entries[record.actor] else { preconditionFailure("an alive member is not among the entries") }
            precondition(entry.record == record, "a record among the alive is not that of its entry")
            precondition(entry.state.isPresent, "a member is alive and departed at once")
            precondition((entry.state == .suspect) == (suspicions[record.actor] != nil), "exactly the suspects have a suspicion")
        }
    }
}
