// Goal: each of the two trees of every origin reaches everybody exactly once, however many members there are.
// Method: exhaustive over sizes, origins and fanouts; every node computes its children by itself, as it would in a cluster.

import Testing

@testable import PatinaProtocol

@Suite struct DisseminationTreeTests {
    private func tree(_ members: MemberTable, _ own: Int, origin: ActorID, fanout: Int) -> DisseminationTree {
        DisseminationTree(members: members, own: own, origin: origin, fanout: fanout)
    }

    /// How often each member is somebody's child, in one of the trees, and the most hops to it.
    private func reached(_ members: MemberTable, origin: ActorID, fanout: Int, isLazy: Bool) -> [Int] {
        var counts = Array(repeating: 0, count: members.count)
        for own in members.indices {
            let tree = tree(members, own, origin: origin, fanout: fanout)
            for position in isLazy ? tree.lazyPositions : tree.eagerPositions {
                let child = isLazy ? tree.lazyChild(position) : tree.eagerChild(position)
                counts[members.firstIndex(of: child)!] += 1
            }
        }
        return counts
    }

    @Test("tree: everybody but the origin has one parent in each tree (fanout)", arguments: [1, 2, 3, 8])
    func everybodyOnce(fanout: Int) {
        for size in 1...30 {
            let members = Sample.table(size)
            for origin in members.indices {
                for isLazy in [false, true] {
                    var expected = Array(repeating: 1, count: size)
                    expected[origin] = 0
                    #expect(reached(members, origin: members[origin].actor, fanout: fanout, isLazy: isLazy) == expected)
                }
            }
        }
    }

    @Test("tree: an origin that is no member stands where it would be sorted in, so its children agree with those who know it")
    func unknownOrigin() {
        let all = Sample.table(20)
        for origin in all.indices {
            var records = Array(all)
            records.remove(at: origin)
            let others = MemberTable(records)
            for own in others.indices {
                let ownInAll = all.firstIndex(of: others[own])!
                let with = tree(all, ownInAll, origin: all[origin].actor, fanout: 3)
                let without = tree(others, own, origin: all[origin].actor, fanout: 3)
                #expect(with.position == without.position)
                #expect(with.eagerPositions.map(with.eagerChild) == without.eagerPositions.map(without.eagerChild))
                #expect(with.lazyPositions.map(with.lazyChild) == without.lazyPositions.map(without.lazyChild))
            }
        }
    }

    @Test("tree: inner nodes of one tree are leaves of the other (members)", arguments: [10, 100, 1_000])
    func innerNodesDiffer(size: Int) {
        let members = Sample.table(size)
        for own in members.indices.dropFirst() {
            let tree = tree(members, own, origin: members[0].actor, fanout: 8)
            #expect(tree.eagerPositions.isEmpty || tree.lazyPositions.isEmpty)
        }
    }

    @Test("tree: over all origins every member has about the same work")
    func evenLoad() {
        let members = Sample.table(50)
        for own in members.indices {
            let work = members.reduce(0) { $0 + tree(members, own, origin: $1.actor, fanout: 4).eagerPositions.count }
            // 49 links for each of 50 origins, spread over 50 members.
            #expect(work == 49)
        }
    }

    @Test("tree: 4,453 members are four hops away at a fanout of eight")
    func depth() {
        let members = Sample.table(4_453)
        var (level, frontier) = (0, [17])
        var seen = 1
        while !frontier.isEmpty {
            frontier = frontier.flatMap { own in
                let tree = tree(members, own, origin: members[17].actor, fanout: 8)
                return tree.eagerPositions.map { members.memberIndex(of: tree.eagerChild($0).actor)! }
            }
            seen += frontier.count
            if !frontier.isEmpty { level += 1 }
        }
        #expect(level == 4)
        #expect(seen == 4_453)
    }
}
