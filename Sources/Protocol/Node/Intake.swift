/// The queue of chunks before the store: what is waiting, and what the store has in hand.
///
/// A chunk is *pending* from the moment it is taken until the store has answered. Then it is known to the ledger, or it is
/// nowhere: a chunk that was refused, or whose operation failed, leaves no trace here, so that its next copy is taken again.
struct Intake: Sendable {
    enum Verdict: Hashable, Sendable {
        case taken
        /// The same chunk is pending already.
        case pending
        /// A bound was reached; the chunk is dropped.
        case full(Measurement.Bound)
    }

    /// What one store operation holds.
    struct Batch: Hashable, Sendable {
        var token: StoreToken
        var chunks: [ChunkID]
        var bytes: Int
    }

    private let limits: Limits
    private var waiting = Queue<Chunk>()
    private var empties: [EmptyVersions] = []
    private var pending: Set<ChunkID> = []
    /// One or very few.
    private var inHand: [Batch] = []
    /// Body bytes of everything pending.
    private(set) var bytes = 0
    /// How many chunks were ever taken, and how many of them the store has answered for. Both only grow, and the queue is in
    /// order: what was taken before `taken` stood at some number is answered for when `answeredFor` gets there.
    private(set) var taken: UInt64 = 0
    private(set) var answeredFor: UInt64 = 0

    init(limits: Limits) { self.limits = limits }

    /// Chunks that wait or are in the store's hands.
    var count: Int { pending.count }
    /// Operations that the store has not answered.
    var operations: Int { inHand.count }
    var hasWaiting: Bool { !waiting.isEmpty || !empties.isEmpty }
    func contains(_ id: ChunkID) -> Bool { !pending.isEmpty && pending.contains(id) }

    mutating func offer(_ chunk: Chunk) -> Verdict {
        guard pending.count < limits.pendingChunks else { return contains(chunk.id) ? .pending : .full(.pendingChunks) }
        // A chunk larger than the bound is taken when it is alone, or it would never be.
        guard bytes + chunk.body.count <= limits.pendingBytes || bytes == 0 else {
            return contains(chunk.id) ? .pending : .full(.pendingBytes)
        }
        guard pending.insert(chunk.id).inserted else { return .pending }
        bytes += chunk.body.count
        waiting.append(chunk)
        taken += 1
        return .taken
    }

    /// Versions of which a peer says that nothing is left. They cost the store next to nothing, so they only count as one each.
    mutating func offer(_ versions: EmptyVersions) -> Verdict {
        guard empties.count < limits.pendingChunks else { return .full(.pendingChunks) }
        empties.append(versions)
        return .taken
    }

    /// The next operation for the store, of at most `limit` chunks, or nil when nothing waits.
    mutating func nextOperation(token: StoreToken, limit: Int = .max) -> StoreOperation? {
        guard hasWaiting else { return nil }
        let limit = max(1, min(limit, limits.applyBatchChunks))
        var chunks: [Chunk] = []
        var batch = Batch(token: token, chunks: [], bytes: 0)
        chunks.reserveCapacity(min(waiting.count, limit))
        batch.chunks.reserveCapacity(min(waiting.count, limit))
        while chunks.count < limit, let chunk = waiting.popFirst() {
            batch.chunks.append(chunk.id)
            batch.bytes += chunk.body.count
            chunks.append(chunk)
        }
        defer { empties.removeAll() }
        inHand.append(batch)
        return .apply(chunks: chunks, empties: empties)
    }

    /// The store has answered, whatever it said: nothing of the batch is pending any more. Nil when the token is not of an apply operation.
    mutating func answered(_ token: StoreToken) -> Batch? {
        guard let index = inHand.firstIndex(where: { $0.token == token }) else { return nil }
        let batch = inHand.remove(at: index)
        for id in batch.chunks {
            guard pending.remove(id) != nil else { preconditionFailure("a chunk in the store's hands is pending") }
        }
        bytes -= batch.bytes
        answeredFor += UInt64(batch.chunks.count)
        return batch
    }

    func checkInvariants() {
        let inHandChunks = inHand.reduce(0) { $0 + $1.chunks.count }
        precondition(pending.count == waiting.count + inHandChunks, "what is pending waits or is in the store's hands")
        precondition(pending.count <= limits.pendingChunks, "pending chunks are within their bound")
        precondition(!pending.isEmpty || bytes == 0, "nothing pending has no bytes")
        precondition(taken - answeredFor == UInt64(pending.count), "every chunk that was taken and not answered for is pending")
        precondition(bytes >= 0, "pending bytes are counted once")
    }
}
