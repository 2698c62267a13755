/// Packets in and out: what every packet has in common, and who deals with what is special.
extension Membership {
    mutating func receive(
        _ bytes: ArraySlice<UInt8>, from source: Address, reliably: Bool, now: Instant, into outputs: inout [Output]
    ) {
        outputs.append(.measure(.received(.membership, bytes: prefix.count + bytes.count)))
        guard phase == .running else { return }
        let packet: MembershipPacket
        do { packet = try MembershipPacket(bytes) } catch {
            outputs.append(.notify(.malformed(from: source, reason: "a membership packet: \(error)")))
            return
        }
        for _ in 0..<packet.skipped { outputs.append(.measure(.skipped(.membership))) }

        let sender = packet.sender.actor
        let present = MemberClaim(record: packet.sender, incarnation: packet.incarnation, state: .alive)
        guard sender != identity.record.actor else {
            // An echo of our own packet says nothing new. A copy of our database, or our former life, does.
            learnAboutSelf(present, now: now, into: &outputs)
            return
        }
        learn(present, by: sender, wholesale: false, now: now, into: &outputs)
        let incarnation = identity.incarnation
        var isList = false
        if case .list = packet.body { isList = true }
        if isList, firstInformant == nil { firstInformant = sender }
        let places = members.places(of: packet.claims)
        for (claim, place) in zip(packet.claims, places) {
            learn(claim, about: place, by: sender, wholesale: isList, now: now, into: &outputs)
        }
        answer(packet, reliably: reliably, now: now, into: &outputs)
        // Who accuses us must hear the objection, whatever becomes of the gossip.
        if incarnation != identity.incarnation { send(.gossip, to: packet.sender.address, reliably: true, into: &outputs) }
    }

    private mutating func answer(_ packet: MembershipPacket, reliably: Bool, now: Instant, into outputs: inout [Output]) {
        let sender = packet.sender
        switch packet.body {
        case .ping(let sequence, let target, let digest):
            outputs.append(.digestHeard(from: sender.actor, digest))
            // Whoever holds the address of another one must not answer for it.
            guard target == identity.record.actor else { return tellIfDown(sender, into: &outputs) }
            if chaos.point(.answerWithheld) { return }
            let body = MembershipPacket.Body.acknowledgement(sequence: sequence, subject: target, digest: self.digest)
            send(body, to: sender.address, about: sender.actor, reliably: reliably, into: &outputs)
        case .acknowledgement(let sequence, let subject, let digest):
            outputs.append(.digestHeard(from: sender.actor, digest))
            acknowledged(sequence, subject: subject, by: sender.actor, reliably: reliably, now: now, into: &outputs)
            tellIfDown(sender, into: &outputs)
        case .pingRequest(let sequence, let target, let address, let patience):
            relay(sequence, to: target, at: address, for: sender, patience: patience, now: now, into: &outputs)
            tellIfDown(sender, into: &outputs)
        case .negativeAcknowledgement(let sequence):
            negativelyAcknowledged(sequence)
            tellIfDown(sender, into: &outputs)
        case .gossip:
            tellIfDown(sender, into: &outputs)
        case .announce:
            sendList(to: sender.address, wantsAnswer: false, into: &outputs)
        case .compare(let theirs):
            guard theirs != view else { return tellIfDown(sender, into: &outputs) }
            isExchangeUrgent = true
            sendList(to: sender.address, wantsAnswer: true, into: &outputs)
        case .list(let wantsAnswer):
            guard wantsAnswer else { return tellIfDown(sender, into: &outputs) }
            isExchangeUrgent = true
            sendList(to: sender.address, wantsAnswer: false, into: &outputs)
        case .unknown:
            outputs.append(.measure(.skipped(.membership)))
            tellIfDown(sender, into: &outputs)
        }
    }

    /// Whoever is alive and believed to be down must hear of it, so that it can object.
    private mutating func tellIfDown(_ sender: MemberRecord, into outputs: inout [Output]) {
        guard !members.departed.isEmpty, let place = members.place(of: sender.actor), members[place].state == .down else { return }
        send(.gossip, to: sender.address, about: place, into: &outputs)
    }

    // MARK: Out

    /// Sends one packet, with as much pending news as fits a datagram (or `bulk` bytes). When `subject` is under suspicion
    /// or gone, that comes first, whether it is pending or not: Lifeguard's buddy.
    mutating func send(
        _ body: MembershipPacket.Body, to address: Address, about subject: ActorID, reliably: Bool = false, into outputs: inout [Output]
    ) {
        send(body, to: address, about: members.place(of: subject), reliably: reliably, into: &outputs)
    }

    mutating func send(
        _ body: MembershipPacket.Body, to address: Address, about subject: MemberTable.Place? = nil, reliably: Bool = false,
        bulk: Int = 0, into outputs: inout [Output]
    ) {
        let budget = max(256, limits.datagramBytes, bulk)
        let expected = MembershipPacket.headBytes + min(updates.bytes, budget)
        var writer = packet(body, capacity: min(expected, budget))
        if let subject, state(of: subject) != .alive { claim(about: subject).write(to: &writer) }
        if !updates.isEmpty, !chaos.point(.newsHeldBack) {
            for place in updates.take(bytes: budget - (writer.count - prefix.count), limit: transmissionLimit) where place != subject {
                claim(about: place).write(to: &writer)
            }
        }
        emit(writer.bytes, to: address, reliably: reliably, into: &outputs)
    }

    /// A writer that holds the prefix and everything of a packet but its items.
    func packet(_ body: MembershipPacket.Body, capacity: Int) -> ByteWriter {
        var writer = ByteWriter(capacity: prefix.count + capacity)
        writer.write(contentsOf: prefix)
        MembershipPacket.write(sender: identity, body: body, to: &writer)
        return writer
    }

    func emit(_ bytes: [UInt8], to address: Address, reliably: Bool, into outputs: inout [Output]) {
        outputs.append(.measure(.sent(.membership, bytes: bytes.count)))
        outputs.append(reliably ? .sendMessage(to: address, bytes: bytes) : .sendDatagram(to: address, bytes: bytes))
    }

    private func state(of place: MemberTable.Place) -> Member.State {
        place == MemberTable.own ? identity.state : members[place].state
    }

    /// What this node says about a member.
    func claim(about place: MemberTable.Place) -> MemberClaim {
        if place == MemberTable.own {
            return MemberClaim(record: identity.record, incarnation: identity.incarnation, state: identity.state)
        }
        let entry = members[place]
        let marks = entry.state == .suspect ? suspicions[entry.record.actor]?.marks ?? [] : []
        return MemberClaim(record: entry.record, incarnation: entry.incarnation, state: entry.state, marks: marks)
    }

    // MARK: Gossip

    /// How often one piece of news is sent: lambda * ceil(log2(n + 1)).
    private var transmissionLimit: Int { configuration.transmissionFactor * bitWidth(members.count) }

    /// How many sendings it counts for to hear from others what is being sent. Hearing it a few times shows that nearly everybody has
    /// it; the few that have not are found when lists are compared.
    var hearingWeight: Int { max(2, transmissionLimit / 6) }

    /// There is news about a member. It goes out with the next packets, and with gossip of its own.
    mutating func spread(_ place: MemberTable.Place, now: Instant, into outputs: inout [Output]) {
        updates.add(place, size: claim(about: place).encodedSize)
        guard !isGossipScheduled, phase == .running else { return }
        isGossipScheduled = true
        // A random start keeps the members from gossiping in step.
        let delay = timingRandom.duration(in: .zero...configuration.gossipPeriod)
        outputs.append(.schedule(.gossip(life: life), at: now + delay))
    }

    /// Much came or went at once: more news is pending than two datagrams take.
    var hasBacklog: Bool { updates.bytes > 2 * limits.datagramBytes }

    mutating func gossip(now: Instant, into outputs: inout [Output]) {
        isGossipScheduled = false
        if chaos.point(.gossipLate) {
            isGossipScheduled = true
            return outputs.append(.schedule(.gossip(life: life), at: now + configuration.gossipPeriod))
        }
        let peers = pick(configuration.gossipFanout)
        // Alone there is nobody to tell; whoever joins is sent the whole list.
        if peers.isEmpty { updates.removeAll() }
        // A backlog, after many came or went at once, would take long to drain by datagrams. A quarter of it at a time, so
        // that what others send meanwhile is noticed.
        let isBacklog = hasBacklog
        let bulk = isBacklog ? min(configuration.listMessageBytes, limits.messageBytes, updates.bytes) / 4 : 0
        for peer in peers where !updates.isEmpty {
            send(.gossip, to: peer.address, reliably: isBacklog, bulk: bulk, into: &outputs)
        }
        guard !updates.isEmpty else { return }
        isGossipScheduled = true
        outputs.append(.schedule(.gossip(life: life), at: now + configuration.gossipPeriod))
    }

    /// Up to `count` different present members, drawn uniformly; never this node. Suspects are left out on request.
    mutating func pick(_ count: Int, except excluded: ActorID? = nil, suspects: Bool = true) -> [MemberRecord] {
        let me = identity.record.actor
        func isEligible(_ actor: ActorID, _ suspicions: borrowing [ActorID: Suspicion]) -> Bool {
            actor != me && actor != excluded && (suspects || suspicions[actor] == nil)
        }
        guard count > 0 else { return [] }
        var picked: [MemberRecord] = []
        if members.count <= 4 * count + 8 {
            var candidates: [MemberRecord] = []
            for record in members where isEligible(record.actor, suspicions) { candidates.append(record) }
            while picked.count < count, !candidates.isEmpty {
                picked.append(candidates.remove(at: gossipRandom.below(candidates.count)))
            }
            return picked
        }
        picked.reserveCapacity(count)
        // In a large list draws rarely meet. The bound on tries matters only when nearly everybody is suspected.
        for _ in 0..<(16 * count) where picked.count < count {
            let record = members[gossipRandom.below(members.count)]
            if isEligible(record.actor, suspicions), !picked.contains(record) { picked.append(record) }
        }
        return picked
    }
}

/// ceil(log2(count + 1)) for a positive count.
func bitWidth(_ count: Int) -> Int { Int.bitWidth - max(count, 1).leadingZeroBitCount }
