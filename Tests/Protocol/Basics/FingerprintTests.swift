import Testing

@testable import PatinaProtocol

@Suite struct FingerprintTests {
    private func element(_ number: UInt64) -> Fingerprint {
        var hasher = Fingerprint.Hasher(seed: 1)
        hasher.combine(number)
        return hasher.finish()
    }

    @Test("fingerprint: of a set does not depend on the order, and elements can be taken away (random)")
    func setSum() {
        var random = Random(seed: 1)
        var elements = (0..<200).map { _ in random.next() }
        var sum = Fingerprint.zero
        for number in elements { sum += element(number) }
        random.shuffle(&elements)
        var other = Fingerprint.zero
        for number in elements { other += element(number) }
        #expect(sum == other)
        var partial = Fingerprint.zero
        for number in elements.prefix(100) { partial += element(number) }
        for number in elements.suffix(100) { sum -= element(number) }
        #expect(sum == partial)
        for number in elements.prefix(100) { sum -= element(number) }
        #expect(sum == .zero)
    }

    @Test("fingerprint: the sum carries between its halves and wraps at its end")
    func carry() {
        var sum = Fingerprint(high: 0, low: .max)
        sum += Fingerprint(high: 0, low: 1)
        #expect(sum == Fingerprint(high: 1, low: 0))
        sum -= Fingerprint(high: 0, low: 1)
        #expect(sum == Fingerprint(high: 0, low: .max))
        sum += Fingerprint(high: .max, low: 1)
        #expect(sum == .zero)
        sum -= Fingerprint(high: 0, low: 1)
        #expect(sum == Fingerprint(high: .max, low: .max))
    }

    @Test("fingerprint: every single bit of the input matters")
    func bits() {
        var seen: Set<Fingerprint> = [element(0)]
        for bit in 0..<64 { seen.insert(element(1 << UInt64(bit))) }
        #expect(seen.count == 65)
        #expect(Set(seen.map(\.low)).count == 65)
        #expect(Set(seen.map(\.high)).count == 65)
    }

    @Test("fingerprint: neither order, nor cuts, nor length of the input are lost")
    func structure() {
        func digest(_ body: (inout Fingerprint.Hasher) -> Void) -> Fingerprint {
            var hasher = Fingerprint.Hasher()
            body(&hasher)
            return hasher.finish()
        }
        let digests = [
            digest { _ in },
            digest { $0.combine([] as [UInt8]) },
            digest { $0.combine([0]) },
            digest { $0.combine([0, 0]) },
            digest { $0.combine([1, 2]) },
            digest { $0.combine([2, 1]) },
            digest {
                $0.combine([1])
                $0.combine([2])
            },
            digest { $0.combine([UInt8](repeating: 0, count: 8)) },
            digest { $0.combine([UInt8](repeating: 0, count: 9)) },
            digest { $0.combine(5 as UInt64) },
            digest {
                $0.combine(5 as UInt64)
                $0.combine(5 as UInt64)
            },
            digest { $0.combine(ActorID(high: 1, low: 2)) },
            digest { $0.combine(ActorID(high: 2, low: 1)) },
        ]
        #expect(Set(digests).count == digests.count)
        #expect(digest { $0.combine("ab") } == digest { $0.combine([97, 98]) })
        #expect(Fingerprint.Hasher(seed: 1).finish() != Fingerprint.Hasher(seed: 2).finish())
    }

    /// Fingerprints cross the network (membership's view, the digest on pings), so they must never change.
    @Test("fingerprint: golden value")
    func golden() {
        var hasher = Fingerprint.Hasher(seed: 42)
        hasher.combine(7 as UInt64)
        hasher.combine("patina")
        hasher.combine(ActorID(high: 1, low: 2))
        hasher.combine([1, 2, 3, 4, 5, 6, 7, 8, 9])
        #expect(hasher.finish().description == "02beaa92401d55bc4c345fa259dc5eac")
        #expect(Fingerprint(high: 1, low: 2).description == "00000000000000010000000000000002")
    }
}
