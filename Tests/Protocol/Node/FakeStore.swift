@testable import PatinaProtocol

/// A store without SQLite: the ledger and the chunks, and faults on demand.
///
/// Keeps to the contract of the real one: what it answers has happened, what failed has not; a version is complete when all of
/// its sequence numbers are there.
struct FakeStore {
    private(set) var ledger = VersionLedger()
    private var bodies: [ChunkID: Chunk] = [:]
    /// The chunks of each version, by first sequence number.
    private var versions: [VersionKey: [ChunkID]] = [:]
    private(set) var savedMembers: [MemberRecord] = []
    /// Apply operations fail while this is set.
    var isFailing = false
    /// Chunks of these actors are refused, as those of an unknown table would be.
    var refused: Set<ActorID> = []
    /// Version numbers up to this one are used up, or may be: what the real store has reserved.
    var floor: UInt64 = 0
    /// The order in which versions became complete.
    private(set) var completed: [VersionKey] = []

    struct VersionKey: Hashable {
        var actor: ActorID
        var version: UInt64
    }

    /// Every chunk that is stored.
    var contents: Set<Chunk> { Set(bodies.values) }
    var operations = 0
    var largestBatch = 0

    func head(of actor: ActorID) -> UInt64 { ledger.head(of: actor) }

    /// A local transaction of `count` chunks.
    mutating func transact(_ actor: ActorID, chunks count: UInt64 = 1, bytes: Int = 20, at now: Instant) -> [Chunk] {
        let version = max(floor, ledger.head(of: actor)) + 1
        let chunks = (0..<count).map { sequence in
            let body = (0..<bytes).map { UInt8(truncatingIfNeeded: Int(version) * 31 + Int(sequence) * 7 + $0) }
            let id = ChunkID(actor: actor, version: version, sequences: sequence...sequence, lastSequence: count - 1)
            return Chunk(id: id!, timestamp: HybridTimestamp(unixNanoseconds: now.nanoseconds), body: body)
        }
        for chunk in chunks { _ = store(chunk) }
        return chunks
    }

    mutating func perform(_ operation: StoreOperation) -> StoreResult {
        operations += 1
        switch operation {
        case .apply(let chunks, let empties):
            largestBatch = max(largestBatch, chunks.count)
            if isFailing { return .failed(reason: "the disk is full") }
            var changes: [LedgerChange] = []
            var refusals: [RefusedChunk] = []
            for chunk in chunks {
                if refused.contains(chunk.id.actor) {
                    refusals.append(RefusedChunk(id: chunk.id, reason: "no such table"))
                } else if let change = store(chunk) {
                    changes.append(change)
                }
            }
            for empty in empties {
                let change = LedgerChange.completed(empty.actor, versions: empty.versions)
                if ledger.apply(change) { changes.append(change) }
            }
            return .applied(changes: changes, refused: refusals)
        case .read(let request): return isFailing ? .failed(reason: "the disk is gone") : read(request)
        case .saveMembers(let members):
            savedMembers = members
            return .savedMembers
        }
    }

    /// A power loss takes back commits: everything of an actor above a version.
    mutating func lose(_ actor: ActorID, above version: UInt64) {
        let kept = bodies.values.filter { $0.id.actor != actor || $0.id.version <= version }
        (ledger, bodies, versions, completed) = (VersionLedger(), [:], [:], [])
        for chunk in kept.sorted(by: {
            ($0.id.actor, $0.id.version, $0.id.sequences.lowerBound) < ($1.id.actor, $1.id.version, $1.id.sequences.lowerBound)
        }) {
            _ = store(chunk)
        }
    }

    /// Forgets the contents of versions, as if later ones had overwritten every cell.
    mutating func overwrite(_ actor: ActorID, _ range: ClosedRange<UInt64>) {
        for version in range {
            for id in versions.removeValue(forKey: VersionKey(actor: actor, version: version)) ?? [] { bodies[id] = nil }
        }
    }

    private mutating func store(_ chunk: Chunk) -> LedgerChange? {
        guard !ledger.contains(chunk.id) else { return nil }
        let key = VersionKey(actor: chunk.id.actor, version: chunk.id.version)
        bodies[chunk.id] = chunk
        versions[key, default: []].append(chunk.id)
        versions[key]?.sort()
        ledger.apply(.buffered(chunk.id))
        guard ledger[chunk.id.actor]?.partials[chunk.id.version]?.missing.isEmpty == true else { return .buffered(chunk.id) }
        let change = LedgerChange.completed(chunk.id.actor, versions: chunk.id.version...chunk.id.version)
        ledger.apply(change)
        completed.append(key)
        return change
    }

    private func read(_ request: ReadRequest) -> StoreResult {
        var chunks: [Chunk] = []
        var empties: [EmptyVersions] = []
        var bytes = 0
        for (index, want) in request.wants.enumerated() {
            for version in want.versions.reversed() {
                let key = VersionKey(actor: want.actor, version: version)
                let ids = versions[key] ?? []
                if ids.isEmpty {
                    if ledger.isComplete(want.actor, version) {
                        empties.append(EmptyVersions(actor: want.actor, versions: version...version))
                    }
                    continue
                }
                for (position, id) in ids.enumerated() {
                    if case .sequences(_, _, let sequences) = want, sequences.intersection(IntervalSet(id.sequences)).isEmpty { continue }
                    let chunk = bodies[id]!
                    if !chunks.isEmpty, bytes + chunk.body.count > request.byteLimit {
                        var rest = IntervalSet()
                        for later in ids[position...] { rest.insert(later.sequences) }
                        if case .sequences(_, _, let sequences) = want { rest = rest.intersection(sequences) }
                        var remaining = [ReadRequest.Want.sequences(want.actor, version: version, rest)]
                        if version > want.versions.lowerBound {
                            remaining.append(.versions(want.actor, want.versions.lowerBound...(version - 1)))
                        }
                        return .read(chunks: chunks, empties: empties, remaining: remaining + request.wants[(index + 1)...])
                    }
                    chunks.append(chunk)
                    bytes += chunk.body.count
                }
            }
        }
        return .read(chunks: chunks, empties: empties, remaining: [])
    }
}
