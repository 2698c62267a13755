import Testing

@testable import PatinaProtocol

/// News about members, one transition a test: which claim wins, suspicion, refutation, joining, leaving, bounds.
@Suite struct MembershipClaimTests {
    typealias Bench = MembershipBench

    @Test("claims: the greater of (generation, incarnation, state) wins, whatever the order of arrival (all pairs)")
    func precedence() {
        var claims: [MemberClaim] = []
        for generation in 1...2 as ClosedRange<UInt64> {
            for incarnation in 0...1 as ClosedRange<UInt64> {
                for state in Member.State.allCases {
                    let suspecters: [UInt64] = state == .suspect ? [1] : []
                    claims.append(Bench.claim(2, state, generation: generation, incarnation: incarnation, by: suspecters))
                }
            }
        }
        for first in claims {
            for second in claims {
                // The order by itself: that "down" may be a rumour has a test of its own.
                var configuration = MembershipConfiguration()
                configuration.mutants = .rumourBelieved
                let bench = MembershipBench(configuration: configuration)
                bench.meet(1)
                bench.receive(.gossip, from: 1, claims: [Bench.claim(2, .alive, generation: 0)])
                bench.receive(.gossip, from: 1, claims: [first])
                bench.receive(.gossip, from: 1, claims: [second])
                let member = bench.machine.member(first.record.actor)
                #expect(member?.precedence == max(first.precedence, second.precedence))
            }
        }
    }

    @Test("claims: a newcomer is announced once and spread")
    func newcomer() throws {
        let bench = MembershipBench()
        bench.meet(1)
        let outputs = bench.receive(.gossip, from: 1, claims: [Bench.claim(2, .alive)])
        #expect(outputs.notices == [.memberUp(Bench.record(2))])
        let time = try #require(outputs.time(of: .gossip(life: 1)))
        #expect(time - bench.now <= .milliseconds(200))
        #expect(bench.receive(.gossip, from: 1, claims: [Bench.claim(2, .alive)]).notices.isEmpty)
        #expect(bench.machine.alive.map(\.actor.high) == [0, 1, 2])
        let gossip = bench.fire(.gossip(life: 1), after: .milliseconds(200)).packets
        #expect(Set(gossip.map(\.address)) == [Bench.record(1).address, Bench.record(2).address])
        #expect(gossip.allSatisfy { $0.packet.claims == [Bench.claim(2, .alive)] && $0.packet.body == .gossip })
    }

    @Test("claims: nobody is introduced as down or left")
    func unknownDeparted() {
        let bench = MembershipBench()
        bench.meet(1)
        bench.receive(.gossip, from: 1, claims: [Bench.claim(2, .down), Bench.claim(3, .left)])
        #expect(bench.machine.all.count == 2)
    }

    @Test("claims: a list that says down only raises a suspicion")
    func oldNewsInList() {
        let bench = MembershipBench()
        bench.meet(2)
        bench.receive(.list(wantsAnswer: false), from: 1, claims: [Bench.claim(2, .down)], reliably: true)
        #expect(bench.state(of: 2) == .suspect)
        bench.receive(.list(wantsAnswer: false), from: 1, claims: [Bench.claim(2, .left)], reliably: true)
        #expect(bench.state(of: 2) == .left)
    }

    @Test("claims: whoever is said to be down and was not suspected here has the time of a confirmed suspicion to object")
    func rumour() throws {
        let bench = MembershipBench()
        bench.meet(7)
        let actor = Bench.record(2).actor
        let began = bench.now
        let heard = bench.receive(.gossip, from: 1, claims: [Bench.claim(2, .down)])
        #expect(heard.notices == [.memberSuspected(Bench.record(2))])
        #expect(heard.time(of: .suspicion(actor)) == began + .seconds(5))
        // Nor do others who say the same bury it sooner, unless it has been suspected for a while.
        bench.now = began + .milliseconds(1_200)
        bench.receive(.gossip, from: 3, claims: [Bench.claim(2, .down)])
        #expect(bench.state(of: 2) == .suspect)
        let objection = bench.receive(.gossip, from: 4, claims: [Bench.claim(2, .alive, incarnation: 1)])
        #expect(objection.notices.isEmpty && bench.state(of: 2) == .alive)
        bench.receive(.gossip, from: 3, claims: [Bench.claim(2, .down)])
        #expect(bench.state(of: 2) == .alive)
        // Of whoever does not object: after the floor.
        let start = bench.now
        bench.receive(.gossip, from: 1, claims: [Bench.claim(5, .down)])
        let dead = Bench.record(5).actor
        #expect(bench.machine.suspicions[dead]?.deadline == start + .milliseconds(2_500))
        bench.now = start + .milliseconds(1_250)
        #expect(bench.receive(.gossip, from: 3, claims: [Bench.claim(5, .down)]).notices == [.memberDown(Bench.record(5))])
    }

    @Test("suspicion: lasts for the cap alone, for the floor once confirmed (8 members)")
    func suspicionTimes() throws {
        let bench = MembershipBench()
        bench.meet(7)
        let actor = Bench.record(2).actor
        let began = bench.now
        let first = bench.receive(.gossip, from: 1, claims: [Bench.claim(2, .suspect, by: [1])])
        #expect(first.notices == [.memberSuspected(Bench.record(2))])
        #expect(first.time(of: .suspicion(actor)) == began + .seconds(5))
        // The same accuser again confirms nothing.
        #expect(bench.receive(.gossip, from: 3, claims: [Bench.claim(2, .suspect, by: [1])]).time(of: .suspicion(actor)) == nil)
        let second = bench.receive(.gossip, from: 3, claims: [Bench.claim(2, .suspect, by: [3])])
        #expect(second.time(of: .suspicion(actor)) == began + .milliseconds(3_750))
        let third = bench.receive(.gossip, from: 3, claims: [Bench.claim(2, .suspect, by: [1, 3, 4, 5])])
        #expect(third.time(of: .suspicion(actor)) == began + .milliseconds(2_500))
        bench.fire(.suspicion(actor), after: .milliseconds(2_499))
        #expect(bench.state(of: 2) == .suspect)
        #expect(bench.machine.alive.contains(Bench.record(2)))
        let outputs = bench.fire(.suspicion(actor), after: .milliseconds(1))
        #expect(outputs.notices == [.memberDown(Bench.record(2))])
        #expect(!bench.machine.alive.contains(Bench.record(2)))
        #expect(bench.fire(.suspicion(actor), after: .seconds(2)).isEmpty)
    }

    @Test("suspicion: among few members as many confirmations are waited for as can come")
    func fewMembers() {
        let bench = MembershipBench()
        bench.meet(1)
        #expect(bench.machine.suspicionTime(confirmations: 0) == .milliseconds(2_500))
        bench.meet(2)
        #expect(bench.machine.suspicionTime(confirmations: 0) == .seconds(5))
        #expect(bench.machine.suspicionTime(confirmations: 1) == .milliseconds(2_500))
        bench.meet(1_000)
        #expect(bench.machine.suspicionTime(confirmations: 3) == .milliseconds(2_500) * 10 / 7)
    }

    @Test("suspicion: ends with a higher incarnation, not with a sign of life alone")
    func objection() {
        let bench = MembershipBench()
        bench.meet(2)
        bench.receive(.gossip, from: 1, claims: [Bench.claim(2, .suspect, by: [1])])
        bench.receive(.gossip, from: 2)
        #expect(bench.state(of: 2) == .suspect)
        bench.receive(.gossip, from: 2, incarnation: 1)
        #expect(bench.state(of: 2) == .alive)
        #expect(bench.fire(.suspicion(Bench.record(2).actor), after: .seconds(60)).isEmpty)
    }

    @Test("refutation: of suspicion and of death, told to the accuser reliably", arguments: [Member.State.suspect, .down])
    func refutation(state: Member.State) throws {
        let bench = MembershipBench()
        bench.meet(2)
        let outputs = bench.receive(.gossip, from: 1, claims: [Bench.claim(0, state, by: state == .suspect ? [2] : [])])
        #expect(outputs.notices == [.refuted(incarnation: 1)])
        #expect(bench.machine.identity.incarnation == 1)
        #expect(bench.machine.doubt == 1)
        let told = try #require(outputs.packets.first)
        #expect(told.reliably)
        #expect(told.address == Bench.record(1).address)
        #expect(told.packet.incarnation == 1)
        // Late copies of the accusation change nothing.
        #expect(bench.receive(.gossip, from: 2, claims: [Bench.claim(0, state)]).notices.isEmpty)
    }

    @Test("refutation: a former or copied life is overridden by a higher generation")
    func formerLife() {
        let bench = MembershipBench()
        bench.meet(1)
        bench.receive(.gossip, from: 1, claims: [Bench.claim(0, .alive, generation: 0, incarnation: 9)])
        #expect(bench.machine.identity == Member(record: Bench.record(0), incarnation: 0, state: .alive))
        bench.receive(.gossip, from: 1, claims: [Bench.claim(0, .alive, incarnation: 4)])
        #expect(bench.machine.identity.incarnation == 5)
        bench.receive(.gossip, from: 1, claims: [Bench.claim(0, .left, generation: 6)])
        #expect(bench.machine.identity == Member(record: Bench.record(0, generation: 7), incarnation: 0, state: .alive))
        var elsewhere = Bench.claim(0, .alive, generation: 7)
        elsewhere.record.address = Address(ipv4: 1, port: 1)
        bench.receive(.gossip, from: 1, claims: [elsewhere])
        #expect(bench.machine.identity.record == Bench.record(0, generation: 8))
        #expect(bench.machine.alive.first == Bench.record(0, generation: 8))
    }

    @Test("refutation: numbers at their limit do not overflow")
    func counterLimit() {
        let bench = MembershipBench()
        bench.meet(1)
        let limit = MemberClaim.counterLimit
        bench.receive(.gossip, from: 1, claims: [Bench.claim(0, .down, incarnation: limit)])
        #expect(bench.machine.identity.record.generation == 2)
        bench.receive(.gossip, from: 1, claims: [Bench.claim(0, .down, generation: limit, incarnation: limit)])
        #expect(bench.machine.identity.record.generation == 2)
        let refused = bench.receive(.gossip, from: 1, claims: [Bench.claim(0, .down, generation: limit + 1)])
        #expect(refused.notices.count == 1)
    }

    @Test("claims: whoever is down and sends something is told")
    func tellDown() throws {
        let bench = MembershipBench()
        bench.meet(2)
        bench.bury(2)
        bench.machine.updates.removeAll()
        for body in [MembershipPacket.Body.gossip, .negativeAcknowledgement(sequence: 1)] {
            let told = try #require(bench.receive(body, from: 2).packets.first)
            #expect(told.address == Bench.record(2).address)
            #expect(told.packet.claims == [Bench.claim(2, .down)])
        }
        let up = bench.receive(.gossip, from: 2, incarnation: 1)
        #expect(up.notices == [.memberUp(Bench.record(2))])
        #expect(up.packets.isEmpty)
    }

    @Test("members: the bound is kept, and reaching it is measured")
    func memberLimit() {
        var limits = Limits()
        limits.members = 3
        let bench = MembershipBench(limits: limits)
        bench.meet(2)
        let outputs = bench.receive(.gossip, from: 3)
        #expect(outputs.contains(.measure(.dropped(.members))))
        #expect(bench.machine.alive.count == 3)
    }

    @Test("members: those who left are forgotten sooner than those who are down")
    func forget() {
        let bench = MembershipBench()
        bench.meet(3)
        bench.bury(3)
        bench.receive(.gossip, from: 1, claims: [Bench.claim(2, .left)])
        bench.fire(.forget(life: 1), after: .seconds(3_599))
        #expect(bench.machine.all.count == 4)
        bench.fire(.forget(life: 1), after: .seconds(1))
        #expect(bench.machine.all.map(\.record.actor.high) == [0, 1, 3])
        bench.fire(.forget(life: 1), after: .seconds(47 * 3_600))
        #expect(bench.machine.all.map(\.record.actor.high) == [0, 1])
    }

    @Test("members: all are listed in order, with their states")
    func all() {
        let bench = MembershipBench()
        bench.meet(6)
        bench.bury(3, 6)
        bench.receive(.gossip, from: 1, claims: [Bench.claim(2, .left)])
        bench.receive(.gossip, from: 1, claims: [Bench.claim(5, .suspect, by: [1])])
        #expect(bench.machine.all.map(\.record.actor.high) == [0, 1, 2, 3, 4, 5, 6])
        #expect(bench.machine.all.map(\.state) == [.alive, .alive, .left, .down, .alive, .suspect, .down])
        #expect(bench.machine.alive.map(\.actor.high) == [0, 1, 4, 5])
        #expect(bench.machine.member(Bench.record(9).actor) == nil)
    }
}
