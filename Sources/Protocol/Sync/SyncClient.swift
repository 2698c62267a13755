/// The client's side of a session.
extension Sync {
    mutating func clientReceived(
        _ frame: ByteReader, at index: Int, now: Instant, context: NodeContext, into outputs: inout [Output]
    ) throws(MalformedInput) {
        guard let content = try SyncFrame.read(from: frame) else {
            outputs.append(.measure(.skipped(.sync)))
            return
        }
        switch (own[index].state, content) {
        case (.finishing, _):
            return
        case (.greeting, .equal):
            book.forget(own[index].server.actor)
            finish(at: index, restFor: .zero, now: now, into: &outputs)
        case (.greeting, .refusal(let refusal)), (.learning, .refusal(let refusal)), (.requesting, .refusal(let refusal)),
            (.holding, .refusal(let refusal)):
            outputs.append(.measure(.syncRefused(by: own[index].server.actor)))
            // A server that names a wild time is not left alone for ever.
            let rest = min(max(refusal.retryAfter, .milliseconds(1)), configuration.maximumInterval * 2)
            finish(at: index, restFor: rest, now: now, into: &outputs)
        case (.greeting, .state(let part)):
            try learn(part, known: PeerState(), bytes: frame.remaining, at: index, now: now, context: context, into: &outputs)
        case (.learning(let known, let bytes), .state(let part)):
            try learn(part, known: known, bytes: bytes + frame.remaining, at: index, now: now, context: context, into: &outputs)
        case (.requesting(let asked, _), .chunk(let chunk)):
            let size = chunk.body.count
            own[index].answers += 1
            own[index].chunks += 1
            own[index].bytes += size
            own[index].answeredBytes += size
            // One chunk may exceed what was asked for, because a server sends at least one.
            guard own[index].answeredBytes <= limits.syncRequestBytes + limits.messageBytes else {
                throw MalformedInput("more than the \(limits.syncRequestBytes) bytes that were asked for")
            }
            guard asked.contains(where: { $0.actor == chunk.id.actor && $0.versions.contains(chunk.id.version) }) else {
                throw MalformedInput("chunk \(chunk.id), which was not asked for")
            }
            outputs.append(.arrived(chunk))
        case (.requesting(let asked, _), .empties(let empties)):
            own[index].answers += 1
            // Only what was asked for: a peer must not be able to declare the whole future empty.
            for range in empties { outputs += asked.restricting(range).map { .empty($0) } }
        case (.requesting(let asked, var needs), .end(let remaining)):
            // A want is cut in two at most: what is left of one version, and the versions after it.
            guard remaining.count <= 2 * asked.count else { throw MalformedInput("more left over than was asked for") }
            let left = asked.restricting(remaining)
            guard left.isEmpty || own[index].answers > 0 else { throw MalformedInput("an end without an answer, and more to come") }
            needs.putBack(left)
            own[index].landed = asked.leavingOut(left)
            own[index].state = .holding(needs)
        case (.greeting, .chunk), (.greeting, .empties), (.greeting, .end), (.learning, .equal), (.learning, .chunk), (.learning, .empties),
            (.learning, .end), (.requesting, .equal), (.requesting, .state), (.holding, .equal), (.holding, .state), (.holding, .chunk),
            (.holding, .empties), (.holding, .end), (_, .greeting), (_, .request):
            throw MalformedInput("a frame that is out of place")
        }
    }

    private mutating func learn(
        _ part: SyncFrame.StateFrame, known: PeerState, bytes: Int, at index: Int, now: Instant, context: NodeContext,
        into outputs: inout [Output]
    ) throws(MalformedInput) {
        guard bytes <= limits.messageBytes else { throw MalformedInput("a state of more than \(limits.messageBytes) bytes") }
        var state = known
        state.actors += part.state.actors
        guard part.isLast else {
            own[index].state = .learning(state, bytes: bytes)
            return
        }
        var missing = context.ledger.needs(comparedTo: state)
        if missing.count > 1, chaos.point(.needsForgotten) { missing.removeSubrange(1...) }
        let needs = SyncNeeds(missing, blockVersions: configuration.rangeVersions)
        if needs.isEmpty {
            // Whatever it knows, we know: no need to look again until it knows more.
            book.cover(part.fingerprint)
            book.forget(own[index].server.actor)
        }
        if !needs.isEmpty, needs.versions <= configuration.rangeVersions {
            own[index].notBefore = now + configuration.graceTime
            outputs.append(.schedule(.request(own[index].id), at: own[index].notBefore))
        }
        own[index].state = .holding(needs)
    }

    /// True when a session could ask on, or finish, if the queue before the store has room.
    var isHolding: Bool {
        own.contains { session in
            if case .holding = session.state { true } else { false }
        }
    }

    /// Asks on in every session that waits for it, unless the store has too much to do already.
    mutating func askOn(now: Instant, context: NodeContext, into outputs: inout [Output]) {
        let intake = context.intake
        for index in own.indices where !own[index].landed.isEmpty {
            // All of it has been offered to the queue by now, so once the queue has moved on this far it is applied or lost.
            landing.append(Landing(wants: own[index].landed, taken: intake.taken))
            own[index].landed = []
        }
        landing.removeAll { $0.taken <= intake.answeredFor }
        guard intake.count <= configuration.resumeBelowChunks else { return }
        for index in own.indices {
            guard case .holding(var needs) = own[index].state, own[index].notBefore <= now else { continue }
            let isOverdue = now - own[index].openedAt >= configuration.sessionLimit
            let limit = chaos.point(.requestSmall) ? 1 : limits.syncRequestRanges
            let wants = isOverdue ? [] : needs.take(limit: limit, ledger: context.ledger, reserved: reserved)
            guard !wants.isEmpty else {
                finish(at: index, restFor: .zero, now: now, into: &outputs)
                continue
            }
            own[index].hasAsked = true
            own[index].answers = 0
            own[index].answeredBytes = 0
            own[index].state = .requesting(wants, needs)
            var writer = ByteWriter()
            SyncFrame.request(ReadRequest(wants: wants, byteLimit: limits.syncRequestBytes)).write(to: &writer)
            write(writer, to: own[index].id, into: &outputs)
        }
    }

    /// What must not be asked: it is on its way from some server, or waits for the store.
    private var reserved: SyncNeeds.Reserved {
        SyncNeeds.Reserved(wants: own.flatMap(\.asked) + landing.flatMap(\.wants))
    }

    /// The store could not write: what is on its way would only meet the same fate.
    mutating func storeFailed(now: Instant, into outputs: inout [Output]) {
        for session in own where session.isActive { reset(session.id, now: now, into: &outputs) }
    }

    private mutating func finish(at index: Int, restFor rest: Duration, now: Instant, into outputs: inout [Output]) {
        let session = own[index]
        own[index].state = .finishing
        outputs.append(.finish(session.id))
        end(session, restFor: rest, now: now, into: &outputs)
    }
}
