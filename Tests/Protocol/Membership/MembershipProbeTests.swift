import Testing

@testable import PatinaProtocol

/// Probing, one transition a test: the direct way, the indirect ways, the reliable way, and the doubt in oneself.
@Suite struct MembershipProbeTests {
    typealias Bench = MembershipBench

    @Test("probe: a ping is answered to the advertised address, by the way it came", arguments: [false, true])
    func answer(reliably: Bool) throws {
        let bench = MembershipBench()
        bench.meet(1)
        bench.machine.digest = Fingerprint(high: 3, low: 4)
        let me = Bench.record(0).actor
        let heard = Fingerprint(high: 1, low: 2)
        let outputs = bench.receive(.ping(sequence: 77, target: me, digest: heard), from: 1, reliably: reliably)
        #expect(outputs.contains(.digestHeard(from: Bench.record(1).actor, heard)))
        let sent = try #require(outputs.packets.first)
        #expect(outputs.packets.count == 1)
        #expect(sent.address == Bench.record(1).address)
        #expect(sent.reliably == reliably)
        #expect(sent.packet.body == .acknowledgement(sequence: 77, subject: me, digest: Fingerprint(high: 3, low: 4)))
    }

    @Test("probe: a ping for another member at this address is not answered")
    func strangersPing() {
        let bench = MembershipBench()
        bench.meet(1)
        #expect(bench.receive(.ping(sequence: 1, target: Bench.record(9).actor, digest: .zero), from: 1).packets.isEmpty)
    }

    @Test("probe: a direct answer measures the round trip and ends the probe")
    func directAnswer() throws {
        let bench = MembershipBench()
        bench.meet(4)
        let (target, sequence, _) = try bench.probe()
        let actor = Bench.record(target).actor
        bench.now = bench.now + .milliseconds(20)
        let outputs = bench.receive(.acknowledgement(sequence: sequence, subject: actor, digest: .zero), from: target)
        #expect(outputs.contains(.measure(.probed(actor, roundTrip: .milliseconds(20)))))
        #expect(bench.machine.member(actor)?.roundTrip == .milliseconds(20))
        #expect(bench.fire(.probeTimeout(sequence: sequence), after: .milliseconds(80)).packets.isEmpty)
        _ = try bench.probe()
        #expect(bench.state(of: target) == .alive)
    }

    @Test("probe: silence is asked about through three others and on a stream, then suspected")
    func silence() throws {
        let bench = MembershipBench()
        bench.meet(6)
        let (target, sequence, first) = try bench.probe()
        let record = Bench.record(target)
        // Without a measurement the cap holds.
        #expect(first.time(of: .probeTimeout(sequence: sequence)) == bench.now + .milliseconds(500))
        let asked = bench.fire(.probeTimeout(sequence: sequence), after: .milliseconds(500)).packets
        let requests = asked.filter { !$0.reliably }
        #expect(Set(requests.map(\.address)).count == 3)
        for request in requests {
            #expect(request.address != record.address)
            #expect(
                request.packet.body
                    == .pingRequest(sequence: sequence, target: record.actor, address: record.address, patience: .milliseconds(500)))
        }
        let stream = try #require(asked.first { $0.reliably })
        #expect(stream.address == record.address)
        #expect(stream.packet.body == .ping(sequence: sequence, target: record.actor, digest: .zero))

        for _ in requests { bench.receive(.negativeAcknowledgement(sequence: sequence), from: target == 1 ? 2 : 1) }
        let (_, _, outputs) = try bench.probe()
        #expect(outputs.notices == [.memberSuspected(record)])
        #expect(bench.state(of: target) == .suspect)
        #expect(bench.machine.doubt == 0)
        // The suspect is told at once.
        let told = try #require(outputs.packets.first { $0.address == record.address && $0.reliably })
        #expect(told.packet.claims.first == Bench.claim(target, .suspect, by: [0]))
    }

    @Test("probe: an answer through a helper, or on the stream, is as good, but measures nothing", arguments: [false, true])
    func indirectAnswer(onStream: Bool) throws {
        let bench = MembershipBench()
        bench.meet(3)
        let (target, sequence, _) = try bench.probe()
        bench.fire(.probeTimeout(sequence: sequence), after: .milliseconds(500))
        let helper: UInt64 = target == 1 ? 2 : 1
        let actor = Bench.record(target).actor
        let answer = MembershipPacket.Body.acknowledgement(sequence: sequence, subject: actor, digest: .zero)
        bench.receive(answer, from: onStream ? target : helper, reliably: onStream)
        #expect(bench.machine.member(actor)?.roundTrip == nil)
        _ = try bench.probe()
        #expect(bench.state(of: target) == .alive)
    }

    @Test("probe: an answer to another probe, or about another member, does not count")
    func wrongAnswer() throws {
        let bench = MembershipBench()
        bench.meet(3)
        let (target, sequence, _) = try bench.probe()
        let other: UInt64 = target == 1 ? 2 : 1
        bench.receive(.acknowledgement(sequence: sequence &+ 1, subject: Bench.record(target).actor, digest: .zero), from: target)
        bench.receive(.acknowledgement(sequence: sequence, subject: Bench.record(other).actor, digest: .zero), from: other)
        _ = try bench.probe()
        #expect(bench.state(of: target) == .suspect)
    }

    @Test("probe: whoever restarts or objects during the probe is not suspected", arguments: [(2, 0), (1, 1)] as [(UInt64, UInt64)])
    func newsDuringProbe(generation: UInt64, incarnation: UInt64) throws {
        let bench = MembershipBench()
        bench.meet(2)
        let (target, _, _) = try bench.probe()
        let news = Bench.claim(target, .alive, generation: generation, incarnation: incarnation)
        bench.receive(.gossip, from: target == 1 ? 2 : 1, claims: [news])
        _ = try bench.probe()
        #expect(bench.state(of: target) == .alive)
    }

    @Test("probe: the wait follows the measured round trips", arguments: [(10, 100), (60, 180), (400, 500)])
    func timeout(roundTrip: Int, expected: Int) throws {
        let bench = MembershipBench()
        bench.meet(1)
        var wait: Duration?
        for _ in 0..<2 {
            let (target, sequence, outputs) = try bench.probe()
            wait = outputs.time(of: .probeTimeout(sequence: sequence)).map { $0 - bench.now }
            bench.now = bench.now + .milliseconds(roundTrip)
            bench.receive(.acknowledgement(sequence: sequence, subject: Bench.record(target).actor, digest: .zero), from: target)
        }
        // After one sample: round trip + 4 * half of it, between floor and cap.
        #expect(wait == .milliseconds(expected))
    }

    @Test("probe: doubt grows with failures that nobody vouches for, slows the periods, and fades with answers")
    func doubt() throws {
        let bench = MembershipBench()
        bench.meet(2)
        _ = try bench.probe()
        _ = try bench.probe()
        #expect(bench.machine.doubt == 1)
        #expect(bench.machine.probeDue - bench.now == .seconds(2))
        let (target, sequence, outputs) = try bench.probe()
        #expect(bench.machine.doubt == 2)
        #expect(outputs.time(of: .probeTimeout(sequence: sequence)) == bench.now + .milliseconds(1_500))
        bench.receive(.acknowledgement(sequence: sequence, subject: Bench.record(target).actor, digest: .zero), from: target)
        #expect(bench.machine.doubt == 1)
        for _ in 0..<20 { bench.machine.adjustDoubt(by: 1) }
        #expect(bench.machine.doubt == bench.machine.configuration.healthCap)
    }

    @Test("probe: a process that stood still accuses nobody")
    func standstill() throws {
        let bench = MembershipBench()
        bench.meet(2)
        let (target, _, _) = try bench.probe()
        bench.receive(.gossip, from: target, claims: [Bench.claim(3, .suspect, by: [9])])
        bench.fire(.probe(life: bench.machine.life), after: .seconds(30))
        #expect(bench.state(of: target) == .alive)
        #expect(bench.machine.doubt == 1)
        let outputs = bench.handle(.deadlinePassed(.suspicion(Bench.record(3).actor)))
        #expect(bench.state(of: 3) == .suspect)
        let next = try #require(outputs.time(of: .suspicion(Bench.record(3).actor)))
        bench.now = next
        bench.handle(.deadlinePassed(.suspicion(Bench.record(3).actor)))
        #expect(bench.state(of: 3) == .down)
    }

    @Test("probe: a ping to a suspect says so (Lifeguard's buddy)")
    func buddy() throws {
        let bench = MembershipBench()
        bench.meet(1)
        bench.receive(.gossip, from: 1, claims: [Bench.claim(2, .suspect, by: [1])])
        bench.machine.updates.removeAll()
        for _ in 0..<2 {
            let (target, sequence, outputs) = try bench.probe()
            #expect(outputs.packets.map(\.packet.claims) == [target == 2 ? [Bench.claim(2, .suspect, by: [1])] : []])
            bench.receive(.acknowledgement(sequence: sequence, subject: Bench.record(target).actor, digest: .zero), from: target)
        }
    }

    @Test("relay: a ping request is carried out and its answer passed on")
    func relay() throws {
        let bench = MembershipBench()
        bench.meet(2)
        let (asker, target) = (Bench.record(1), Bench.record(2))
        let request = MembershipPacket.Body.pingRequest(
            sequence: 5, target: target.actor, address: target.address, patience: .milliseconds(500))
        let outputs = bench.receive(request, from: 1)
        let ping = try #require(outputs.packets.first)
        #expect(ping.address == target.address)
        guard case .ping(let sequence, target.actor, _) = ping.packet.body else { throw MalformedInput("no ping") }
        #expect(outputs.time(of: .relayTimeout(sequence: sequence)) == bench.now + .milliseconds(300))

        let negative = try #require(bench.fire(.relayTimeout(sequence: sequence), after: .milliseconds(300)).packets.first)
        #expect(negative.address == asker.address)
        #expect(negative.packet.body == .negativeAcknowledgement(sequence: 5))

        // A late answer is still passed on, once.
        let late = MembershipPacket.Body.acknowledgement(sequence: sequence, subject: target.actor, digest: .zero)
        #expect(bench.receive(late, from: 1).packets.isEmpty)
        let passed = try #require(bench.receive(late, from: 2).packets.first)
        #expect(passed.address == asker.address)
        #expect(passed.packet.body == .acknowledgement(sequence: 5, subject: target.actor, digest: .zero))
        #expect(bench.receive(late, from: 2).packets.isEmpty)
    }

    @Test("relay: what is never answered is forgotten")
    func relayForgotten() throws {
        let bench = MembershipBench()
        bench.meet(2)
        let target = Bench.record(2)
        let request = MembershipPacket.Body.pingRequest(sequence: 5, target: target.actor, address: target.address, patience: .seconds(1))
        bench.receive(request, from: 1)
        let sequence = bench.machine.lastSequence
        let second = bench.fire(.relayTimeout(sequence: sequence), after: .milliseconds(600))
        #expect(second.time(of: .relayTimeout(sequence: sequence)) == bench.now + .milliseconds(400))
        bench.fire(.relayTimeout(sequence: sequence), after: .milliseconds(400))
        #expect(bench.machine.relays.isEmpty)
    }

    @Test("relay: beyond the bound the negative answer comes at once; about itself the answer is known")
    func relayBound() {
        var limits = Limits()
        limits.relayedProbes = 2
        let bench = MembershipBench(limits: limits)
        bench.meet(2)
        let target = Bench.record(2)
        for sequence in 1...3 as ClosedRange<UInt64> {
            let request = MembershipPacket.Body.pingRequest(
                sequence: sequence, target: target.actor, address: target.address, patience: .seconds(1))
            let answered = bench.receive(request, from: 1).packets.first?.packet.body == .negativeAcknowledgement(sequence: sequence)
            #expect(answered == (sequence == 3))
        }
        let me = Bench.record(0)
        let request = MembershipPacket.Body.pingRequest(sequence: 9, target: me.actor, address: me.address, patience: .seconds(1))
        let answer = bench.receive(request, from: 1).packets.first?.packet.body
        #expect(answer == .acknowledgement(sequence: 9, subject: me.actor, digest: .zero))
    }
}
