@testable import PatinaProtocol

/// A cluster of membership machines over a simulated network, in virtual time. Deterministic: equal seeds, equal runs.
///
/// Datagrams are lost with a probability; messages are not, but each loss delays them, as a retransmission would. A cut
/// between two nodes swallows both.
final class MembershipCluster {
    /// One node and what became of it.
    final class Peer {
        var machine: Membership
        var isUp = true
        /// Counts crashes, so that deliveries and timers of a former life are dropped.
        var epoch = 0
        var digests: [(from: ActorID, digest: Fingerprint)] = []

        init(machine: consuming Membership) { self.machine = machine }
    }

    enum Delivery {
        case timer(Membership.Timer)
        case datagram([UInt8])
        case message([UInt8])
    }

    private(set) var now = Instant.zero
    private(set) var peers: [Peer] = []
    /// Every notice, in order.
    private(set) var notices: [(at: Instant, node: Int, notice: Notice)] = []
    private(set) var datagrams = 0
    private(set) var bytes = 0
    /// The largest datagram so far.
    private(set) var largestDatagram = 0

    /// In millionths, of each datagram.
    var loss: UInt32 = 0
    var latency: ClosedRange<Duration> = .milliseconds(1)...(.milliseconds(5))
    /// True when nothing passes from one node to another.
    var isCut: (Int, Int) -> Bool = { _, _ in false }

    let configuration: MembershipConfiguration
    let limits: Limits
    private var network: Random
    private let random: Random
    private var queue = EventQueue<(node: Int, epoch: Int, delivery: Delivery)>()
    private(set) var handled = 0
    /// Leaves the invariants unchecked, to measure the machine alone.
    var quick = false

    init(seed: UInt64, configuration: MembershipConfiguration = .init(), limits: Limits = .init()) {
        random = Random(seed: seed)
        network = random.fork("network")
        self.configuration = configuration
        self.limits = limits
    }

    /// `count` nodes that all start now, with the first one as their only bootstrap address.
    convenience init(seed: UInt64, nodes: Int, configuration: MembershipConfiguration = .init()) {
        self.init(seed: seed, configuration: configuration)
        for _ in 0..<nodes { start() }
    }

    static func address(_ node: Int) -> Address { Address(ipv4: 0x0A00_0000 + UInt32(node) + 1, port: 4_001) }

    func actor(_ node: Int) -> ActorID { peers[node].machine.identity.record.actor }
    func node(at address: Address) -> Int? {
        guard let ipv4 = address.ipv4, ipv4 > 0x0A00_0000, Int(ipv4 - 0x0A00_0001) < peers.count else { return nil }
        return Int(ipv4 - 0x0A00_0001)
    }

    @discardableResult
    func start(bootstrap: [Address] = [address(0)]) -> Int {
        let index = peers.count
        var naming = random.fork("actor", UInt64(index))
        let identity = MemberRecord(actor: .random(using: &naming), address: Self.address(index), generation: 1)
        peers.append(Peer(machine: make(identity, bootstrap: bootstrap, known: [], epoch: 0)))
        handle(.started, at: index)
        return index
    }

    func crash(_ node: Int) {
        peers[node].isUp = false
        peers[node].epoch += 1
    }

    /// Starts a crashed node with its persisted member list, under the next generation.
    func restart(_ node: Int, bootstrap: [Address] = [address(0)], known: [MemberRecord] = []) {
        let peer = peers[node]
        var identity = peer.machine.identity.record
        identity.generation += 1
        peer.epoch += 1
        peer.machine = make(identity, bootstrap: bootstrap, known: known, epoch: peer.epoch)
        peer.isUp = true
        handle(.started, at: node)
    }

    func handle(_ event: Membership.Event, at node: Int) {
        let peer = peers[node]
        var outputs: [Membership.Output] = []
        peer.machine.handle(event, now: now, into: &outputs)
        handled += 1
        if quick {} else if handled % 64 == 0 { peer.machine.checkEverything() } else { peer.machine.checkInvariants() }
        for output in outputs { carryOut(output, of: node) }
    }

    /// Runs until nothing is left to happen before `duration` has passed.
    func run(for duration: Duration) {
        let end = now + duration
        while step(until: end) {}
        now = end
    }

    /// Runs until `condition` holds, looking every 50 ms. Returns the time it took; nil when `limit` passed first.
    func run(limit: Duration, until condition: (MembershipCluster) -> Bool) -> Duration? {
        let begin = now
        while now - begin <= limit {
            if condition(self) { return now - begin }
            run(for: .milliseconds(50))
        }
        return nil
    }

    /// True when every node that is up knows exactly these nodes to be alive, and suspects none.
    func agree(on nodes: some Collection<Int>) -> Bool {
        let expected = nodes.map { peers[$0].machine.identity.record }.sorted { $0.actor < $1.actor }
        for node in nodes where peers[node].isUp {
            guard peers[node].machine.alive == expected, peers[node].machine.suspicions.isEmpty else { return false }
        }
        return true
    }

    private func make(_ identity: MemberRecord, bootstrap: [Address], known: [MemberRecord], epoch: Int) -> Membership {
        Membership(
            configuration: configuration, identity: identity, cluster: 7, bootstrap: bootstrap, known: known, limits: limits,
            random: random.fork("node \(identity.address) \(epoch)"))
    }

    private func step(until end: Instant) -> Bool {
        guard let (time, next) = queue.popFirst(before: end) else { return false }
        now = time
        let peer = peers[next.node]
        guard peer.isUp, peer.epoch == next.epoch else { return true }
        let somewhere = Address(ipv4: 0x7F00_0001, port: 9)
        switch next.delivery {
        case .timer(let timer): handle(.deadlinePassed(timer), at: next.node)
        case .datagram(let bytes): handle(.datagramReceived(bytes[...], from: somewhere), at: next.node)
        case .message(let bytes): handle(.messageReceived(bytes[...], from: somewhere), at: next.node)
        }
        return true
    }

    private func carryOut(_ output: Membership.Output, of node: Int) {
        switch output {
        case .schedule(let timer, let time):
            queue.insert((node, peers[node].epoch, .timer(timer)), at: max(now, time))
        case .sendDatagram(let address, let packet):
            datagrams += 1
            bytes += packet.count
            largestDatagram = max(largestDatagram, packet.count)
            let delay = network.duration(in: latency)
            guard !network.chance(partsPerMillion: loss) else { return }
            deliver(.datagram(packet), from: node, to: address, after: delay)
        case .sendMessage(let address, let packet):
            bytes += packet.count
            var delay = network.duration(in: latency)
            var retransmission = Duration.milliseconds(200)
            while network.chance(partsPerMillion: loss) {
                delay += retransmission
                retransmission *= 2
            }
            deliver(.message(packet), from: node, to: address, after: delay)
        case .notify(let notice):
            notices.append((now, node, notice))
        case .digestHeard(let actor, let digest):
            peers[node].digests.append((actor, digest))
        case .measure:
            break
        }
    }

    private func deliver(_ delivery: Delivery, from node: Int, to address: Address, after delay: Duration) {
        guard let target = self.node(at: address), !isCut(node, target) else { return }
        queue.insert((target, peers[target].epoch, delivery), at: now + delay)
    }
}

/// A binary heap by time, then by the order of insertion.
struct EventQueue<Element> {
    private var heap: [(time: Instant, order: Int, element: Element)] = []
    private var inserted = 0

    mutating func insert(_ element: Element, at time: Instant) {
        heap.append((time, inserted, element))
        inserted += 1
        var child = heap.count - 1
        while child > 0, precedes(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func popFirst(before end: Instant) -> (time: Instant, element: Element)? {
        guard let first = heap.first, first.time <= end else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var least = parent
                for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && precedes(child, least) { least = child }
                guard least != parent else { break }
                heap.swapAt(parent, least)
                parent = least
            }
        }
        return (first.time, first.element)
    }

    private func precedes(_ left: Int, _ right: Int) -> Bool { (heap[left].time, heap[left].order) < (heap[right].time, heap[right].order) }
}
