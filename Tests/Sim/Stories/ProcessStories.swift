// Goal: processes that end, stand still or are slow cost time and nothing else.
// Method: stories of small clusters.

import PatinaSim
import Testing

@Suite struct ProcessStories {
    @Test("crash: what was acknowledged before the crash is there after it")
    func acknowledged() throws {
        let world = try World(nodes: 3, seed: 1)
        try world.write(key: 1, "kept", at: 0)
        let crash = world.crash(0)
        world.run(for: .seconds(1))
        crash.heal()
        try world.expectConverged(within: .seconds(10))
        for node in 0..<3 { #expect(try world.name(key: 1, at: node) == "kept") }
    }

    @Test("crash: a node learns what it missed")
    func missed() throws {
        let world = try World(nodes: 3, seed: 2)
        let crash = world.crash(2)
        for key in 0..<20 { try world.write(key: key, "missed", at: 0) }
        world.run(for: .seconds(2))
        crash.heal()
        try world.expectConverged(within: .seconds(15))
        #expect(try world.rowCount(at: 2) == 20)
    }

    @Test("crash: a node that is down can be neither read nor written")
    func down() throws {
        let world = try World(nodes: 2, seed: 3)
        let crash = world.crash(1)
        #expect(throws: World.Mishap.self) { try world.write(key: 1, "no", at: 1) }
        #expect(throws: World.Mishap.self) { try world.rowCount(at: 1) }
        crash.heal()
        try world.write(key: 1, "yes", at: 1)
        try world.expectConverged(within: .seconds(10))
    }

    @Test("crash: all nodes at once, and everything is still there")
    func all() throws {
        let world = try World(nodes: 3, seed: 4)
        for node in 0..<3 { try world.write(key: node, "before", at: node) }
        let crash = world.crash(0, 1, 2)
        world.run(for: .seconds(3))
        crash.heal()
        try world.expectConverged(within: .seconds(30))
        #expect(try world.rowCount(at: 1) == 3)
        try world.expectMembersAgree(within: .seconds(30))
    }

    @Test("crash: the only node that has a write comes back with it")
    func onlyHolder() throws {
        let world = try World(nodes: 3, seed: 5)
        let cut = world.partition([0], from: [1, 2])
        try world.write(key: 1, "only here", at: 0)
        let crash = world.crash(0)
        cut.heal()
        world.run(for: .seconds(3))
        #expect(try world.name(key: 1, at: 1) == nil)
        crash.heal()
        try world.expectConverged(within: .seconds(15))
        #expect(try world.name(key: 1, at: 1) == "only here")
    }

    @Test("crash: a node that stays away is declared down by the others")
    func declared() throws {
        let world = try World(nodes: 4, seed: 6)
        let crash = world.crash(3)
        try world.expectMembersAgree(within: .seconds(60))
        #expect(world.members(seenBy: 0) == [0, 1, 2])
        crash.heal()
        try world.expectMembersAgree(within: .seconds(60))
        #expect(world.members(seenBy: 0) == [0, 1, 2, 3])
    }

    @Test("crash: a node that was declared down comes back under a new generation", arguments: [7, 8, 9] as [UInt64])
    func generation(seed: UInt64) throws {
        let world = try World(nodes: 3, seed: seed)
        let crash = world.crash(1)
        try world.expectMembersAgree(within: .seconds(60))
        crash.heal()
        try world.expectMembersAgree(within: .seconds(60))
        // Nobody came back with the generation that was declared down.
        try world.expectSound()
    }

    @Test("crash: five in a row of the same node lose nothing")
    func fiveInARow() throws {
        let world = try World(nodes: 3, seed: 10)
        for round in 0..<5 {
            try world.write(key: round, "round", at: 0)
            let crash = world.crash(0)
            world.run(for: .milliseconds(200))
            crash.heal()
            world.run(for: .milliseconds(300))
        }
        try world.expectConverged(within: .seconds(15))
        #expect(try world.rowCount(at: 2) == 5)
        try world.expectSound()
    }

    @Test("leave: a node that takes its leave is not suspected, and is gone at once")
    func leave() throws {
        let world = try World(nodes: 4, seed: 11)
        let gone = world.leave(2)
        try world.expect("the others know", within: .seconds(3)) { world.members(seenBy: 0) == [0, 1, 3] ? nil : "they do not" }
        gone.heal()
        try world.expectMembersAgree(within: .seconds(30))
    }

    @Test("pause: a node that stood still catches up")
    func pause() throws {
        let world = try World(nodes: 3, seed: 12)
        let pause = world.pause(1)
        for key in 0..<10 { try world.write(key: key, "meanwhile", at: 0) }
        world.run(for: .seconds(2))
        #expect(try world.rowCount(at: 1) == 0)
        pause.heal()
        try world.expectConverged(within: .seconds(10))
        #expect(try world.rowCount(at: 1) == 10)
    }

    @Test("pause: a short one is no reason to be declared down")
    func shortPause() throws {
        let world = try World(nodes: 4, seed: 13)
        let pause = world.pause(1)
        world.run(for: .milliseconds(800))
        pause.heal()
        world.run(for: .seconds(10))
        for node in 0..<4 { #expect(world.members(seenBy: node) == [0, 1, 2, 3]) }
    }

    @Test("pause: all nodes stand still together, and nobody is declared down for it")
    func allPause() throws {
        let world = try World(nodes: 3, seed: 14)
        let pause = world.pause(0, 1, 2)
        world.run(for: .seconds(30))
        pause.heal()
        try world.write(key: 1, "after", at: 0)
        try world.expectConverged(within: .seconds(20))
        try world.expectMembersAgree(within: .seconds(30))
    }

    @Test("slow CPU: a slow node gets everything, later")
    func slow() throws {
        let world = try World(nodes: 3, seed: 15)
        let slow = world.slowDown(2, event: .milliseconds(20))
        for key in 0..<10 { try world.write(key: key, "to all", at: 0) }
        try world.expectConverged(within: .seconds(30))
        slow.heal()
        #expect(try world.rowCount(at: 2) == 10)
    }

    @Test("clock: a clock that is a minute ahead changes nothing about who wins")
    func clockAhead() throws {
        let world = try World(nodes: 2, seed: 16)
        world.stepClock(of: 0, by: .seconds(60))
        let cut = world.partition([0], from: [1])
        try world.write(key: 1, "a", at: 0)
        try world.write(key: 1, "b", at: 1)
        cut.heal()
        try world.expectConverged(within: .seconds(10))
        #expect(try world.name(key: 1, at: 0) == "b")
    }

    @Test("clock: a clock that goes back does not make a node write old versions")
    func clockBack() throws {
        let world = try World(nodes: 2, seed: 17)
        try world.write(key: 1, "first", at: 0)
        world.stepClock(of: 0, by: .seconds(-3_600))
        try world.write(key: 1, "second", at: 0)
        try world.expectConverged(within: .seconds(10))
        #expect(try world.name(key: 1, at: 1) == "second")
    }
}
