/// Members about whom there is news to spread, those whose news was sent least often first.
///
/// It holds no news itself: what is sent is what is known of the member at that time. At equal counts the newest
/// goes first. Taking costs as much as it takes; a member is in the queue at most once.
struct UpdateQueue: Sendable {
    private struct Item: Sendable {
        let actor: ActorID
        /// Tells the member's present place in the queue from the stale ones that later news left behind.
        let token: UInt64
    }

    private struct Pending: Sendable {
        var token: UInt64
        /// Bytes that the news takes in a packet.
        var size: Int
        /// How often it came back from others, in units of one sending.
        var heard = 0
    }

    /// Who sends us what we are sending has been reached without us, and is sending it too. So hearing news counts like
    /// sending it twice. (Feedback with a counter: Demers and others, "Epidemic Algorithms", 1987, section 1.4.)
    private static let hearingWeight = 2

    private var pending: [ActorID: Pending] = [:]
    /// By the number of times that the news was sent.
    private var buckets: [[Item]] = []
    private var lastToken: UInt64 = 0
    /// In all buckets, the stale ones included.
    private var items = 0
    /// Bytes of all pending news.
    private(set) var bytes = 0

    init() {}

    /// Members in the queue.
    var count: Int { pending.count }
    var isEmpty: Bool { pending.isEmpty }
    func contains(_ actor: ActorID) -> Bool { pending[actor] != nil }

    /// There is news about `actor`, of `size` bytes, that nobody was sent yet.
    mutating func add(_ actor: ActorID, size: Int) {
        lastToken += 1
        bytes += size - (pending[actor]?.size ?? 0)
        pending[actor] = Pending(token: lastToken, size: size)
        if buckets.isEmpty { buckets.append([]) }
        buckets[0].append(Item(actor: actor, token: lastToken))
        items += 1
        if items > 2 * pending.count + 64 { compact() }
    }

    /// Somebody sent us the same news about `actor`.
    mutating func heard(_ actor: ActorID) { pending[actor]?.heard += UpdateQueue.hearingWeight }

    mutating func remove(_ actor: ActorID) {
        guard let news = pending.removeValue(forKey: actor) else { return }
        bytes -= news.size
        if pending.isEmpty { removeAll() }
    }

    mutating func removeAll() {
        pending.removeAll()
        for index in buckets.indices { buckets[index].removeAll() }
        items = 0
        bytes = 0
    }

    /// Takes members whose news fits `capacity` bytes together, and counts it as sent once more; after `limit` times it is done with.
    mutating func take(bytes capacity: Int, limit: Int) -> [ActorID] {
        var taken: [ActorID] = []
        var rest = capacity
        // What was taken rises to the next bucket only after that one was gone through, so that nothing is taken twice.
        var risen: [Item] = []
        var sent = 0
        var isFull = false
        while sent < buckets.count, !isFull {
            var rising: [Item] = []
            while let item = buckets[sent].popLast() {
                guard let news = pending[item.actor], news.token == item.token else {
                    items -= 1
                    continue
                }
                guard sent + news.heard < limit else {
                    finish(item.actor, news)
                    continue
                }
                guard news.size <= rest else {
                    buckets[sent].append(item)
                    isFull = true
                    break
                }
                rest -= news.size
                taken.append(item.actor)
                if sent + news.heard + 1 >= limit {
                    finish(item.actor, news)
                } else {
                    rising.append(item)
                }
            }
            // Reversed, so that the newest is taken first from the next bucket too.
            buckets[sent].append(contentsOf: risen.reversed())
            risen = rising
            sent += 1
        }
        if !risen.isEmpty {
            if sent == buckets.count { buckets.append([]) }
            buckets[sent].append(contentsOf: risen.reversed())
        }
        return taken
    }

    private mutating func finish(_ actor: ActorID, _ news: Pending) {
        pending[actor] = nil
        items -= 1
        bytes -= news.size
    }

    /// Drops the stale items, so that a member that changes all the time does not fill the queue.
    private mutating func compact() {
        items = 0
        for index in buckets.indices {
            buckets[index].removeAll { pending[$0.actor]?.token != $0.token }
            items += buckets[index].count
        }
    }
}
