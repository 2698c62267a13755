import PatinaProtocol

@testable import PatinaSim

/// Every history of three nodes and a few statements on two keys, with every order of deliveries that can matter, on the merge alone.
///
/// A history is built statement by statement. Before a node runs a statement, it gets an ordered choice of the versions that it does not
/// have yet: each subset, each order. What another node gets meanwhile cannot matter before that node runs a statement itself, so these
/// are all interleavings. After the last statement each node gets what it lacks, in each order. One such order, at one node, after one
/// history, is a *schedule*. Statements that change nothing end a branch: the history without them is there as well. The first statement
/// inserts key 1; the histories that begin with key 2 are the same with the keys exchanged.
struct SmallScope {
    /// One node on the merge alone: the clocks and values of both rows.
    private struct Replica: Hashable {
        var clocks = [RowClock(), RowClock()]
        var values: [[Value]] = [[], []]

        mutating func merge(_ version: OracleVersion, _ sites: [ActorID]) -> Bool {
            var changed = false
            for event in version.events {
                guard case .integer(let key) = event.row.key[0] else { continue }
                let index = Int(key) - 1
                let row = RowChange(
                    table: 0, key: [], causalLength: event.length,
                    sentinel: event.sentinel.map { .init(columnVersion: event.length, sequence: $0) },
                    cells: event.cells.map {
                        CellChange(column: $0.column, columnVersion: $0.columnVersion, sequence: $0.sequence, value: $0.value)
                    })
                let values = self.values[index]
                let decision = Merge.merge(
                    into: &clocks[index], row, site: version.writer, version: version.version, sites: sites,
                    localValue: { values.isEmpty ? .null : values[$0] })
                if decision.action == .delete { self.values[index] = [] }
                if decision.action == .insert || decision.action == .replace { self.values[index] = [.null, .null] }
                for winner in decision.winners { self.values[index][row.cells[winner].column] = row.cells[winner].value }
                changed = changed || decision.changesClock || decision.action != .keep || !decision.winners.isEmpty
            }
            return changed
        }
    }

    private static let table = HistoryTables.plain
    private static let nodes = 3
    let sites = [2, 5, 3].map { ActorID(high: UInt64($0) << 56 | 0x4000, low: 0x8000_0000_0000_0000) }
    let statements: Int
    /// Of the histories of all statements but the last, one of so many is gone on with.
    let stride: Int
    /// Called with a complete history now and then: of so many one.
    let sampleStride: Int

    private(set) var schedules = 0
    private(set) var histories = 0
    private(set) var samples: [History] = []
    private(set) var problem: String?
    private var prefixes = 0
    private var path: [History.Step] = []
    private var mutation: OracleMutation?

    init(statements: Int, stride: Int, sampleStride: Int, mutation: OracleMutation? = nil) {
        self.statements = statements
        self.stride = stride
        self.sampleStride = sampleStride
        self.mutation = mutation
    }

    /// Runs all histories whose first statement is by `first`.
    mutating func run(first: Int) {
        let oracle = Oracle(tables: HistoryTables.tables, actors: sites, mutation: mutation)
        step(0, oracle, Array(repeating: Replica(), count: Self.nodes), onlyNode: first)
    }

    /// What a node may do at a step: values of `a` differ with the step, those of `b` are equal, so that both kinds of ties come.
    private static func alphabet(_ step: Int) -> [OracleStatement] {
        let names = [1, 2].map { OracleRowName(table: table, key: [.integer($0)]) }
        if step == 0 { return [.insert(names[0], [.init(0, .integer(0)), .init(1, .text("x"))], .abort)] }
        return (0..<2).flatMap { key -> [OracleStatement] in
            [
                .insert(names[key], [.init(0, .integer(0)), .init(1, .text("x"))], .ignore),
                .update(names[key], [.init(0, .integer(Int64(step)))]), .update(names[key], [.init(1, .text("y"))]), .delete(names[key]),
                .changeKey(names[key], to: names[1 - key].key, [], .ignore),
            ]
        }
    }

    private mutating func step(_ number: Int, _ oracle: Oracle, _ replicas: [Replica], onlyNode: Int? = nil) {
        guard problem == nil else { return }
        if number == statements { return finish(oracle, replicas) }
        if number == statements - 1 {
            prefixes += 1
            if prefixes % stride != 0 { return }
        }
        for node in 0..<Self.nodes where onlyNode == nil || onlyNode == node {
            let depth = path.count
            for order in Self.orderedSubsets(oracle.versions.flatMap { $0 }.filter { !oracle.has(node: node, $0) }) {
                var (before, replicas) = (oracle, replicas)
                path.removeSubrange(depth...)
                for version in order { deliver(version, to: node, &before, &replicas) }
                for statement in Self.alphabet(number) {
                    var (oracle, replicas) = (before, replicas)
                    guard let version = try? oracle.transact(node: node, [statement]) else { continue }
                    _ = replicas[node].merge(version, sites)
                    path.append(.transact(node: node, [statement]))
                    if let difference = difference(replicas[node], oracle, node) { problem = "\(difference) after \(path)" }
                    step(number + 1, oracle, replicas)
                    path.removeLast()
                }
            }
            path.removeSubrange(depth...)
        }
    }

    private mutating func deliver(_ version: OracleVersion, to node: Int, _ oracle: inout Oracle, _ replicas: inout [Replica]) {
        oracle.complete(node: node, writer: version.writer, version: version.version)
        _ = replicas[node].merge(version, sites)
        path.append(
            .deliver(
                node: node, [History.Piece(writer: version.writer, version: Int(version.version) - 1, chunk: 0, whole: true)]))
        if let difference = difference(replicas[node], oracle, node) { problem = "\(difference) after \(path)" }
    }

    private mutating func finish(_ oracle: Oracle, _ replicas: [Replica]) {
        histories += 1
        if histories % sampleStride == 0 { samples.append(History(nodes: Self.nodes, steps: path, seed: UInt64(histories))) }
        let versions = oracle.versions.flatMap { $0 }
        var complete = oracle
        for version in versions { complete.complete(node: 0, writer: version.writer, version: version.version) }
        for node in 0..<Self.nodes {
            for order in Self.permutations(versions.filter { !oracle.has(node: node, $0) }) {
                schedules += 1
                var replica = replicas[node]
                for version in order { _ = replica.merge(version, sites) }
                if let difference = difference(replica, complete, 0) {
                    problem = "\(difference) at node \(node) after \(path), then \(order.map { "\($0.writer)/\($0.version)" })"
                }
            }
        }
        // Everything once more changes nothing.
        var replica = replicas[0]
        for version in versions { _ = replica.merge(version, sites) }
        for version in versions where replica.merge(version, sites) { problem = "a version merged again changes something after \(path)" }
    }

    private func difference(_ replica: Replica, _ oracle: Oracle, _ node: Int) -> String? {
        for key in 0..<2 {
            let row = oracle.row(OracleRowName(table: Self.table, key: [.integer(Int64(key) + 1)]), at: node)
            let clock = replica.clocks[key]
            guard clock.causalLength == row.length else { return "key \(key + 1): length \(clock.causalLength), expected \(row.length)" }
            let sentinel = clock.sentinel.map { OracleOrigin(writer: $0.site, version: $0.version, sequence: $0.sequence) }
            guard sentinel == row.sentinel, clock.sentinel?.isDerived ?? false == row.sentinelIsDerived else {
                return "key \(key + 1): sentinel \(String(describing: clock.sentinel)), expected \(String(describing: row.sentinel))"
            }
            guard clock.exists == row.exists else { return "key \(key + 1): exists \(clock.exists)" }
            if !row.exists { continue }
            for column in 0..<2 {
                let position = clock.position(of: column)
                let cell = position.isPresent ? clock.cells[position.index] : nil
                let expected = row.cells[column]
                let isEqual =
                    cell?.columnVersion == expected?.columnVersion && cell?.version == expected?.origin.version
                    && cell?.site == expected?.origin.writer && cell?.sequence == expected?.origin.sequence
                    && replica.values[key][column] == expected?.value ?? .null
                if !isEqual {
                    return "key \(key + 1), column \(column): \(String(describing: cell)) \(replica.values[key][column]), "
                        + "expected \(String(describing: expected))"
                }
            }
        }
        return nil
    }

    // MARK: Orders

    static func permutations<Element>(_ elements: [Element]) -> [[Element]] {
        if elements.isEmpty { return [[]] }
        return elements.indices.flatMap { index -> [[Element]] in
            var rest = elements
            let chosen = rest.remove(at: index)
            return permutations(rest).map { [chosen] + $0 }
        }
    }

    static func orderedSubsets<Element>(_ elements: [Element]) -> [[Element]] {
        [[]]
            + elements.indices.flatMap { index -> [[Element]] in
                var rest = elements
                let chosen = rest.remove(at: index)
                return orderedSubsets(rest).map { [chosen] + $0 }
            }
    }
}
