// Goal: what is written on both sides of a cut comes together when it heals.
// Method: stories of small clusters; each says what a user would see.

import PatinaSim
import Testing

@Suite struct PartitionStories {
    @Test("partition: writes on both sides come together after the heal")
    func bothSides() throws {
        let world = try World(nodes: 4, seed: 1)
        let cut = world.partition([0, 1], from: [2, 3])
        try world.write(key: 1, "left", at: 0)
        try world.write(key: 2, "right", at: 3)
        world.run(for: .seconds(2))
        // The cut holds: nobody has heard of the other side.
        #expect(try world.name(key: 2, at: 1) == nil)
        #expect(try world.name(key: 1, at: 2) == nil)
        #expect(try world.name(key: 1, at: 1) == "left")
        cut.heal()
        try world.expectConverged(within: .seconds(10))
        #expect(try world.name(key: 1, at: 3) == "left")
        #expect(try world.name(key: 2, at: 0) == "right")
        try world.expectSound()
    }

    @Test("partition: concurrent writes to one cell end with the greater value everywhere (both orders)", arguments: [true, false])
    func sameCell(leftFirst: Bool) throws {
        let world = try World(nodes: 3, seed: 2)
        let cut = world.partition([0], from: [1, 2])
        try world.write(key: 1, leftFirst ? "apple" : "pear", at: 0)
        try world.write(key: 1, leftFirst ? "pear" : "apple", at: 2)
        world.run(for: .seconds(1))
        cut.heal()
        try world.expectConverged(within: .seconds(10))
        for node in 0..<3 { #expect(try world.name(key: 1, at: node) == "pear") }
    }

    @Test("partition: concurrent writes to different cells of one row both stay")
    func differentCells() throws {
        let world = try World(nodes: 2, seed: 3)
        try world.write(key: 1, "row", at: 0)
        try world.expectConverged(within: .seconds(5))
        let cut = world.partition([0], from: [1])
        try world.write(key: 1, "renamed", at: 0)
        try world.write(key: 1, amount: 7, at: 1)
        cut.heal()
        try world.expectConverged(within: .seconds(10))
        #expect(try world.name(key: 1, at: 1) == "renamed")
        #expect(try world.amount(key: 1, at: 0) == 7)
    }

    @Test("partition: the side that wrote a cell more often wins")
    func moreOften() throws {
        let world = try World(nodes: 2, seed: 4)
        let cut = world.partition([0], from: [1])
        try world.write(key: 1, "zebra", at: 0)
        for name in ["a", "b", "c"] { try world.write(key: 1, name, at: 1) }
        cut.heal()
        try world.expectConverged(within: .seconds(10))
        #expect(try world.name(key: 1, at: 0) == "c")
    }

    @Test("partition: a deletion beats a concurrent update")
    func deletionWins() throws {
        let world = try World(nodes: 3, seed: 5)
        try world.write(key: 1, "row", at: 0)
        try world.expectConverged(within: .seconds(5))
        let cut = world.partition([0], from: [1, 2])
        try world.delete(key: 1, at: 0)
        try world.write(key: 1, "updated", at: 2)
        cut.heal()
        try world.expectConverged(within: .seconds(10))
        for node in 0..<3 { #expect(try world.name(key: 1, at: node) == nil) }
    }

    @Test("partition: a row that is deleted and written again beats a concurrent update")
    func resurrectionWins() throws {
        let world = try World(nodes: 2, seed: 6)
        try world.write(key: 1, "row", at: 0)
        try world.expectConverged(within: .seconds(5))
        let cut = world.partition([0], from: [1])
        try world.delete(key: 1, at: 0)
        try world.write(key: 1, "again", at: 0)
        try world.write(key: 1, "updated", at: 1)
        cut.heal()
        try world.expectConverged(within: .seconds(10))
        #expect(try world.name(key: 1, at: 1) == "again")
    }

    @Test("partition: deletions on both sides are one deletion")
    func bothDelete() throws {
        let world = try World(nodes: 2, seed: 7)
        try world.write(key: 1, "row", at: 0)
        try world.expectConverged(within: .seconds(5))
        let cut = world.partition([0], from: [1])
        try world.delete(key: 1, at: 0)
        try world.delete(key: 1, at: 1)
        cut.heal()
        try world.expectConverged(within: .seconds(10))
        #expect(try world.rowCount(at: 0) == 0 && world.rowCount(at: 1) == 0)
    }

    @Test("partition: a node that is not heard still learns what the others write")
    func mute() throws {
        let world = try World(nodes: 3, seed: 8)
        let cut = world.mute([0], towards: [1, 2])
        try world.write(key: 1, "unheard", at: 0)
        world.run(for: .seconds(2))
        #expect(try world.name(key: 1, at: 1) == nil)
        cut.heal()
        try world.expectConverged(within: .seconds(10))
        #expect(try world.name(key: 1, at: 1) == "unheard")
    }

    @Test("partition: a bridge carries writes from one side to the other")
    func bridge() throws {
        let world = try World(nodes: 5, seed: 9)
        let cut = world.partition([0, 1], from: [2, 3])
        try world.write(key: 1, "across", at: 0)
        // Node 4 hears both sides.
        try world.expect("the write crosses", within: .seconds(20)) { try world.name(key: 1, at: 3) == nil ? "it has not" : nil }
        cut.heal()
        try world.expectConverged(within: .seconds(10))
    }

    @Test("partition: a long cut ends in declarations, and its heal in agreement")
    func longCut() throws {
        let world = try World(nodes: 4, seed: 10)
        let cut = world.partition([0, 1], from: [2, 3])
        try world.expect("the sides give each other up", within: .seconds(60)) {
            world.members(seenBy: 0) == [0, 1] && world.members(seenBy: 3) == [2, 3] ? nil : "\(world.members(seenBy: 0))"
        }
        cut.heal()
        try world.expectMembersAgree(within: .seconds(60))
        try world.write(key: 1, "together", at: 2)
        try world.expectConverged(within: .seconds(10))
    }

    @Test("partition: three cuts in a row lose nothing")
    func threeCuts() throws {
        let world = try World(nodes: 3, seed: 11)
        for round in 0..<3 {
            let cut = world.partition([round], from: (0..<3).filter { $0 != round })
            for node in 0..<3 { try world.write(key: round * 10 + node, "round \(round)", at: node) }
            world.run(for: .seconds(1))
            cut.heal()
        }
        try world.expectConverged(within: .seconds(15))
        #expect(try world.rowCount(at: 0) == 9)
        try world.expectSound()
    }

    @Test("partition: two cuts at the same time leave everybody alone, and heal one after the other")
    func overlapping() throws {
        let world = try World(nodes: 3, seed: 12)
        let first = world.partition([0], from: [1, 2])
        let second = world.partition([1], from: [2])
        for node in 0..<3 { try world.write(key: node, "alone", at: node) }
        world.run(for: .seconds(1))
        for node in 0..<3 { #expect(try world.rowCount(at: node) == 1) }
        second.heal()
        try world.expect("1 and 2 are together", within: .seconds(10)) { try world.rowCount(at: 2) == 2 ? nil : "not yet" }
        #expect(try world.rowCount(at: 0) == 1)
        first.heal()
        try world.expectConverged(within: .seconds(10))
        #expect(try world.rowCount(at: 0) == 3)
    }

    @Test("partition: to heal twice is to heal once")
    func healTwice() throws {
        let world = try World(nodes: 2, seed: 13)
        let outer = world.partition([0], from: [1])
        let inner = world.partition([0], from: [1])
        inner.heal()
        inner.heal()
        try world.write(key: 1, "waits", at: 0)
        world.run(for: .seconds(1))
        #expect(try world.name(key: 1, at: 1) == nil)
        outer.heal()
        try world.expectConverged(within: .seconds(10))
    }
}
