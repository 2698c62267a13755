/// Effects in a log: a tag, then the fields in the order of their declaration. Deadlines are relative to the event's instant.
private enum EffectTag: UInt8 {
    case sendDatagram = 1
    case sendMessage = 2
    /// A message with the bytes of the message before it among the effects of this event: what broadcast sends to several peers.
    case sendMessageAgain = 3
    case openSession = 4
    case writeSession = 5
    case finishSession = 6
    case resetSession = 7
    case store = 8
    case schedule = 9
    case notify = 10
    case measure = 11
}

extension ByteWriter {
    /// The effects of one event.
    mutating func writeEffects(_ effects: [Effect], now: Instant) {
        writeVarint(UInt64(effects.count))
        var message: [UInt8]?
        for effect in effects { write(effect, now: now, message: &message) }
    }

    private mutating func write(_ tag: EffectTag) { write(tag.rawValue) }

    private mutating func write(_ effect: Effect, now: Instant, message: inout [UInt8]?) {
        switch effect {
        case .sendDatagram(let address, let bytes):
            write(EffectTag.sendDatagram)
            write(address)
            writeBytes(bytes)
        case .sendMessage(let address, let bytes):
            let isAgain = message == bytes
            write(isAgain ? EffectTag.sendMessageAgain : EffectTag.sendMessage)
            write(address)
            guard !isAgain else { return }
            writeBytes(bytes)
            message = bytes
        case .openSession(let session, let address):
            write(EffectTag.openSession)
            write(session)
            write(address)
        case .writeSession(let session, let bytes):
            write(EffectTag.writeSession)
            write(session)
            writeBytes(bytes)
        case .finishSession(let session):
            write(EffectTag.finishSession)
            write(session)
        case .resetSession(let session):
            write(EffectTag.resetSession)
            write(session)
        case .store(let operation, let token):
            write(EffectTag.store)
            write(operation)
            writeVarint(token.number)
        case .schedule(let timer, let instant):
            write(EffectTag.schedule)
            write(timer)
            writeSignedVarint(instant.nanoseconds &- now.nanoseconds)
        case .notify(let notice):
            write(EffectTag.notify)
            write(notice)
        case .measure(let measurement):
            write(EffectTag.measure)
            write(measurement)
        }
    }
}

extension ByteReader {
    mutating func readEffects(now: Instant) throws(MalformedInput) -> [Effect] {
        let count = try readListCount(of: "effects", least: 2, limit: .max)
        var effects: [Effect] = []
        effects.reserveCapacity(min(count, 4_096))
        var message: [UInt8]?
        for _ in 0..<count { effects.append(try readEffect(now: now, message: &message)) }
        return effects
    }

    private mutating func readEffect(now: Instant, message: inout [UInt8]?) throws(MalformedInput) -> Effect {
        let tag: EffectTag = try readCase("effect")
        switch tag {
        case .sendDatagram: return .sendDatagram(to: try readAddress(), bytes: Array(try readBytes()))
        case .sendMessage:
            let address = try readAddress()
            let bytes = Array(try readBytes())
            message = bytes
            return .sendMessage(to: address, bytes: bytes)
        case .sendMessageAgain:
            guard let message else { throw MalformedInput("a message is sent again that was not sent before") }
            return .sendMessage(to: try readAddress(), bytes: message)
        case .openSession: return .openSession(try readSession(), to: try readAddress())
        case .writeSession: return .writeSession(try readSession(), bytes: Array(try readBytes()))
        case .finishSession: return .finishSession(try readSession())
        case .resetSession: return .resetSession(try readSession())
        case .store: return .store(try readStoreOperation(), StoreToken(try readVarint()))
        case .schedule:
            let timer = try readTimer()
            return .schedule(timer, at: Instant(nanoseconds: now.nanoseconds &+ (try readSignedVarint())))
        case .notify: return .notify(try readNotice())
        case .measure: return .measure(try readMeasurement())
        }
    }
}
