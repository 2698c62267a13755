import Testing

@testable import PatinaProtocol

/// The bytes of membership's packets: the example of the document, round trips, later versions, and bad input.
@Suite struct MembershipPacketTests {
    typealias Bench = MembershipBench

    static let bodies: [MembershipPacket.Body] = [
        .ping(sequence: 300, target: Bench.record(2).actor, digest: Fingerprint(high: 1, low: 2)),
        .acknowledgement(sequence: .max, subject: Bench.record(2).actor, digest: .zero),
        .pingRequest(sequence: 1, target: Bench.record(2).actor, address: Bench.record(2).address, patience: .milliseconds(400)),
        .negativeAcknowledgement(sequence: 0), .gossip, .announce, .compare(Fingerprint(high: 9, low: 8)),
        .list(wantsAnswer: true), .list(wantsAnswer: false),
    ]

    static func packet(_ body: MembershipPacket.Body) -> MembershipPacket {
        var sender = Bench.record(1, generation: MemberClaim.counterLimit)
        sender.address = Address(high: 0x2001_0DB8 << 32, low: 1, port: 4_001)
        return MembershipPacket(
            sender: sender, incarnation: 130, body: body,
            claims: [
                Bench.claim(3, .alive), Bench.claim(4, .suspect, incarnation: 1 << 40, by: [1, 2, 3, 4]), Bench.claim(5, .down),
                Bench.claim(6, .left, generation: 200),
            ])
    }

    @Test("packets: what was written is read", arguments: bodies)
    func roundTrip(body: MembershipPacket.Body) throws {
        let packet = Self.packet(body)
        #expect(try MembershipPacket(packet.encoded[...]) == packet)
        // Also from the middle of a larger buffer.
        let padded = [1, 2, 3] + packet.encoded
        #expect(try MembershipPacket(padded[3...]) == packet)
    }

    @Test("packets: the size of a claim is foretold exactly, and the head stays within its bound", arguments: bodies)
    func sizes(body: MembershipPacket.Body) {
        let packet = Self.packet(body)
        for claim in packet.claims {
            var writer = ByteWriter()
            claim.write(to: &writer)
            #expect(writer.count == claim.encodedSize)
        }
        #expect(packet.encoded.count - packet.claims.map(\.encodedSize).reduce(0, +) <= MembershipPacket.headBytes)
    }

    @Test("packets: the example of docs/wire-format.md")
    func example() {
        let packet = MembershipPacket(
            sender: MemberRecord(
                actor: ActorID(high: 0x0102_0304_0506_4708, low: 0x890A_0B0C_0D0E_0F10), address: Address(ipv4: 0x0A00_0001, port: 4_001),
                generation: 3),
            incarnation: 1,
            body: .ping(
                sequence: 300, target: ActorID(high: 0x1112_1314_1516_4718, low: 0x991A_1B1C_1D1E_1F20),
                digest: Fingerprint(high: 0xA0A1_A2A3_A4A5_A6A7, low: 0xA8A9_AAAB_ACAD_AEAF)),
            claims: [
                MemberClaim(
                    record: MemberRecord(
                        actor: ActorID(high: 0x1112_1314_1516_4718, low: 0x991A_1B1C_1D1E_1F20),
                        address: Address(ipv4: 0x0A00_0002, port: 4_001), generation: 2),
                    incarnation: 0, state: .suspect, marks: [0xDDCC_BBAA])
            ])
        #expect(
            hexadecimalString(packet.encoded) == """
                01\
                190102030405064708890a0b0c0d0e0f10040a0000010fa10301\
                22ac021112131415164718991a1b1c1d1e1f20a0a1a2a3a4a5a6a7a8a9aaabacadaeaf\
                2001011112131415164718991a1b1c1d1e1f20040a0000020fa1020001aabbccdd
                """)
    }

    @Test("packets: whatever is cut off is refused, except between items", arguments: bodies)
    func truncation(body: MembershipPacket.Body) {
        let packet = Self.packet(body)
        let bytes = packet.encoded
        var ends: Set<Int> = [bytes.count]
        for claim in packet.claims.reversed() { ends.insert((ends.min() ?? 0) - claim.encodedSize) }
        for length in 0..<bytes.count {
            let isWhole = (try? MembershipPacket(bytes[..<length])) != nil
            #expect(isWhole == ends.contains(length))
        }
    }

    @Test("packets: fields and items of later versions are skipped, and counted")
    func forward() throws {
        var writer = ByteWriter()
        writer.write(5 as UInt8)
        let sender = Bench.record(1)
        writer.writeRecord {
            $0.write(sender.actor)
            $0.write(sender.address)
            $0.writeVarint(sender.generation)
            $0.writeVarint(7)
            $0.writeString("a later field")
        }
        writer.writeRecord { $0.writeVarint(99) }
        writer.writeRecord {
            $0.write(2 as UInt8)
            $0.writeString("an item of another kind")
        }
        writer.writeRecord {
            $0.write(MemberClaim.itemKind)
            $0.write(9 as UInt8)
            $0.writeString("a state of another kind")
        }
        writer.writeRecord {
            $0.write(MemberClaim.itemKind)
            $0.write(Member.State.suspect.rawValue)
            $0.write(Bench.record(2).actor)
            $0.write(Bench.record(2).address)
            $0.writeVarint(1)
            $0.writeVarint(0)
            $0.writeVarint(6)
            for mark in 0..<6 { $0.write(UInt32(mark)) }
            $0.writeString("a later field")
        }
        let packet = try MembershipPacket(writer.bytes[...])
        #expect(packet.skipped == 2)
        #expect(packet.incarnation == 7)
        #expect(packet.body == .gossip)
        #expect(packet.claims == [MemberClaim(record: Bench.record(2), incarnation: 0, state: .suspect, marks: [0, 1, 2, 3])])

        let bench = MembershipBench()
        bench.handle(.started)
        let outputs = bench.handle(.datagramReceived(writer.bytes[...], from: bench.source))
        #expect(outputs.filter { $0 == .measure(.skipped(.membership)) }.count == 2)
    }

    @Test("packets: a kind of a later version is skipped, its sender and its items are not")
    func unknownKind() throws {
        var bytes = MembershipPacket(sender: Bench.record(1), incarnation: 0, body: .gossip, claims: [Bench.claim(2, .alive)]).encoded
        bytes[0] = 200
        #expect(try MembershipPacket(bytes[...]).body == .unknown(200))
        let bench = MembershipBench()
        bench.handle(.started)
        let outputs = bench.handle(.datagramReceived(bytes[...], from: bench.source))
        #expect(outputs.contains(.measure(.skipped(.membership))))
        #expect(bench.machine.alive.count == 3)
    }

    @Test("packets: wild numbers and port 0 are malformed; nothing of such a packet counts")
    func malformed() {
        var noPort = Bench.claim(3, .alive)
        noPort.record.address = Address(ipv4: 1, port: 0)
        let wild = [Bench.claim(3, .alive, generation: MemberClaim.counterLimit + 1), Bench.claim(3, .alive, incarnation: .max), noPort]
        for claim in wild {
            let bench = MembershipBench()
            bench.meet(1)
            let outputs = bench.receive(.gossip, from: 1, claims: [Bench.claim(2, .alive), claim])
            guard case .malformed(bench.source, let reason) = outputs.notices.first else {
                Issue.record("not refused: \(claim)")
                continue
            }
            #expect(!reason.isEmpty)
            #expect(bench.machine.alive.count == 2)
        }
    }

    @Test("packets: no input traps, and no state becomes unsound (random bytes and mutations)", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) {
        var random = Random(seed: seed).fork("fuzz")
        let bench = MembershipBench(bootstrap: [Bench.record(1).address], seed: seed)
        bench.handle(.started)
        var malformed = 0
        var timers: [Membership.Timer] = []
        for _ in 0..<1_000 {
            var bytes = randomPacket(using: &random).encoded
            switch random.below(4) {
            case 0: bytes = (0..<random.below(200)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            case 1:
                for _ in 0...random.below(4) { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
            case 2: bytes.removeLast(random.below(bytes.count + 1))
            default: break
            }
            bench.now = bench.now + random.duration(in: .zero...(.milliseconds(300)))
            var outputs: [Membership.Output] = []
            let event: Membership.Event =
                switch random.below(20) {
                case 0: .rejoinRequested
                case 1...6: .deadlinePassed(random.element(of: timers) ?? .suspicion(Bench.record(1).actor))
                case 7...9: .messageReceived(bytes[...], from: bench.source)
                default: .datagramReceived(bytes[...], from: bench.source)
                }
            bench.machine.handle(event, now: bench.now, into: &outputs)
            bench.machine.checkEverything()
            for output in outputs {
                switch output {
                case .schedule(let timer, let time):
                    timers.append(timer)
                    #expect(time >= bench.now)
                case .sendDatagram(let address, let sent), .sendMessage(let address, let sent):
                    #expect(address != bench.source)
                    #expect((try? MembershipPacket(sent[...])) != nil)
                case .notify(.malformed): malformed += 1
                case .notify, .measure, .digestHeard: break
                }
            }
        }
        #expect(malformed > 50)
        #expect(bench.machine.all.count > 5)
    }

    /// Any packet that any member of a small world might send about any other.
    private func randomPacket(using random: inout Random) -> MembershipPacket {
        let actor = Bench.record(UInt64(random.below(12))).actor
        let address = Bench.record(UInt64(1 + random.below(12))).address
        let sequence = random.below(50) == 0 ? random.next() : UInt64(random.below(20))
        let bodies: [MembershipPacket.Body] = [
            .ping(sequence: sequence, target: actor, digest: .zero), .acknowledgement(sequence: sequence, subject: actor, digest: .zero),
            .pingRequest(sequence: sequence, target: actor, address: address, patience: .milliseconds(random.below(3_600_000))),
            .negativeAcknowledgement(sequence: sequence), .gossip, .announce, .compare(.zero), .list(wantsAnswer: random.below(2) == 0),
        ]
        func counter(_ random: inout Random) -> UInt64 { random.below(200) == 0 ? MemberClaim.counterLimit : UInt64(random.below(4)) }
        var claims: [MemberClaim] = []
        for _ in 0..<random.below(6) {
            let state = random.element(of: Member.State.allCases) ?? .alive
            claims.append(
                Bench.claim(
                    UInt64(random.below(12)), state, generation: counter(&random), incarnation: counter(&random),
                    by: state == .suspect ? (0..<random.below(4)).map { UInt64($0) } : []))
        }
        return MembershipPacket(
            sender: Bench.record(UInt64(random.below(12)), generation: counter(&random)), incarnation: counter(&random),
            body: random.element(of: bodies) ?? .gossip, claims: claims)
    }
}
