import PatinaProtocol

/// Sessions: two ordered streams of bytes between two processes.
extension Simulation {
    func openSession(_ id: SessionID, from host: Host, to address: Address) {
        guard let to = Host.index(of: address, among: hosts.count), to != host.index else {
            metrics.unroutable += 1
            heap.push(.transportEvent(host: host.index, life: host.life, .sessionLost(id)), at: clock.now.nanoseconds)
            return
        }
        let connection = connection(from: host, to: to)
        let place = sessions.insert { serial in
            Session(
                serial: serial, connection: connection, epoch: connections[connection].epoch,
                ends: [Session.End(host: host.index, life: host.life, id: id), Session.End(host: to, life: 0, id: nil)],
                random: Random(seed: cutSeed &+ serial))
        }
        connections[connection].sessions.append(place)
        host.sessions[id] = Host.SessionEnd(session: place, end: 0)
        metrics.sessions += 1
        send(.open, on: place, from: 0)
    }

    /// Bytes, or the end of what a process writes.
    func writeSession(_ id: SessionID, _ item: SessionItem, at host: Host) {
        // A node may write in the same instant in which the session is lost: it has not heard of it yet.
        guard let end = host.sessions[id] else { return }
        send(item, on: end.session, from: end.end)
    }

    func resetSession(_ id: SessionID, at host: Host) {
        guard let own = host.sessions[id] else { return }
        closeEnd(own.end, of: own.session, tell: false)
        guard !removeIfOver(own.session) else { return }
        // What waits is dropped. A session that the peer has not heard of yet just never comes.
        let outbox = sessions[own.session].ends[own.end].outbox
        sessions[own.session].ends[own.end].outbox = []
        if case .open? = outbox.first {
            closeEnd(1, of: own.session, tell: false)
            _ = removeIfOver(own.session)
        } else {
            send(.reset, on: own.session, from: own.end)
        }
    }

    private func send(_ item: SessionItem, on place: Int, from end: Int) {
        sessions[place].ends[end].outbox.append(item)
        if !sessions[place].ends[end].isRetrying { pump(place, serial: sessions[place].serial, direction: end, attempt: 0) }
    }

    /// Sends what the outbox of one end holds, as far as the network takes it.
    func pump(_ place: Int, serial: UInt64, direction: Int, attempt: Int) {
        guard sessions.holds(place, serial: serial) else { return }
        let sender = sessions[place].ends[direction]
        sessions[place].ends[direction].isRetrying = false
        let host = hosts[sender.host]
        guard host.isUp, host.life == sender.life else { return }
        let to = sessions[place].ends[1 - direction].host
        let connection = sessions[place].connection
        var sent = 0
        for item in sender.outbox {
            switch self.attempt(bytes: item.wireBytes, on: connection, from: host, to: to, attempt: attempt) {
            case .arrives(let at, let life):
                let arrival = max(at, sessions[place].ends[direction].lastArrival)
                sessions[place].ends[direction].lastArrival = arrival
                if case .bytes(let bytes) = item { recordSent(bytes, .session, from: host.index, to: to, arrival: arrival) }
                heap.push(
                    .sessionItem(
                        Happening.SessionArrival(session: place, serial: serial, direction: direction, toLife: life, item: item)),
                    at: arrival.nanoseconds)
                sent += 1
                continue
            case .retry(let at):
                sessions[place].ends[direction].outbox.removeFirst(sent)
                sessions[place].ends[direction].isRetrying = true
                heap.push(
                    .sessionRetry(session: place, serial: serial, direction: direction, attempt: attempt + 1), at: at.nanoseconds)
                return
            case .lost:
                // The connection took the session with it.
                return
            }
        }
        sessions[place].ends[direction].outbox.removeFirst(sent)
    }

    func sessionItemArrives(_ arrival: Happening.SessionArrival) {
        let place = arrival.session
        guard sessions.holds(place, serial: arrival.serial) else { return }
        let receiver = 1 - arrival.direction
        let end = sessions[place].ends[receiver]
        let host = hosts[end.host]
        guard host.isUp, host.life == arrival.toLife, !end.isClosed else { return }
        switch arrival.item {
        case .open:
            let id = SessionID(.peer, host.nextPeerSession)
            host.nextPeerSession += 1
            sessions[place].ends[receiver].id = id
            sessions[place].ends[receiver].life = host.life
            host.sessions[id] = Host.SessionEnd(session: place, end: receiver)
            trace.record(.sessionOpened, host: host.index, at: clock.now)
            deliver(.sessionOpened(id, from: hosts[sessions[place].ends[arrival.direction].host].address), to: host)
        case .bytes(let bytes):
            guard let id = end.id else { return }
            receive(bytes, of: id, place: place, serial: arrival.serial, receiver: receiver, at: host)
        case .finish:
            guard let id = end.id else { return }
            sessions[place].ends[arrival.direction].finishArrived = true
            trace.record(.sessionFinished, host: host.index, at: clock.now)
            deliver(.sessionFinished(id), to: host)
            if sessions.holds(place, serial: arrival.serial), sessions[place].ends.allSatisfy(\.finishArrived) {
                for end in 0..<2 { closeEnd(end, of: place, tell: false) }
                _ = removeIfOver(place)
            }
        case .reset:
            guard let id = end.id else { return }
            closeEnd(receiver, of: place, tell: false)
            _ = removeIfOver(place)
            trace.record(.sessionLost, host: host.index, at: clock.now)
            deliver(.sessionLost(id), to: host)
        }
    }

    /// Delivers bytes, one time in four in two or three pieces: a stream keeps the order of bytes, not the borders of writes.
    private func receive(_ bytes: [UInt8], of id: SessionID, place: Int, serial: UInt64, receiver: Int, at host: Host) {
        metrics.deliveredBytes += UInt64(bytes.count)
        trace.record(.sessionBytes, host: host.index, at: clock.now, bytes: bytes)
        guard bytes.count > 1, sessions[place].random.below(4) == 0 else {
            metrics.deliveredMessages += 1
            deliver(.sessionReceived(id, bytes: bytes), to: host)
            return
        }
        var start = 0
        for _ in 0..<2 where start < bytes.count {
            let end = start + 1 + sessions[place].random.below(bytes.count - start)
            metrics.deliveredMessages += 1
            deliver(.sessionReceived(id, bytes: Array(bytes[start..<end])), to: host)
            start = end
            // The node may have reset the session because of the first piece.
            guard sessions.holds(place, serial: serial), !sessions[place].ends[receiver].isClosed else { return }
        }
        guard start < bytes.count else { return }
        metrics.deliveredMessages += 1
        deliver(.sessionReceived(id, bytes: Array(bytes[start...])), to: host)
    }

    // MARK: Ends

    /// Closes one end, unless it is closed, and tells its process that the session is lost when asked to.
    func closeEnd(_ end: Int, of place: Int, tell: Bool) {
        let closing = sessions[place].ends[end]
        guard !closing.isClosed else { return }
        sessions[place].ends[end].isClosed = true
        let host = hosts[closing.host]
        guard let id = closing.id, host.isUp, host.life == closing.life else { return }
        host.sessions[id] = nil
        if tell { heap.push(.transportEvent(host: host.index, life: host.life, .sessionLost(id)), at: clock.now.nanoseconds) }
    }

    /// Forgets a session of which both ends are closed.
    private func removeIfOver(_ place: Int) -> Bool {
        guard sessions[place].ends.allSatisfy(\.isClosed) else { return false }
        let connection = sessions[place].connection
        if let position = connections[connection].sessions.firstIndex(of: place) { connections[connection].sessions.remove(at: position) }
        sessions.remove(place)
        return true
    }

    /// The process of a host is gone; the other ends find out by themselves.
    func abandonSessions(of host: Host) {
        for index in host.connections {
            for place in connections[index].sessions {
                for end in 0..<2 where sessions[place].ends[end].host == host.index { sessions[place].ends[end].isClosed = true }
                _ = removeIfOver(place)
            }
        }
        host.sessions = [:]
    }
}
