/// The probe of the present period.
struct Probe: Hashable, Sendable {
    let sequence: UInt64
    let target: MemberRecord
    let incarnation: UInt64
    let sentAt: Instant
    /// When the period ends, and with it the wait.
    let deadline: Instant
    /// Members that were asked to probe too, and those of them that said that they have no answer.
    var helpers = 0
    var negatives = 0
}

/// A probe that this node does for another one.
struct Relay: Hashable, Sendable {
    let requester: Address
    /// The requester's number for it.
    let sequence: UInt64
    let target: ActorID
    /// From the negative acknowledgement to the end of the wait.
    let rest: Duration
    var isNegative = false
}

extension Membership {
    /// Ends the probe of the period that passed and starts the next one.
    mutating func probePeriodPassed(now: Instant, into outputs: inout [Output]) {
        // After a standstill the answers may be among the packets that wait to be read.
        let stalled = now - probeDue > configuration.stallTolerance
        if let probe { fail(probe, stalled: stalled, now: now, into: &outputs) }
        probe = nil

        let period = configuration.probePeriod * (doubt + 1)
        probeDue = now + period
        outputs.append(.schedule(.probe(life: life), at: probeDue))
        if chaos.point(.probeSkipped) { return }
        guard let place = probeOrder.next(using: &probeRandom) else { return }
        let entry = members[place]
        lastSequence += 1
        let next = Probe(
            sequence: lastSequence, target: entry.record, incarnation: entry.incarnation, sentAt: now, deadline: probeDue)
        probe = next
        ping(next, reliably: false, into: &outputs)
        let patience = chaos.point(.probeImpatient) ? .milliseconds(1) : probeTimeout(of: entry, period: period)
        outputs.append(.schedule(.probeTimeout(sequence: next.sequence), at: now + patience))
    }

    /// How long to wait for the direct answer: what was measured, longer while this node doubts itself, and never so
    /// long that no time is left for the other ways.
    private func probeTimeout(of entry: MemberTable.Entry, period: Duration) -> Duration {
        let measured = entry.roundTrip.patience ?? configuration.probeTimeoutCap
        let bounded = min(max(measured, configuration.probeTimeoutFloor), configuration.probeTimeoutCap)
        return min(bounded * (doubt + 1), period / 2)
    }

    private mutating func ping(_ probe: Probe, reliably: Bool, into outputs: inout [Output]) {
        let body = MembershipPacket.Body.ping(sequence: probe.sequence, target: probe.target.actor, digest: digest)
        send(body, to: probe.target.address, about: probe.target.actor, reliably: reliably, into: &outputs)
    }

    /// No direct answer in time: ask others, and try the reliable way.
    mutating func probeTimedOut(_ sequence: UInt64, now: Instant, into outputs: inout [Output]) {
        guard var waiting = probe, waiting.sequence == sequence else { return }
        let target = waiting.target
        guard members.member(target.actor) != nil else { return }
        let helpers = pick(configuration.indirectProbes, except: target.actor, suspects: false)
        let body = MembershipPacket.Body.pingRequest(
            sequence: sequence, target: target.actor, address: target.address, patience: waiting.deadline - now)
        for helper in helpers { send(body, to: helper.address, into: &outputs) }
        ping(waiting, reliably: true, into: &outputs)
        waiting.helpers = helpers.count
        probe = waiting
    }

    mutating func acknowledged(
        _ sequence: UInt64, subject: ActorID, by sender: ActorID, reliably: Bool, now: Instant, into outputs: inout [Output]
    ) {
        if let answered = probe, answered.sequence == sequence, answered.target.actor == subject {
            probe = nil
            adjustDoubt(by: -1)
            // Only the direct way there and back measures the link.
            guard sender == subject, !reliably else { return }
            let roundTrip = now - answered.sentAt
            if let place = members.place(of: subject) { members[place].roundTrip.observe(roundTrip) }
            outputs.append(.measure(.probed(subject, roundTrip: roundTrip)))
        } else if let relay = relays[sequence], relay.target == subject, sender == subject {
            relays[sequence] = nil
            let body = MembershipPacket.Body.acknowledgement(sequence: relay.sequence, subject: subject, digest: digest)
            send(body, to: relay.requester, into: &outputs)
        }
    }

    mutating func negativelyAcknowledged(_ sequence: UInt64) {
        if probe?.sequence == sequence { probe?.negatives += 1 }
    }

    private mutating func fail(_ failed: Probe, stalled: Bool, now: Instant, into outputs: inout [Output]) {
        guard let place = members.place(of: failed.target.actor), members[place].state.isPresent else { return }
        if stalled {
            adjustDoubt(by: 1)
            return
        }
        // When helpers are silent too, the fault may be here. Once for each probe, so that losing most of the cluster
        // at once does not slow the search for the rest of the dead.
        if failed.helpers == 0 || failed.negatives < failed.helpers { adjustDoubt(by: 1) }
        // Whoever restarted or objected meanwhile is alive.
        guard members[place].record == failed.target, members[place].incarnation == failed.incarnation else { return }
        suspect(failed.target.actor, now: now, into: &outputs)
    }

    mutating func adjustDoubt(by change: Int) { doubt = min(max(0, doubt + change), configuration.healthCap) }

    // MARK: For others

    /// Pings `target` for `requester`.
    mutating func relay(
        _ sequence: UInt64, to target: ActorID, at address: Address, for requester: MemberRecord, patience: Duration,
        now: Instant, into outputs: inout [Output]
    ) {
        if target == identity.record.actor {
            let body = MembershipPacket.Body.acknowledgement(sequence: sequence, subject: target, digest: digest)
            return send(body, to: requester.address, about: requester.actor, into: &outputs)
        }
        guard relays.count < limits.relayedProbes, !chaos.point(.helperBusy) else {
            return send(.negativeAcknowledgement(sequence: sequence), to: requester.address, into: &outputs)
        }
        lastSequence += 1
        // The answer has to be back with the requester before its patience ends.
        let wait = patience * 3 / 5
        relays[lastSequence] = Relay(requester: requester.address, sequence: sequence, target: target, rest: patience - wait)
        let body = MembershipPacket.Body.ping(sequence: lastSequence, target: target, digest: digest)
        outputs.append(.schedule(.relayTimeout(sequence: lastSequence), at: now + wait))
        send(body, to: address, about: target, into: &outputs)
    }

    /// Says that there is no answer yet, then waits for the rest of the time for a late one.
    mutating func relayTimedOut(_ sequence: UInt64, now: Instant, into outputs: inout [Output]) {
        guard var relay = relays[sequence] else { return }
        if relay.isNegative {
            relays[sequence] = nil
            return
        }
        relay.isNegative = true
        relays[sequence] = relay
        outputs.append(.schedule(.relayTimeout(sequence: sequence), at: now + relay.rest))
        send(.negativeAcknowledgement(sequence: relay.sequence), to: relay.requester, into: &outputs)
    }
}
