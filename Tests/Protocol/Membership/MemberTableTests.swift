// Goal: the table of members finds everybody, keeps the present ones in order, and gives places back.
// Method: random operations beside a naive model; invariants of the whole table after each of them.

import Testing

@testable import PatinaProtocol

@Suite struct MemberTableTests {
    private func record(_ number: Int) -> MemberRecord {
        // Scrambled, so that the order of arrival is not the order of the actors.
        MemberRecord(actor: ActorID(high: mixed(UInt64(number)), low: 7), address: Sample.address(number), generation: 1)
    }

    private func entry(_ number: Int) -> MemberTable.Entry {
        MemberTable.Entry(record: record(number), state: .alive, incarnation: UInt64(number), since: .zero)
    }

    @Test("member table: agrees with a naive model (random operations)", arguments: 1...3 as ClosedRange<UInt64>)
    func model(seed: UInt64) {
        var random = Random(seed: seed)
        var table = MemberTable(own: record(0))
        var states: [Int: Member.State] = [0: .alive]
        for _ in 0..<2_000 {
            let number = 1 + random.below(60)
            switch (states[number], random.below(3)) {
            case (nil, _):
                let place = table.insert(entry(number))
                #expect(table[place].incarnation == UInt64(number))
                states[number] = .alive
            case (.alive?, 0):
                guard let place = table.place(of: record(number).actor) else { preconditionFailure("a member is not found") }
                table[place].state = .down
                table.moved(place)
                states[number] = .down
            case (.down?, 0):
                let gone = table.forget { $0.record.actor == record(number).actor }
                #expect(gone.count == 1)
                states[number] = nil
            case (.down?, 1):
                guard let place = table.place(of: record(number).actor) else { preconditionFailure("a member is not found") }
                table[place].state = .alive
                table.moved(place)
                states[number] = .alive
            default: break
            }
            table.checkInvariants()
            let present = states.filter { $0.value.isPresent }.keys.map(record).sorted { $0.actor < $1.actor }
            #expect(Array(table) == present)
            #expect(table.remembered == states.count)
            let asked = random.below(80)
            #expect((table.place(of: record(asked).actor) != nil) == (states[asked] != nil))
            #expect(table.member(record(asked).actor) == (states[asked]?.isPresent == true ? record(asked) : nil))
            #expect(table.memberIndex(of: record(asked).actor) == present.firstIndex(of: record(asked)))
            #expect(table.insertionIndex(of: record(asked).actor) == present.count { $0.actor < record(asked).actor })
        }
    }

    @Test(
        "member table: finds places by guess and by halves, however the actors lie",
        arguments: ["random", "one first word", "crowded below", "crowded above", "in pairs"])
    func search(actors: String) {
        func actor(_ number: Int) -> ActorID {
            let low = mixed(UInt64(number) &* 77)
            switch actors {
            case "random": return ActorID(high: mixed(UInt64(number)), low: low)
            case "one first word": return ActorID(high: 1 << 63, low: low)
            case "crowded below": return ActorID(high: UInt64(number) & 0xFF, low: low)
            case "crowded above": return ActorID(high: .max - (UInt64(number) & 0x3F), low: low)
            default: return ActorID(high: mixed(UInt64(number / 2)), low: low)
            }
        }
        func record(_ number: Int) -> MemberRecord { MemberRecord(actor: actor(number), address: Sample.address(1), generation: 1) }
        var table = MemberTable(own: record(0))
        for number in 1..<300 { _ = table.insert(MemberTable.Entry(record: record(number), state: .alive, incarnation: 0, since: .zero)) }
        table.checkInvariants()
        let sorted = (0..<300).map(actor).sorted()
        #expect(table.map(\.actor) == sorted)
        var claims: [MemberClaim] = []
        for number in 0..<400 {
            #expect(table.insertionIndex(of: actor(number)) == sorted.count { $0 < actor(number) })
            #expect(table.memberIndex(of: actor(number)) == sorted.firstIndex(of: actor(number)))
            claims.append(MemberClaim(record: record(number), incarnation: 0, state: .alive))
        }
        for least in [ActorID(high: 0, low: 0), ActorID(high: .max, low: .max)] {
            #expect(table.insertionIndex(of: least) == sorted.count { $0 < least })
        }
        #expect(table.places(of: claims) == claims.map { table.place(of: $0.record.actor) })
        #expect(table.places(of: []) == [])
    }

    @Test("claims: the fast reader and the general one read the same, from good and from damaged bytes")
    func plainClaims() throws {
        var mutator = Mutator(seed: 9)
        var sound = 0
        for round in 0..<4_000 {
            var writer = ByteWriter()
            for number in 0..<3 {
                var claim = MembershipBench.claim(
                    UInt64(number), [Member.State.alive, .suspect, .down, .left][(round + number) % 4],
                    generation: UInt64(1) << UInt64((round * 7 + number) % 62), incarnation: UInt64(round % 300), by: [1, 2])
                if claim.state != .suspect { claim.marks = [] }
                claim.write(to: &writer)
            }
            let bytes = round % 2 == 0 ? writer.bytes : mutator.mutate(writer.bytes)
            var (all, one) = (ByteReader(bytes), ByteReader(bytes))
            var skipped = 0
            let fast = try? MemberClaim.readAll(from: &all, skipped: &skipped)
            var slow: [MemberClaim]? = []
            var unknown = 0
            while slow != nil, !one.isAtEnd {
                do {
                    if let claim = try MemberClaim.read(from: &one) { slow?.append(claim) } else { unknown += 1 }
                } catch { slow = nil }
            }
            #expect(fast == slow)
            guard fast != nil else { continue }
            #expect(skipped == unknown)
            sound += 1
        }
        #expect(sound > 2_000)
    }

    @Test("member list: a large cluster is sampled, each node keeps others, and few changes of the members change the sample")
    func sample() {
        let table = MemberTable((0..<1_000).map(record))
        let sample = MemberList.sample(of: table, by: record(1).actor, limit: 100)
        #expect(sample.count == 100)
        #expect(sample == sample.sorted { $0.actor < $1.actor })
        #expect(Set(sample).isSubset(of: Set(table)))
        #expect(Set(MemberList.sample(of: table, by: ActorID(high: 1, low: 99), limit: 100)).intersection(sample).count < 50)
        var grown = table
        for number in 1_000..<1_010 { _ = grown.insert(entry(number)) }
        #expect(Set(MemberList.sample(of: grown, by: record(1).actor, limit: 100)).intersection(sample).count >= 90)
        #expect(MemberList.sample(of: table, by: record(1).actor, limit: 1_000) == Array(table))
    }
}
