import PatinaProtocol
import PatinaStore

/// How long writes took to reach the other nodes, and how long a node that had been away took to agree again. One value for a
/// simulated run and one for the live run can stand side by side.
public struct DemonstrationTimes: Sendable {
    /// What was run: `3 agents, loopback`.
    public var subject: String
    /// From the commit until the write was readable at another node.
    public var propagationMedian: Duration
    public var propagation99: Duration
    /// How many propagations the percentiles are taken from.
    public var propagationSamples: Int
    /// From the restart of a node, or the heal of a partition, until every node knew everything.
    public var catchUp: Duration
    /// The part of it that the process took to start and to answer; nil in a simulation, where a start takes no time.
    public var start: Duration?

    public init(
        subject: String, propagationMedian: Duration, propagation99: Duration, propagationSamples: Int, catchUp: Duration,
        start: Duration? = nil
    ) {
        self.subject = subject
        self.propagationMedian = propagationMedian
        self.propagation99 = propagation99
        self.propagationSamples = propagationSamples
        self.catchUp = catchUp
        self.start = start
    }

    /// The runs as columns of one table.
    public static func table(_ runs: [DemonstrationTimes]) -> TextTable {
        var table = TextTable(columns: [("", .left)] + runs.map { ($0.subject, .right) })
        table.add(["propagation, median"] + runs.map { $0.propagationMedian.inMilliseconds })
        table.add(["propagation, 99th percentile"] + runs.map { $0.propagation99.inMilliseconds })
        table.add(["  samples"] + runs.map { "\($0.propagationSamples)" })
        table.add(["catch-up, until all tables are equal"] + runs.map { $0.catchUp.inMilliseconds })
        table.add(["  of which the start of the agent"] + runs.map { $0.start?.inMilliseconds ?? "–" })
        return table
    }
}

extension Duration {
    /// `12.3 ms`, with one digit behind the point.
    public var inMilliseconds: String {
        let microseconds = components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
        let tenths = (microseconds + 50) / 100
        return "\(tenths / 10).\(tenths % 10) ms"
    }
}

/// The live half of `make demo`: writes at one of three agents over HTTP, reads at the others, kills one, writes on, restarts it, and
/// waits until all three databases are equal.
public struct Demonstration: Sendable {
    /// Writes whose propagation is timed.
    static let timedWrites = 200
    /// Rows that are written while one agent is dead.
    static let missedWrites = 500

    private let cluster: DevelopmentCluster
    /// Told what happens, a line at a time.
    private let say: @Sendable (String) -> Void

    /// - Parameter cluster: at least three agents that run and see each other, with the example schema.
    public init(_ cluster: DevelopmentCluster, say: @escaping @Sendable (String) -> Void) {
        precondition(cluster.nodes.count >= 3, "the demonstration needs three agents")
        self.cluster = cluster
        self.say = say
    }

    /// Runs the whole demonstration. Throws when an agent fails, or when the tables are not equal after 60 s.
    public func run() async throws -> DemonstrationTimes {
        let nodes = cluster.nodes
        let clients = nodes.map { APIClient(address: $0.api) }

        say("writing \(Self.timedWrites) rows at \(nodes[0].name), reading each at the \(nodes.count - 1) others")
        let delays = try await timePropagation(from: clients[0], to: Array(clients.dropFirst())).sorted()

        let victim = nodes[nodes.count - 1]
        say("killing \(victim.name) with SIGKILL, writing \(Self.missedWrites) rows at \(nodes[0].name) and \(nodes[1].name)")
        await cluster.kill(victim)
        for index in 0..<Self.missedWrites {
            let id = Self.timedWrites + index
            _ = try await clients[index % 2].execute([insert(id, "missed", at: nodes[index % 2])])
        }

        say("restarting \(victim.name)")
        let clock = ContinuousClock()
        let restarted = clock.now
        try await cluster.launch(victim)
        try await cluster.waitUntilReady(victim)
        let answered = clock.now
        let rows = try await waitUntilEqual(clients, since: restarted)
        let catchUp = restarted.duration(to: clock.now)
        say(
            "\(victim.name) answered after \((answered - restarted).inMilliseconds), all \(nodes.count) databases are equal (\(rows) rows) "
                + "after \(catchUp.inMilliseconds)")

        let expected = Self.timedWrites + Self.missedWrites
        guard rows == expected else { throw DevelopmentError("the databases are equal but hold \(rows) rows in place of \(expected)") }
        return DemonstrationTimes(
            subject: "live, \(nodes.count) agents", propagationMedian: delays[delays.count / 2],
            propagation99: delays[delays.count * 99 / 100], propagationSamples: delays.count, catchUp: catchUp,
            start: restarted.duration(to: answered))
    }

    /// Writes rows one after another and times, for each reader, how long after the writer's answer the row was readable there. A row that
    /// a reader sees even before the writer has its answer counts as zero.
    private func timePropagation(from writer: APIClient, to readers: [APIClient]) async throws -> [Duration] {
        let clock = ContinuousClock()
        var delays: [Duration] = []
        for id in 0..<Self.timedWrites {
            let seen = try await withThrowingTaskGroup(of: ContinuousClock.Instant.self) { group in
                for reader in readers {
                    group.addTask {
                        let deadline = clock.now + .seconds(20)
                        while try await reader.rows("SELECT 1 FROM notes WHERE id = \(id)").isEmpty {
                            guard clock.now < deadline else { throw DevelopmentError("row \(id) did not arrive within 20 s") }
                        }
                        return clock.now
                    }
                }
                _ = try await writer.execute([insert(id, "timed", at: cluster.nodes[0])])
                let answered = clock.now
                var delays: [Duration] = []
                for try await instant in group { delays.append(max(.zero, answered.duration(to: instant))) }
                return delays
            }
            delays += seen
        }
        return delays
    }

    /// Waits until sorted dumps of all agents are equal, and returns their number of rows.
    private func waitUntilEqual(_ clients: [APIClient], since start: ContinuousClock.Instant) async throws -> Int {
        let limit: Duration = .seconds(60)
        while true {
            var dumps: [[[Value]]] = []
            for client in clients { dumps.append(try await client.rows("SELECT id, text, author FROM notes ORDER BY id")) }
            if dumps.allSatisfy({ $0 == dumps[0] }) { return dumps[0].count }
            guard start.duration(to: ContinuousClock().now) < limit else {
                let rows = dumps.map { "\($0.count)" }.joined(separator: ", ")
                throw DevelopmentError("after \(limit.components.seconds) s the databases still differ; their rows: \(rows)")
            }
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    private func insert(_ id: Int, _ text: String, at node: DevelopmentNode) -> Statement {
        Statement(
            "INSERT INTO notes (id, text, author) VALUES (?, ?, ?)",
            .positional([.integer(Int64(id)), .text(text), .text(node.name)]))
    }
}

extension APIClient {
    /// All rows of a short answer.
    fileprivate func rows(_ sql: String) async throws -> [[Value]] {
        var rows: [[Value]] = []
        for try await row in try await query(Statement(sql)) { rows.append(row) }
        return rows
    }
}
