/// The chunks that passed through lately, to answer grafts. Bounded in chunks, bytes and time; the oldest goes first.
///
/// Being in the cache also means having been passed on: a copy that comes again is offered to the store again if it has to
/// be, but it is not forwarded again. So a chunk that no store accepts does not go round in circles.
struct PayloadCache: Sendable {
    struct Entry: Hashable, Sendable {
        var bytes: ArraySlice<UInt8>
        /// Links that the chunk had travelled when it came; 0 for our own.
        var hops: UInt64
        /// False for a chunk that came by graft and was only announced: a late eager copy is still pushed on, once.
        var isPushed: Bool
        fileprivate var inserted: Instant
    }

    private let chunkLimit: Int
    private let byteLimit: Int
    private let lifetime: Duration
    private var entries: [ChunkID: Entry] = [:]
    private var order = Queue<ChunkID>()
    private(set) var bytes = 0

    init(chunkLimit: Int, byteLimit: Int, lifetime: Duration) {
        self.chunkLimit = chunkLimit
        self.byteLimit = byteLimit
        self.lifetime = lifetime
    }

    var count: Int { entries.count }
    subscript(id: ChunkID) -> Entry? { entries[id] }

    mutating func markPushed(_ id: ChunkID) { entries[id]?.isPushed = true }

    /// Returns how many chunks had to go before their time to make room.
    mutating func insert(_ id: ChunkID, bytes slice: ArraySlice<UInt8>, hops: UInt64, isPushed: Bool, now: Instant) -> Int {
        guard entries[id] == nil else { return 0 }
        while let oldest = order.first, let entry = entries[oldest], now - entry.inserted > lifetime { removeFirst() }
        guard slice.count <= byteLimit, chunkLimit > 0 else { return 1 }
        var evicted = 0
        while entries.count >= chunkLimit || bytes + slice.count > byteLimit {
            removeFirst()
            evicted += 1
        }
        entries[id] = Entry(bytes: slice, hops: hops, isPushed: isPushed, inserted: now)
        order.append(id)
        bytes += slice.count
        return evicted
    }

    /// Lets the oldest chunk go; false when there is none.
    mutating func dropOldest() -> Bool {
        guard !entries.isEmpty else { return false }
        removeFirst()
        return true
    }

    private mutating func removeFirst() {
        guard let id = order.popFirst(), let entry = entries.removeValue(forKey: id) else {
            preconditionFailure("a cache that is over its bound holds something")
        }
        bytes -= entry.bytes.count
    }

    func checkInvariants() {
        precondition(entries.count == order.count, "every cached chunk stands in the queue once")
        precondition(entries.count <= chunkLimit && bytes <= byteLimit, "the cache is within its bounds")
    }
}
