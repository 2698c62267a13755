import Testing

@testable import PatinaProtocol

/// Whole clusters, from joining to dying. Virtual time, seeded network: `MembershipCluster`.
@Suite struct MembershipStoryTests {
    @Test("membership: nodes join through one bootstrap address", arguments: [2, 3, 20])
    func join(nodes: Int) throws {
        let cluster = MembershipCluster(seed: 1, nodes: nodes)
        let took = try #require(cluster.run(limit: .seconds(10)) { $0.agree(on: 0..<nodes) })
        #expect(took < .seconds(5))
        #expect(cluster.largestDatagram <= cluster.limits.datagramBytes)
        // Silence afterwards: nobody is suspected, nobody comes or goes.
        let notices = cluster.notices.count
        cluster.run(for: .seconds(60))
        #expect(cluster.agree(on: 0..<nodes))
        #expect(cluster.notices.count == notices)
    }

    @Test("membership: the first announcement is lost (the bootstrap node starts later)")
    func lateBootstrap() throws {
        let cluster = MembershipCluster(seed: 2)
        cluster.start(bootstrap: [MembershipCluster.address(2)])
        cluster.start(bootstrap: [MembershipCluster.address(2)])
        cluster.run(for: .seconds(20))
        #expect(cluster.peers[0].machine.alive.count == 1)
        cluster.start(bootstrap: [])
        _ = try #require(cluster.run(limit: .seconds(60)) { $0.agree(on: 0..<3) })
    }

    @Test("membership: a restarted node finds the cluster through the members it knew (no bootstrap address)")
    func knownMembers() throws {
        let cluster = MembershipCluster(seed: 3, nodes: 3)
        cluster.run(for: .seconds(5))
        let known = cluster.peers[2].machine.alive
        cluster.crash(2)
        cluster.run(for: .seconds(30))
        #expect(cluster.agree(on: 0..<2))
        cluster.restart(2, bootstrap: [], known: known)
        _ = try #require(cluster.run(limit: .seconds(10)) { $0.agree(on: 0..<3) })
    }

    @Test("membership: a crash is declared by everybody within seconds", arguments: [(3, 1), (3, 2), (20, 3), (20, 4), (100, 5)])
    func crash(nodes: Int, seed: UInt64) throws {
        let cluster = MembershipCluster(seed: seed, nodes: nodes)
        _ = try #require(cluster.run(limit: .seconds(20)) { $0.agree(on: 0..<nodes) })
        cluster.run(for: .seconds(3))
        let crashed = nodes - 1
        let actor = cluster.actor(crashed)
        cluster.crash(crashed)
        let took = try #require(cluster.run(limit: .seconds(20)) { $0.agree(on: 0..<crashed) })
        #expect((.seconds(3)...Duration.seconds(9)).contains(took))
        for node in 0..<crashed { #expect(cluster.peers[node].machine.member(actor)?.state == .down) }
        #expect(falseDowns(cluster, except: [actor]) == 0)
    }

    @Test("membership: a node that is cut off for three seconds is suspected and objects (20 nodes)")
    func refutation() throws {
        let cluster = MembershipCluster(seed: 6, nodes: 20)
        cluster.run(for: .seconds(10))
        let actor = cluster.actor(7)
        cluster.isCut = { ($0 == 7) != ($1 == 7) }
        let suspected = cluster.run(limit: .seconds(6)) { cluster in
            cluster.peers.contains { $0.machine.member(actor)?.state == .suspect }
        }
        #expect(suspected != nil)
        cluster.isCut = { _, _ in false }
        _ = try #require(cluster.run(limit: .seconds(10)) { $0.agree(on: 0..<20) })
        #expect(falseDowns(cluster) == 0)
        #expect(cluster.peers[7].machine.identity.incarnation > 0)
        #expect(cluster.notices.contains { $0.node == 7 && $0.notice == .refuted(incarnation: 1) })
    }

    @Test("membership: a partition of 60 seconds heals (20 nodes, cut in two)", arguments: [(10, 1), (10, 2), (1, 3), (3, 4)])
    func partition(minority: Int, seed: UInt64) throws {
        let cluster = MembershipCluster(seed: seed, nodes: 20)
        cluster.run(for: .seconds(10))
        cluster.isCut = { ($0 < minority) != ($1 < minority) }
        cluster.run(for: .seconds(60))
        // A node that is all alone doubts itself before all others, and takes minutes to give them up.
        if minority > 1 { #expect(cluster.agree(on: 0..<minority)) }
        #expect(cluster.agree(on: minority..<20))
        cluster.isCut = { _, _ in false }
        let took = try #require(cluster.run(limit: .seconds(60)) { $0.agree(on: 0..<20) })
        #expect(took < .seconds(30))
        cluster.run(for: .seconds(60))
        #expect(cluster.agree(on: 0..<20))
    }

    @Test("membership: two clusters that never met find each other through a bootstrap address")
    func merge() throws {
        let cluster = MembershipCluster(seed: 8)
        for node in 0..<6 { cluster.start(bootstrap: [MembershipCluster.address(node < 3 ? 0 : 3)]) }
        cluster.run(for: .seconds(10))
        #expect(cluster.agree(on: 0..<3))
        #expect(cluster.agree(on: 3..<6))
        cluster.handle(.bootstrapResolved([MembershipCluster.address(0)]), at: 4)
        _ = try #require(cluster.run(limit: .seconds(30)) { $0.agree(on: 0..<6) })
    }

    @Test("membership: leaving is not seen as a crash (20 nodes)")
    func leave() throws {
        let cluster = MembershipCluster(seed: 9, nodes: 20)
        cluster.run(for: .seconds(10))
        let actor = cluster.actor(5)
        cluster.handle(.leaveRequested, at: 5)
        #expect(cluster.notices.last?.notice == .left)
        cluster.crash(5)
        let rest = Array(0..<5) + Array(6..<20)
        let took = try #require(cluster.run(limit: .seconds(10)) { $0.agree(on: rest) })
        #expect(took < .seconds(3))
        cluster.run(for: .seconds(30))
        #expect(cluster.agree(on: rest))
        for node in rest { #expect(cluster.peers[node].machine.member(actor)?.state == .left) }
        let reported = cluster.notices.filter {
            if case .memberLeft(let record) = $0.notice { record.actor == actor } else { false }
        }
        #expect(reported.count == 19)
        #expect(falseDowns(cluster) == 0)
        #expect(suspicionCount(cluster) == 0)
    }

    @Test(
        "membership: a restart with a new generation overrides what is believed",
        arguments: [Duration.milliseconds(500), .seconds(4), .seconds(30)])
    func restart(after pause: Duration) throws {
        let cluster = MembershipCluster(seed: 10, nodes: 20)
        cluster.run(for: .seconds(10))
        cluster.crash(4)
        cluster.run(for: pause)
        cluster.restart(4)
        let took = try #require(cluster.run(limit: .seconds(10)) { $0.agree(on: 0..<20) })
        #expect(took < .seconds(3))
        #expect(cluster.peers[0].machine.member(cluster.actor(4))?.record.generation == 2)
        cluster.run(for: .seconds(20))
        #expect(cluster.agree(on: 0..<20))
    }

    @Test("membership: the whole cluster restarts at once (20 nodes)")
    func restartAll() throws {
        let cluster = MembershipCluster(seed: 11, nodes: 20)
        cluster.run(for: .seconds(10))
        for node in 0..<20 { cluster.crash(node) }
        for node in 0..<20 { cluster.restart(node) }
        _ = try #require(cluster.run(limit: .seconds(20)) { $0.agree(on: 0..<20) })
    }

    @Test("membership: rejoining takes a new generation (3 nodes)")
    func rejoin() throws {
        let cluster = MembershipCluster(seed: 12, nodes: 3)
        cluster.run(for: .seconds(5))
        cluster.handle(.leaveRequested, at: 1)
        cluster.run(for: .seconds(5))
        #expect(cluster.agree(on: [0, 2]))
        cluster.handle(.rejoinRequested, at: 1)
        #expect(cluster.peers[1].machine.identity.record.generation == 2)
        _ = try #require(cluster.run(limit: .seconds(5)) { $0.agree(on: 0..<3) })
    }

    @Test("membership: most of the cluster crashes at once (20 nodes, 15 of them)")
    func massCrash() throws {
        let cluster = MembershipCluster(seed: 13, nodes: 20)
        cluster.run(for: .seconds(10))
        for node in 5..<20 { cluster.crash(node) }
        let took = try #require(cluster.run(limit: .seconds(60)) { $0.agree(on: 0..<5) })
        #expect(took < .seconds(45))
    }

    @Test("membership: nobody is declared down while 30 % of the datagrams are lost (20 nodes, 5 minutes)", arguments: [1, 2])
    func loss(seed: UInt64) throws {
        let cluster = MembershipCluster(seed: seed, nodes: 20)
        cluster.loss = 300_000
        _ = try #require(cluster.run(limit: .seconds(30)) { $0.agree(on: 0..<20) })
        cluster.run(for: .seconds(300))
        #expect(falseDowns(cluster) == 0)
        #expect(cluster.run(limit: .seconds(30)) { $0.agree(on: 0..<20) } != nil)
    }

    @Test("membership: a crash is found in spite of 30 % loss (20 nodes)")
    func crashUnderLoss() throws {
        let cluster = MembershipCluster(seed: 15, nodes: 20)
        cluster.run(for: .seconds(10))
        cluster.loss = 300_000
        cluster.run(for: .seconds(10))
        let actor = cluster.actor(3)
        cluster.crash(3)
        let took = cluster.run(limit: .seconds(30)) { cluster in
            (0..<20).allSatisfy { $0 == 3 || cluster.peers[$0].machine.member(actor)?.state == .down }
        }
        #expect(try #require(took) < .seconds(20))
        #expect(falseDowns(cluster, except: [actor]) == 0)
    }

    @Test("membership: digests travel with pings and their answers")
    func digests() {
        let cluster = MembershipCluster(seed: 16, nodes: 2)
        for node in 0..<2 { cluster.peers[node].machine.digest = Fingerprint(high: 1, low: UInt64(node)) }
        cluster.run(for: .seconds(5))
        for node in 0..<2 {
            #expect(cluster.peers[node].digests.count >= 4)
            for heard in cluster.peers[node].digests {
                #expect(heard.from == cluster.actor(1 - node))
                #expect(heard.digest == Fingerprint(high: 1, low: UInt64(1 - node)))
            }
        }
    }

    @Test("membership: equal seeds give equal runs, other seeds other runs")
    func determinism() {
        func run(seed: UInt64) -> Fingerprint {
            let cluster = MembershipCluster(seed: seed, nodes: 10)
            cluster.loss = 100_000
            cluster.run(for: .seconds(20))
            cluster.crash(3)
            cluster.run(for: .seconds(20))
            var hasher = Fingerprint.Hasher()
            hasher.combine(UInt64(cluster.datagrams))
            hasher.combine(UInt64(cluster.bytes))
            for notice in cluster.notices { hasher.combine("\(notice)") }
            return hasher.finish()
        }
        #expect(run(seed: 1) == run(seed: 1))
        #expect(run(seed: 1) != run(seed: 2))
    }

    /// How often a node was declared down that was not, other than the given ones.
    private func falseDowns(_ cluster: MembershipCluster, except dead: [ActorID] = []) -> Int {
        cluster.notices.filter { if case .memberDown(let record) = $0.notice { !dead.contains(record.actor) } else { false } }.count
    }

    private func suspicionCount(_ cluster: MembershipCluster) -> Int {
        cluster.notices.filter { if case .memberSuspected = $0.notice { true } else { false } }.count
    }
}
