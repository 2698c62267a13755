import NIOCore
import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaRuntime

/// Goal: whole nodes, from the caller to the disk and to each other. Method: real files, real event loops and threads, and a
/// network within the process.
@Suite struct RuntimeTests {
    @Test("cluster: what is written at one node is visible at the others (3 nodes, 20 rows each, at once)")
    func replication() async throws {
        let directory = try TemporaryDirectory()
        try await withCluster(of: 3, in: directory, binding: LoopbackNetwork().binding) { nodes in
            try await exerciseReplication(nodes)
        }
    }

    @Test("cluster: a node that was away catches up, under a new generation and with its own data (3 nodes)")
    func restart() async throws {
        let directory = try TemporaryDirectory()
        let network = LoopbackNetwork()
        try await withCluster(of: 3, in: directory, binding: network.binding) { nodes in
            try await nodes[0].write(0..<10)
            try await eventually("all have the first rows") { try await counts(of: nodes) == [10, 10, 10] }
            await nodes[2].shutdown()
            try await nodes[1].write(10..<20)
            let again = try await NodeRuntime.start(
                .forTest(directory.file("2.db"), bootstrap: [nodes[0].gossipAddress]), logger: .silent, binding: network.binding)
            #expect(again.actor == nodes[2].actor)
            #expect(again.generation == nodes[2].generation + 1)
            #expect(try await again.count() >= 10)
            try await eventually("the node caught up") { try await again.count() == 20 }
            try await again.write(20..<25)
            try await eventually("the others have what it wrote") { try await counts(of: nodes[0..<2]) == [25, 25] }
            await again.shutdown()
        }
    }

    @Test("cluster: a restarted node finds the others through the members that it remembers, without bootstrap")
    func rememberedMembers() async throws {
        let directory = try TemporaryDirectory()
        let network = LoopbackNetwork()
        try await withCluster(of: 2, in: directory, binding: network.binding) { nodes in
            // Members are persisted a moment after they changed.
            try await eventually("the member list is on disk") {
                try await nodes[1].writer.request(lane: .control, timeout: nil) { (store: Store) throws(StoreError) in
                    try store.members().contains { $0.actor == nodes[0].actor }
                }
            }
            await nodes[1].shutdown()
            let again = try await NodeRuntime.start(.forTest(directory.file("1.db")), logger: .silent, binding: network.binding)
            try await nodes[0].write([1])
            try await eventually("it found its peer") { try await again.count() == 1 }
            await again.shutdown()
        }
    }

    @Test("status: heads, needs, lag and counters tell what happened")
    func status() async throws {
        let directory = try TemporaryDirectory()
        try await withCluster(of: 2, in: directory, binding: LoopbackNetwork().binding) { nodes in
            #expect(await nodes[0].status()?.lag99 == nil)
            try await nodes[0].write(0..<5)
            try await eventually("the other one has it") { try await nodes[1].count() == 5 }
            // The rows are visible a moment before the node is told.
            try await eventually("both agree") { await nodes[0].status()?.digest == nodes[1].status()?.digest }
            let status = try #require(await nodes[1].status())
            #expect(status.actor == nodes[1].actor)
            #expect(status.generation == nodes[1].generation)
            #expect(status.aliveMembers == 2)
            #expect(status.gaps == 0 && status.partialVersions == 0 && status.pendingChunks == 0)
            #expect(status.actors.contains(.init(actor: nodes[0].actor, head: 5, needs: IntervalSet(), partials: [])))
            #expect(status.lag99 != nil)
            #expect(status.counters.versionsApplied == 5)
            #expect(status.counters.received(.membership).messages > 0)
            #expect(status.counters.sent(.membership).bytes > 0)
            #expect(await nodes[0].status()?.counters.versionsCommitted == 5)
            #expect(await nodes[0].status()?.lag99 == nil)
        }
    }

    @Test("rejoin: the node comes back under a higher generation and stays a member")
    func rejoin() async throws {
        let directory = try TemporaryDirectory()
        try await withCluster(of: 2, in: directory, binding: LoopbackNetwork().binding) { nodes in
            await nodes[1].rejoin()
            try await eventually("the other one sees the new generation") {
                await nodes[0].members().contains {
                    $0.record.actor == nodes[1].actor && $0.record.generation > nodes[1].generation && $0.state == .alive
                }
            }
            try await nodes[0].write([1])
            try await eventually("rows still arrive") { try await nodes[1].count() == 1 }
        }
    }

    @Test("schema: a table that is added while the node runs can be written and read")
    func reloadSchema() async throws {
        let directory = try TemporaryDirectory()
        let runtime = try await NodeRuntime.start(.forTest(directory.file("a.db")), logger: .silent, binding: LoopbackNetwork().binding)
        let more = SchemaFile(path: "more.sql", text: "CREATE TABLE more (id INTEGER PRIMARY KEY NOT NULL, body TEXT NOT NULL DEFAULT '');")
        _ = try await runtime.reloadSchema([RuntimeConfiguration.testSchema, more])
        _ = try await runtime.transact([Statement("INSERT INTO more (id) VALUES (?1)", .positional([.integer(1)]))], timeout: nil)
        #expect(try await runtime.rows("SELECT id FROM more") == [[.integer(1)]])
        await runtime.shutdown()
    }
}

/// Runs `body` with a cluster whose nodes all know each other, and shuts it down.
func withCluster(
    of count: Int, in directory: TemporaryDirectory, binding: TransportBinding?,
    adjust: (inout RuntimeConfiguration) -> Void = { _ in }, _ body: ([NodeRuntime]) async throws -> Void
) async throws {
    var nodes: [NodeRuntime] = []
    do {
        for number in 0..<count {
            let bootstrap = nodes.prefix(1).map(\.gossipAddress)
            var configuration = RuntimeConfiguration.forTest(directory.file("\(number).db"), bootstrap: bootstrap)
            adjust(&configuration)
            if let binding {
                nodes.append(try await NodeRuntime.start(configuration, logger: .silent, binding: binding))
            } else {
                nodes.append(try await NodeRuntime.start(configuration, logger: .silent))
            }
        }
        for node in nodes {
            try await eventually("all \(count) nodes know each other") { await node.status()?.aliveMembers == count }
        }
        try await body(nodes)
    } catch {
        for node in nodes { await node.shutdown() }
        throw error
    }
    for node in nodes { await node.shutdown() }
}

/// Writes at all nodes at once and waits until all have everything.
func exerciseReplication(_ nodes: [NodeRuntime]) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for (number, node) in nodes.enumerated() {
            group.addTask { try await node.write(Int64(number) * 100..<Int64(number) * 100 + 20) }
        }
        try await group.waitForAll()
    }
    let expected = Array(repeating: Int64(nodes.count) * 20, count: nodes.count)
    try await eventually("every row is everywhere") { try await counts(of: nodes) == expected }
    let rows = try await nodes[0].rows("SELECT id, body FROM items ORDER BY id")
    let fingerprint = try await nodes[0].contentFingerprint()
    for node in nodes {
        #expect(try await node.rows("SELECT id, body FROM items ORDER BY id") == rows)
        #expect(try await node.contentFingerprint() == fingerprint)
    }
}

func counts(of nodes: some Sequence<NodeRuntime>) async throws -> [Int64] {
    var counts: [Int64] = []
    for node in nodes { counts.append(try await node.count()) }
    return counts
}
