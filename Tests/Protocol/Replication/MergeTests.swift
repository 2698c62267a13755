import PatinaProtocol
import Testing

/// The merge rule, alone: every order of delivery of the same rows gives the same row.
@Suite("Merge")
struct MergeTests {
    static let sites = (1...3).map { ActorID(high: UInt64($0), low: 0) }

    /// A row with its values, as a store would keep it.
    struct Replica: Hashable {
        var clock = RowClock()
        var values: [Int: Value] = [:]

        mutating func merge(_ incoming: Incoming, keepsMissedValues: Bool = false) -> MergeDecision {
            let values = self.values
            let decision = Merge.merge(
                into: &clock, incoming.row, site: incoming.site, version: incoming.version, sites: MergeTests.sites,
                keepsMissedValues: keepsMissedValues, localValue: { values[$0] ?? .null })
            if decision.action == .delete || decision.action == .replace { self.values = [:] }
            for winner in decision.winners { self.values[incoming.row.cells[winner].column] = incoming.row.cells[winner].value }
            return decision
        }
    }

    struct Incoming: Hashable {
        var row: RowChange
        var site: Int
        var version: UInt64
    }

    private func incoming(
        _ site: Int, _ version: UInt64, length: UInt64, sentinel: Bool, _ cells: [(column: Int, version: UInt64, value: Value)]
    ) -> Incoming {
        let changes = cells.enumerated().map {
            CellChange(column: $1.column, columnVersion: $1.version, sequence: UInt64($0 + 1), value: $1.value)
        }
        return Incoming(
            row: RowChange(
                table: 0, key: [], causalLength: length, sentinel: sentinel ? .init(columnVersion: length, sequence: 0) : nil,
                cells: changes),
            site: site, version: version)
    }

    /// Three sites insert, update and delete a row of two columns, now and then hearing of what the others did. Each writes on top of
    /// what it knows, so that no site gives the same column version twice.
    private func history(_ random: inout Random) -> [Incoming] {
        var history: [Incoming] = []
        var replicas = Array(repeating: Replica(), count: 3)
        for step in 1...(4 + random.below(UInt64(10))) {
            let site = random.below(3)
            let clock = replicas[site].clock
            let value = Value.integer(Int64(random.below(2)))
            let made: Incoming
            if !clock.exists {
                let isNew = clock.causalLength == 0
                made = incoming(site, step, length: clock.causalLength + 1, sentinel: !isNew, [(0, 1, value), (1, 1, .null)])
            } else if random.below(3) == 0 {
                made = incoming(site, step, length: clock.causalLength + 1, sentinel: true, [])
            } else {
                let column = random.below(2)
                let position = clock.position(of: column)
                let version = position.isPresent ? clock.cells[position.index].columnVersion + 1 : 1
                made = incoming(site, step, length: clock.causalLength, sentinel: false, [(column, version, value)])
            }
            _ = replicas[site].merge(made)
            history.append(made)
            if random.below(2) == 0, let heard = random.element(of: history) { _ = replicas[random.below(3)].merge(heard) }
        }
        return history
    }

    @Test("merge: rows commute, are associative and idempotent", arguments: 0..<400 as Range<UInt64>)
    func convergence(seed: UInt64) {
        var random = Random(seed: seed)
        let history = history(&random)
        var expected: Replica?
        for _ in 0..<24 {
            var order = history + [history[random.below(history.count)]]
            random.shuffle(&order)
            var replica = Replica()
            for item in order { _ = replica.merge(item) }
            #expect(expected == nil || replica == expected)
            expected = replica
            // Again: nothing changes.
            for item in order {
                let decision = replica.merge(item)
                #expect(!decision.changesClock && decision.winners.isEmpty && decision.action == .keep)
            }
        }
    }

    @Test("merge: a deletion beats every cell of its causal length, a resurrection beats the deletion")
    func causalLength() {
        var replica = Replica()
        #expect(replica.merge(incoming(0, 1, length: 1, sentinel: false, [(0, 1, .integer(1))])).action == .insert)
        #expect(replica.merge(incoming(1, 1, length: 2, sentinel: true, [])).action == .delete)
        #expect(replica.merge(incoming(0, 2, length: 1, sentinel: false, [(0, 99, .integer(9))])) == MergeDecision())
        let resurrection = replica.merge(incoming(0, 3, length: 3, sentinel: false, [(1, 1, .text("again"))]))
        #expect(resurrection.action == .insert && resurrection.winners == [0])
        #expect(replica.clock.sentinel?.isDerived == true)
        // The real sentinel takes the place of the derived one.
        #expect(replica.merge(incoming(2, 7, length: 3, sentinel: true, [])).changesClock)
        #expect(replica.clock.sentinel == SentinelClock(site: 2, version: 7, sequence: 0))
    }

    @Test("merge: a row that missed its deletion starts afresh, as one that did not miss it")
    func missedDeletion() {
        let resurrection = incoming(1, 4, length: 3, sentinel: true, [(0, 1, .integer(9))])
        let deletion = incoming(1, 3, length: 2, sentinel: true, [])
        var replicas = [Replica(), Replica()]
        for index in replicas.indices {
            _ = replicas[index].merge(incoming(0, 1, length: 1, sentinel: false, [(0, 5, .integer(50)), (1, 1, .text("old"))]))
        }
        let decision = replicas[0].merge(resurrection)
        #expect(decision.action == .replace && decision.winners == [0])
        _ = replicas[1].merge(deletion)
        #expect(replicas[1].merge(resurrection).action == .insert)
        #expect(replicas[0].merge(deletion) == MergeDecision())
        #expect(replicas[0] == replicas[1])
        #expect(replicas[0].values == [0: .integer(9)] && replicas[0].clock.cells.map(\.column) == [0])
    }

    @Test("merge: as in cr-sqlite, it keeps its values below every cell of the resurrected row, if that is asked for")
    func missedValues() {
        var replica = Replica()
        _ = replica.merge(incoming(0, 1, length: 1, sentinel: false, [(0, 5, .integer(50)), (1, 1, .text("old"))]))
        let decision = replica.merge(incoming(1, 4, length: 3, sentinel: true, [(0, 1, .integer(9))]), keepsMissedValues: true)
        #expect(decision.action == .keep && decision.winners == [0])
        #expect(replica.values == [0: .integer(9), 1: .text("old")])
        #expect(replica.clock.cells.map(\.columnVersion) == [1, 0])
    }

    @Test("merge: column version, then value, then actor decide")
    func tieBreaks() {
        func winner(_ version: UInt64, _ value: Value, site: Int) -> Bool {
            var replica = Replica()
            _ = replica.merge(incoming(1, 1, length: 1, sentinel: false, [(0, 3, .integer(5))]))
            return !replica.merge(incoming(site, 9, length: 1, sentinel: false, [(0, version, value)])).winners.isEmpty
        }
        #expect(winner(4, .null, site: 0))
        #expect(!winner(2, .integer(9), site: 2))
        #expect(winner(3, .integer(6), site: 0))
        #expect(!winner(3, .real(6), site: 2))
        #expect(winner(3, .integer(5), site: 2))
        #expect(!winner(3, .integer(5), site: 0))
        #expect(!winner(3, .integer(5), site: 1))
    }
}
