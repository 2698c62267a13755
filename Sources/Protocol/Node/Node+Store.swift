/// What the node gives the store, and what it makes of the answers.
extension Node {
    /// Gives the store the next batch while its hands are free.
    mutating func fillStore(into effects: inout Effects) {
        while intake.hasWaiting, intake.operations < max(1, configuration.applyOperations) {
            if chaos.point(.batchLate) { return }
            let token = operations.give(.apply)
            let limit = chaos.point(.batchOfOne) ? 1 : Int.max
            guard let operation = intake.nextOperation(token: token, limit: limit) else {
                preconditionFailure("something waits for the store")
            }
            effects.append(.store(operation, token))
        }
    }

    mutating func stored(_ token: StoreToken, _ result: StoreResult, now: Instant, into effects: inout Effects) {
        switch (operations.take(token), result) {
        case (.apply, .applied(let changes, let refused)):
            let batch = answered(token)
            var isComplete = batch.chunks.map { ledger.isComplete($0.actor, $0.version) }
            note(changes, now: now)
            // Every version that this batch made complete, once, whichever of its chunks was the last.
            for (index, id) in batch.chunks.enumerated() where !isComplete[index] && ledger.isComplete(id.actor, id.version) {
                effects.append(.notify(.versionApplied(id.actor, version: id.version)))
                for later in index..<batch.chunks.count where batch.chunks[later].isSameVersion(as: id) { isComplete[later] = true }
            }
            for chunk in refused { effects.append(.notify(.chunkRefused(chunk.id, reason: chunk.reason))) }
        case (.apply, .failed(let reason)):
            _ = answered(token)
            effects.append(.notify(.storeFailed(reason: reason)))
            toSync(.storeFailed, now)
        case (.read(let session), .read):
            toSync(.read(result, for: session), now)
        case (.read(let session), .failed(let reason)):
            effects.append(.notify(.storeFailed(reason: reason)))
            toSync(.read(result, for: session), now)
        case (.saveMembers(let members), .savedMembers):
            memberList.saved(members)
        case (.saveMembers, .failed(let reason)):
            memberList.failed()
            effects.append(.notify(.storeFailed(reason: reason)))
        case (.apply, .read), (.apply, .savedMembers), (.read, .applied), (.read, .savedMembers), (.saveMembers, .applied),
            (.saveMembers, .read):
            preconditionFailure("the store answered token \(token.number) with the result of another kind of operation")
        }
    }

    private mutating func answered(_ token: StoreToken) -> Intake.Batch {
        guard let batch = intake.answered(token) else { preconditionFailure("an apply operation that is out has a batch") }
        return batch
    }

    /// The store went on by itself: versions that waited for a schema are merged.
    mutating func storeChanged(_ changes: [LedgerChange], now: Instant, into effects: inout Effects) {
        var applied: [(actor: ActorID, version: UInt64)] = []
        for case .completed(let actor, let versions) in changes {
            for range in ledger[actor]?.incomplete(in: versions).ranges ?? [versions] {
                for version in range { applied.append((actor, version)) }
            }
        }
        note(changes, now: now)
        for (actor, version) in applied { effects.append(.notify(.versionApplied(actor, version: version))) }
    }

    /// Takes note of what is on disk now, and lets the machines know.
    mutating func note(_ changes: [LedgerChange], now: Instant) {
        for change in changes { ledger.apply(change) }
        if !chaos.point(.digestLate) { tellDigest(now: now) }
    }

    /// Lets the machines know of the ledger's digest.
    mutating func tellDigest(now: Instant) {
        guard membership.digest != ledger.fingerprint else { return }
        membership.digest = ledger.fingerprint
        toSync(.ledgerChanged, now)
    }
}

extension ChunkID {
    fileprivate func isSameVersion(as other: ChunkID) -> Bool { actor == other.actor && version == other.version }
}
