import PatinaProtocol

/// The deadlines that a node asked for: a binary heap ordered by time, and by order of arrival among equal times.
struct TimerHeap {
    private struct Entry {
        var deadline: Instant
        var order: UInt64
        var timer: Timer

        static func < (left: Entry, right: Entry) -> Bool {
            (left.deadline, left.order) < (right.deadline, right.order)
        }
    }

    private var entries: [Entry] = []
    private var nextOrder: UInt64 = 0

    var count: Int { entries.count }
    /// The earliest deadline; nil when there is none.
    var earliest: Instant? { entries.first?.deadline }

    mutating func insert(_ timer: Timer, at deadline: Instant) {
        entries.append(Entry(deadline: deadline, order: nextOrder, timer: timer))
        nextOrder += 1
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child] < entries[parent] else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes the earliest timer out if its deadline is not after `now`.
    mutating func popDue(now: Instant) -> Timer? {
        guard let first = entries.first, first.deadline <= now else { return nil }
        let last = entries.removeLast()
        if !entries.isEmpty {
            entries[0] = last
            sink()
        }
        return first.timer
    }

    mutating func removeAll() { entries.removeAll() }

    private mutating func sink() {
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count && entries[child] < entries[smallest] {
                smallest = child
            }
            if smallest == parent { return }
            entries.swapAt(parent, smallest)
            parent = smallest
        }
    }
}
