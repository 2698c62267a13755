import Testing

@testable import PatinaProtocol

@Suite struct ActorIDTests {
    @Test("actor id: text forms are read and written")
    func text() throws {
        let hyphenated = "01234567-89ab-4def-8123-456789abcdef"
        let actor = try #require(ActorID(hyphenated))
        #expect(actor.high == 0x0123_4567_89AB_4DEF)
        #expect(actor.low == 0x8123_4567_89AB_CDEF)
        #expect(actor.description == hyphenated)
        #expect(actor.hexadecimal == "0123456789ab4def8123456789abcdef")
        #expect(ActorID(actor.hexadecimal) == actor)
        #expect(ActorID(hyphenated.uppercased()) == actor)
    }

    @Test(
        "actor id: other text is refused",
        arguments: [
            "", "0", "0123456789ab4def8123456789abcde", "0123456789ab4def8123456789abcdef0", "01234567-89ab-4def-8123-456789abcdeg",
            "0123456789ab-4def-8123-4567-89abcdef", "----0123456789ab4def8123456789abcdef", "01234567-89ab-4def-8123456789abcdef",
            "0x234567-89ab-4def-8123-456789abcdef", "٠١٢٣٤٥٦٧٨٩٠١٢٣٤٥",
        ])
    func refused(text: String) { #expect(ActorID(text) == nil) }

    @Test("actor id: bytes are in network order, and exactly sixteen")
    func bytes() {
        let bytes = (0..<16).map { UInt8($0) }
        #expect(ActorID(bytes: bytes) == ActorID(high: 0x0001_0203_0405_0607, low: 0x0809_0A0B_0C0D_0E0F))
        #expect(ActorID(bytes: bytes)?.bytes == bytes)
        #expect(ActorID(bytes: bytes.dropLast()) == nil)
        #expect(ActorID(bytes: bytes + [0]) == nil)
    }

    @Test("actor id: the order is that of the unsigned bytes")
    func order() {
        var random = Random(seed: 1)
        for _ in 0..<500 {
            let left = ActorID(high: random.below(3) << 62, low: random.next())
            let right = ActorID(high: random.below(3) << 62, low: random.next())
            #expect((left < right) == left.bytes.lexicographicallyPrecedes(right.bytes))
        }
    }

    @Test("actor id: random ones are version 4 UUIDs, each another")
    func random() {
        var random = Random(seed: 2)
        let actors = (0..<200).map { _ in ActorID.random(using: &random) }
        #expect(Set(actors).count == 200)
        for actor in actors {
            #expect(actor.bytes[6] >> 4 == 4)
            #expect(actor.bytes[8] >> 6 == 2)
        }
    }

    @Test("hexadecimal: digits of either case, two for a byte")
    func hexadecimal() {
        let characters = Array("0123456789abcdefABCDEF".utf8)
        #expect(characters.map { hexadecimalValue($0) } == (0...15).map { UInt8($0) } + (10...15).map { UInt8($0) })
        #expect((0...255).filter { hexadecimalValue(UInt8($0)) != nil }.count == 22)
        #expect(hexadecimalString([0, 9, 10, 255]) == "00090aff")
    }
}
