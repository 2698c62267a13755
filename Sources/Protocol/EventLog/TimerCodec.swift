/// Deadlines in a log: one number for each of all the machines' timers, then its fields.
private enum TimerTag: UInt8 {
    case probe = 1
    case probeTimeout = 2
    case relayTimeout = 3
    case suspicion = 4
    case gossip = 5
    case exchange = 6
    case announceSelf = 7
    case forget = 8
    case announceChunks = 16
    case graft = 17
    case syncPeriod = 32
    case syncSession = 33
    case syncRequest = 34
    case saveMembers = 48
    case maintenance = 49
}

extension ByteWriter {
    private mutating func write(_ tag: TimerTag) { write(tag.rawValue) }

    private mutating func write(_ tag: TimerTag, _ number: UInt64) {
        write(tag.rawValue)
        writeVarint(number)
    }

    mutating func write(_ timer: Timer) {
        switch timer {
        case .membership(.probe(let life)): write(.probe, life)
        case .membership(.probeTimeout(let sequence)): write(.probeTimeout, sequence)
        case .membership(.relayTimeout(let sequence)): write(.relayTimeout, sequence)
        case .membership(.suspicion(let actor)):
            write(TimerTag.suspicion)
            write(actor)
        case .membership(.gossip(let life)): write(.gossip, life)
        case .membership(.exchange(let life)): write(.exchange, life)
        case .membership(.announce(let life)): write(.announceSelf, life)
        case .membership(.forget(let life)): write(.forget, life)
        case .broadcast(.announce): write(TimerTag.announceChunks)
        case .broadcast(.graft): write(TimerTag.graft)
        case .sync(.period): write(TimerTag.syncPeriod)
        case .sync(.session(let session)):
            write(TimerTag.syncSession)
            write(session)
        case .sync(.request(let session)):
            write(TimerTag.syncRequest)
            write(session)
        case .node(.saveMembers): write(TimerTag.saveMembers)
        case .node(.maintenance): write(TimerTag.maintenance)
        }
    }
}

extension ByteReader {
    mutating func readTimer() throws(MalformedInput) -> Timer {
        let tag: TimerTag = try readCase("timer")
        switch tag {
        case .probe: return .membership(.probe(life: try readVarint()))
        case .probeTimeout: return .membership(.probeTimeout(sequence: try readVarint()))
        case .relayTimeout: return .membership(.relayTimeout(sequence: try readVarint()))
        case .suspicion: return .membership(.suspicion(try readActor()))
        case .gossip: return .membership(.gossip(life: try readVarint()))
        case .exchange: return .membership(.exchange(life: try readVarint()))
        case .announceSelf: return .membership(.announce(life: try readVarint()))
        case .forget: return .membership(.forget(life: try readVarint()))
        case .announceChunks: return .broadcast(.announce)
        case .graft: return .broadcast(.graft)
        case .syncPeriod: return .sync(.period)
        case .syncSession: return .sync(.session(try readSession()))
        case .syncRequest: return .sync(.request(try readSession()))
        case .saveMembers: return .node(.saveMembers)
        case .maintenance: return .node(.maintenance)
        }
    }
}
