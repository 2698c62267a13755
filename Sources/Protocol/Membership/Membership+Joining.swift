/// Coming and going: the first contact, the ways in which parted halves find each other, the farewell.
extension Membership {
    /// Starts all periods. Each first one is drawn, so that nodes that start together do not stay in step.
    mutating func begin(now: Instant, into outputs: inout [Output]) {
        phase = .running
        life += 1
        startedAt = now
        probe = nil
        firstInformant = nil
        isGossipScheduled = false
        probeDue = now + timingRandom.duration(in: .zero...configuration.probePeriod)
        isExchangeUrgent = true
        outputs.append(.schedule(.probe(life: life), at: probeDue))
        outputs.append(.schedule(.exchange(life: life), at: now + exchangeDelay()))
        outputs.append(.schedule(.forget(life: life), at: now + forgetPeriod))
        announcePeriodPassed(now: now, into: &outputs)
    }

    // MARK: Announcements

    mutating func announcePeriodPassed(now: Instant, into outputs: inout [Output]) {
        announce(now: now, into: &outputs)
        var delay = timingRandom.duration(in: configuration.announceFloor...configuration.announceCap)
        if members.remembered == 1 {
            let doublings = min(joinAttempts, 20)
            joinAttempts += 1
            let retry = min(configuration.joinRetryFloor * (1 << doublings), configuration.joinRetryCap)
            delay = timingRandom.duration(in: retry / 2...retry * 3 / 2)
        } else {
            joinAttempts = 0
        }
        outputs.append(.schedule(.announce(life: life), at: now + delay))
    }

    /// Makes itself known to addresses from which it hears nothing: when alone, to a few of all that it ever heard of;
    /// else to one member that is down, one bootstrap address and one member of an earlier run. Whoever is there answers
    /// with the list of members.
    mutating func announce(now: Instant, into outputs: inout [Output]) {
        var addresses: [Address] = []
        let isAlone = members.count == 1
        sample(bootstrap, isAlone ? configuration.joinFanout : 1, into: &addresses)
        // The bootstrap addresses get the first chance: they are what the operator says today.
        if !isAlone || joinAttempts > 0 || bootstrap.isEmpty {
            dropFoundMembers()
            sample(known.map(\.address), isAlone ? configuration.joinFanout : 1, into: &addresses)
        }
        if let place = gossipRandom.element(of: members.departed), members[place].state == .down {
            let address = members[place].record.address
            if !addresses.contains(address) { addresses.append(address) }
        }
        let me = identity.record.address
        for address in addresses where address != me && !isPresent(address) { send(.announce, to: address, into: &outputs) }
    }

    /// Appends up to `count` different elements of `candidates` that are not there yet.
    private mutating func sample(_ candidates: [Address], _ count: Int, into addresses: inout [Address]) {
        var rest = candidates
        var wanted = count
        while wanted > 0, !rest.isEmpty {
            let address = rest.remove(at: gossipRandom.below(rest.count))
            guard address != identity.record.address, !addresses.contains(address) else { continue }
            addresses.append(address)
            wanted -= 1
        }
    }

    /// Members of an earlier run are of interest until they are heard of in this one.
    private mutating func dropFoundMembers() {
        if !known.isEmpty { known.removeAll { members.place(of: $0.actor) != nil } }
    }

    /// O(n), but only for a few addresses every some seconds.
    private func isPresent(_ address: Address) -> Bool { members.contains { $0.address == address } }

    // MARK: Lists

    /// Sends everything that is known of the members, in as many messages as it takes. An answer is wanted to the last.
    mutating func sendList(to address: Address, wantsAnswer: Bool, into outputs: inout [Output]) {
        let bytes = chaos.point(.listSplit) ? 1_024 : configuration.listMessageBytes
        let limit = min(bytes, limits.messageBytes) + prefix.count
        var writer = packet(.list(wantsAnswer: false), capacity: min(limit, 160 + 48 * members.remembered))
        // The last byte of the head says whether an answer is wanted. Only the last piece knows that it is the last.
        let head = writer.count
        for index in 0..<(members.count + members.departed.count) {
            let place = index < members.count ? members.place(at: index) : members.departed[index - members.count]
            guard place != MemberTable.own else { continue }
            let claim = claim(about: place)
            if writer.count + claim.encodedSize > limit, writer.count > head {
                emit(writer.bytes, to: address, reliably: true, into: &outputs)
                writer = packet(.list(wantsAnswer: false), capacity: limit)
            }
            claim.write(to: &writer)
        }
        if wantsAnswer { writer.replace(at: head - 1, with: 1) }
        emit(writer.bytes, to: address, reliably: true, into: &outputs)
    }

    /// Compares lists with one random member, so that what gossip missed is repaired.
    mutating func exchange(now: Instant, into outputs: inout [Output]) {
        outputs.append(.schedule(.exchange(life: life), at: now + exchangeDelay()))
        exchangesSkipped += 1
        // While news of many members is under way, lists differ all the time, and sending them whole helps nobody.
        let isDue = (isExchangeUrgent && !hasBacklog) || exchangesSkipped >= Membership.exchangeStep
        guard isDue, !chaos.point(.exchangeSkipped), let peer = pick(1).first else { return }
        exchangesSkipped = 0
        isExchangeUrgent = false
        send(.compare(view), to: peer.address, reliably: true, into: &outputs)
    }

    /// A list that was found to differ is compared again after the sixth part of a period, until one does not differ.
    private static let exchangeStep = 6

    private mutating func exchangeDelay() -> Duration {
        let step = configuration.exchangePeriod / Membership.exchangeStep
        return timingRandom.duration(in: step * 4 / 5...step * 6 / 5)
    }

    // MARK: Leaving and returning

    /// Says goodbye to some members, who tell the rest, and falls silent.
    mutating func leave(into outputs: inout [Output]) {
        if phase == .running {
            identity.state = .left
            for (index, peer) in pick(2 * configuration.gossipFanout).enumerated() {
                send(.gossip, to: peer.address, about: MemberTable.own, into: &outputs)
                if index < configuration.gossipFanout {
                    send(.gossip, to: peer.address, about: MemberTable.own, reliably: true, into: &outputs)
                }
            }
        }
        identity.state = .left
        phase = .left
        outputs.append(.notify(.left))
    }

    /// Takes a new generation, which overrides whatever the cluster believes of this node, and joins again.
    mutating func rejoin(now: Instant, into outputs: inout [Output]) {
        guard identity.record.generation < MemberClaim.counterLimit else { return }
        identity.state = .alive
        changeIdentity(generation: identity.record.generation + 1, incarnation: 0)
        joinAttempts = 0
        relays.removeAll()
        begin(now: now, into: &outputs)
        spread(MemberTable.own, now: now, into: &outputs)
        // Those it remembers tell what it missed.
        for peer in pick(configuration.joinFanout) { send(.announce, to: peer.address, into: &outputs) }
    }
}
