/// The server's side of a session.
extension Sync {
    /// Bytes that are collected before they are written to the session.
    private static let writeBytes = 256 * 1_024

    mutating func opened(_ id: SessionID, from client: Address, now: Instant, into outputs: inout [Output]) {
        guard served.count < limits.servedSessions, !chaos.point(.serverBusy) else {
            outputs.append(.measure(.dropped(.servedSessions)))
            refuse(id, .busy, needsEnvelope: true, into: &outputs)
            return
        }
        let decoder = FrameDecoder(cluster: envelope.cluster, limit: limits.messageBytes)
        served.append(ServedSession(id: id, client: client, heardAt: now, decoder: decoder))
        outputs.append(.schedule(.session(id), at: now + configuration.sessionTimeout))
    }

    /// Says why and finishes our side. The client finishes its own side then; we need not remember it.
    private func refuse(_ id: SessionID, _ reason: SyncFrame.Refusal.Reason, needsEnvelope: Bool, into outputs: inout [Output]) {
        var writer = needsEnvelope ? envelope.writer() : ByteWriter()
        SyncFrame.refusal(.init(reason: reason, retryAfter: configuration.retryAfter)).write(to: &writer)
        write(writer, to: id, into: &outputs)
        outputs.append(.finish(id))
    }

    mutating func serverReceived(
        _ frame: ByteReader, at index: Int, now: Instant, context: NodeContext, into outputs: inout [Output]
    ) throws(MalformedInput) {
        guard let content = try SyncFrame.read(from: frame) else {
            outputs.append(.measure(.skipped(.sync)))
            return
        }
        switch (served[index].state, content) {
        case (.opened, .greeting(let greeting)):
            served[index].state = .idle
            answer(greeting, to: served[index].id, ledger: context.ledger, into: &outputs)
            // The client told us its digest: it may have something for us, too.
            if greeting.actor != actor { heard(greeting.fingerprint, from: greeting.actor, now: now, into: &outputs) }
        case (.idle, .request(let request)):
            let wants = request.wants.compactMap { sensible($0, ledger: context.ledger) }
            let overflow = Array(wants.dropFirst(limits.syncRequestRanges))
            served[index].state = .reading(overflow: overflow)
            let byteLimit = chaos.point(.answerCut) ? 1 : min(max(request.byteLimit, 1), limits.syncRequestBytes)
            outputs.append(
                .read(ReadRequest(wants: Array(wants.prefix(limits.syncRequestRanges)), byteLimit: byteLimit), for: served[index].id))
        case (.reading, .request):
            throw MalformedInput("a request before the last one was answered")
        case (.opened, .request), (.idle, .greeting), (.reading, .greeting), (_, .equal), (_, .refusal), (_, .state), (_, .chunk),
            (_, .empties), (_, .end):
            throw MalformedInput("a frame that is out of place")
        }
    }

    private mutating func answer(_ greeting: SyncFrame.Greeting, to id: SessionID, ledger: VersionLedger, into outputs: inout [Output]) {
        var writer = envelope.writer()
        guard greeting.fingerprint != ledger.fingerprint else {
            SyncFrame.equal.write(to: &writer)
            write(writer, to: id, into: &outputs)
            return
        }
        let bits = greeting.buckets.count.trailingZeroBitCount
        let ours = ledger.bucketDigests(bits: bits)
        let shift = VersionLedger.bucketBits - bits
        let state = ledger.state { ours[$0 >> shift] != greeting.buckets[$0 >> shift] }
        let frameBytes = chaos.point(.stateSplit) ? 64 : configuration.stateFrameBytes
        for frame in SyncFrame.StateFrame.frames(of: state, fingerprint: ledger.fingerprint, bytes: frameBytes) {
            frame.write(to: &writer)
            if writer.count >= Self.writeBytes {
                write(writer, to: id, into: &outputs)
                writer = ByteWriter()
            }
        }
        if writer.count > 0 { write(writer, to: id, into: &outputs) }
    }

    /// The part of a want that we can know anything of; nil when there is none.
    private func sensible(_ want: ReadRequest.Want, ledger: VersionLedger) -> ReadRequest.Want? {
        let head = ledger.head(of: want.actor)
        guard want.versions.lowerBound <= head else { return nil }
        switch want {
        case .versions(let actor, let versions): return .versions(actor, versions.clamped(to: 1...head))
        case .sequences: return want
        }
    }

    /// Sends what the store read. A session that is gone by now needs nothing.
    mutating func read(_ result: StoreResult, for id: SessionID, now: Instant, into outputs: inout [Output]) {
        guard let index = served.firstIndex(where: { $0.id == id }) else { return }
        guard case .reading(let overflow) = served[index].state else {
            preconditionFailure("a served session reads when the store answers")
        }
        // The client waited for us, not we for it.
        served[index].heardAt = now
        switch result {
        case .read(let chunks, let empties, let remaining):
            served[index].state = .idle
            var writer = ByteWriter()
            for chunk in chunks {
                SyncFrame.chunk(chunk).write(to: &writer)
                guard writer.count >= Self.writeBytes else { continue }
                write(writer, to: id, into: &outputs)
                writer = ByteWriter()
            }
            if !empties.isEmpty { SyncFrame.empties(empties).write(to: &writer) }
            SyncFrame.end(remaining: remaining + overflow).write(to: &writer)
            write(writer, to: id, into: &outputs)
        case .failed:
            served.remove(at: index)
            refuse(id, .storeFailed, needsEnvelope: false, into: &outputs)
        case .applied, .savedMembers:
            preconditionFailure("the store answers a read with what it read, or with a failure")
        }
    }
}
