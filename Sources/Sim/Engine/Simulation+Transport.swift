import PatinaProtocol

/// Datagrams, connections and messages.
///
/// The model of the reliable transport, and what it leaves out, is in `docs/determinism.md`: a handshake of one round trip, losses as
/// delay, waiting behind a cut until the idle timeout, loss of what was in flight when a process ends. No congestion window, no flow
/// control.
extension Simulation {
    // MARK: Datagrams

    func sendDatagram(_ bytes: [UInt8], from host: Host, to address: Address) {
        guard let to = Host.index(of: address, among: hosts.count), to != host.index else {
            metrics.unroutable += 1
            return
        }
        if network.isCut(from: host.index, to: to) {
            metrics.datagramsCut += 1
            recordSent(bytes, .datagram, from: host.index, to: to, arrival: nil)
            return
        }
        switch network.sendDatagram(bytes.count, from: host.index, to: to, at: clock.now) {
        case .delivered(let arrival):
            let at = arrival + host.transportTime()
            recordSent(bytes, .datagram, from: host.index, to: to, arrival: at)
            heap.push(.datagram(from: host.index, to: to, bytes: bytes), at: at.nanoseconds)
        case .deliveredTwice(let one, let other):
            let (first, second) = (one + host.transportTime(), other + host.transportTime())
            metrics.datagramsDoubled += 1
            recordSent(bytes, .datagram, from: host.index, to: to, arrival: first)
            recordSent(bytes, .datagram, from: host.index, to: to, arrival: second)
            heap.push(.datagram(from: host.index, to: to, bytes: bytes), at: first.nanoseconds)
            heap.push(.datagram(from: host.index, to: to, bytes: bytes), at: second.nanoseconds)
        case .lost:
            metrics.datagramsLost += 1
            recordSent(bytes, .datagram, from: host.index, to: to, arrival: nil)
            occurred(.datagramLost, at: host, " to node:\(to)")
        case .corrupted:
            metrics.datagramsCorrupted += 1
            recordSent(bytes, .datagram, from: host.index, to: to, arrival: nil)
        case .queueFull:
            metrics.datagramsQueueFull += 1
            recordSent(bytes, .datagram, from: host.index, to: to, arrival: nil)
        }
    }

    func datagramArrives(from: Int, to: Int, bytes: [UInt8]) {
        let host = hosts[to]
        guard host.isUp else { return }
        trace.record(.datagram, host: to, at: clock.now, bytes: bytes)
        metrics.delivered(bytes: bytes.count)
        deliver(.datagramReceived(from: hosts[from].address, bytes: bytes), to: host)
    }

    // MARK: Messages

    func sendMessage(_ bytes: [UInt8], from host: Host, to address: Address) {
        guard let to = Host.index(of: address, among: hosts.count), to != host.index else {
            metrics.unroutable += 1
            return
        }
        let connection = connection(from: host, to: to)
        attempt(
            Happening.Message(
                from: host.index, fromLife: host.life, to: to, connection: connection, epoch: connections[connection].epoch, bytes: bytes))
    }

    /// Sends a message, or puts it off.
    func attempt(_ message: consuming Happening.Message) {
        let host = hosts[message.from]
        guard host.life == message.fromLife, host.isUp else { return }
        guard connections[message.connection].epoch == message.epoch else {
            metrics.messagesLost += 1
            return
        }
        switch attempt(bytes: message.bytes.count, on: message.connection, from: host, to: message.to, attempt: message.attempt) {
        case .arrives(let at, let life):
            message.toLife = life
            recordSent(message.bytes, .message, from: message.from, to: message.to, arrival: at)
            heap.push(.message(message), at: at.nanoseconds)
        case .retry(let at):
            message.attempt += 1
            heap.push(.messageRetry(message), at: at.nanoseconds)
        case .lost: metrics.messagesLost += 1
        }
    }

    func messageArrives(_ message: Happening.Message) {
        let host = hosts[message.to]
        guard host.life == message.toLife, host.isUp else {
            metrics.messagesLost += 1
            return
        }
        trace.record(.message, host: host.index, at: clock.now, bytes: message.bytes)
        metrics.delivered(bytes: message.bytes.count)
        deliver(.messageReceived(from: hosts[message.from].address, bytes: message.bytes), to: host)
    }

    // MARK: Connections

    /// The connection between two machines, made known to both when it is new. One that an earlier process of `host` left behind is
    /// lost first.
    func connection(from host: Host, to: Int) -> Int {
        let known = network.connection(between: host.index, and: to)
        if known >= 0 {
            if connections[known].isEstablished, connections[known].life(of: host.index) != host.life { lose(known, initiator: nil) }
            return known
        }
        connections.append(Connection(left: min(host.index, to), right: max(host.index, to)))
        let index = connections.count - 1
        network.setConnection(index, between: host.index, and: to)
        host.connections.append(index)
        hosts[to].connections.append(index)
        return index
    }

    enum Attempt {
        case arrives(Instant, life: Int)
        case retry(Instant)
        case lost
    }

    /// Tries to get bytes through a connection, making it first where needed.
    func attempt(bytes: Int, on index: Int, from host: Host, to: Int, attempt: Int) -> Attempt {
        let peer = hosts[to]
        let now = clock.now
        // The earliest next try, where a refusal says so.
        var next: Instant?
        if !connections[index].isEstablished, connections[index][refusalsAt: host.index].notBefore > now {
            next = connections[index][refusalsAt: host.index].notBefore
        } else if peer.isUp, peer.pausedBy == 0, network.isRefused(between: host.index, and: to) {
            next = refuse(index, from: host, to: peer)
        } else if peer.isUp, peer.pausedBy == 0, !network.isCut(between: host.index, and: to) {
            if connections[index].isEstablished, connections[index].life(of: to) != peer.life {
                // The new process knows nothing of this connection and says so.
                lose(index, initiator: nil)
                return .lost
            }
            if !connections[index].isEstablished { establish(index, from: host, to: peer) }
            if let arrival = network.transfer(bytes, from: host.index, to: to, at: max(now, connections[index].readyAt)) {
                connections[index].blockedSince = nil
                return .arrives(arrival + host.transportTime(), life: peer.life)
            }
        }
        let machine = host.settings.machine
        let patience = connections[index].isEstablished ? machine.idleTimeout : machine.connectTimeout
        let since = connections[index].blockedSince ?? now
        connections[index].blockedSince = since
        if now - since >= patience {
            lose(index, initiator: host.index)
            return .lost
        }
        // Exponential backoff, bounded so that a healed cut is noticed soon, and not beyond the timeout.
        let timeout = network.retransmissionTimeout(from: host.index, to: to)
        let pause = min(timeout * (1 << min(attempt, 5)), .seconds(2))
        return .retry(min(next ?? now + pause, since + patience))
    }

    /// How long an end waits after a handshake that was refused; doubled with each, as the agent does.
    private static let backoff: (minimum: Duration, maximum: Duration) = (.milliseconds(100), .seconds(10))

    /// A handshake that fails after a round trip. Returns when the next one may be tried.
    private func refuse(_ index: Int, from host: Host, to peer: Host) -> Instant {
        let now = clock.now
        var refusals = connections[index][refusalsAt: host.index]
        metrics.handshakesRefused += 1
        let there = network.transfer(40, from: host.index, to: peer.index, at: now) ?? now + .seconds(1)
        let back = network.transfer(40, from: peer.index, to: host.index, at: there) ?? there + .seconds(1)
        let pause = min(Self.backoff.minimum * (1 << min(refusals.count, 20)), Self.backoff.maximum)
        refusals.count += 1
        refusals.notBefore = mutant == .retryAtOnce ? back : back + pause
        connections[index][refusalsAt: host.index] = refusals
        return refusals.notBefore
    }

    private func establish(_ index: Int, from host: Host, to peer: Host) {
        let now = clock.now
        let there = network.transfer(40, from: host.index, to: peer.index, at: now).map { $0 + host.transportTime() } ?? now + .seconds(1)
        let back =
            network.transfer(40, from: peer.index, to: host.index, at: there).map { $0 + peer.transportTime() } ?? there + .seconds(1)
        connections[index].isEstablished = true
        connections[index][refusalsAt: host.index] = Connection.Refusals()
        connections[index][refusalsAt: peer.index] = Connection.Refusals()
        connections[index].readyAt = back
        connections[index].lives = host.index < peer.index ? (host.life, peer.life) : (peer.life, host.life)
    }

    /// Ends a connection: its sessions are lost, messages that wait are gone, and both processes are told.
    ///
    /// - Parameter initiator: who is told when there never was a connection.
    func lose(_ index: Int, initiator: Int?) {
        let connection = connections[index]
        connections[index].epoch += 1
        connections[index].isEstablished = false
        connections[index].blockedSince = nil
        connections[index].sessions = []
        metrics.connectionsLost += 1
        for place in connection.sessions {
            for end in 0..<2 { closeEnd(end, of: place, tell: true) }
            sessions.remove(place)
        }
        for (host, other) in [(connection.left, connection.right), (connection.right, connection.left)] {
            let life = connection.isEstablished ? connection.life(of: host) : hosts[host].life
            guard connection.isEstablished || host == initiator, hosts[host].life == life, hosts[host].isUp else { continue }
            heap.push(.transportEvent(host: host, life: life, .peerLost(hosts[other].address)), at: clock.now.nanoseconds)
        }
    }

    func transportEventArrives(_ event: Event, at host: Host, life: Int) {
        guard host.life == life, host.isUp else { return }
        switch event {
        case .sessionLost: trace.record(.sessionLost, host: host.index, at: clock.now)
        case .peerLost: trace.record(.peerLost, host: host.index, at: clock.now)
        default: preconditionFailure("the transport reports losses only, not \(event)")
        }
        deliver(event, to: host)
    }
}
