import PatinaProtocol
import PatinaStore

/// A simulated cluster for tests: a story is told to it line by line, and it is asked whether what must hold does.
///
/// ```swift
/// let world = try World(nodes: 5, seed: 1)
/// let cut = world.partition([0, 1], from: [2, 3, 4])
/// try world.write(key: 7, "left", at: 0)
/// cut.heal()
/// try world.expectConverged(within: .seconds(5))
/// ```
///
/// Time passes only in `run(for:)` and in what begins with `expect`. The same story and seed are the same run. What a story cannot
/// do, such as reading a node that is down, throws a `World.Mishap` that says so.
public final class World {
    let simulation: Simulation
    private var strikes = 1_000_000

    /// What went wrong, as a sentence.
    public struct Mishap: Error, CustomStringConvertible {
        public let description: String
    }

    /// A fault that the story began. It lasts until `heal()`; a second `heal()` does nothing.
    public final class Trouble {
        private let world: World
        private let action: any FaultAction
        private let strike: Int
        private var isOver = false

        init(_ action: any FaultAction, strike: Int, in world: World) {
            self.world = world
            self.action = action
            self.strike = strike
        }

        public func heal() {
            guard !isOver else { return }
            isOver = true
            world.simulation.activeFaults -= 1
            world.simulation.lastFaultEnd = world.simulation.clock.now
            action.end(in: world.simulation, strike: strike)
        }
    }

    /// A cluster that has found itself: every node has been up for three seconds.
    ///
    /// - Parameters:
    ///   - nodes: 1 to 10,000.
    ///   - scenario: TOML that is added to the scenario of the story, such as `"[node]\nlimits.chunk_bytes = \"256B\""`.
    ///   - mutant: a mistake that all nodes have.
    /// - Throws: `ScenarioError` when `scenario` cannot be read.
    public init(nodes: Int, seed: UInt64, scenario: String = "", mutant: Mutant? = nil) throws {
        let text = """
            format = 1
            name = "story"
            about = "A story."
            [run]
            duration = "1h"
            warmup = "1s"
            drain = "1s"
            [topology]
            nodes = \(nodes)
            join = { via = "3 random", over = "500ms" }
            [[check]]
            always = "gaps-well-formed"
            [[check]]
            always = "no-duplicate-apply"
            [[check]]
            always = "no-resurrection"

            """
        simulation = Simulation(scenario: try Scenario.parse(text + scenario, file: "story.toml"), seed: seed, mutant: mutant)
        run(for: .seconds(3))
    }

    /// Virtual time since the beginning.
    public var now: Duration { simulation.clock.now - .zero }
    public var nodeCount: Int { simulation.hosts.count }
    /// Digest of everything that has happened.
    public var traceHash: String { simulation.trace.digest.description }

    /// Lets time pass.
    public func run(for duration: Duration) { simulation.advance(to: simulation.clock.now + duration) }

    // MARK: Trouble

    private func begin(_ action: any FaultAction) -> Trouble {
        strikes += 1
        simulation.activeFaults += 1
        action.begin(in: simulation, strike: strikes)
        return Trouble(action, strike: strikes, in: self)
    }

    /// The two groups do not hear each other; nodes of neither hear everybody.
    public func partition(_ left: [Int], from right: [Int]) -> Trouble { begin(partition(left, right, .both)) }

    /// What the first group sends does not reach the second, which it hears.
    public func mute(_ left: [Int], towards right: [Int]) -> Trouble { begin(partition(left, right, .firstToSecond)) }

    private func partition(_ left: [Int], _ right: [Int], _ direction: Fault.Direction) -> PartitionAction {
        var sides = [UInt8](repeating: Partition.noSide, count: nodeCount)
        for node in left { sides[node] = 0 }
        for node in right { sides[node] = 1 }
        return PartitionAction(partition: Partition(shape: .sides(sides, direction)))
    }

    /// The processes end at once; `heal()` starts them again.
    public func crash(_ nodes: Int...) -> Trouble { begin(CrashAction(nodes: nodes.sorted())) }

    /// The machines stand still; `heal()` lets them go on.
    public func pause(_ nodes: Int...) -> Trouble { begin(PauseAction(nodes: nodes.sorted())) }

    /// Every event takes the nodes so long.
    public func slowDown(_ nodes: Int..., event: Duration) -> Trouble { begin(SlowAction(nodes: nodes.sorted(), eventCost: event)) }

    /// Datagrams on all links of the nodes are lost. `share` in percent.
    public func lose(percent share: Int, at nodes: Int...) -> Trouble { begin(link(.loss(UInt32(share) * 10_000), nodes)) }

    /// Datagrams on all links of the nodes arrive twice.
    public func double(percent share: Int, at nodes: Int...) -> Trouble { begin(link(.duplicate(UInt32(share) * 10_000), nodes)) }

    /// Datagrams on all links of the nodes overtake each other.
    public func reorder(percent share: Int, at nodes: Int...) -> Trouble {
        begin(link(.reorder(UInt32(share) * 10_000, delay: .milliseconds(100)), nodes))
    }

    /// All links of the nodes take longer.
    public func delay(_ added: Duration, at nodes: Int...) -> Trouble { begin(link(.latency(added...added), nodes)) }

    private func link(_ change: LinkDisturbance.Change, _ nodes: [Int]) -> LinkAction {
        var mask = [Bool](repeating: false, count: nodeCount)
        for node in nodes { mask[node] = true }
        return LinkAction(disturbance: LinkDisturbance(nodes: mask, direction: .both, change: change))
    }

    /// The node's connections are lost, once.
    public func resetConnections(of node: Int) { begin(ResetAction(nodes: [node])).heal() }

    /// A wall clock jumps, for good.
    public func stepClock(of node: Int, by duration: Duration) { simulation.hosts[node].wall.step(by: duration) }

    /// The node takes its leave, and its process ends a second later.
    public func leave(_ node: Int) -> Trouble {
        begin(LeaveAction(nodes: [node])).heal()
        run(for: .seconds(1))
        return crash(node)
    }

    // MARK: Data

    /// Writes one row of `items` and has it acknowledged at once.
    public func write(key: Int, _ name: String, at node: Int) throws {
        try transact(
            [
                Statement(
                    "INSERT INTO items (id, name) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
                    .positional([.integer(Int64(key)), .text(Array(name.utf8))]))
            ], at: node)
    }

    /// Writes the amount of a row of `items`, and leaves its name as it is.
    public func write(key: Int, amount: Int, at node: Int) throws {
        try transact(
            [
                Statement(
                    "INSERT INTO items (id, amount) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount",
                    .positional([.integer(Int64(key)), .integer(Int64(amount))]))
            ], at: node)
    }

    /// Writes many rows in one transaction.
    public func write(keys: Range<Int>, _ name: String, at node: Int) throws {
        try transact(
            keys.map { key in
                Statement(
                    "INSERT INTO items (id, name) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
                    .positional([.integer(Int64(key)), .text(Array(name.utf8))]))
            }, at: node)
    }

    public func delete(key: Int, at node: Int) throws {
        try transact([Statement("DELETE FROM items WHERE id = ?1", .positional([.integer(Int64(key))]))], at: node)
    }

    private func transact(_ statements: [Statement], at node: Int) throws {
        let host = simulation.hosts[node]
        guard let process = host.process else { throw Mishap(description: "node \(node) is down and takes no writes") }
        let outcome = try process.store.transact(statements)
        guard !outcome.chunks.isEmpty else { return }
        simulation.deliver(.transactionCommitted(outcome.chunks), to: host)
    }

    /// The name of a row as one node has it; nil when it has no such row.
    public func name(key: Int, at node: Int) throws -> String? {
        guard case .text(let text)? = try value("name", key: key, at: node) else { return nil }
        return String(decoding: text, as: UTF8.self)
    }

    /// The amount of a row as one node has it; nil when it has no such row.
    public func amount(key: Int, at node: Int) throws -> Int? {
        guard case .integer(let number)? = try value("amount", key: key, at: node) else { return nil }
        return Int(number)
    }

    /// How many rows of `items` a node has.
    public func rowCount(at node: Int) throws -> Int {
        guard case .integer(let count)? = try first(Statement("SELECT count(*) FROM items"), at: node) else { return 0 }
        return Int(count)
    }

    private func value(_ column: String, key: Int, at node: Int) throws -> Value? {
        try first(Statement("SELECT \(column) FROM items WHERE id = ?1", .positional([.integer(Int64(key))])), at: node)
    }

    private func first(_ statement: Statement, at node: Int) throws -> Value? {
        guard let store = simulation.hosts[node].process?.store else {
            throw Mishap(description: "node \(node) is down and cannot be read")
        }
        let reader = try store.makeReader()
        defer { reader.close() }
        return try reader.prepare(statement).next()?.first
    }

    // MARK: What must hold

    /// Nodes that a node believes to be there, itself included, ascending.
    public func members(seenBy node: Int) -> [Int] {
        guard let process = simulation.hosts[node].process else { return [] }
        return process.node.aliveMembers.compactMap { simulation.hostOf[$0.actor] }.sorted()
    }

    /// Lets time pass until all live nodes hold the same.
    ///
    /// - Throws: a `Mishap` that says in what they differ when they do not in time.
    public func expectConverged(within limit: Duration) throws {
        try expect("the nodes hold the same", within: limit) { simulation.divergence() }
    }

    /// Lets time pass until the members that every live node believes in are the live nodes.
    public func expectMembersAgree(within limit: Duration) throws {
        try expect("the nodes agree about the members", within: limit) { MemberAgreement.difference(hosts: simulation.hosts) }
    }

    /// Lets time pass until `obstacle` names none.
    public func expect(_ what: String, within limit: Duration, obstacle: () throws -> String?) throws {
        let end = simulation.clock.now + limit
        while let obstacle = try obstacle() {
            guard simulation.clock.now < end else { throw Mishap(description: "\(what): not within \(Quantity.print(limit)): \(obstacle)") }
            simulation.advance(to: min(end, simulation.clock.now + .milliseconds(50)))
        }
    }

    /// Looks at what must hold at all times: no gap out of shape, nothing applied twice, nobody back from the dead, bookkeeping like
    /// the rows, no store that failed.
    public func expectSound() throws {
        let report = simulation.finish()
        if let failed = report.checks.first(where: { !$0.valid }) { throw Mishap(description: "\(failed.name): \(failed.detail)") }
        for host in simulation.hosts {
            guard let store = host.process?.store else { continue }
            if let problem = try store.verify().first { throw Mishap(description: "node:\(host.index): \(problem)") }
        }
    }
}
