/// Events in a log: a tag, then the fields in the order of their declaration.
private enum EventTag: UInt8 {
    case started = 1
    case datagramReceived = 2
    case messageReceived = 3
    case sessionOpened = 4
    case sessionReceived = 5
    case sessionFinished = 6
    case sessionLost = 7
    case peerLost = 8
    case bootstrapResolved = 9
    case deadlinePassed = 10
    case transactionCommitted = 11
    case stored = 12
    case storeChanged = 13
    case leaveCommanded = 14
    case rejoinCommanded = 15
}

extension ByteWriter {
    private mutating func write(_ tag: EventTag) { write(tag.rawValue) }

    mutating func write(_ event: Event) {
        switch event {
        case .started: write(EventTag.started)
        case .datagramReceived(let sender, let bytes):
            write(EventTag.datagramReceived)
            write(sender)
            writeBytes(bytes)
        case .messageReceived(let sender, let bytes):
            write(EventTag.messageReceived)
            write(sender)
            writeBytes(bytes)
        case .sessionOpened(let session, let sender):
            write(EventTag.sessionOpened)
            write(session)
            write(sender)
        case .sessionReceived(let session, let bytes):
            write(EventTag.sessionReceived)
            write(session)
            writeBytes(bytes)
        case .sessionFinished(let session):
            write(EventTag.sessionFinished)
            write(session)
        case .sessionLost(let session):
            write(EventTag.sessionLost)
            write(session)
        case .peerLost(let address):
            write(EventTag.peerLost)
            write(address)
        case .bootstrapResolved(let addresses):
            write(EventTag.bootstrapResolved)
            writeList(addresses) { $0.write($1) }
        case .deadlinePassed(let timer):
            write(EventTag.deadlinePassed)
            write(timer)
        case .transactionCommitted(let chunks):
            write(EventTag.transactionCommitted)
            writeList(chunks) { $0.write($1) }
        case .stored(let token, let result):
            write(EventTag.stored)
            writeVarint(token.number)
            write(result)
        case .storeChanged(let changes):
            write(EventTag.storeChanged)
            writeList(changes) { $0.write($1) }
        case .commanded(.leave): write(EventTag.leaveCommanded)
        case .commanded(.rejoin): write(EventTag.rejoinCommanded)
        }
    }
}

extension ByteReader {
    mutating func readEvent() throws(MalformedInput) -> Event {
        let tag: EventTag = try readCase("event")
        switch tag {
        case .started: return .started
        case .datagramReceived: return .datagramReceived(from: try readAddress(), bytes: Array(try readBytes()))
        case .messageReceived: return .messageReceived(from: try readAddress(), bytes: Array(try readBytes()))
        case .sessionOpened: return .sessionOpened(try readSession(), from: try readAddress())
        case .sessionReceived: return .sessionReceived(try readSession(), bytes: Array(try readBytes()))
        case .sessionFinished: return .sessionFinished(try readSession())
        case .sessionLost: return .sessionLost(try readSession())
        case .peerLost: return .peerLost(try readAddress())
        case .bootstrapResolved: return .bootstrapResolved(try readAddresses())
        case .deadlinePassed: return .deadlinePassed(try readTimer())
        case .transactionCommitted: return .transactionCommitted(try readChunks())
        case .stored: return .stored(StoreToken(try readVarint()), try readStoreResult())
        case .storeChanged: return .storeChanged(try readLedgerChanges())
        case .leaveCommanded: return .commanded(.leave)
        case .rejoinCommanded: return .commanded(.rejoin)
        }
    }
}
