// Goal: the cache stays within its bounds and forgets the oldest; a missing chunk is asked for in turn and then left alone.

import Testing

@testable import PatinaProtocol

@Suite struct PayloadCacheTests {
    private func insert(_ cache: inout PayloadCache, _ version: UInt64, bytes: Int, at milliseconds: Int64 = 0) -> Int {
        let slice = Array(repeating: UInt8(1), count: bytes)[...]
        return cache.insert(Sample.id(1, version), bytes: slice, hops: 1, isPushed: true, now: .at(milliseconds: milliseconds))
    }

    @Test("cache: the oldest chunk goes when the bound of chunks is reached")
    func chunkBound() {
        var cache = PayloadCache(chunkLimit: 3, byteLimit: 1_000, lifetime: .seconds(9))
        let evicted = (1...5).map { insert(&cache, UInt64($0), bytes: 10) }
        #expect(evicted == [0, 0, 0, 1, 1])
        #expect(cache[Sample.id(1, 2)] == nil)
        #expect(cache[Sample.id(1, 3)] != nil)
        #expect(cache.bytes == 30)
        cache.checkInvariants()
    }

    @Test("cache: several chunks go when the bound of bytes asks for it, and a larger one than the bound is not kept")
    func byteBound() {
        var cache = PayloadCache(chunkLimit: 10, byteLimit: 100, lifetime: .seconds(9))
        for version in UInt64(1)...4 { _ = insert(&cache, version, bytes: 25) }
        #expect(insert(&cache, 5, bytes: 60) == 3)
        #expect(cache.count == 2)
        #expect(insert(&cache, 6, bytes: 101) == 1)
        #expect(cache[Sample.id(1, 6)] == nil)
        #expect(cache.bytes == 85)
        cache.checkInvariants()
    }

    @Test("cache: what is older than its lifetime goes without being counted as dropped")
    func lifetime() {
        var cache = PayloadCache(chunkLimit: 10, byteLimit: 100, lifetime: .seconds(2))
        _ = insert(&cache, 1, bytes: 10, at: 0)
        _ = insert(&cache, 2, bytes: 10, at: 1_000)
        #expect(insert(&cache, 3, bytes: 10, at: 2_500) == 0)
        #expect(cache[Sample.id(1, 1)] == nil)
        #expect(cache.count == 2)
    }

    @Test("cache: the same chunk twice is one chunk")
    func twice() {
        var cache = PayloadCache(chunkLimit: 3, byteLimit: 100, lifetime: .seconds(9))
        _ = insert(&cache, 1, bytes: 10)
        _ = insert(&cache, 1, bytes: 10)
        #expect(cache.count == 1)
        #expect(cache.bytes == 10)
        cache.checkInvariants()
    }
}

@Suite struct MissingChunksTests {
    private func missing(limit: Int = 10) -> MissingChunks { MissingChunks(configuration: BroadcastConfiguration(), limit: limit) }

    @Test("missing: asked after the graft delay, then from the next announcer after the timeout, then given up")
    func inTurn() {
        var missing = missing()
        let id = Sample.id(1, 1)
        for announcer in [5, 6, 5] {
            let isTaken = missing.announced(id, by: Sample.address(announcer), now: .at(milliseconds: 0))
            #expect(isTaken)
        }
        #expect(missing.nextDeadline == .at(milliseconds: 200))
        var due = missing.due(now: .at(milliseconds: 199)) { _ in false }
        #expect(due.grafts.isEmpty)
        due = missing.due(now: .at(milliseconds: 200)) { _ in false }
        #expect(due.grafts.map(\.0) == [Sample.address(5)])
        due = missing.due(now: .at(milliseconds: 700)) { _ in false }
        #expect(due.grafts.map(\.0) == [Sample.address(6)])
        #expect(missing.count == 1)
        due = missing.due(now: .at(milliseconds: 1_200)) { _ in false }
        #expect(due.grafts.isEmpty)
        #expect(due.abandoned == 1)
        #expect(missing.count == 0)
        #expect(missing.nextDeadline == nil)
        missing.checkInvariants()
    }

    @Test("missing: a chunk that came is not asked for, and one that came another way neither")
    func resolved() {
        var missing = missing()
        for version in UInt64(1)...3 { _ = missing.announced(Sample.id(1, version), by: Sample.address(5), now: .at(milliseconds: 0)) }
        missing.resolve(Sample.id(1, 1))
        let due = missing.due(now: .at(milliseconds: 200)) { $0.version == 2 }
        #expect(due.grafts.map(\.1.version) == [3])
        #expect(due.abandoned == 0)
        #expect(missing.count == 1)
    }

    @Test("missing: a chunk that came and is announced again waits anew, whatever its old deadline")
    func staleDeadline() {
        var missing = missing()
        let id = Sample.id(1, 1)
        _ = missing.announced(id, by: Sample.address(5), now: .at(milliseconds: 0))
        missing.resolve(id)
        _ = missing.announced(id, by: Sample.address(6), now: .at(milliseconds: 150))
        let early = missing.due(now: .at(milliseconds: 200)) { _ in false }
        #expect(early.grafts.isEmpty)
        let due = missing.due(now: .at(milliseconds: 350)) { _ in false }
        #expect(due.grafts.map(\.0) == [Sample.address(6)])
    }

    @Test("missing: the bound drops what does not fit")
    func bound() {
        var missing = missing(limit: 2)
        let taken = (1...4).map { missing.announced(Sample.id(1, UInt64($0)), by: Sample.address(5), now: .at(milliseconds: 0)) }
        #expect(taken == [true, true, false, false])
        missing.checkInvariants()
    }

    @Test("missing: announcers beyond the attempts are not kept")
    func announcers() {
        var missing = missing()
        for announcer in 1...9 { _ = missing.announced(Sample.id(1, 1), by: Sample.address(announcer), now: .at(milliseconds: 0)) }
        var asked: [Address] = []
        for step in 0..<9 { asked += missing.due(now: .at(milliseconds: 200 + 500 * Int64(step))) { _ in false }.grafts.map(\.0) }
        #expect(asked == [1, 2, 3].map(Sample.address))
    }
}

@Suite struct QueueTests {
    @Test("queue: first in, first out, through many turns, within memory of what it holds")
    func order() {
        var queue = Queue<Int>()
        var random = Random(seed: 1)
        var (next, expected) = (0, 0)
        for _ in 0..<5_000 {
            for _ in 0..<random.below(4) {
                queue.append(next)
                next += 1
            }
            for _ in 0..<random.below(4) {
                #expect(queue.first == (expected < next ? expected : nil))
                let item = queue.popFirst()
                #expect(item == (expected < next ? expected : nil))
                if item != nil { expected += 1 }
            }
            #expect(queue.count == next - expected)
        }
    }
}
