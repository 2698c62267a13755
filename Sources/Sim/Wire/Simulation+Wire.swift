import PatinaProtocol
import PatinaStore

/// Processes that speak another wire version than this build's. The machines of such a node are this build's; what differs is what
/// crosses its border. Without one of them none of this is called.
extension Simulation {
    /// Bytes that a later build keeps free in its datagrams for what only it knows.
    static let laterFieldBytes = 48

    /// Gives a machine another wire version. Its next process speaks it.
    func change(_ host: Host, to wire: WireVersion) {
        host.nextWire = wire
        if wire != .own { speaksOtherWires = true }
    }

    // MARK: Out

    /// What leaves the border for an effect of a node that speaks another version.
    func translated(_ effect: Effect, of host: Host) -> [Effect] {
        switch host.wire {
        case .own: return [effect]
        case .laterMinor: return later(effect, of: host)
        case .otherMajor:
            switch effect {
            case .sendDatagram(let to, let bytes): return [.sendDatagram(to: to, bytes: Self.relabelled(bytes))]
            case .sendMessage(let to, let bytes): return [.sendMessage(to: to, bytes: Self.relabelled(bytes))]
            case .writeSession(let id, let bytes):
                return [.writeSession(id, bytes: LaterWire.startsWithEnvelope(bytes) ? Self.relabelled(bytes) : bytes)]
            default: return [effect]
            }
        }
    }

    private func later(_ effect: Effect, of host: Host) -> [Effect] {
        let limits = host.settings.limits
        let wire = LaterWire(datagramBytes: limits.datagramBytes, messageBytes: limits.messageBytes)
        switch effect {
        case .sendDatagram(let to, let bytes):
            let grown = Effect.sendDatagram(to: to, bytes: wire.grown(bytes, isDatagram: true))
            guard wireRandom.below(8) == 0 else { return [grown] }
            return [.sendDatagram(to: to, bytes: LaterWire.unknownMessage(like: bytes)), grown]
        case .sendMessage(let to, let bytes):
            let grown = Effect.sendMessage(to: to, bytes: wire.grown(bytes, isDatagram: false))
            guard wireRandom.below(8) == 0 else { return [grown] }
            return [.sendMessage(to: to, bytes: LaterWire.unknownMessage(like: bytes)), grown]
        case .writeSession(let id, let bytes): return [.writeSession(id, bytes: wire.grownSession(bytes))]
        default: return [effect]
        }
    }

    /// With the other number of the two wire versions.
    private static func relabelled(_ bytes: [UInt8]) -> [UInt8] {
        guard let version = bytes.first else { return bytes }
        var bytes = bytes
        bytes[0] = version == Envelope.wireVersion ? Envelope.wireVersion + 1 : Envelope.wireVersion
        return bytes
    }

    // MARK: In

    /// What a node is given for an event, in a run with other wire versions or with a mutant. Nil: nothing.
    func crossing(_ event: Event, into host: Host) -> Event? {
        guard let mutant else { return translated(event, for: host) }
        switch reading(event, at: host, by: mutant) {
        case .wrong(let misread): return misread
        case .right: return translated(mutated(event, at: host, by: mutant), for: host)
        }
    }

    private func translated(_ event: Event, for host: Host) -> Event {
        switch (host.wire, event) {
        case (.laterMinor, .transactionCommitted(let chunks)): return .transactionCommitted(chunks.map(LaterWire.grown))
        case (.laterMinor, .stored(let token, .read(let chunks, let empties, let remaining))):
            return .stored(token, .read(chunks: chunks.map(LaterWire.grown), empties: empties, remaining: remaining))
        case (.otherMajor, .datagramReceived(let from, let bytes)): return .datagramReceived(from: from, bytes: Self.relabelled(bytes))
        case (.otherMajor, .messageReceived(let from, let bytes)): return .messageReceived(from: from, bytes: Self.relabelled(bytes))
        case (.otherMajor, .sessionReceived(let id, let bytes)):
            return .sessionReceived(id, bytes: host.heardSessions.insert(id).inserted ? Self.relabelled(bytes) : bytes)
        default: return event
        }
    }
}
