import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct EventHeapTests {
    @Test("heap: entries come out by time, equal times in the order in which they went in (20 seeds)", arguments: 1...20)
    func order(seed: Int) {
        var random = Random(seed: UInt64(seed))
        var heap = EventHeap<Int>()
        var expected: [(time: Int64, payload: Int)] = []
        for payload in 0..<2_000 {
            let time = Int64(random.below(300))
            heap.push(payload, at: time)
            expected.append((time, payload))
        }
        // A stable order, written down independently of the heap.
        expected.sort { ($0.time, $0.payload) < ($1.time, $1.payload) }
        #expect(heap.count == 2_000)
        for entry in expected {
            let first = heap.firstTime
            let popped = heap.pop()
            #expect(first == entry.time)
            #expect(popped?.time == entry.time)
            #expect(popped?.payload == entry.payload)
        }
        #expect(heap.isEmpty)
        #expect(heap.pop() == nil)
    }

    @Test("heap: entries of the present tick, of the ring and far behind it come out in one order (8 seeds)", arguments: 1...8)
    func spans(seed: Int) {
        var random = Random(seed: UInt64(seed))
        var heap = EventHeap<Int>()
        var model: [(time: Int64, payload: Int)] = []
        var now: Int64 = 0
        for payload in 0..<1_000 {
            // From the same instant to minutes later, by powers of four; now and then even before what came out last.
            let reach = Int64(1) << (2 * Int64(random.below(20)))
            let time = random.below(50) == 0 ? now - Int64(random.below(1_000)) : now + Int64(random.below(UInt64(reach)))
            heap.push(payload, at: time)
            let position = model.firstIndex { $0.time > time } ?? model.count
            model.insert((time, payload), at: position)
            #expect(heap.count == model.count)
            // Empty now and then.
            let leaving = payload % 250 == 249 ? model.count : random.below(3)
            for _ in 0..<min(leaving, model.count) {
                let expected = model.removeFirst()
                #expect(heap.firstTime == expected.time)
                let (time, value) = heap.pop() ?? (-1, -1)
                #expect(time == expected.time && value == expected.payload)
                now = max(now, time)
            }
        }
        #expect(!heap.isEmpty || model.isEmpty)
    }

    @Test("heap: entries that are added while others leave keep their order")
    func interleaved() {
        var random = Random(seed: 9)
        var heap = EventHeap<Int64>()
        var last: Int64 = 0
        for _ in 0..<100 { heap.push(0, at: Int64(random.below(1_000))) }
        for _ in 0..<10_000 {
            guard let (time, _) = heap.pop() else { break }
            #expect(time >= last)
            last = time
            heap.push(time, at: time + Int64(random.below(500)))
        }
        #expect(heap.count == 100)
    }
}

extension EventHeapTests {
    @Test("heap: a payload leaves the heap with its entry")
    func payloadsAreReleased() {
        final class Token {}
        var heap = EventHeap<Token>()
        weak var seen: Token?
        do {
            let token = Token()
            seen = token
            heap.push(token, at: 1)
        }
        #expect(seen != nil)
        _ = heap.pop()
        #expect(seen == nil)
    }
}
