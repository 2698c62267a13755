import PatinaProtocol
import Testing

@testable import PatinaSim

/// Every checker is shown a state that it must refuse, beside the state that it must accept.
@Suite struct CheckerTests {
    private let alice = ActorID(high: 1, low: 1)
    private let bob = ActorID(high: 2, low: 2)

    private func ledger(_ entries: (ActorID, ClosedRange<UInt64>)...) -> VersionLedger {
        var ledger = VersionLedger()
        for (actor, versions) in entries { ledger.apply(.completed(actor, versions: versions)) }
        return ledger
    }

    private func upsert(_ key: UInt64, _ number: UInt64, columns: UInt64 = 0b11) -> RowWrite {
        RowWrite(table: 0, key: key, number: number, kind: .upsert(columns: columns))
    }

    private func delete(_ key: UInt64, _ number: UInt64) -> RowWrite { RowWrite(table: 0, key: key, number: number, kind: .delete) }

    // MARK: converged

    @Test("checker converged: equal digests agree, one other does not")
    func agreement() throws {
        let same = Fingerprint(high: 1, low: 2)
        #expect(Agreement.difference(in: "the rows", among: []) == nil)
        #expect(Agreement.difference(in: "the rows", among: [(0, same), (1, same), (4, same)]) == nil)
        let difference = try #require(
            Agreement.difference(in: "the rows", among: [(0, same), (1, same), (4, Fingerprint(high: 1, low: 3))]))
        #expect(difference.contains("the rows differ: 2 groups") && difference.contains("node:4") && difference.contains("1 of 3"))
    }

    // MARK: caught-up

    @Test("checker caught-up: what any node knew at the start must be known to all, later versions need not")
    func caughtUp() throws {
        var goal = GoalTracker(begun: .zero, nodes: 2, ledgers: [ledger((alice, 1...3)), ledger((alice, 2...5), (bob, 1...1))])
        let everything = goal.missing(at: 0, ledger((alice, 1...5), (bob, 1...9)))
        #expect(everything == nil)
        let withoutFive = goal.missing(at: 1, ledger((alice, 1...4), (bob, 1...1)))
        #expect(try #require(withoutFive).contains("{5} of"))
        let withoutBob = goal.missing(at: 1, ledger((alice, 1...5)))
        #expect(try #require(withoutBob).contains("{1} of"))
        let atLast = goal.missing(at: 1, ledger((alice, 1...5), (bob, 1...1)))
        #expect(atLast == nil)
    }

    @Test("checker caught-up: a version that is there in part only is not known")
    func partialIsNotKnown() throws {
        var goal = GoalTracker(begun: .zero, nodes: 1, ledgers: [ledger((alice, 1...2))])
        var partial = ledger((alice, 1...1))
        partial.apply(.buffered(try #require(ChunkID(actor: alice, version: 2, sequences: 0...4, lastSequence: 9))))
        let lacking = goal.missing(at: 0, partial)
        #expect(lacking != nil)
    }

    // MARK: no-acked-write-lost

    @Test("checker no-acked-write-lost: a version that a ledger lacks is named")
    func lostVersion() throws {
        var record = AcknowledgedWrites()
        for version in 1...4 as ClosedRange<UInt64> { record.record(host: 0, actor: alice, version: version, rows: []) }
        record.record(host: 1, actor: bob, version: 1, rows: [])
        #expect(record.missing(from: ledger((alice, 1...4), (bob, 1...1))) == nil)
        #expect(record.missing(from: ledger((alice, 1...9), (bob, 1...2))) == nil)
        #expect(try #require(record.missing(from: ledger((alice, 1...3), (bob, 1...1)))).contains("{4} of node:0"))
        #expect(try #require(record.missing(from: ledger((alice, 1...4)))).contains("node:1"))
        #expect(record.missing(from: ledger((alice, 1...4)), onlyHost: 0) == nil)
    }

    @Test("checker no-acked-write-lost: the last write of some node is right, an earlier one is not")
    func lostCell() throws {
        var record = AcknowledgedWrites()
        record.record(host: 0, actor: alice, version: 1, rows: [upsert(7, 1)])
        record.record(host: 1, actor: bob, version: 1, rows: [upsert(7, 2)])
        record.record(host: 0, actor: alice, version: 2, rows: [upsert(7, 3, columns: 0b01)])
        // Either writer may have won each column; the second column's last write by node 0 is number 1.
        for marks in [[3, 2], [2, 2], [3, 1], [2, 1]] as [[UInt64]] { #expect(record.wrong(table: 0, rows: [(7, marks)]) == nil) }
        #expect(try #require(record.wrong(table: 0, rows: [(7, [1, 2])])).contains("the same node wrote 3"))
        #expect(try #require(record.wrong(table: 0, rows: [(7, [9, 2])])).contains("nobody was told"))
        // Write 3 did not touch the second column.
        #expect(record.wrong(table: 0, rows: [(7, [3, 3])]) != nil)
        // A default holds no mark and proves nothing.
        #expect(record.wrong(table: 0, rows: [(7, [0, 0])]) == nil)
    }

    @Test("checker no-acked-write-lost: a row is gone only when somebody deleted it for good")
    func lostRow() throws {
        var record = AcknowledgedWrites()
        record.record(host: 0, actor: alice, version: 1, rows: [upsert(7, 1)])
        #expect(try #require(record.wrong(table: 0, rows: [])).contains("key 7 is gone"))
        record.record(host: 1, actor: bob, version: 1, rows: [delete(7, 2)])
        #expect(record.wrong(table: 0, rows: []) == nil)
        // Bob wrote the row again: his own deletion explains nothing any more.
        record.record(host: 1, actor: bob, version: 2, rows: [upsert(7, 3)])
        #expect(record.wrong(table: 0, rows: []) != nil)
        #expect(record.wrong(table: 0, rows: [(7, [3, 3])]) == nil)
    }

    @Test("checker no-acked-write-lost: what a node wrote before its own deletion must not come back")
    func resurrected() throws {
        var record = AcknowledgedWrites()
        record.record(host: 0, actor: alice, version: 1, rows: [upsert(7, 1)])
        record.record(host: 0, actor: alice, version: 2, rows: [delete(7, 2)])
        #expect(record.wrong(table: 0, rows: []) == nil)
        #expect(record.wrong(table: 0, rows: [(7, [1, 1])]) != nil)
    }

    // MARK: The board

    private func board(_ checks: Check...) throws -> CheckBoard {
        let scenario = try Sample.scenario()
        return CheckBoard(checks: checks, faults: FaultPlan(scenario: scenario, random: Random(seed: 1)), end: .zero + scenario.duration)
    }

    @Test("checker always: the first violation stays, and names its time", arguments: Check.Invariant.allCases)
    func always(invariant: Check.Invariant) throws {
        var board = try board(.always(invariant))
        #expect(board.results(metrics: [])[0].valid)
        #expect(board.watches(invariant))
        board.violated(invariant, at: .zero + .seconds(3), "node:1 is wrong")
        board.violated(invariant, at: .zero + .seconds(4), "node:2 is wrong")
        #expect(!board.watches(invariant))
        let result = board.results(metrics: [])[0]
        #expect(!result.valid && result.detail.contains("3.000000s node:1 is wrong"))
        #expect(result.name == "always \(invariant.rawValue)")
    }

    @Test("checker eventually: true in time, too late, and never begun")
    func eventually() throws {
        let check = Check.eventually(.converged, after: TimeAnchor(.finish("cut")), within: .seconds(2))
        let tracker = GoalTracker(begun: .zero, nodes: 1, ledgers: [])
        for (at, valid) in [(9, true), (10, true)] {
            var board = try board(check)
            #expect(board.beginnings.map(\.at) == [.zero + .seconds(8)])
            board.begin(0, goal: tracker)
            board.look(0, at: .zero + .milliseconds(8_500)) { _ in "not yet" }
            board.look(0, at: .zero + .seconds(at)) { _ in nil }
            #expect(board.results(metrics: [])[0].valid == valid)
        }
        var late = try board(check)
        late.begin(0, goal: tracker)
        late.look(0, at: .zero + .seconds(10)) { _ in "the rows differ" }
        late.look(0, at: .zero + .seconds(11)) { _ in nil }
        let result = late.results(metrics: [])[0]
        #expect(!result.valid && result.detail.contains("not within 2s after 8.000000s: the rows differ"))
        // Nobody ever looked: not proven.
        #expect(try !board(check).results(metrics: [])[0].valid)
    }

    @Test("checker never: one occurrence is one too many", arguments: Check.Occasion.allCases)
    func never(occasion: Check.Occasion) throws {
        var board = try board(.never(occasion, grace: .seconds(1)))
        #expect(board.results(metrics: [])[0].valid)
        if occasion == .declaredDown {
            #expect(board.declaredDownGraces.count == 1)
            board.declaredDown(check: 0, at: .zero + .seconds(2), "node:1 declared node:2 down")
        } else {
            board.occurred(occasion, at: .zero + .seconds(2), "node:1 declared node:2 down")
            // Another occasion does not count.
            #expect(board.declaredDownGraces.isEmpty)
        }
        let result = board.results(metrics: [])[0]
        #expect(!result.valid && result.detail.contains("1 times; first at 2.000000s node:1 declared node:2 down"))
    }

    @Test("checker sometimes: what occurs in no seed is uncovered, what occurs in one is not")
    func sometimes() throws {
        var hit = try board(.sometimes(.lazyRepair), .sometimes(.refuted))
        hit.occurred(.lazyRepair, at: .zero, "")
        let miss = try board(.sometimes(.lazyRepair), .sometimes(.refuted))
        let reports = [hit, miss].map { board in
            SimulationReport(
                scenario: "", scenarioHash: "", seed: 1, traceHash: "", simulatedTime: .zero, wallTime: nil, events: 0,
                messagesDelivered: 0,
                bytesDelivered: 0, checks: board.results(metrics: []), metrics: [])
        }
        #expect(reports.map(\.valid) == [true, true])
        #expect(SimulationReport.uncovered(in: reports) == ["sometimes refuted"])
        #expect(SimulationReport.uncovered(in: [reports[1]]) == ["sometimes lazy-repair", "sometimes refuted"])
    }

    @Test("checker metric: bounds on both sides")
    func metric() {
        #expect(MetricBound.judge(5, atMost: 5_000, atLeast: 5_000).valid)
        #expect(!MetricBound.judge(5.001, atMost: 5_000, atLeast: nil).valid)
        #expect(!MetricBound.judge(4.999, atMost: nil, atLeast: 5_000).valid)
        #expect(MetricBound.judge(4.999, atMost: nil, atLeast: 5_000).detail == "4.999 is less than 5.0")
    }
}
