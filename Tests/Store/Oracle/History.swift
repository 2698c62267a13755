import PatinaProtocol
import PatinaSim

/// A random history of a few nodes, as data: it can be printed, run again, and made smaller.
struct History: CustomStringConvertible {
    enum Step: CustomStringConvertible {
        case transact(node: Int, [OracleStatement])
        /// One call that hands these pieces to a node.
        case deliver(node: Int, [Piece])
        case restart(node: Int)
        case compare(node: Int)
        /// Some steps of the store's own upkeep: clocks of local versions are folded, and the like.
        case upkeep(node: Int, steps: Int)

        var description: String {
            switch self {
            case .transact(let node, let statements):
                let lines = statements.map { statement in
                    let sql = statement.sql(HistoryTables.tables)
                    return "    \(sql.sql)  \(sql.parameters)"
                }
                return "node \(node) runs\n" + lines.joined(separator: "\n")
            case .deliver(let node, let pieces): return "node \(node) gets \(pieces)"
            case .restart(let node): return "node \(node) restarts"
            case .compare(let node): return "node \(node) is compared"
            case .upkeep(let node, let steps): return "node \(node) does \(steps) steps of upkeep"
            }
        }
    }

    /// A chunk of some version that was written before. Numbers are taken modulo what there is, so that a history from which steps
    /// were dropped still runs.
    struct Piece: CustomStringConvertible {
        var writer: Int
        var version: Int
        var chunk: Int
        /// All chunks of the version, from `chunk` on, around.
        var whole: Bool

        var description: String { "\(writer)/\(version)[\(whole ? "all from " : "")\(chunk)]" }
    }

    var nodes: Int
    var chunkBytes: Int
    /// `StoreOptions.unfoldedClocks`.
    var unfolded: Int
    /// Whether a delivery is one call of the store, or one for each chunk.
    var inBatches: Bool
    /// Whether the last versions come from other stores, as they serve them, or as they were written.
    var servedAtEnd: Bool
    var inFiles: Bool
    /// Shuffles the last deliveries.
    var endSeed: UInt64
    var steps: [Step]

    var description: String {
        "\(nodes) nodes, chunks of \(chunkBytes) bytes, \(unfolded) unfolded clocks, \(inBatches ? "batches" : "single chunks"), "
            + "\(servedAtEnd ? "served" : "as written") at the end with seed \(endSeed)\n"
            + steps.enumerated().map { "\($0 + 1). \($1)" }.joined(separator: "\n")
    }

    init(nodes: Int, steps: [Step], seed: UInt64) {
        self.nodes = nodes
        self.steps = steps
        chunkBytes = 16_384
        unfolded = 3
        inBatches = false
        servedAtEnd = false
        inFiles = false
        endSeed = seed
    }

    // MARK: Drawing

    init(seed: UInt64) {
        var random = Random(seed: seed)
        nodes = 3 + random.below(3)
        chunkBytes = [60, 200, 16_384][random.below(3)]
        unfolded = [1, 8, 16_384][random.below(3)]
        inBatches = random.below(2) == 0
        servedAtEnd = random.below(3) == 0
        inFiles = random.below(24) == 0
        endSeed = random.next()
        steps = []
        // Few tables and few keys in one history, so that writers meet.
        var tables: [Int] = []
        while tables.count < 2 {
            let table = random.below(HistoryTables.tables.count)
            if !tables.contains(table) { tables.append(table) }
        }
        for _ in 0..<(12 + random.below(30)) {
            switch random.below(17) {
            case 0..<9: steps.append(.transact(node: random.below(nodes), Self.transaction(tables, &random)))
            case 9..<13:
                let pieces = (0..<(1 + random.below(6))).map { _ in
                    Piece(
                        writer: random.below(nodes), version: random.below(64), chunk: random.below(8), whole: random.below(3) > 0)
                }
                steps.append(.deliver(node: random.below(nodes), pieces))
            case 13: steps.append(.restart(node: random.below(nodes)))
            case 14: steps.append(.upkeep(node: random.below(nodes), steps: 1 + random.below(3)))
            default: steps.append(.compare(node: random.below(nodes)))
            }
        }
    }

    private static func transaction(_ tables: [Int], _ random: inout Random) -> [OracleStatement] {
        var statements: [OracleStatement] = []
        var open: [Int] = []
        for number in 0..<(1 + random.below(random.below(3) == 0 ? 9 : 3)) {
            switch random.below(8) {
            case 0:
                statements.append(.savepoint(number))
                open.append(number)
            case 1 where !open.isEmpty:
                let index = random.below(open.count)
                statements.append(.rollbackTo(open[index]))
                open.removeSubrange((index + 1)...)
            case 2 where !open.isEmpty:
                let index = random.below(open.count)
                statements.append(.release(open[index]))
                open.removeSubrange(index...)
            default: break
            }
            statements.append(statement(tables[random.below(tables.count)], &random))
        }
        return statements
    }

    private static func statement(_ index: Int, _ random: inout Random) -> OracleStatement {
        let table = HistoryTables.tables[index]
        let row = OracleRowName(table: index, key: HistoryTables.key(index, &random))
        func assignments(_ atLeast: Int) -> [OracleStatement.Assignment] {
            guard !table.columns.isEmpty else { return [] }
            var chosen = table.columns.indices.filter { _ in random.below(2) == 0 }
            if chosen.count < atLeast { chosen = [random.below(table.columns.count)] }
            return chosen.map { .init($0, HistoryTables.value(table.columns[$0], &random)) }
        }
        let conflicts: [OracleStatement.Conflict] = [.replace, .replace, .replace, .ignore, .ignore, .abort]
        let conflict = conflicts[random.below(6)]
        switch random.below(table.columns.isEmpty ? 8 : 14) {
        case 0, 1: return .insert(row, assignments(0), conflict)
        case 2, 3: return .delete(row)
        case 4, 5: return .changeKey(row, to: HistoryTables.key(index, &random), assignments(0), conflict)
        case 6: return .upsert(row, inserting: assignments(0), updating: assignments(1))
        case 7: return table.scansInKeyOrder && random.below(3) == 0 ? .deleteAll(table: index) : .insert(row, assignments(0), .ignore)
        case 8: return table.scansInKeyOrder ? .updateAll(table: index, assignments(1)) : .update(row, assignments(1))
        case 9, 10: return .upsert(row, inserting: assignments(0), updating: assignments(1))
        default: return .update(row, assignments(1))
        }
    }

    // MARK: Making smaller

    /// Drops whatever is not needed for `fails` to hold: steps, then statements, then pieces. Bounded by `attempts` runs.
    func shrunk(attempts: Int = 600, while fails: (History) -> Bool) -> History {
        var best = self
        var left = attempts
        func accept(_ candidate: History) -> Bool {
            guard left > 0 else { return false }
            left -= 1
            guard fails(candidate) else { return false }
            best = candidate
            return true
        }
        var size = max(1, best.steps.count / 2)
        while size >= 1, left > 0 {
            var start = 0
            while start < best.steps.count {
                var candidate = best
                candidate.steps.removeSubrange(start..<min(start + size, candidate.steps.count))
                if !accept(candidate) { start += size }
            }
            size /= 2
        }
        for step in best.steps.indices {
            switch best.steps[step] {
            case .transact(let node, var statements):
                for index in statements.indices.reversed() {
                    var fewer = statements
                    fewer.remove(at: index)
                    var candidate = best
                    candidate.steps[step] = .transact(node: node, fewer)
                    if accept(candidate) { statements = fewer }
                }
            case .deliver(let node, var pieces):
                for index in pieces.indices.reversed() {
                    var fewer = pieces
                    fewer.remove(at: index)
                    var candidate = best
                    candidate.steps[step] = .deliver(node: node, fewer)
                    if accept(candidate) { pieces = fewer }
                }
            case .restart, .compare, .upkeep: break
            }
        }
        return best
    }
}
