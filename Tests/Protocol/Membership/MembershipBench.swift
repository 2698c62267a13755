import Testing

@testable import PatinaProtocol

/// One membership machine on the bench: events in by hand, outputs out for inspection.
final class MembershipBench {
    var machine: Membership
    var now = Instant.zero
    /// Where datagrams claim to come from; the machine must never send anything there.
    let source = Address(ipv4: 0xC0A8_0001, port: 50_000)

    init(
        bootstrap: [Address] = [], known: [MemberRecord] = [], configuration: MembershipConfiguration = .init(),
        limits: Limits = .init(), seed: UInt64 = 1
    ) {
        machine = Membership(
            configuration: configuration, identity: MembershipBench.record(0), cluster: 1, bootstrap: bootstrap, known: known,
            limits: limits, random: Random(seed: seed))
    }

    /// The `number`-th node of the world; the machine is number 0.
    static func record(_ number: UInt64, generation: UInt64 = 1) -> MemberRecord {
        MemberRecord(
            actor: ActorID(high: number, low: mixed(number)), address: Address(ipv4: 0x0A00_0000 + UInt32(number), port: 4_001),
            generation: generation)
    }

    static func claim(
        _ number: UInt64, _ state: Member.State, generation: UInt64 = 1, incarnation: UInt64 = 0, by suspecters: [UInt64] = []
    ) -> MemberClaim {
        MemberClaim(
            record: record(number, generation: generation), incarnation: incarnation, state: state,
            marks: SuspicionMarks(suspecters.map { MemberClaim.mark(of: record($0).actor) }))
    }

    @discardableResult
    func handle(_ event: Membership.Event) -> [Membership.Output] {
        var outputs: [Membership.Output] = []
        machine.handle(event, now: now, into: &outputs)
        machine.checkInvariants()
        machine.checkEverything()
        return outputs
    }

    /// A packet from the `number`-th node arrives.
    @discardableResult
    func receive(
        _ body: MembershipPacket.Body, from number: UInt64, generation: UInt64 = 1, incarnation: UInt64 = 0,
        claims: [MemberClaim] = [], reliably: Bool = false
    ) -> [Membership.Output] {
        let packet = MembershipPacket(
            sender: MembershipBench.record(number, generation: generation), incarnation: incarnation, body: body, claims: claims)
        let bytes = packet.encoded[...]
        return handle(reliably ? .messageReceived(bytes, from: source) : .datagramReceived(bytes, from: source))
    }

    @discardableResult
    func fire(_ timer: Membership.Timer, after wait: Duration) -> [Membership.Output] {
        now = now + wait
        return handle(.deadlinePassed(timer))
    }

    /// Starts, and makes `count` members known.
    func meet(_ count: UInt64) {
        handle(.started)
        for number in 1...count { receive(.gossip, from: number) }
        // Spreads the news until nothing is pending, so that packets hold nothing that a test did not ask for.
        for _ in 0..<200 where !machine.updates.isEmpty { fire(.gossip(life: machine.life), after: .milliseconds(200)) }
    }

    /// Node 1 suspects members and, as nobody objects, says some seconds later that they are down.
    func bury(_ numbers: UInt64...) {
        receive(.gossip, from: 1, claims: numbers.map { MembershipBench.claim($0, .suspect, by: [1]) })
        now = now + .seconds(3)
        receive(.gossip, from: 1, claims: numbers.map { MembershipBench.claim($0, .down) })
    }

    /// Begins the next period; returns the number of the member that is probed, and the outputs.
    func probe() throws -> (target: UInt64, sequence: UInt64, outputs: [Membership.Output]) {
        now = machine.probeDue
        let outputs = handle(.deadlinePassed(.probe(life: machine.life)))
        for sent in outputs.packets {
            if case .ping(let sequence, let target, _) = sent.packet.body, !sent.reliably { return (target.high, sequence, outputs) }
        }
        throw MalformedInput("no probe was sent")
    }

    func state(of number: UInt64) -> Member.State? { machine.member(MembershipBench.record(number).actor)?.state }
}

struct SentPacket {
    let address: Address
    let reliably: Bool
    let packet: MembershipPacket
}

extension [Membership.Output] {
    /// What is sent, decoded.
    var packets: [SentPacket] {
        compactMap { output in
            switch output {
            case .sendDatagram(let address, let bytes): decode(bytes, address, reliably: false)
            case .sendMessage(let address, let bytes): decode(bytes, address, reliably: true)
            case .schedule, .notify, .measure, .digestHeard: nil
            }
        }
    }

    var notices: [Notice] { compactMap { if case .notify(let notice) = $0 { notice } else { nil } } }

    func time(of timer: Membership.Timer) -> Instant? {
        compactMap { if case .schedule(timer, let time) = $0 { time } else { nil } }.first
    }

    private func decode(_ bytes: [UInt8], _ address: Address, reliably: Bool) -> SentPacket? {
        guard let packet = try? MembershipPacket(bytes[...]) else {
            Issue.record("the machine sent what it cannot read itself")
            return nil
        }
        return SentPacket(address: address, reliably: reliably, packet: packet)
    }
}
