import Testing

@testable import PatinaRuntime
@testable import PatinaStore

/// Goal: a log that grows is blamed on whoever makes it grow. Method: what checkpoints left, one after the other.
struct LogPaceTests {
    private static let limit = 10_000

    private func outcome(_ pages: Int, moved: Int) -> Checkpointer.Outcome { .init(logPages: pages, waitingPages: pages - moved) }

    @Test("log pace: a log that is nearly moved, or short, slows nobody down")
    func fine() {
        var pace = LogPace(limitPages: Self.limit)
        #expect(pace.judge(outcome(2_000, moved: 1_900), took: .milliseconds(10)) == .nearlyMoved)
        #expect(pace.judge(outcome(20_000, moved: 19_600), took: .milliseconds(10)) == .nearlyMoved)
        #expect(pace.judge(outcome(9_999, moved: 3_000), took: .milliseconds(10)) == .short)
    }

    @Test("log pace: a log of which nothing more can be moved is held by a reader, and writers are not slowed down for that")
    func held() {
        var pace = LogPace(limitPages: Self.limit)
        #expect(pace.judge(outcome(9_000, moved: 5_000), took: .milliseconds(10)) == .short)
        #expect(pace.judge(outcome(11_000, moved: 5_000), took: .milliseconds(1)) == .heldByReader)
        #expect(pace.judge(outcome(12_000, moved: 5_000), took: .milliseconds(1)) == .heldByReader)
        #expect(pace.judge(outcome(12_500, moved: 12_480), took: .milliseconds(70)) == .nearlyMoved)
    }

    @Test("log pace: a writer that outpaces the disk waits for each page as long as moving one takes")
    func outpaced() {
        var pace = LogPace(limitPages: Self.limit)
        #expect(pace.judge(outcome(9_000, moved: 4_000), took: .milliseconds(10)) == .short)
        #expect(pace.judge(outcome(15_000, moved: 9_000), took: .milliseconds(200)) == .outpaced(pause: .microseconds(40)))
        #expect(pace.judge(outcome(16_000, moved: 14_000), took: .milliseconds(100)) == .outpaced(pause: .microseconds(20)))
        #expect(pace.judge(outcome(16_100, moved: 16_000), took: .milliseconds(60)) == .nearlyMoved)
        // Anew, and all that was moved since then counts.
        #expect(pace.judge(outcome(12_000, moved: 2_000), took: .milliseconds(100)) == .outpaced(pause: .microseconds(50)))
    }
}
