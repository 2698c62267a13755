extension Membership {
    /// Traps with a sentence when a state that must never occur has occurred.
    ///
    /// Meant to be called after every event in simulation: it looks at the counts and at a window of some members that
    /// moves on from event to event. Small clusters are checked whole.
    public func checkInvariants() {
        checkCounts()
        let window = 16
        if members.count <= window {
            checkMembers(members.indices)
        } else {
            let start = Int(events % UInt64(members.count))
            checkMembers(start..<min(start + window, members.count))
        }
    }

    /// Everything, in time proportional to the members.
    func checkEverything() {
        checkCounts()
        members.checkInvariants()
        checkMembers(members.indices)
        var sum = Fingerprint.zero
        for record in members {
            guard let member = member(record.actor) else { preconditionFailure("a present member is not known") }
            sum += Membership.viewElement(record, incarnation: member.incarnation)
        }
        precondition(sum == view, "the sum of the view is not that of its members")
        let members = members
        let places = members.indices.map { members.place(at: $0) }
        precondition(
            probeOrder.members.sorted() == places.filter { $0 != MemberTable.own }.sorted(),
            "the members to probe are not the members that are present")
        let suspects = places.count(where: { members[$0].state == .suspect })
        precondition(suspects == suspicions.count, "there are as many suspicions as suspects")
    }

    private func checkCounts() {
        precondition(members.remembered == members.count + members.departed.count, "every member is present or departed")
        precondition(probeOrder.members.count == members.count - 1, "exactly the present members are probed")
        precondition(probeOrder.position <= probeOrder.members.count, "the probe round stands behind its end")
        precondition(suspicions.count < members.count, "only present members are suspected")
        precondition(updates.count <= members.remembered, "news is spread of nobody")
        precondition(members.remembered <= max(limits.members, 1), "more members are remembered than the limit says")
        precondition(relays.count <= limits.relayedProbes, "more probes are relayed than the limit says")
        precondition((0...configuration.healthCap).contains(doubt), "the doubt in the own health is out of its bounds")
        precondition((identity.state == .left) == (phase == .left), "whoever left is in the phase of having left")
    }

    private func checkMembers(_ indices: Range<Int>) {
        for index in indices {
            let place = members.place(at: index)
            let entry = members[place]
            if index > 0 { precondition(members[index - 1].actor < entry.record.actor, "the present members are not in order") }
            if place == MemberTable.own {
                precondition(entry.record == identity.record, "this node's record among the members is not its identity")
                continue
            }
            precondition(entry.state.isPresent, "a member is present and departed at once")
            precondition(
                (entry.state == .suspect) == (suspicions[entry.record.actor] != nil), "exactly the suspects have a suspicion")
        }
    }
}
