import PatinaProtocol

/// Events and effects in one line each, for people: bytes are a number of them and a short digest, so that two that differ look different.
enum EventWords {
    static func of(_ event: Event) -> String {
        switch event {
        case .started: "started"
        case .datagramReceived(let sender, let bytes): "datagram of \(of(bytes)) from \(sender)"
        case .messageReceived(let sender, let bytes): "message of \(of(bytes)) from \(sender)"
        case .sessionOpened(let session, let sender): "\(of(session)) opened by \(sender)"
        case .sessionReceived(let session, let bytes): "\(of(session)) brings \(of(bytes))"
        case .sessionFinished(let session): "\(of(session)) finished by the peer"
        case .sessionLost(let session): "\(of(session)) lost"
        case .peerLost(let address): "connection to \(address) lost"
        case .bootstrapResolved(let addresses): "bootstrap resolved to \(addresses.map(\.description).joined(separator: ", "))"
        case .deadlinePassed(let timer): "deadline \(of(timer)) passed"
        case .transactionCommitted(let chunks): "local transaction committed: \(of(chunks))"
        case .stored(let token, let result): "operation \(token.number) of the store: \(of(result))"
        case .storeChanged(let changes): "the store changed by itself: \(of(changes))"
        case .commanded(let command): "command \(command)"
        }
    }

    static func of(_ effect: Effect) -> String {
        switch effect {
        case .sendDatagram(let address, let bytes): "send a datagram of \(of(bytes)) to \(address)"
        case .sendMessage(let address, let bytes): "send a message of \(of(bytes)) to \(address)"
        case .openSession(let session, let address): "open \(of(session)) to \(address)"
        case .writeSession(let session, let bytes): "write \(of(bytes)) to \(of(session))"
        case .finishSession(let session): "finish \(of(session))"
        case .resetSession(let session): "reset \(of(session))"
        case .store(let operation, let token): "store operation \(token.number): \(of(operation))"
        case .schedule(let timer, let instant): "schedule \(of(timer)) at \(instant)"
        case .notify(let notice): "notify \(notice)"
        case .measure(let measurement): "measure \(measurement)"
        }
    }

    private static func of(_ timer: Timer) -> String {
        switch timer {
        case .membership(let timer): "membership.\(timer)"
        case .broadcast(let timer): "broadcast.\(timer)"
        case .sync(let timer): "sync.\(timer)"
        case .node(let timer): "node.\(timer)"
        }
    }

    private static func of(_ operation: StoreOperation) -> String {
        switch operation {
        case .apply(let chunks, let empties): "apply \(of(chunks)), \(of(empties))"
        case .read(let request): "read \(of(request.wants)), at most \(request.byteLimit) bytes"
        case .saveMembers(let members): "save \(members.count) members"
        }
    }

    private static func of(_ result: StoreResult) -> String {
        switch result {
        case .applied(let changes, let refused): "applied, \(of(changes)), \(refused.count) chunks refused"
        case .read(let chunks, let empties, let remaining): "read \(of(chunks)), \(of(empties)), \(of(remaining)) left"
        case .savedMembers: "members saved"
        case .failed(let reason): "failed: \(reason)"
        }
    }

    private static func of(_ session: SessionID) -> String {
        switch session.initiator {
        case .node: "own session \(session.number)"
        case .peer: "peer's session \(session.number)"
        }
    }

    private static func of(_ chunks: [Chunk]) -> String {
        var bodies = Fingerprint.Hasher()
        for chunk in chunks { bodies.combine(chunk.body) }
        let names = list(chunks.map { "\($0.id)" })
        return "\(chunks.count) chunks (\(names); \(short(bodies)))"
    }

    private static func of(_ changes: [LedgerChange]) -> String {
        list(
            changes.map { change in
                switch change {
                case .completed(let actor, let versions): "\(actor)/\(versions.lowerBound)-\(versions.upperBound) complete"
                case .buffered(let chunk): "\(chunk) buffered"
                }
            })
    }

    private static func of(_ empties: [EmptyVersions]) -> String {
        "\(empties.count) empty ranges" + (empties.isEmpty ? "" : " (\(list(empties.map { "\($0.actor)/\($0.versions)" })))")
    }

    private static func of(_ wants: [ReadRequest.Want]) -> String {
        "\(wants.count) wants" + (wants.isEmpty ? "" : " (\(list(wants.map { "\($0)" })))")
    }

    /// The first few of a long list.
    private static func list(_ texts: [String]) -> String {
        let shown = 4
        return texts.prefix(shown).joined(separator: ", ") + (texts.count > shown ? " and \(texts.count - shown) more" : "")
    }

    private static func of(_ bytes: [UInt8]) -> String {
        var hasher = Fingerprint.Hasher()
        hasher.combine(bytes)
        return "\(bytes.count) bytes (\(short(hasher)))"
    }

    private static func short(_ hasher: Fingerprint.Hasher) -> String { "#" + hasher.finish().description.prefix(8) }
}
