/// Chunks that were announced to this node and have not come: whom to ask for them, and when.
///
/// A chunk waits `graftDelay` for its eager copy, then its announcers are asked one after the other, `graftTimeout` apart.
/// When nobody is left to ask it is forgotten here: sync compares what was applied, so it does not need to be told.
struct MissingChunks: Sendable {
    private struct Entry: Sendable {
        /// In the order in which they announced the chunk, each once.
        var announcers: [Address]
        var asked = 0
        /// Which of the queue's deadlines counts; an older one is stale.
        var deadline: Instant
    }

    /// What is to be done about the chunks whose deadline has passed.
    struct Due {
        /// Whom to ask for what, in the order of the deadlines.
        var grafts: [(Address, ChunkID)] = []
        /// Chunks that are given up here.
        var abandoned = 0
    }

    private let configuration: BroadcastConfiguration
    private let limit: Int
    private var entries: [ChunkID: Entry] = [:]
    // Two queues, because each of the two pauses alone keeps deadlines in order.
    private var waiting = Queue<(deadline: Instant, id: ChunkID)>()
    private var asked = Queue<(deadline: Instant, id: ChunkID)>()

    init(configuration: BroadcastConfiguration, limit: Int) {
        self.configuration = configuration
        self.limit = limit
    }

    var count: Int { entries.count }
    /// When the next deadline passes, stale ones included; nil when none is outstanding.
    var nextDeadline: Instant? {
        switch (waiting.first?.deadline, asked.first?.deadline) {
        case (let left?, let right?): min(left, right)
        case (let left, let right): left ?? right
        }
    }

    /// Returns false when the bound was reached and the announcement was dropped.
    mutating func announced(_ id: ChunkID, by announcer: Address, now: Instant) -> Bool {
        if let known = entries[id] {
            if known.announcers.count < configuration.graftAttempts, !known.announcers.contains(announcer) {
                entries[id]?.announcers.append(announcer)
            }
            return true
        }
        // Stale deadlines of chunks that came meanwhile take room too.
        guard entries.count < limit, waiting.count < 4 * limit else { return false }
        let deadline = now + configuration.graftDelay
        entries[id] = Entry(announcers: [announcer], deadline: deadline)
        waiting.append((deadline, id))
        return true
    }

    /// The chunk came, or need not come any more.
    mutating func resolve(_ id: ChunkID) {
        // Nearly always there is nothing, and an empty dictionary is not worth hashing for.
        if !entries.isEmpty { entries.removeValue(forKey: id) }
    }

    /// Moves on every chunk whose deadline has passed, but for those that came another way.
    mutating func due(now: Instant, isKnown: (ChunkID) -> Bool) -> Due {
        var result = Due()
        while let item = popDue(now: now) {
            guard var entry = entries[item.id], entry.deadline == item.deadline else { continue }
            if isKnown(item.id) {
                entries.removeValue(forKey: item.id)
            } else if entry.asked < entry.announcers.count {
                result.grafts.append((entry.announcers[entry.asked], item.id))
                entry.asked += 1
                entry.deadline = now + configuration.graftTimeout
                entries[item.id] = entry
                asked.append((entry.deadline, item.id))
            } else {
                entries.removeValue(forKey: item.id)
                result.abandoned += 1
            }
        }
        return result
    }

    private mutating func popDue(now: Instant) -> (deadline: Instant, id: ChunkID)? {
        if let item = waiting.first, item.deadline <= now { return waiting.popFirst() }
        if let item = asked.first, item.deadline <= now { return asked.popFirst() }
        return nil
    }

    func checkInvariants() {
        precondition(entries.count <= limit, "announced chunks are within their bound")
        precondition(entries.count <= waiting.count + asked.count, "every announced chunk has a deadline")
    }
}
