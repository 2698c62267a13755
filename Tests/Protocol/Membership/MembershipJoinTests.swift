import Testing

@testable import PatinaProtocol

/// Announcements, lists, leaving and rejoining, one transition a test.
@Suite struct MembershipJoinTests {
    typealias Bench = MembershipBench

    @Test("join: a starting node announces itself to bootstrap addresses, never to itself")
    func announce() {
        let addresses = (0...5).map { Bench.record($0).address }
        let bench = MembershipBench(bootstrap: addresses)
        let sent = bench.handle(.started).packets
        #expect(sent.count == 3)
        #expect(sent.allSatisfy { $0.packet.body == .announce && !$0.reliably && $0.address != addresses[0] })
        #expect(bench.handle(.started).isEmpty)
    }

    @Test("join: retries back off with jitter up to the cap, and turn to the members of an earlier run")
    func retries() throws {
        let bench = MembershipBench(bootstrap: [Bench.record(1).address], known: [Bench.record(2), Bench.record(3)])
        var outputs = bench.handle(.started)
        #expect(outputs.packets.map(\.address) == [Bench.record(1).address])
        var nominal = Duration.milliseconds(500)
        for _ in 0..<10 {
            let wait = try #require(outputs.time(of: .announce(life: 1))) - bench.now
            #expect((nominal / 2...nominal * 3 / 2).contains(wait))
            nominal = min(nominal * 2, .seconds(30))
            outputs = bench.fire(.announce(life: 1), after: wait)
            #expect(Set(outputs.packets.map(\.address)) == Set((1...3).map { Bench.record($0).address }))
        }
    }

    @Test("join: addresses that resolve later are tried at once, as long as the node is alone")
    func lateResolution() {
        let bench = MembershipBench()
        bench.handle(.started)
        #expect(bench.handle(.bootstrapResolved([Bench.record(4).address])).packets.map(\.address) == [Bench.record(4).address])
        bench.receive(.gossip, from: 1)
        #expect(bench.handle(.bootstrapResolved([Bench.record(5).address])).packets.isEmpty)
    }

    @Test("join: an announcement is answered with the whole list, to the advertised address")
    func answer() throws {
        let bench = MembershipBench()
        bench.meet(3)
        bench.bury(3)
        let outputs = bench.receive(.announce, from: 4)
        let list = try #require(outputs.packets.first)
        #expect(list.address == Bench.record(4).address)
        #expect(list.reliably)
        #expect(list.packet.body == .list(wantsAnswer: false))
        #expect(list.packet.claims.map(\.record.actor.high) == [1, 2, 4, 3])
        #expect(list.packet.claims.map(\.state) == [.alive, .alive, .alive, .down])
    }

    @Test("join: long lists are cut into messages, each within the bound; the last asks for an answer")
    func pieces() throws {
        var configuration = MembershipConfiguration()
        configuration.listMessageBytes = 4_096
        let bench = MembershipBench(configuration: configuration)
        bench.meet(600)
        let outputs = bench.receive(.compare(.zero), from: 1, reliably: true)
        let lists = outputs.packets.filter { if case .list = $0.packet.body { true } else { false } }
        #expect(lists.count == 5)
        #expect(lists.map(\.packet.body) == Array(repeating: .list(wantsAnswer: false), count: 4) + [.list(wantsAnswer: true)])
        #expect(lists.flatMap(\.packet.claims).map(\.record.actor.high) == Array(1...600))
        for case .sendMessage(_, let bytes) in outputs { #expect(bytes.count <= 4_096) }
    }

    @Test("exchange: equal lists cost one message, others are sent both ways")
    func exchange() throws {
        let bench = MembershipBench()
        bench.meet(1)
        let compare = try #require(bench.fire(.exchange(life: 1), after: .seconds(6)).packets.first)
        #expect(compare.packet.body == .compare(bench.machine.view))
        #expect(compare.reliably)
        #expect(bench.receive(.compare(bench.machine.view), from: 1, reliably: true).packets.isEmpty)
        let asked = bench.receive(.compare(.zero), from: 1, reliably: true).packets
        #expect(asked.map(\.packet.body) == [.list(wantsAnswer: true)])
        let answered = bench.receive(.list(wantsAnswer: true), from: 1, reliably: true).packets
        #expect(answered.map(\.packet.body) == [.list(wantsAnswer: false)])
        #expect(bench.receive(.list(wantsAnswer: false), from: 1, reliably: true).packets.isEmpty)
    }

    @Test("exchange: rare while lists agree, six times as often after one differed")
    func exchangePeriod() {
        let bench = MembershipBench()
        bench.meet(2)
        func compares(_ ticks: Int) -> Int {
            (0..<ticks).filter { _ in !bench.fire(.exchange(life: 1), after: .seconds(5)).packets.isEmpty }.count
        }
        #expect(compares(1) == 1)
        #expect(compares(12) == 2)
        bench.receive(.list(wantsAnswer: true), from: 1, reliably: true)
        #expect(compares(1) == 1)
        #expect(compares(5) == 0)
    }

    @Test("healing: a member that is down, and a bootstrap address that is not alive, are announced to now and then")
    func healing() throws {
        let bench = MembershipBench(bootstrap: [Bench.record(1).address, Bench.record(9).address])
        bench.meet(2)
        bench.bury(2)
        var seen: Set<Address> = []
        for _ in 0..<20 {
            let outputs = bench.fire(.announce(life: 1), after: .seconds(5))
            let wait = try #require(outputs.time(of: .announce(life: 1))) - bench.now
            #expect((.seconds(5)...Duration.seconds(10)).contains(wait))
            let addresses = outputs.packets.map(\.address)
            #expect(addresses.contains(Bench.record(2).address))
            seen.formUnion(addresses)
        }
        #expect(seen == [Bench.record(2).address, Bench.record(9).address])
    }

    @Test("leave: says goodbye by datagram and message, then is silent")
    func leave() throws {
        let bench = MembershipBench()
        bench.meet(10)
        let outputs = bench.handle(.leaveRequested)
        #expect(outputs.last == .notify(.left))
        #expect(outputs.packets.filter(\.reliably).count == 3)
        #expect(Set(outputs.packets.map(\.address)).count == 6)
        #expect(outputs.packets.allSatisfy { $0.packet.claims.first == Bench.claim(0, .left) })
        #expect(bench.machine.identity.state == .left)
        #expect(bench.receive(.announce, from: 1).packets.isEmpty)
        #expect(bench.fire(.probe(life: 1), after: .seconds(1)).isEmpty)
        #expect(bench.handle(.leaveRequested).isEmpty)
    }

    @Test("rejoin: takes a new generation, announces itself, and ignores the timers of its former life")
    func rejoin() throws {
        let bench = MembershipBench(bootstrap: [Bench.record(9).address])
        bench.meet(4)
        bench.receive(.gossip, from: 1, claims: [Bench.claim(0, .suspect, by: [1])])
        let outputs = bench.handle(.rejoinRequested)
        #expect(bench.machine.identity == Member(record: Bench.record(0, generation: 2), incarnation: 0, state: .alive))
        #expect(outputs.packets.contains { $0.packet.body == .announce && $0.address == Bench.record(9).address })
        #expect(outputs.packets.filter { $0.packet.body == .announce }.count == 4)
        #expect(outputs.time(of: .probe(life: 2)) != nil)
        #expect(bench.fire(.probe(life: 1), after: .seconds(2)).isEmpty)
        let gossip = bench.fire(.gossip(life: 2), after: .zero).packets
        #expect(gossip.count == 3)
        #expect(gossip.allSatisfy { $0.packet.claims.contains(Bench.claim(0, .alive, generation: 2)) })
    }

    @Test("bounds: no datagram is larger than the limit, however much is pending; a backlog goes by message")
    func datagramBound() throws {
        var limits = Limits()
        limits.datagramBytes = 500
        let bench = MembershipBench(limits: limits)
        bench.handle(.started)
        for number in 1...200 as ClosedRange<UInt64> { bench.receive(.gossip, from: number) }
        var largest = 0
        for _ in 0..<50 {
            let me = Bench.record(0).actor
            var outputs = bench.receive(.ping(sequence: 1, target: me, digest: .zero), from: 7)
            outputs += bench.fire(.gossip(life: 1), after: .milliseconds(200))
            for case .sendDatagram(_, let bytes) in outputs { largest = max(largest, bytes.count) }
        }
        #expect((400...500).contains(largest))
        #expect(bench.machine.updates.isEmpty)
    }

    @Test("measurements: what is sent and received is counted in bytes")
    func measurements() {
        let bench = MembershipBench()
        bench.meet(1)
        let me = Bench.record(0).actor
        let ping = MembershipPacket(sender: Bench.record(1), incarnation: 0, body: .ping(sequence: 1, target: me, digest: .zero)).encoded
        let outputs = bench.handle(.datagramReceived(ping[...], from: bench.source))
        #expect(outputs.contains(.measure(.received(.membership, bytes: ping.count))))
        guard case .sendDatagram(_, let bytes) = outputs.last else {
            Issue.record("no answer was sent")
            return
        }
        #expect(outputs.contains(.measure(.sent(.membership, bytes: bytes.count))))
    }
}
