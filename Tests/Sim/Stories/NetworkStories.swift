// Goal: bad networks, large transactions and newcomers.
// Method: stories of small clusters.

import PatinaSim
import Testing

@Suite struct NetworkStories {
    @Test("network: a write reaches every node within a second when nothing is wrong", arguments: [2, 3, 8, 20])
    func quick(nodes: Int) throws {
        let world = try World(nodes: nodes, seed: 1)
        try world.write(key: 1, "hello", at: nodes - 1)
        try world.expectConverged(within: .seconds(1))
        #expect(try world.name(key: 1, at: 0) == "hello")
    }

    @Test("network: one node alone is a cluster")
    func alone() throws {
        let world = try World(nodes: 1, seed: 2)
        try world.write(key: 1, "me", at: 0)
        try world.expectConverged(within: .seconds(1))
        #expect(world.members(seenBy: 0) == [0])
        try world.expectSound()
    }

    @Test("network: half of all datagrams are lost, and every write arrives")
    func loss() throws {
        let world = try World(nodes: 4, seed: 3)
        let loss = world.lose(percent: 50, at: 0, 1, 2, 3)
        for key in 0..<20 { try world.write(key: key, "through", at: key % 4) }
        try world.expectConverged(within: .seconds(60))
        loss.heal()
        for node in 0..<4 { #expect(try world.rowCount(at: node) == 20) }
    }

    @Test("network: datagrams that arrive twice are applied once")
    func doubled() throws {
        let world = try World(nodes: 3, seed: 4)
        let doubling = world.double(percent: 100, at: 0, 1, 2)
        for key in 0..<10 { try world.write(key: key, "once", at: 0) }
        try world.expectConverged(within: .seconds(10))
        doubling.heal()
        try world.expectSound()
    }

    @Test("network: datagrams that overtake each other change nothing")
    func reordered() throws {
        let world = try World(nodes: 3, seed: 5)
        let disorder = world.reorder(percent: 80, at: 0, 1, 2)
        for name in ["a", "b", "c", "d"] { try world.write(key: 1, name, at: 0) }
        try world.expectConverged(within: .seconds(10))
        disorder.heal()
        #expect(try world.name(key: 1, at: 2) == "d")
    }

    @Test("network: a far node is late, and not declared down")
    func far() throws {
        let world = try World(nodes: 3, seed: 6)
        let delay = world.delay(.milliseconds(300), at: 2)
        world.run(for: .seconds(15))
        #expect(world.members(seenBy: 0) == [0, 1, 2])
        try world.write(key: 1, "far away", at: 0)
        try world.expectConverged(within: .seconds(10))
        delay.heal()
    }

    @Test("network: connections that are reset in the middle of a transfer cost nothing but time")
    func resets() throws {
        let world = try World(nodes: 3, seed: 7, scenario: "[node]\nlimits.chunk_bytes = \"256B\"\n")
        try world.write(keys: 0..<200, "in pieces", at: 0)
        for _ in 0..<5 {
            world.run(for: .milliseconds(2))
            world.resetConnections(of: 0)
        }
        try world.expectConverged(within: .seconds(30))
        #expect(try world.rowCount(at: 2) == 200)
        try world.expectSound()
    }

    @Test("transactions: a reader sees all rows of a large one, or none")
    func whole() throws {
        let world = try World(nodes: 2, seed: 8, scenario: "[node]\nlimits.chunk_bytes = \"256B\"\n")
        try world.write(keys: 0..<300, "all or nothing", at: 0)
        var counts: Set<Int> = []
        try world.expect("it arrives", within: .seconds(20)) {
            let count = try world.rowCount(at: 1)
            counts.insert(count)
            return count == 300 ? nil : "\(count) rows"
        }
        #expect(counts.isSubset(of: [0, 300]))
    }

    @Test("transactions: a large one that is cut in the middle is whole after the heal")
    func cutInTheMiddle() throws {
        let world = try World(nodes: 2, seed: 9, scenario: "[node]\nlimits.chunk_bytes = \"256B\"\n")
        try world.write(keys: 0..<300, "cut", at: 0)
        world.run(for: .milliseconds(1))
        let cut = world.partition([0], from: [1])
        world.run(for: .seconds(3))
        #expect([0, 300].contains(try world.rowCount(at: 1)))
        cut.heal()
        try world.expectConverged(within: .seconds(20))
        #expect(try world.rowCount(at: 1) == 300)
    }

    @Test("transactions: one that changes nothing makes no version")
    func nothing() throws {
        let world = try World(nodes: 2, seed: 10)
        try world.delete(key: 99, at: 0)
        try world.expectConverged(within: .seconds(1))
        #expect(try world.rowCount(at: 1) == 0)
        try world.expectSound()
    }

    @Test("transactions: a row that is written, deleted and written again is there")
    func again() throws {
        let world = try World(nodes: 3, seed: 11)
        try world.write(key: 1, "first", at: 0)
        try world.expectConverged(within: .seconds(5))
        try world.delete(key: 1, at: 1)
        try world.expectConverged(within: .seconds(5))
        try world.write(key: 1, "second", at: 2)
        try world.expectConverged(within: .seconds(5))
        for node in 0..<3 { #expect(try world.name(key: 1, at: node) == "second") }
    }

    @Test("sync: what broadcast never told is repaired")
    func repaired() throws {
        let world = try World(nodes: 3, seed: 12, mutant: .broadcastToNobody)
        try world.write(key: 1, "by sync alone", at: 0)
        try world.expectConverged(within: .seconds(30))
        #expect(try world.name(key: 1, at: 2) == "by sync alone")
    }

    @Test("broadcast: without sync a quiet network still gets every write to all")
    func withoutSync() throws {
        let world = try World(nodes: 5, seed: 13, mutant: .syncNeverOpened)
        for key in 0..<5 { try world.write(key: key, "by broadcast alone", at: key) }
        try world.expectConverged(within: .seconds(5))
        #expect(try world.rowCount(at: 4) == 5)
    }

    @Test("stories: the same story and seed are the same run, another seed is another")
    func deterministic() throws {
        func story(_ seed: UInt64) throws -> String {
            let world = try World(nodes: 3, seed: seed)
            let cut = world.partition([0], from: [1, 2])
            try world.write(key: 1, "a", at: 0)
            world.run(for: .seconds(1))
            cut.heal()
            try world.expectConverged(within: .seconds(10))
            return world.traceHash
        }
        #expect(try story(1) == story(1))
        #expect(try story(1) != story(2))
    }

    @Test("stories: what does not hold in time is said")
    func mishap() throws {
        let world = try World(nodes: 2, seed: 14)
        let cut = world.partition([0], from: [1])
        try world.write(key: 1, "stuck", at: 0)
        let mishap = #expect(throws: World.Mishap.self) { try world.expectConverged(within: .seconds(1)) }
        #expect(mishap?.description.contains("not within 1s: the ledgers differ") == true)
        cut.heal()
    }
}
