import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct FaultPlanTests {
    private func plan(_ faults: String, nodes: Int = 10, seed: UInt64 = 1) throws -> FaultPlan {
        let text = """
            format = 1
            name = "faults"
            about = "Only the plan is looked at."
            [run]
            duration = "100s"
            warmup = "10s"
            drain = "20s"
            [topology]
            nodes = \(nodes)
            [[check]]
            always = "no-acked-write-lost"

            """
        return FaultPlan(scenario: try Scenario.parse(text + faults, file: "faults.toml"), random: Random(seed: seed))
    }

    private func seconds(_ instant: Instant?) -> Double? { instant.map { Double($0.nanoseconds) / 1e9 } }

    @Test("faults: a fault has its start and its end, and is healed by the guaranteed heal")
    func times() throws {
        let plan = try plan(
            """
            [[fault]]
            id = "a"
            kind = "crash"
            select = "node:3"
            at = "30s"
            for = "5s"
            [[fault]]
            id = "b"
            kind = "crash"
            select = "node:4"
            at = "a.end + 1s"
            for = "500s"
            [[fault]]
            id = "c"
            kind = "crash"
            select = "node:5"
            at = "-30s"
            for = "forever"
            """)
        #expect(plan.occurrences.map { seconds($0.start) } == [30, 36, 70])
        #expect(plan.occurrences.map { seconds($0.end) } == [35, 80, nil])
        #expect(seconds(plan.time(of: TimeAnchor(.finish("b"), offset: .seconds(2)))) == 82)
        #expect(plan.time(of: TimeAnchor(.finish("c"))) == nil)
    }

    @Test("faults: repeated ones stay in their window, and come about as often as asked (20 seeds)", arguments: 1...20)
    func every(seed: Int) throws {
        let plan = try plan(
            """
            [[fault]]
            kind = "crash"
            select = "2 random"
            every = "exp(2s)"
            for = "1s..4s"
            """, seed: UInt64(seed))
        let starts = plan.occurrences.map(\.start)
        // 70 s at one in 2 s: 35, give or take four standard deviations.
        #expect((11...59).contains(starts.count))
        #expect(starts == starts.sorted())
        for occurrence in plan.occurrences {
            #expect(occurrence.start > .zero + .seconds(10) && occurrence.start < .zero + .seconds(80))
            let end = try #require(occurrence.end)
            let length = end - occurrence.start
            #expect(end == .zero + .seconds(80) || (length >= .seconds(1) && length <= .seconds(4)))
            let nodes = try #require(occurrence.action as? CrashAction).nodes
            #expect(nodes.count == 2 && nodes[0] < nodes[1] && nodes[1] < 10)
        }
    }

    @Test("faults: sides of a partition, in both directions and in one")
    func partitions() throws {
        let plan = try plan(
            """
            [[fault]]
            id = "halves"
            kind = "partition"
            sides = [["50%"], ["rest"]]
            at = "20s"
            [[fault]]
            id = "deaf"
            kind = "partition"
            sides = [["node:0-1"], ["node:2"]]
            direction = "a->b"
            at = "21s"
            """)
        let halves = try #require(plan.occurrences[0].action as? PartitionAction).partition
        let deaf = try #require(plan.occurrences[1].action as? PartitionAction).partition
        guard case .sides(let sideOf, _) = halves.shape else {
            Issue.record("two halves are sides")
            return
        }
        #expect(sideOf.count(where: { $0 == 0 }) == 5 && sideOf.count(where: { $0 == 1 }) == 5)
        let (left, right) = (try #require(sideOf.firstIndex(of: 0)), try #require(sideOf.firstIndex(of: 1)))
        #expect(halves.cuts(from: left, to: right) && halves.cuts(from: right, to: left) && !halves.cuts(from: left, to: left))
        #expect(deaf.cuts(from: 0, to: 2) && deaf.cuts(from: 1, to: 2))
        #expect(!deaf.cuts(from: 2, to: 0) && !deaf.cuts(from: 0, to: 1) && !deaf.cuts(from: 0, to: 5) && !deaf.cuts(from: 5, to: 2))
    }
}

@Suite struct KeyChooserTests {
    private func draw(_ keys: Workload.Keys, count: Int = 100_000) -> [UInt64] {
        var chooser = KeyChooser(keys)
        var random = Random(seed: 1)
        return (0..<count).map { _ in chooser.choose(using: &random) }
    }

    @Test("workload: uniform keys fill their range evenly")
    func uniform() {
        var counts = [Int](repeating: 0, count: 10)
        for key in draw(.uniform(count: 10)) { counts[Int(key)] += 1 }
        #expect(counts.allSatisfy { (9_500...10_500).contains($0) })
    }

    @Test("workload: keys of Zipf's distribution with s = 1 follow it")
    func zipf() {
        var counts = [Int](repeating: 0, count: 1_000)
        for key in draw(.zipf(count: 1_000, exponent: 1_000)) { counts[Int(key)] += 1 }
        // The harmonic number of 1,000 is 7.485: the first key gets 13.36% of the draws, the second half of that.
        #expect((13_000...13_700).contains(counts[0]))
        #expect((6_400...6_960).contains(counts[1]))
        #expect((1_200...1_480).contains(counts[9]))
    }

    @Test("workload: sequential keys never repeat")
    func sequential() { #expect(draw(.sequential, count: 50) == Array(0..<50)) }

    @Test("workload: a mark comes back from every kind of cell", arguments: [1, 77, 1_000_000] as [UInt64])
    func marks(number: UInt64) {
        for content in [TableShape.Content.integer, .real, .text, .blob] {
            #expect(WriteMark.number(of: WriteMark.value(number, as: content, bytes: 40)) == number)
            #expect(WriteMark.keyNumber(of: WriteMark.key(number, as: content, column: "id"), column: "id") == number)
        }
        #expect([Value.null, .integer(0), .text("hello"), .blob([1]), .integer(-4)].allSatisfy { WriteMark.number(of: $0) == 0 })
    }
}
