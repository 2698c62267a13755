import PatinaProtocol
import Testing

@testable import PatinaRuntime

@Suite struct TimerHeapTests {
    private func timer(_ number: UInt64) -> Timer { .membership(.probe(life: number)) }

    @Test("timer heap: timers come out by deadline, then in order of arrival (random sequences)", arguments: 0..<20 as Range<UInt64>)
    func order(seed: UInt64) {
        var random = Random(seed: seed)
        var heap = TimerHeap()
        var model: [(deadline: Int64, number: UInt64)] = []
        var now: Int64 = 0
        for number in 0..<2_000 as Range<UInt64> {
            let deadline = now + Int64(random.below(50)) - 5
            heap.insert(timer(number), at: Instant(nanoseconds: deadline))
            model.append((deadline, number))
            if random.below(4) == 0 {
                now += Int64(random.below(20))
                while let found = heap.popDue(now: Instant(nanoseconds: now)) {
                    let earliest = model.indices.min { (model[$0].deadline, model[$0].number) < (model[$1].deadline, model[$1].number) }
                    guard let index = earliest else {
                        Issue.record("a timer that was never inserted came out")
                        return
                    }
                    #expect(model[index].deadline <= now)
                    #expect(found == timer(model[index].number))
                    model.remove(at: index)
                }
                #expect(model.allSatisfy { $0.deadline > now })
            }
            #expect(heap.count == model.count)
            #expect(heap.earliest?.nanoseconds == model.map(\.deadline).min())
        }
    }
}
