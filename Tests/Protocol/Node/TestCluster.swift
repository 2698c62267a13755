@testable import PatinaProtocol

/// A cluster of nodes with fake stores in one event heap: deterministic, without clocks, ports or threads.
///
/// Links have a latency and lose messages at random; nodes crash, restart and are cut off from each other; bytes of sessions
/// arrive cut anywhere. After every event the invariants of the node that handled it are checked.
final class TestCluster {
    final class Member {
        var node: Node
        var store: FakeStore
        var isUp = true
        /// Distinguishes the lives of a node that is restarted: what was meant for an earlier one is dropped.
        var life = 0
        var nextPeerSession: UInt64 = 0
        var storeLatency: Duration = .milliseconds(1)

        init(node: consuming Node, store: FakeStore) {
            self.node = node
            self.store = store
        }
    }

    private struct Scheduled {
        var at: Instant
        var order: UInt64
        var target: Int
        var life: Int
        var event: Event
        /// Only performed when the time has come, so that a store can be changed meanwhile.
        var operation: (StoreOperation, StoreToken)?
    }

    private struct End: Hashable {
        var member: Int
        var life: Int
        var session: SessionID
    }

    var members: [Member] = []
    private(set) var now = Instant.zero
    private var heap: [Scheduled] = []
    private var order: UInt64 = 0
    private var random: Random
    private var sessions: [End: End] = [:]
    private var configure: (inout NodeConfiguration) -> Void

    /// Of messages and datagrams; sessions are reliable while their link is up.
    var lossPartsPerMillion: UInt32 = 0
    var latency: ClosedRange<Duration> = .milliseconds(1)...(.milliseconds(4))
    /// Members of different sides do not reach each other.
    var sides: [Int: Int] = [:]
    /// Cut the bytes of sessions into pieces of random length.
    var cutsBytes = false
    /// A look at every effect before it is carried out; returns false to swallow it.
    var filter: ((Int, Effect) -> Bool)?

    private(set) var measurements: [Measurement] = []
    var keepsMeasurements = true
    var checksInvariants = true
    private(set) var notices: [(member: Int, notice: Notice)] = []
    private(set) var trace = Fingerprint.Hasher()
    var tracesEffects = false
    private(set) var handled = 0

    init(_ count: Int, seed: UInt64 = 1, configure: @escaping (inout NodeConfiguration) -> Void = { _ in }) {
        random = Random(seed: seed)
        self.configure = configure
        for number in 0..<count {
            members.append(Member(node: makeNode(number, store: FakeStore(), life: 0), store: FakeStore()))
            post(.started, to: number, after: .milliseconds(5) * number)
        }
    }

    private func makeNode(_ number: Int, store: FakeStore, life: Int) -> Node {
        var configuration = Sample.configuration(number, seed: random.fork("node", UInt64(number * 1_000 + life)).next0())
        configuration.generation = UInt64(life + 1)
        configuration.bootstrap = number == 0 ? [Sample.address(1)] : [Sample.address(0)]
        configure(&configuration)
        return Node(configuration: configuration, ledger: store.ledger, members: store.savedMembers)
    }

    // MARK: Stories

    @discardableResult
    func transact(_ number: Int, chunks: UInt64 = 1, bytes: Int = 20) -> UInt64 {
        let chunks = members[number].store.transact(Sample.actor(number), chunks: chunks, bytes: bytes, at: now)
        handle(.transactionCommitted(chunks), at: number)
        return chunks[0].id.version
    }

    func crash(_ number: Int) {
        members[number].isUp = false
        members[number].life += 1
        // Connections break after a while.
        for (end, other) in sessions.sorted(by: { ($0.key.session, $0.key.member) < ($1.key.session, $1.key.member) })
        where end.member == number {
            sessions[end] = nil
            sessions[other] = nil
            post(.sessionLost(other.session), to: other.member, after: .seconds(2))
        }
    }

    func restart(_ number: Int, wiped: Bool = false) {
        let member = members[number]
        if wiped { member.store = FakeStore() }
        member.isUp = true
        member.node = makeNode(number, store: member.store, life: member.life)
        post(.started, to: number, after: .zero)
    }

    func partition(_ numbers: [Int]) { for number in numbers { sides[number] = 1 } }
    func heal() { sides = [:] }

    func run(for duration: Duration) { run(until: now + duration) }

    /// Runs until `condition` holds, at most for `limit`; returns how long it took, or nil.
    func run(atMost limit: Duration, until condition: (TestCluster) -> Bool) -> Duration? {
        let start = now
        while !condition(self) {
            guard now - start < limit else { return nil }
            run(for: .milliseconds(10))
        }
        return now - start
    }

    private func run(until end: Instant) {
        while let next = heap.first, next.at <= end {
            let scheduled = pop()
            now = scheduled.at
            let member = members[scheduled.target]
            guard member.isUp, member.life == scheduled.life else { continue }
            if let (operation, token) = scheduled.operation {
                handle(.stored(token, member.store.perform(operation)), at: scheduled.target)
            } else {
                handle(scheduled.event, at: scheduled.target)
            }
        }
        now = end
    }

    func handle(_ event: Event, at number: Int) {
        handled += 1
        var effects = Effects()
        members[number].node.handle(event, now: now, into: &effects)
        if checksInvariants { members[number].node.checkInvariants() }
        if tracesEffects { trace.combine("\(now) \(number) \(event) -> \(effects.items)") }
        effects.drain { effect in if filter?(number, effect) ?? true { carryOut(effect, of: number) } }
    }

    // MARK: What holds

    var up: [Member] { members.filter(\.isUp) }

    /// True when all members that are up know and have the same, and are done with everything.
    var isConverged: Bool {
        guard let first = up.first else { return true }
        return up.allSatisfy {
            $0.store.ledger.fingerprint == first.store.ledger.fingerprint && $0.node.digest == $0.store.ledger.fingerprint
        }
    }

    /// True when everybody sees everybody who is up, and nobody else.
    var isJoined: Bool { up.allSatisfy { $0.node.aliveMembers.count == up.count } }

    /// The whole comparison, for the end of a story.
    func firstDifference() -> String? {
        guard let first = up.first else { return nil }
        let contents = first.store.contents
        for member in up {
            member.node.checkThoroughly()
            if member.node.ledger != member.store.ledger {
                return "\(member.node.configuration.actor): the node's ledger is not the store's"
            }
            if member.store.ledger != first.store.ledger { return "\(member.node.configuration.actor): the ledgers differ" }
            if member.store.contents != contents { return "\(member.node.configuration.actor): the contents differ" }
        }
        return nil
    }

    func count(_ matches: (Measurement) -> Bool) -> Int { measurements.filter(matches).count }
    func forgetMeasurements() { measurements = [] }

    // MARK: The world

    private func isReachable(_ left: Int, _ right: Int) -> Bool { sides[left, default: 0] == sides[right, default: 0] }

    private func number(of address: Address) -> Int? {
        guard let ipv4 = address.ipv4, ipv4 >= 0x0A00_0000, Int(ipv4 - 0x0A00_0000) < members.count else { return nil }
        return Int(ipv4 - 0x0A00_0000)
    }

    private func carryOut(_ effect: Effect, of number: Int) {
        let from = Sample.address(number)
        switch effect {
        case .sendDatagram(let address, let bytes): send(.datagramReceived(from: from, bytes: bytes), from: number, to: address)
        case .sendMessage(let address, let bytes): send(.messageReceived(from: from, bytes: bytes), from: number, to: address)
        case .openSession(let id, let address): open(id, from: number, to: address)
        case .writeSession(let id, let bytes): for piece in cut(bytes) { pass(.sessionReceived(id, bytes: piece), of: id, from: number) }
        case .finishSession(let id): pass(.sessionFinished(id), of: id, from: number)
        case .resetSession(let id):
            pass(.sessionLost(id), of: id, from: number)
            let end = End(member: number, life: members[number].life, session: id)
            if let other = sessions.removeValue(forKey: end) { sessions[other] = nil }
        case .store(let operation, let token):
            push(
                Scheduled(
                    at: now + members[number].storeLatency, order: 0, target: number, life: members[number].life, event: .started,
                    operation: (operation, token)))
        case .schedule(let timer, let instant): post(.deadlinePassed(timer), to: number, after: instant - now)
        case .notify(let notice): notices.append((number, notice))
        case .measure(let measurement): if keepsMeasurements { measurements.append(measurement) }
        }
    }

    private func send(_ event: Event, from number: Int, to address: Address) {
        guard let target = self.number(of: address), isReachable(number, target) else { return }
        guard !random.chance(partsPerMillion: lossPartsPerMillion) else { return }
        post(event, to: target, after: random.duration(in: latency))
    }

    private func open(_ id: SessionID, from number: Int, to address: Address) {
        guard let target = self.number(of: address), isReachable(number, target), members[target].isUp else {
            post(.sessionLost(id), to: number, after: .seconds(1))
            return
        }
        let peer = SessionID(.peer, members[target].nextPeerSession)
        members[target].nextPeerSession += 1
        let ends = (
            End(member: number, life: members[number].life, session: id), End(member: target, life: members[target].life, session: peer)
        )
        sessions[ends.0] = ends.1
        sessions[ends.1] = ends.0
        post(.sessionOpened(peer, from: Sample.address(number)), to: target, after: latency.upperBound)
    }

    /// Hands an event of one end of a session to the other, in order.
    private func pass(_ event: Event, of id: SessionID, from number: Int) {
        guard let other = sessions[End(member: number, life: members[number].life, session: id)] else { return }
        guard isReachable(number, other.member) else {
            // A cut link shows itself late, and at both ends.
            post(.sessionLost(id), to: number, after: .seconds(3))
            post(.sessionLost(other.session), to: other.member, after: .seconds(3))
            return
        }
        let renamed: Event
        switch event {
        case .sessionReceived(_, let bytes): renamed = .sessionReceived(other.session, bytes: bytes)
        case .sessionFinished: renamed = .sessionFinished(other.session)
        default: renamed = .sessionLost(other.session)
        }
        post(renamed, to: other.member, after: latency.upperBound)
    }

    private func cut(_ bytes: [UInt8]) -> [[UInt8]] {
        guard cutsBytes else { return [bytes] }
        var pieces: [[UInt8]] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(1 + random.below(40))
            rest = rest.dropFirst(piece.count)
            pieces.append(Array(piece))
        }
        return pieces
    }

    func post(_ event: Event, to number: Int, after delay: Duration) {
        let life = number < members.count ? members[number].life : 0
        push(Scheduled(at: max(now, now + delay), order: 0, target: number, life: life, event: event, operation: nil))
    }

    // MARK: The heap

    private func push(_ item: Scheduled) {
        var item = item
        item.order = order
        order += 1
        heap.append(item)
        var index = heap.count - 1
        while index > 0, isBefore(index, (index - 1) / 2) {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private func pop() -> Scheduled {
        heap.swapAt(0, heap.count - 1)
        let item = heap.removeLast()
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && isBefore(child, least) { least = child }
            guard least != index else { return item }
            heap.swapAt(index, least)
            index = least
        }
    }

    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        (heap[left].at, heap[left].order) < (heap[right].at, heap[right].order)
    }
}

extension Random {
    fileprivate func next0() -> UInt64 {
        var copy = self
        return copy.next()
    }
}
