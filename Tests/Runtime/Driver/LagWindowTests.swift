import PatinaProtocol
import Testing

@testable import PatinaRuntime

@Suite struct LagWindowTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    @Test("lag window: nothing recorded, nothing told")
    func empty() { #expect(LagWindow().percentile99(now: start) == nil) }

    @Test("lag window: the answer is at most an eighth above the truth (lag)", arguments: [0, 5, 8, 999, 12_345, 2_000_000, 7_200_000_000])
    func precision(microseconds: Int64) throws {
        var window = LagWindow()
        window.record(.microseconds(microseconds), now: start)
        let lag = try #require(window.percentile99(now: start))
        #expect(lag > .microseconds(microseconds))
        #expect(lag <= .microseconds(microseconds + max(1, microseconds / 8)))
    }

    @Test("lag window: one of a hundred may be slower, two may not")
    func rank() throws {
        var window = LagWindow()
        for _ in 0..<99 { window.record(.milliseconds(1), now: start) }
        window.record(.seconds(5), now: start)
        #expect(try #require(window.percentile99(now: start)) < .milliseconds(2))
        window.record(.seconds(5), now: start)
        #expect(try #require(window.percentile99(now: start)) >= .seconds(5))
    }

    @Test("lag window: what is older than the window is forgotten, what is younger is not")
    func age() {
        var window = LagWindow()
        window.record(.milliseconds(1), now: start)
        #expect(window.percentile99(now: start + LagWindow.length - .milliseconds(1)) != nil)
        #expect(window.percentile99(now: start + LagWindow.length + .seconds(20)) == nil)
        // The slot is used again, without what was in it.
        window.record(.seconds(3), now: start + .seconds(20 * 7))
        #expect(window.percentile99(now: start + .seconds(20 * 7)).map { $0 >= .seconds(3) } == true)
    }

    @Test("lag window: lags are told once for each version that became complete, not for others, nor for clocks far ahead")
    func lags() throws {
        let actor = ActorID(high: 1, low: 1)
        func chunk(_ version: UInt64, _ sequences: ClosedRange<UInt64>, last: UInt64, at second: Int64) throws -> Chunk {
            let id = try #require(ChunkID(actor: actor, version: version, sequences: sequences, lastSequence: last))
            return Chunk(id: id, timestamp: HybridTimestamp(unixNanoseconds: second * 1_000_000_000), body: [])
        }
        let chunks = [
            try chunk(1, 0...0, last: 0, at: 90), try chunk(2, 0...4, last: 9, at: 95), try chunk(2, 5...9, last: 9, at: 95),
            try chunk(3, 0...0, last: 9, at: 96), try chunk(4, 0...0, last: 0, at: 200),
        ]
        let result = StoreResult.applied(
            changes: [.completed(actor, versions: 1...2), .buffered(chunks[3].id), .completed(actor, versions: 4...4)], refused: [])
        #expect(LagWindow.lags(of: chunks, in: result, wall: 100_000_000_000) == [.seconds(10), .seconds(5)])
        #expect(LagWindow.lags(of: chunks, in: .failed(reason: ""), wall: 0).isEmpty)
    }
}
