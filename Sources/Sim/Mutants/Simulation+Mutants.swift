import PatinaProtocol
import PatinaStore

/// Where a mutant changes what passes between a node and the world. Without one none of this is called.
extension Simulation {
    /// Draws whether a mutant that errs once in a while errs now.
    private func errs(oneIn count: Int) -> Bool { mutantRandom.below(count) == 0 }

    // MARK: The store

    /// What the store is asked in place of `operation`; nil when it is not asked at all.
    func mutated(_ operation: StoreOperation, by mutant: Mutant) -> StoreOperation? {
        guard case .apply(let chunks, let empties) = operation else { return operation }
        switch mutant {
        case .seenBeforeApplied: return !chunks.isEmpty && errs(oneIn: 8) ? nil : operation
        case .tombstoneDropped, .cellDropped, .arrivalWins, .causalLengthIgnored, .chunkBoundary:
            return .apply(chunks: chunks.map { mutated($0, by: mutant) }, empties: empties)
        case .partialVersionShown:
            return .apply(
                chunks: chunks.map { chunk in
                    let id = chunk.id
                    guard id.sequences.lowerBound == 0, !id.isComplete,
                        let whole = ChunkID(
                            actor: id.actor, version: id.version, sequences: id.sequences, lastSequence: id.sequences.upperBound)
                    else { return chunk }
                    return Chunk(id: whole, timestamp: chunk.timestamp, body: chunk.body)
                }, empties: empties)
        default: return operation
        }
    }

    /// The answer to an operation that was not carried out.
    func pretended(_ operation: StoreOperation) -> StoreResult {
        guard case .apply(let chunks, _) = operation else { return .savedMembers }
        return .applied(
            changes: chunks.map { chunk in
                chunk.id.isComplete
                    ? .completed(chunk.id.actor, versions: chunk.id.version...chunk.id.version) : .buffered(chunk.id)
            }, refused: [])
    }

    /// What the node is told in place of `result`; nil when it is told nothing.
    func mutated(_ result: StoreResult, at host: Host, by mutant: Mutant) -> StoreResult? {
        switch (mutant, result) {
        case (.gapForgotten, .applied(let changes, let refused)):
            return .applied(changes: changes.map { widened($0, down: true) }, refused: refused)
        case (.versionFromNowhere, .applied(let changes, let refused)):
            return .applied(changes: changes.map { widened($0, down: false) }, refused: refused)
        case (.servedAsEmpty, .read(let chunks, let empties, let remaining)):
            let gone = chunks.map { EmptyVersions(actor: $0.id.actor, versions: $0.id.version...$0.id.version) }
            return .read(chunks: [], empties: empties + gone, remaining: remaining)
        case (.lastChunkForgotten, .read(let chunks, let empties, let remaining)):
            return .read(chunks: chunks.filter { !isLastOfSeveral($0) }, empties: empties, remaining: remaining)
        case (.foreignHand, .applied):
            if errs(oneIn: 128) { ForeignHand.deleteRow(at: host.storeName) }
            return result
        case (.answerLost, .applied): return errs(oneIn: 32) ? nil : result
        default: return result
        }
    }

    private func widened(_ change: LedgerChange, down: Bool) -> LedgerChange {
        guard case .completed(let actor, let versions) = change else { return change }
        return .completed(actor, versions: down ? 1...versions.upperBound : versions.lowerBound...(versions.upperBound + 1))
    }

    private func isLastOfSeveral(_ chunk: Chunk) -> Bool { !chunk.id.isComplete && chunk.id.sequences.upperBound == chunk.id.lastSequence }

    private func mutated(_ chunk: Chunk, by mutant: Mutant) -> Chunk {
        guard var changeset = try? ChangesetCodec.decode(chunk.body) else { return chunk }
        switch mutant {
        case .tombstoneDropped: changeset.rows.removeAll { $0.causalLength & 1 == 0 }
        case .cellDropped:
            for index in changeset.rows.indices where changeset.rows[index].cells.count > 1 { changeset.rows[index].cells.removeLast() }
        case .arrivalWins:
            arrivals += 1
            for row in changeset.rows.indices {
                for cell in changeset.rows[row].cells.indices { changeset.rows[row].cells[cell].columnVersion += arrivals << 16 }
            }
        case .causalLengthIgnored:
            for index in changeset.rows.indices where changeset.rows[index].causalLength & 1 == 1 {
                changeset.rows[index].causalLength = 1
                if changeset.rows[index].sentinel != nil { changeset.rows[index].sentinel?.columnVersion = 1 }
            }
        case .chunkBoundary:
            let first = chunk.id.sequences.lowerBound
            guard first > 0 else { return chunk }
            for index in changeset.rows.indices { changeset.rows[index].cells.removeAll { $0.sequence == first } }
        default: return chunk
        }
        return Chunk(id: chunk.id, timestamp: chunk.timestamp, body: ChangesetCodec.encode(changeset))
    }

    // MARK: Transactions

    /// True when a transaction is acknowledged instead of being committed.
    func pretendsToCommit(_ transaction: PlannedTransaction, at host: Host) -> Bool {
        guard mutant == .acknowledgedWithoutCommit, let process = host.process, errs(oneIn: 8) else { return false }
        let version = process.store.ledger.head(of: host.identity) + 1
        acknowledged.record(host: host.index, actor: host.identity, version: version, rows: transaction.rows)
        metrics.transactionsAcknowledged += 1
        return true
    }

    /// The chunks of a commit that the node is told of; nil when it is told nothing.
    func mutated(committed chunks: [Chunk], by mutant: Mutant) -> [Chunk]? {
        switch mutant {
        case .bodyFormatUnknown:
            errs(oneIn: 16) ? chunks.map { Chunk(id: $0.id, timestamp: $0.timestamp, body: [0xFF] + $0.body.dropFirst()) } : chunks
        case .commitNotTold: errs(oneIn: 8) ? nil : chunks
        case .lastChunkForgotten: chunks.count > 1 ? chunks.filter { !isLastOfSeveral($0) } : chunks
        default: chunks
        }
    }

    // MARK: Effects

    /// What becomes of an effect: nothing, itself, or itself twice.
    func mutated(_ effect: Effect, of host: Host, by mutant: Mutant) -> [Effect] {
        switch (mutant, effect) {
        case (.stallSpreads, _): return waiting(effect, of: host)
        case (.countedTwice, .notify(.versionApplied)): return [effect, effect]
        case (.syncNeverOpened, .openSession), (.syncNeverOpened, .writeSession), (.syncNeverOpened, .finishSession),
            (.syncNeverOpened, .resetSession):
            return []
        case (.broadcastToNobody, .sendMessage(_, let bytes)):
            return bytes.count > 3 && bytes[3] == MessageKind.broadcast.rawValue ? [] : [effect]
        case (.probesUnanswered, .sendDatagram): return host.index == 1 ? [] : [effect]
        case (.probesUnanswered, .sendMessage(_, let bytes)):
            return host.index == 1 && bytes.count > 3 && bytes[3] == MessageKind.membership.rawValue ? [] : [effect]
        default: return [effect]
        }
    }

    // MARK: Reading

    /// Whether a node reads an event as it should.
    enum Reading {
        case right
        /// It takes this for it; nil: nothing.
        case wrong(Event?)
    }

    /// A later build puts fields behind everything and unknown kinds into everything, so all that it says is misread.
    func reading(_ event: Event, at host: Host, by mutant: Mutant) -> Reading {
        guard host.wire == .own, mutant == .laterFieldsRefused || mutant == .laterKindSpoilsAll else { return .right }
        let refuses = mutant == .laterFieldsRefused
        switch event {
        case .datagramReceived(let from, let bytes) where isLater(from):
            return .wrong(refuses ? .datagramReceived(from: from, bytes: Array(bytes.prefix(Envelope.overhead))) : nil)
        case .messageReceived(let from, let bytes) where isLater(from):
            return .wrong(refuses ? .messageReceived(from: from, bytes: Array(bytes.prefix(Envelope.overhead))) : nil)
        case .sessionReceived(let id, _):
            guard let end = host.sessions[id], hosts[sessions[end.session].ends[1 - end.end].host].wire == .laterMinor else {
                return .right
            }
            // A frame without a kind: no session goes on after that.
            return .wrong(refuses ? .sessionReceived(id, bytes: [0, 0, 0, 0, 0]) : nil)
        default: return .right
        }
    }

    /// What a mutated node is given for an event.
    func mutated(_ event: Event, at host: Host, by mutant: Mutant) -> Event {
        switch (mutant, event) {
        case (.digestIgnored, .datagramReceived(let from, let bytes)):
            return .datagramReceived(from: from, bytes: withOwnDigest(bytes, at: host))
        case (.digestIgnored, .messageReceived(let from, let bytes)):
            return .messageReceived(from: from, bytes: withOwnDigest(bytes, at: host))
        default: return event
        }
    }

    private func isLater(_ sender: Address) -> Bool {
        Host.index(of: sender, among: hosts.count).map { hosts[$0].wire == .laterMinor } ?? false
    }

    // MARK: Setup

    func mutate(_ configuration: inout NodeConfiguration, by mutant: Mutant) {
        switch mutant {
        case .generationNotRaised: configuration.generation = 1
        case .chunkBoundIgnored: configuration.limits.pendingChunks = .max / 2
        case .byteBoundIgnored: configuration.limits.pendingBytes = .max / 2
        case .suspicionNeverRefuted: configuration.membership.mutants = .suspicionNeverRefuted
        case .incarnationNotRaised: configuration.membership.mutants = .incarnationNotRaised
        case .suspicionNotWaited: configuration.membership.mutants = .suspicionNotWaited
        case .staleTimerObeyed: configuration.membership.mutants = .staleTimerObeyed
        case .rumourBelieved: configuration.membership.mutants = .rumourBelieved
        default: break
        }
    }
}
