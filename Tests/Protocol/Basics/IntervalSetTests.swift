import Testing

@testable import PatinaProtocol

@Suite struct IntervalSetTests {
    /// Ranges are sorted, and neither overlap nor touch.
    private func isSound(_ set: IntervalSet) -> Bool {
        zip(set.ranges, set.ranges.dropFirst()).allSatisfy { $0.upperBound < .max && $0.upperBound + 1 < $1.lowerBound }
    }

    private func numbers(_ set: IntervalSet) -> Set<UInt64> { Set(set.ranges.flatMap { Array($0) }) }

    private func randomRange(_ random: inout Random, in width: UInt64) -> ClosedRange<UInt64> {
        let low = random.below(width)
        return low...min(width - 1, low + random.below(6))
    }

    @Test("interval set: agrees with a set of numbers (random operations)", arguments: 1...6 as ClosedRange<UInt64>)
    func model(seed: UInt64) {
        var random = Random(seed: seed)
        let width: UInt64 = 48
        var set = IntervalSet()
        var model: Set<UInt64> = []
        for _ in 0..<1_500 {
            let range = randomRange(&random, in: width)
            var other = IntervalSet()
            for _ in 0..<random.below(5) { other.insert(randomRange(&random, in: width)) }
            switch random.below(6) {
            case 0:
                set.insert(range.lowerBound)
                model.insert(range.lowerBound)
            case 1:
                set.insert(range)
                model.formUnion(range)
            case 2:
                set.remove(range)
                model.subtract(range)
            case 3:
                set.insert(other)
                model.formUnion(numbers(other))
            case 4:
                set.remove(other)
                model.subtract(numbers(other))
            default:
                #expect(numbers(set.intersection(other)) == model.intersection(numbers(other)))
                #expect(numbers(set.subtracting(other)) == model.subtracting(numbers(other)))
                #expect(isSound(set.intersection(other)) && isSound(set.subtracting(other)))
            }
            #expect(isSound(set))
            #expect(numbers(set) == model)
            #expect(set.count == UInt64(model.count))
            #expect(set.min == model.min())
            #expect(set.max == model.max())
            #expect(set.isEmpty == model.isEmpty)
            #expect(set.contains(range) == model.isSuperset(of: range))
            #expect(set.contains(range.upperBound) == model.contains(range.upperBound))
            #expect(numbers(set.gaps(in: range)) == Set(range).subtracting(model))
            #expect(isSound(set.gaps(in: range)))
        }
    }

    @Test("interval set: the ends of the number line are numbers like others")
    func ends() {
        var set = IntervalSet(0...0)
        set.insert(.max)
        #expect(set.ranges == [0...0, UInt64.max...UInt64.max])
        #expect(set.gaps(in: 0...UInt64.max).ranges == [1...(UInt64.max - 1)])
        set.insert((UInt64.max - 1)...UInt64.max)
        set.insert(1...1)
        #expect(set.ranges == [0...1, (UInt64.max - 1)...UInt64.max])
        #expect(set.count == 4)
        set.insert(0...UInt64.max)
        #expect(set.ranges == [0...UInt64.max])
        #expect(set.count == .max)
        #expect(set.contains(0...UInt64.max))
        set.insert(UInt64.max - 5)
        #expect(set.ranges == [0...UInt64.max])
        set.remove(0...0)
        set.remove(UInt64.max...UInt64.max)
        #expect(set.ranges == [1...(UInt64.max - 1)])
        #expect(set.intersection(IntervalSet(0...UInt64.max)) == set)
        set.remove(0...UInt64.max)
        #expect(set.isEmpty)
        #expect(set.gaps(in: 3...4).ranges == [3...4])
    }

    @Test("interval set: numbers in order are one range (100,000)")
    func contiguous() {
        var set = IntervalSet()
        for number in 1...100_000 as ClosedRange<UInt64> { set.insert(number) }
        #expect(set.ranges == [1...100_000])
        #expect(set.description == "{1-100000}")
        set.remove(2...99_999)
        #expect(set.description == "{1,100000}")
    }
}
