// Goal: whatever is lost, delayed, refused or cut off, every change ends up at every node, and nothing is hidden for ever.
// Method: stories in a deterministic cluster with fake stores; the invariants of every node are checked after every event.

import Testing

@testable import PatinaProtocol

@Suite struct ClusterTests {
    /// A cluster in which everybody knows everybody.
    private func joined(_ count: Int, seed: UInt64 = 1, configure: @escaping (inout NodeConfiguration) -> Void = { _ in }) -> TestCluster {
        let cluster = TestCluster(count, seed: seed, configure: configure)
        let took = cluster.run(atMost: .seconds(60)) { $0.isJoined }
        #expect(took != nil, "the members did not find each other")
        cluster.run(for: .seconds(2))
        cluster.forgetMeasurements()
        return cluster
    }

    private func expectEqual(_ cluster: TestCluster, _ location: SourceLocation = #_sourceLocation) {
        #expect(cluster.firstDifference() == nil, sourceLocation: location)
    }

    // MARK: Broadcast

    @Test("cluster: every write reaches 20 nodes by the tree alone, once, within four hops (seed)", arguments: [1, 2, 3] as [UInt64])
    func everyWriteArrives(seed: UInt64) throws {
        let cluster = joined(20, seed: seed) { $0.broadcast.fanout = 3 }
        for round in 0..<5 {
            for number in cluster.members.indices { cluster.transact(number, chunks: round == 2 ? 3 : 1) }
            cluster.run(for: .milliseconds(50))
        }
        #expect(cluster.isConverged)
        expectEqual(cluster)
        let delivered = cluster.count { if case .delivered = $0 { true } else { false } }
        #expect(delivered == 20 * 7 * 19)
        #expect(cluster.count { if case .delivered(_, let hops) = $0 { hops > 4 } else { false } } == 0)
        #expect(cluster.count { if case .duplicate = $0 { true } else { false } } == 0)
        #expect(cluster.count { if case .graftSent = $0 { true } else { false } } == 0)
    }

    @Test("cluster: an idle cluster opens hardly any session, and sends no payload")
    func idle() {
        let cluster = joined(10)
        cluster.transact(3)
        cluster.run(for: .seconds(5))
        cluster.forgetMeasurements()
        cluster.run(for: .seconds(60))
        #expect(cluster.count { if case .sent(.broadcast, _) = $0 { true } else { false } } == 0)
        let sessions = cluster.count { if case .synced = $0 { true } else { false } }
        // One for each node in about 13 s, to be safe; greetings that end at once.
        #expect((20...60).contains(sessions))
        #expect(cluster.count { if case .synced(_, let chunks, _) = $0 { chunks > 0 } else { false } } == 0)
    }

    @Test(
        "cluster: below a crashed inner node the write arrives by graft, long before the crash is noticed (seed)",
        arguments: [4, 5, 6] as [UInt64])
    func crashedInnerNode(seed: UInt64) throws {
        // No sync: the repair has to do it alone.
        let cluster = joined(20, seed: seed) {
            $0.broadcast.fanout = 3
            $0.sync.settleTime = .seconds(100)
            $0.sync.minimumInterval = .seconds(1_000)
            $0.sync.maximumInterval = .seconds(1_000)
        }
        // Member 1 is the first child of origin 0 and has twelve members below it.
        cluster.crash(1)
        cluster.transact(0)
        let took = try #require(cluster.run(atMost: .seconds(3)) { $0.isConverged })
        #expect(took >= .milliseconds(200))
        #expect(took < .milliseconds(1_500))
        #expect(cluster.count { if case .repaired = $0 { true } else { false } } > 0)
        expectEqual(cluster)
    }

    @Test("cluster: 20 % of all messages lost, repaired by graft and sync (seed)", arguments: [7, 8, 9] as [UInt64])
    func loss(seed: UInt64) {
        let cluster = joined(20, seed: seed) { $0.broadcast.fanout = 4 }
        cluster.lossPartsPerMillion = 200_000
        for _ in 0..<10 {
            for number in [0, 7, 13] { cluster.transact(number) }
            cluster.run(for: .milliseconds(100))
        }
        #expect(cluster.run(atMost: .seconds(30)) { $0.isConverged } != nil)
        #expect(cluster.count { if case .repaired = $0 { true } else { false } } > 0)
        expectEqual(cluster)
    }

    @Test("cluster: without graft and with every broadcast lost, sync alone brings everything")
    func syncAlone() {
        let cluster = joined(8)
        cluster.filter = { _, effect in
            if case .sendMessage(_, let bytes) = effect, bytes[3] == MessageKind.broadcast.rawValue { false } else { true }
        }
        for number in cluster.members.indices { cluster.transact(number, chunks: 3) }
        #expect(cluster.run(atMost: .seconds(30)) { $0.isConverged } != nil)
        expectEqual(cluster)
    }

    @Test("cluster: flooding reaches everybody, too, at the price of duplicates")
    func flood() {
        let cluster = joined(20) {
            $0.broadcast.kind = .flood
            $0.broadcast.fanout = 6
        }
        for number in cluster.members.indices { cluster.transact(number) }
        #expect(cluster.run(atMost: .seconds(20)) { $0.isConverged } != nil)
        #expect(cluster.count { if case .duplicate = $0 { true } else { false } } > 20 * 19)
        expectEqual(cluster)
    }

    // MARK: The store

    @Test("cluster: a store that fails for a while has everything afterwards, though every chunk was pushed only once")
    func failingStore() {
        let cluster = joined(6)
        cluster.members[4].store.isFailing = true
        for _ in 0..<5 {
            cluster.transact(0)
            cluster.run(for: .milliseconds(300))
        }
        #expect(cluster.members[4].store.head(of: Sample.actor(0)) == 0)
        #expect(cluster.notices.contains { if case (4, .storeFailed) = $0 { true } else { false } })
        cluster.members[4].store.isFailing = false
        #expect(cluster.run(atMost: .seconds(20)) { $0.isConverged } != nil)
        expectEqual(cluster)
    }

    @Test("cluster: chunks that are refused are offered again, and taken once they fit; the rest is not held up")
    func refusingStore() throws {
        let cluster = joined(6)
        cluster.members[4].store.refused = [Sample.actor(0)]
        cluster.transact(0)
        cluster.run(for: .seconds(3))
        cluster.transact(1)
        cluster.run(for: .seconds(1))
        #expect(cluster.members[4].store.head(of: Sample.actor(0)) == 0)
        #expect(cluster.members[4].store.head(of: Sample.actor(1)) == 1)
        #expect(cluster.members[3].store.head(of: Sample.actor(0)) == 1)
        // Asking for it again and again gets slower and slower.
        cluster.forgetMeasurements()
        let operations = cluster.members[4].store.operations
        cluster.run(for: .seconds(60))
        #expect((3...12).contains(cluster.members[4].store.operations - operations))
        cluster.members[4].store.refused = []
        #expect(cluster.run(atMost: .seconds(30)) { $0.isConverged } != nil)
        expectEqual(cluster)
    }

    @Test("cluster: a slow store at an inner node does not slow down those below it, and batches what comes meanwhile")
    func slowStore() {
        let cluster = joined(13) { $0.broadcast.fanout = 3 }
        cluster.members[1].storeLatency = .milliseconds(400)
        for _ in 0..<40 {
            cluster.transact(0)
            cluster.run(for: .milliseconds(5))
        }
        cluster.run(for: .milliseconds(50))
        let heads = cluster.members.map { $0.store.head(of: Sample.actor(0)) }
        #expect(heads.enumerated().allSatisfy { $0.offset == 1 || $0.element == 40 })
        #expect(heads[1] < 40)
        #expect(cluster.run(atMost: .seconds(5)) { $0.isConverged } != nil)
        #expect(cluster.members[1].store.largestBatch > 10)
    }

    @Test("cluster: a full queue drops, still passes on, and sync brings what was dropped")
    func fullQueue() {
        let cluster = joined(13) {
            $0.broadcast.fanout = 3
            if $0.actor == Sample.actor(1) { $0.limits.pendingChunks = 3 }
        }
        cluster.members[1].storeLatency = .milliseconds(300)
        for _ in 0..<20 {
            cluster.transact(0)
            cluster.run(for: .milliseconds(5))
        }
        cluster.run(for: .milliseconds(50))
        #expect(cluster.count { $0 == .dropped(.pendingChunks) } > 0)
        #expect(cluster.members.enumerated().allSatisfy { $0.offset == 1 || $0.element.store.head(of: Sample.actor(0)) == 20 })
        cluster.members[1].storeLatency = .milliseconds(1)
        #expect(cluster.run(atMost: .seconds(30)) { $0.isConverged } != nil)
        expectEqual(cluster)
    }

    // MARK: Absence

    @Test("cluster: both sides of a partition write on, and agree soon after the heal (seed)", arguments: [10, 11, 12] as [UInt64])
    func partition(seed: UInt64) throws {
        let cluster = joined(10, seed: seed)
        cluster.partition([0, 1, 2, 3])
        for _ in 0..<30 {
            for number in cluster.members.indices { cluster.transact(number) }
            cluster.run(for: .seconds(1))
        }
        #expect(!cluster.isConverged)
        cluster.heal()
        let took = try #require(cluster.run(atMost: .seconds(40)) { $0.isConverged })
        #expect(took < .seconds(30))
        expectEqual(cluster)
    }

    @Test("cluster: a short partition that membership does not notice is made good, too")
    func shortPartition() throws {
        let cluster = joined(10)
        cluster.partition([0, 1, 2])
        for number in cluster.members.indices { cluster.transact(number) }
        cluster.run(for: .milliseconds(900))
        cluster.heal()
        _ = try #require(cluster.run(atMost: .seconds(10)) { $0.isConverged })
        expectEqual(cluster)
    }

    @Test("cluster: a node that was far behind fetches the newest versions first, in bounded steps")
    func farBehind() throws {
        let cluster = joined(5) {
            $0.limits.syncRequestBytes = 4_000
            $0.sync.rangeVersions = 16
        }
        cluster.crash(4)
        cluster.run(for: .seconds(8))
        for _ in 0..<400 { cluster.transact(0, bytes: 100) }
        for _ in 0..<100 { cluster.transact(1, bytes: 100) }
        cluster.run(for: .seconds(1))
        cluster.restart(4)
        let took = try #require(cluster.run(atMost: .seconds(30)) { $0.isConverged })
        #expect(took < .seconds(15))
        expectEqual(cluster)
        let order = cluster.members[4].store.completed.filter { $0.actor == Sample.actor(0) }.map(\.version)
        #expect(order.count == 400)
        #expect(Array(order.prefix(16)) == (385...400).reversed())
        // Newest first throughout, apart from what two sessions bring at the same time.
        let inversions = zip(order, order.dropFirst()).filter { $0 < $1 }.count
        #expect(inversions <= 4)
        let catchUp = cluster.measurements.reduce(0) { if case .synced(_, let chunks, _) = $1 { $0 + chunks } else { $0 } }
        #expect(catchUp == 500)
        // A session goes on until nothing is left; the others find that out with one greeting.
        #expect(cluster.count { if case .synced(_, let chunks, _) = $0 { chunks > 0 } else { false } } <= 3)
    }

    @Test("cluster: a node whose disk was wiped gets everything back, its own writes included")
    func wiped() throws {
        let cluster = joined(5)
        for number in cluster.members.indices { for _ in 0..<5 { cluster.transact(number, chunks: 2) } }
        cluster.run(for: .seconds(1))
        cluster.crash(2)
        cluster.run(for: .seconds(1))
        cluster.restart(2, wiped: true)
        _ = try #require(cluster.run(atMost: .seconds(30)) { $0.isConverged })
        #expect(cluster.members[2].store.head(of: Sample.actor(2)) == 5)
        expectEqual(cluster)
    }

    @Test("cluster: versions of which nothing is left are known without their contents")
    func overwritten() throws {
        let cluster = joined(4)
        cluster.crash(3)
        for _ in 0..<50 { cluster.transact(0) }
        cluster.run(for: .seconds(1))
        for number in 0..<3 { cluster.members[number].store.overwrite(Sample.actor(0), 1...49) }
        cluster.restart(3)
        _ = try #require(cluster.run(atMost: .seconds(30)) { $0.isConverged })
        #expect(cluster.members[3].store.contents.count == 1)
        expectEqual(cluster)
    }

    @Test("cluster: a large version that arrived in part is completed piece by piece")
    func partialVersion() throws {
        let cluster = joined(4)
        // Member 2 sees only every third message.
        var count = 0
        cluster.filter = { _, effect in
            guard case .sendMessage(to: Sample.address(2), let bytes) = effect, bytes[3] == MessageKind.broadcast.rawValue else {
                return true
            }
            count += 1
            return count % 3 == 0
        }
        cluster.transact(0, chunks: 60, bytes: 20_000)
        cluster.run(for: .milliseconds(40))
        #expect(cluster.members[2].store.head(of: Sample.actor(0)) == 1)
        #expect(!cluster.members[2].store.ledger.isComplete(Sample.actor(0), 1))
        cluster.filter = nil
        _ = try #require(cluster.run(atMost: .seconds(30)) { $0.isConverged })
        expectEqual(cluster)
    }

    @Test("cluster: sessions whose bytes arrive in pieces of any length do the same (seed)", arguments: [13, 14] as [UInt64])
    func cutBytes(seed: UInt64) throws {
        let cluster = joined(4, seed: seed)
        cluster.cutsBytes = true
        cluster.crash(3)
        for _ in 0..<40 { cluster.transact(0, chunks: 3, bytes: 300) }
        cluster.run(for: .seconds(1))
        cluster.restart(3)
        _ = try #require(cluster.run(atMost: .seconds(30)) { $0.isConverged })
        expectEqual(cluster)
    }

    @Test("cluster: many that are behind at once are turned away in turn, and all catch up")
    func refusals() throws {
        let cluster = joined(12) {
            $0.limits.servedSessions = 1
            $0.limits.syncRequestBytes = 2_000
        }
        for number in 2..<12 { cluster.crash(number) }
        cluster.run(for: .seconds(10))
        // Twenty requests at 80 ms each: sessions last long enough to be in each other's way.
        cluster.latency = .milliseconds(20)...(.milliseconds(40))
        for _ in 0..<200 { cluster.transact(0, bytes: 200) }
        cluster.run(for: .seconds(1))
        for number in 2..<12 { cluster.restart(number) }
        _ = try #require(cluster.run(atMost: .seconds(60)) { $0.isConverged })
        #expect(cluster.count { if case .syncRefused = $0 { true } else { false } } > 0)
        #expect(cluster.count { $0 == .dropped(.servedSessions) } > 0)
        expectEqual(cluster)
    }

    @Test("cluster: a server that crashes in the middle of a session is replaced, nothing is lost")
    func lostServer() throws {
        let cluster = joined(4) { $0.limits.syncRequestBytes = 500 }
        cluster.crash(3)
        cluster.run(for: .seconds(8))
        for _ in 0..<300 { cluster.transact(0, bytes: 200) }
        cluster.run(for: .seconds(1))
        cluster.restart(3)
        _ = try #require(cluster.run(atMost: .seconds(20)) { $0.members[3].store.ledger[Sample.actor(0)] != nil })
        let serving = [0, 1, 2].filter { cluster.members[$0].node.status.servedSessions > 0 }
        #expect((1...2).contains(serving.count))
        #expect(!cluster.members[3].store.ledger.isComplete(Sample.actor(0), 1))
        for number in serving { cluster.crash(number) }
        _ = try #require(cluster.run(atMost: .seconds(60)) { $0.isConverged })
        expectEqual(cluster)
    }

    @Test("cluster: the comparison at the end of a story sees what is missing at one node")
    func comparisonSees() {
        let cluster = joined(3)
        cluster.transact(0)
        #expect(!cluster.isConverged)
        #expect(cluster.firstDifference() != nil)
        cluster.run(for: .seconds(1))
        #expect(cluster.firstDifference() == nil)
        // The same ledger, other contents.
        cluster.members[1].store.overwrite(Sample.actor(0), 1...1)
        #expect(cluster.isConverged)
        #expect(cluster.firstDifference() != nil)
    }

    // MARK: The whole

    @Test("cluster: members are persisted after they changed, and a node finds its way back through them alone")
    func savedMembers() throws {
        let cluster = joined(4) { if $0.generation > 1 { $0.bootstrap = [] } }
        cluster.run(for: .seconds(10))
        #expect(cluster.members.allSatisfy { $0.store.savedMembers.map(\.actor) == Sample.members(4).map(\.actor) })
        let writes = cluster.members[1].store.operations
        cluster.run(for: .seconds(120))
        #expect(cluster.members[1].store.operations == writes, "an unchanged list is not written again")
        // Long enough for the others to have given it up.
        cluster.crash(3)
        cluster.run(for: .seconds(20))
        #expect(cluster.members[0].node.aliveMembers.count == 3)
        cluster.restart(3)
        #expect(cluster.run(atMost: .seconds(20)) { $0.isJoined } != nil)
    }

    @Test("cluster: a node that leaves is told goodbye to, and comes back with rejoin")
    func leaveAndRejoin() throws {
        let cluster = joined(4)
        cluster.handle(.commanded(.leave), at: 3)
        cluster.run(for: .seconds(2))
        #expect(cluster.notices.contains { if case (3, .left) = $0 { true } else { false } })
        #expect(cluster.members[0].node.aliveMembers.count == 3)
        cluster.transact(0)
        cluster.run(for: .seconds(1))
        cluster.handle(.commanded(.rejoin), at: 3)
        _ = try #require(cluster.run(atMost: .seconds(30)) { $0.isJoined && $0.isConverged })
        expectEqual(cluster)
    }

    @Test("cluster: the same seed gives the same run, event by event, and another seed another one")
    func deterministic() {
        func run(_ seed: UInt64) -> Fingerprint {
            let cluster = TestCluster(6, seed: seed)
            cluster.tracesEffects = true
            cluster.lossPartsPerMillion = 100_000
            for round in 0..<20 {
                cluster.transact(round % 6)
                cluster.run(for: .milliseconds(500))
            }
            return cluster.trace.finish()
        }
        let first = run(1)
        #expect(run(1) == first)
        #expect(run(2) != first)
    }
}
