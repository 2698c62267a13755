/// Members about whom there is news to spread, those whose news was sent least often first.
///
/// It holds no news itself: what is sent is what is known of the member at that time. At equal counts the newest
/// goes first. Taking costs as much as it takes; a member is in the queue at most once.
struct UpdateQueue: Sendable {
    typealias Place = MemberTable.Place

    private struct Item: Sendable {
        let place: Place
        /// Tells the member's present item from the stale ones that later news left behind.
        let token: UInt32
    }

    private struct Pending: Sendable {
        /// 0: there is no news.
        var token: UInt32 = 0
        /// Bytes that the news takes in a packet.
        var size: UInt16 = 0
        /// How often it came back from others, in units of one sending.
        var heard: UInt16 = 0
    }

    /// By place; empty while nothing is pending.
    private var pending: [Pending] = []
    /// By the number of times that the news was sent.
    private var buckets: [[Item]] = []
    private var lastToken: UInt32 = 0
    /// In all buckets, the stale ones included.
    private var items = 0
    /// Members in the queue.
    private(set) var count = 0
    /// Bytes of all pending news.
    private(set) var bytes = 0

    init() {}

    var isEmpty: Bool { count == 0 }
    func contains(_ place: Place) -> Bool { Int(place) < pending.count && pending[Int(place)].token != 0 }

    /// There is news about a member, of `size` bytes, that nobody was sent yet.
    mutating func add(_ place: Place, size: Int) {
        lastToken = lastToken == .max ? 1 : lastToken + 1
        if pending.count <= Int(place) {
            if pending.capacity <= Int(place) { pending.reserveCapacity(Int(place) + max(8, Int(place) / 4)) }
            pending.append(contentsOf: repeatElement(Pending(), count: Int(place) + 1 - pending.count))
        }
        if pending[Int(place)].token == 0 { count += 1 }
        bytes += size - Int(pending[Int(place)].size)
        pending[Int(place)] = Pending(token: lastToken, size: UInt16(clamping: size))
        if buckets.isEmpty { buckets.append([]) }
        buckets[0].append(Item(place: place, token: lastToken))
        items += 1
        if items > 2 * count + 64 { compact() }
    }

    /// Somebody sent us the same news about a member. Whoever sends us what we are sending has been reached without us, and is sending it
    /// too: it counts like sending it `weight` times. (Feedback with a counter: Demers and others, "Epidemic Algorithms", 1987,
    /// section 1.4.)
    mutating func heard(_ place: Place, weight: Int) {
        guard contains(place) else { return }
        pending[Int(place)].heard = UInt16(clamping: Int(pending[Int(place)].heard) + weight)
    }

    mutating func remove(_ place: Place) {
        if contains(place) { finish(place) }
        if count == 0 { removeAll() }
    }

    /// Forgets everything, and gives the memory back.
    mutating func removeAll() {
        pending = []
        buckets = []
        items = 0
        count = 0
        bytes = 0
    }

    /// Takes members whose news fits `capacity` bytes together, and counts it as sent once more; after `limit` times it is done with.
    mutating func take(bytes capacity: Int, limit: Int) -> [Place] {
        var taken: [Place] = []
        var rest = capacity
        // What was taken rises to the next bucket only after that one was gone through, so that nothing is taken twice.
        var risen: [Item] = []
        var sent = 0
        var isFull = false
        while sent < buckets.count, !isFull {
            var rising: [Item] = []
            while let item = buckets[sent].popLast() {
                let news = pending[Int(item.place)]
                guard news.token == item.token else {
                    items -= 1
                    continue
                }
                guard sent + Int(news.heard) < limit else {
                    items -= 1
                    finish(item.place)
                    continue
                }
                guard Int(news.size) <= rest else {
                    buckets[sent].append(item)
                    isFull = true
                    break
                }
                rest -= Int(news.size)
                taken.append(item.place)
                if sent + Int(news.heard) + 1 >= limit {
                    items -= 1
                    finish(item.place)
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
        if count == 0 { removeAll() }
        return taken
    }

    private mutating func finish(_ place: Place) {
        count -= 1
        bytes -= Int(pending[Int(place)].size)
        pending[Int(place)] = Pending()
    }

    /// Drops the stale items, so that a member that changes all the time does not fill the queue.
    private mutating func compact() {
        items = 0
        for index in buckets.indices {
            buckets[index].removeAll { pending[Int($0.place)].token != $0.token }
            items += buckets[index].count
        }
    }
}
