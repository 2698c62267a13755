import Testing

@testable import PatinaProtocol

@Suite struct RandomTests {
    /// From the reference implementations of xoshiro256** and SplitMix64: a change would change every trace.
    @Test("random: golden values (seed 0)")
    func golden() {
        var random = Random(seed: 0)
        let values = (0..<5).map { _ in random.next() }
        #expect(
            values == [
                11_091_344_671_253_066_420, 13_793_997_310_169_335_082, 1_900_383_378_846_508_768, 7_684_712_102_626_143_532,
                13_521_403_990_117_723_737,
            ])
    }

    @Test("random: a fork depends on state and name, and does not advance its parent")
    func fork() {
        var random = Random(seed: 7)
        let untouched = Random(seed: 7)
        func first(_ random: Random) -> [UInt64] {
            var random = random
            return (0..<4).map { _ in random.next() }
        }
        let before = first(random.fork("workload"))
        #expect(first(random.fork("workload")) == before)
        #expect(first(random) == first(untouched))
        #expect(first(random.fork("faults")) != before)
        #expect(first(random.fork("workload", 0)) != first(random.fork("workload", 1)))
        #expect(first(Random(seed: 8).fork("workload")) != before)
        _ = random.next()
        #expect(first(random.fork("workload")) != before)
        // Drawing from one fork leaves the others as they are.
        var one = random.fork("one")
        let other = first(random.fork("other"))
        for _ in 0..<10 { _ = one.next() }
        #expect(first(random.fork("other")) == other)
    }

    @Test("random: forks share no values with each other or their parent")
    func independence() {
        var parent = Random(seed: 1)
        var seen: Set<UInt64> = []
        for index in 0..<50 as Range<UInt64> {
            var fork = parent.fork("stream", index)
            for _ in 0..<100 { seen.insert(fork.next()) }
        }
        for _ in 0..<100 { seen.insert(parent.next()) }
        #expect(seen.count == 5_100)
    }

    @Test("random: bounded draws stay within and are even", arguments: [1, 2, 3, 7, 10, 1_000] as [UInt64])
    func below(bound: UInt64) {
        var random = Random(seed: bound)
        var counts = [Int](repeating: 0, count: Int(bound))
        let draws = 2_000 * Int(bound)
        for _ in 0..<min(draws, 100_000) { counts[Int(random.below(bound))] += 1 }
        let expected = min(draws, 100_000) / Int(bound)
        // Six standard deviations and a little.
        var root = 1
        while root * root < expected { root += 1 }
        for count in counts { #expect(abs(count - expected) <= 6 * root + 1) }
    }

    @Test("random: the largest bound is no special case")
    func wide() {
        var random = Random(seed: 3)
        #expect((0..<100).contains { _ in random.below(UInt64.max) > UInt64.max / 2 })
        #expect((0..<100).allSatisfy { _ in random.below(1 as UInt64) == 0 })
    }

    @Test("random: durations, chances, elements and shuffles")
    func draws() {
        var random = Random(seed: 4)
        let range = Duration.milliseconds(-5)...(.milliseconds(5))
        let durations = (0..<1_000).map { _ in random.duration(in: range) }
        #expect(durations.allSatisfy { range.contains($0) })
        #expect(durations.contains { $0 < .milliseconds(-4) } && durations.contains { $0 > .milliseconds(4) })
        #expect(random.duration(in: .seconds(1)...(.seconds(1))) == .seconds(1))

        #expect((0..<1_000).allSatisfy { _ in !random.chance(partsPerMillion: 0) })
        #expect((0..<1_000).allSatisfy { _ in random.chance(partsPerMillion: 1_000_000) })
        let hits = (0..<10_000).filter { _ in random.chance(partsPerMillion: 300_000) }.count
        #expect((2_700...3_300).contains(hits))

        #expect(random.element(of: [] as [Int]) == nil)
        #expect(Set((0..<200).compactMap { _ in random.element(of: 5..<10) }) == Set(5..<10))

        var positions = [Int](repeating: 0, count: 4)
        for _ in 0..<4_000 {
            var array = [0, 1, 2, 3]
            random.shuffle(&array)
            #expect(array.sorted() == [0, 1, 2, 3])
            positions[array.firstIndex(of: 0) ?? 0] += 1
        }
        for count in positions { #expect((800...1_200).contains(count)) }
    }
}
