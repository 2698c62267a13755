import PatinaProtocol
import PatinaStore

/// Running a simulation step by step, and looking into it. A step is one entry of the event heap.
extension Simulation {
    /// Processes entries until `isDone` says so or the run is over; `watch` sees each entry before it happens.
    ///
    /// - Returns: how many entries were processed.
    @discardableResult
    func advance(until isDone: (Simulation) -> Bool, watch: (Instant, Happening) -> Void) -> UInt64 {
        let end = (Instant.zero + scenario.duration).nanoseconds
        var steps: UInt64 = 0
        while !isDone(self), let time = heap.firstTime, time <= end, let (_, happening) = heap.pop() {
            clock.now = Instant(nanoseconds: time)
            watch(clock.now, happening)
            process(happening)
            recorder?.traced(trace.digest)
            steps += 1
        }
        return steps
    }

    /// What a node is like, in lines for people.
    func state(of index: Int) -> [String] {
        let host = hosts[index]
        guard let process = host.process else { return ["node \(index): down, \(host.life) starts so far"] }
        let status = process.node.status
        var lines = ["node \(index): up since \(host.upSince), start \(host.life), digest \(status.digest)"]
        let present = process.node.members.filter { $0.state.isPresent }
        let others = process.node.members.filter { !$0.state.isPresent || $0.state == .suspect }
        lines.append("  members: \(present.count) present" + others.map { ", \(name(of: $0.record.actor)) \($0.state)" }.joined())
        lines.append(
            "  waiting for the store: \(status.pendingChunks) chunks, \(status.pendingBytes) bytes, \(status.storeOperations) operations")
        lines.append(
            "  broadcast: \(status.cachedChunks) chunks cached, \(status.missingChunks) missing; sync: \(status.ownSessions) own sessions, "
                + "\(status.servedSessions) served, \(status.differingPeers) peers differ")
        let ledger = process.node.ledger
        let heads = ledger.actors.compactMap { actor in
            ledger[actor].map { entry in "\(name(of: actor)) \(entry.head)\(entry.gaps.isEmpty ? "" : " without \(entry.gaps)")" }
        }
        lines.append("  versions: \(heads.isEmpty ? "none" : heads.joined(separator: ", "))")
        return lines
    }

    private func name(of identity: ActorID) -> String { hostOf[identity].map { "node:\($0)" } ?? "\(identity)" }

    /// One line about an entry of the heap.
    func line(_ happening: Happening) -> String {
        switch happening {
        case .hostStarts(let host): "node \(host) starts"
        case .timer(let host, _, let timer): "node \(host): deadline \(timer)"
        case .datagram(let from, let to, let bytes): "node \(to): datagram of \(bytes.count) bytes from node \(from)"
        case .message(let message): "node \(message.to): message of \(message.bytes.count) bytes from node \(message.from)"
        case .messageRetry(let message): "node \(message.from): tries a message to node \(message.to) again, attempt \(message.attempt)"
        case .sessionItem(let arrival): "session \(arrival.serial): \(arrival.item.words) arrive, direction \(arrival.direction)"
        case .sessionRetry(_, let serial, let direction, let attempt):
            "session \(serial): direction \(direction) tries again, attempt \(attempt)"
        case .transportEvent(let host, _, let event): "node \(host): \(event)"
        case .connectionExpires(let connection, _): "connection \(connection) expires"
        case .storeFinishes(let host, _, let operation, let token): "node \(host): store finishes \(operation.words), token \(token.number)"
        case .transactionArrives(let source): "workload \(source): a transaction arrives"
        case .transactionFinishes(_, let transaction): "node \(transaction.node): a transaction of \(transaction.rows.count) rows commits"
        case .faultStarts(let occurrence): "fault \(scenario.faults[faults.occurrences[occurrence].fault].id) starts"
        case .faultEnds(let occurrence): "fault \(scenario.faults[faults.occurrences[occurrence].fault].id) ends"
        case .checkBegins(let check): "check \(check) begins"
        case .poll: "pending checks are looked at"
        case .look: "what must always hold is looked at"
        case .sample: "the recorder asks the nodes"
        case .storeUpkeep(let host, _): "node \(host): a step of the store's upkeep"
        case .hostResumes(let host): "node \(host) takes the next thing out of its inbox"
        }
    }

    /// True when an entry concerns a node; what concerns none in particular concerns all.
    func concerns(_ happening: Happening, node: Int) -> Bool {
        switch happening {
        case .hostStarts(let host), .hostResumes(let host), .timer(let host, _, _), .transportEvent(let host, _, _),
            .storeFinishes(let host, _, _, _):
            host == node
        case .datagram(let from, let to, _): from == node || to == node
        case .message(let message), .messageRetry(let message): message.from == node || message.to == node
        case .transactionFinishes(_, let transaction): transaction.node == node
        default: true
        }
    }
}

extension SessionItem {
    fileprivate var words: String {
        switch self {
        case .open: "its opening"
        case .bytes(let bytes): "\(bytes.count) bytes"
        case .finish: "its end"
        case .reset: "its reset"
        }
    }
}

extension StoreOperation {
    fileprivate var words: String {
        switch self {
        case .apply(let chunks, let empties): "applying \(chunks.count) chunks and \(empties.count) empty ranges"
        case .read(let request): "reading for \(request.wants.count) wants"
        case .saveMembers(let members): "saving \(members.count) members"
        }
    }
}
