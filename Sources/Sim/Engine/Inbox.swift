import PatinaProtocol

/// What waits for a process that stands still or is busy, in order.
struct Inbox {
    /// Datagrams that wait, at most: those of a socket buffer of a few megabytes. The others are dropped.
    static let datagramsMaximum = 4_096

    private var waiting: [Happening] = []
    private var first = 0
    /// A `hostResumes` is in the heap.
    var isScheduled = false

    var count: Int { waiting.count - first }
    var isEmpty: Bool { count == 0 }

    mutating func append(_ happening: consuming Happening) { waiting.append(happening) }

    mutating func take() -> Happening? {
        guard first < waiting.count else { return nil }
        defer {
            first += 1
            if first == waiting.count || first > 1_024 {
                waiting.removeFirst(first)
                first = 0
            }
        }
        return waiting[first]
    }
}

/// Machines that stand still or are slow: what is meant for their processes waits in the inbox.
extension Simulation {
    func pause(_ host: Host) {
        hinder(host)
        host.pausedBy += 1
        recorder?.changed(host.index, to: .paused, at: clock.now)
    }

    func resume(_ host: Host) {
        host.pausedBy -= 1
        if host.pausedBy == 0 { recorder?.changed(host.index, to: host.isUp ? .up : .down, at: clock.now) }
        host.lastHindered = clock.now
        // A process that was to be started meanwhile is started now.
        start(host)
        schedule(host)
        relieve(host)
    }

    func slowDown(_ host: Host, by cost: Duration) {
        hinder(host)
        host.eventCost += cost
    }

    func speedUp(_ host: Host, by cost: Duration) {
        host.eventCost -= cost
        host.lastHindered = clock.now
        relieve(host)
    }

    /// Puts what a hindered process cannot take now into its inbox. True when it did.
    func mustWait(_ happening: Happening) -> Bool {
        guard let index = receiver(of: happening) else { return false }
        let host = hosts[index]
        guard host.isUp, host.pausedBy > 0 || clock.now < host.busyUntil || !host.inbox.isEmpty else { return false }
        if case .datagram = happening, host.inbox.count >= Inbox.datagramsMaximum {
            metrics.inboxDrops += 1
            return true
        }
        host.inbox.append(happening)
        schedule(host)
        return true
    }

    func takeFromInbox(of host: Host) {
        host.inbox.isScheduled = false
        guard host.pausedBy == 0 else { return }
        if clock.now >= host.busyUntil, let happening = host.inbox.take() { handle(happening) }
        schedule(host)
        relieve(host)
    }

    private func schedule(_ host: Host) {
        guard host.pausedBy == 0, !host.inbox.isEmpty, !host.inbox.isScheduled else { return }
        host.inbox.isScheduled = true
        heap.push(.hostResumes(host.index), at: max(clock.now, host.busyUntil).nanoseconds)
    }

    func hinder(_ host: Host) {
        guard !host.isHindered else { return }
        host.isHindered = true
        hinderedHosts += 1
    }

    /// A host stays hindered until it has caught up.
    private func relieve(_ host: Host) {
        guard host.isHindered, host.pausedBy == 0, host.eventCost == .zero, host.inbox.isEmpty else { return }
        host.isHindered = false
        hinderedHosts -= 1
    }

    /// The machine whose process has to act; nil when it is not a process that does.
    private func receiver(of happening: Happening) -> Int? {
        switch happening {
        case .timer(let host, _, _), .storeFinishes(let host, _, _, _), .storeUpkeep(let host, _), .transportEvent(let host, _, _): host
        case .datagram(_, let to, _): to
        case .message(let message): message.to
        case .messageRetry(let message): message.from
        case .sessionItem(let arrival):
            sessions.holds(arrival.session, serial: arrival.serial) ? sessions[arrival.session].ends[1 - arrival.direction].host : nil
        case .sessionRetry(let session, let serial, let direction, _):
            sessions.holds(session, serial: serial) ? sessions[session].ends[direction].host : nil
        case .transactionFinishes(_, let transaction): transaction.node
        case .hostStarts, .connectionExpires, .transactionArrives, .faultStarts, .faultEnds, .checkBegins, .poll, .look, .hostResumes,
            .sample:
            nil
        }
    }
}
