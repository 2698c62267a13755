// Goal: a node that lost its newest own versions, which peers have, gets them back and never writes under their numbers.
// Method: a cluster with fake stores; a crash takes versions out of one of them. What a real store gives out after that is
// `Tests/Store/ReservationTests.swift`.

import Testing

@testable import PatinaProtocol

@Suite("LostTail")
struct LostTailTests {
    /// Three nodes that have 15 versions of node 0, the first of which comes back with 10.
    private func cluster(reserved: UInt64, seed: UInt64) throws -> TestCluster {
        let cluster = TestCluster(3, seed: seed)
        try #require(cluster.run(atMost: .seconds(10)) { $0.isJoined } != nil)
        for _ in 1...15 {
            cluster.transact(0, chunks: 2)
            cluster.run(for: .milliseconds(20))
        }
        try #require(cluster.run(atMost: .seconds(20)) { $0.isConverged } != nil)
        cluster.crash(0)
        cluster.members[0].store.lose(Sample.actor(0), above: 10)
        cluster.members[0].store.floor = reserved
        #expect(cluster.members[0].store.head(of: Sample.actor(0)) == 10)
        return cluster
    }

    @Test("lost tail: a node asks its peers for its own versions and gets them (seed)", arguments: [1, 2, 3] as [UInt64])
    func returns(seed: UInt64) throws {
        let cluster = try cluster(reserved: 0, seed: seed)
        cluster.restart(0)
        #expect(cluster.run(atMost: .seconds(30)) { $0.members[0].store.head(of: Sample.actor(0)) == 15 && $0.isConverged } != nil)
        #expect(cluster.firstDifference() == nil)
        // The next one goes on behind them.
        #expect(cluster.transact(0) == 16)
        #expect(cluster.run(atMost: .seconds(20)) { $0.isConverged } != nil)
    }

    @Test("lost tail: what is written before anything came back has a number above the reservation, and the gap is asked for by nobody")
    func writesAtOnce() throws {
        let cluster = try cluster(reserved: 40, seed: 4)
        let before = cluster.members[1].store.contents
        cluster.restart(0)
        #expect(cluster.transact(0) == 41)
        #expect(cluster.run(atMost: .seconds(30)) { $0.isConverged } != nil)
        #expect(cluster.firstDifference() == nil)
        // Nothing of the old was touched, and one version is new.
        #expect(cluster.members[0].store.contents.isSuperset(of: before))
        #expect(cluster.members[0].store.ledger[Sample.actor(0)]?.complete.ranges == [1...15, 41...41])
        // Digests are equal: 16 to 40, which nobody has, are asked for by nobody.
        cluster.run(for: .seconds(5))
        var reads = 0
        cluster.filter = { _, effect in
            if case .store(.read, _) = effect { reads += 1 }
            return true
        }
        cluster.run(for: .seconds(60))
        #expect(reads == 0)
    }

    @Test("lost tail: without a reservation a number comes twice, and this test sees it")
    func withoutReservation() throws {
        let cluster = try cluster(reserved: 0, seed: 5)
        let lost = cluster.members[1].store.contents.filter { $0.id.version == 11 }
        cluster.restart(0)
        // The node has heard from nobody yet.
        #expect(cluster.transact(0) == 11)
        cluster.run(for: .seconds(30))
        #expect(cluster.firstDifference() != nil || cluster.members[0].store.contents.isDisjoint(with: lost))
    }
}
