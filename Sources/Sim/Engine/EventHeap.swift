/// What will happen, ordered by time and, at the same time, by the order in which it was added.
///
/// A calendar in front of a heap (Brown, "Calendar Queues", 1988): what happens within the next four seconds lies in a ring of ticks of
/// about a millisecond, unsorted, and is sorted when its tick comes; what is later waits in a heap with four children a node. So nearly
/// every entry is added and taken in constant time. Payloads stay where they are and their places are used again: a queue that has found
/// its size does not allocate.
package struct EventHeap<Payload> {
    private struct Key {
        var time: Int64
        var sequence: UInt64
        var slot: Int32

        func precedes(_ other: Key) -> Bool {
            time != other.time ? time < other.time : sequence < other.sequence
        }
    }

    /// A tick is so many bits of nanoseconds long: 1.05 ms.
    private static var tickBits: Int64 { 20 }
    /// Ticks of the ring, a power of two.
    private static var ringTicks: Int { 4_096 }

    /// The entries up to the end of the present tick, the first one at the end. Empty only when there are no entries at all.
    private var near: [Key] = []
    /// The present tick.
    private var tick: Int64 = 0
    /// For each tick of the ring the slot of the entry that was added last; -1: none. Holds the ticks behind the present one.
    private var ring: [Int32] = Array(repeating: -1, count: Self.ringTicks)
    /// A bit for each tick of the ring that has entries.
    private var occupied: [UInt64] = Array(repeating: 0, count: Self.ringTicks / 64)
    /// A heap of the entries behind the ring.
    private var far: [Key] = []
    /// The slots' own keys. Of those in the ring, `links` leads to the entry before it in the same tick.
    private var keys: [Key] = []
    private var links: [Int32] = []
    private var payloads: [Payload?] = []
    private var free: [Int32] = []
    private var sequence: UInt64 = 0

    package init() {}

    package var count: Int { payloads.count - free.count }
    package var isEmpty: Bool { near.isEmpty }
    /// The time of the first entry, in nanoseconds.
    package var firstTime: Int64? { near.last?.time }

    package mutating func push(_ payload: consuming Payload, at time: Int64) {
        var key = Key(time: time, sequence: sequence, slot: 0)
        sequence += 1
        if let reused = free.popLast() {
            key.slot = reused
            payloads[Int(reused)] = payload
            keys[Int(reused)] = key
        } else {
            key.slot = Int32(payloads.count)
            payloads.append(payload)
            keys.append(key)
            links.append(-1)
        }
        if near.isEmpty { tick = time >> Self.tickBits }
        place(key)
    }

    /// Takes the first entry out; nil when there is none.
    package mutating func pop() -> (time: Int64, payload: Payload)? {
        guard let first = near.popLast() else { return nil }
        guard let payload = payloads[Int(first.slot)].take() else { preconditionFailure("an entry of the queue without a payload") }
        free.append(first.slot)
        if near.isEmpty { turn() }
        return (first.time, payload)
    }

    private mutating func place(_ key: Key) {
        let ahead = key.time >> Self.tickBits - tick
        if ahead <= 0 {
            var (low, high) = (0, near.count)
            while low < high {
                let middle = (low + high) / 2
                if key.precedes(near[middle]) { low = middle + 1 } else { high = middle }
            }
            near.insert(key, at: low)
        } else if ahead < Int64(Self.ringTicks) {
            let position = Int(key.time >> Self.tickBits) & (Self.ringTicks - 1)
            links[Int(key.slot)] = ring[position]
            ring[position] = key.slot
            occupied[position / 64] |= 1 << UInt64(position % 64)
        } else {
            rise(key)
        }
    }

    /// Goes on to the next tick that has entries, once those of the present one are gone.
    private mutating func turn() {
        if let next = nextTick {
            tick = next
            let position = Int(next) & (Self.ringTicks - 1)
            var slot = ring[position]
            ring[position] = -1
            occupied[position / 64] &= ~(1 << UInt64(position % 64))
            while slot >= 0 {
                near.append(keys[Int(slot)])
                slot = links[Int(slot)]
            }
            if near.count > 1 { near.sort { $1.precedes($0) } }
        } else if let first = far.first {
            tick = first.time >> Self.tickBits
        }
        // What comes within reach of the ring now.
        while let first = far.first, first.time >> Self.tickBits - tick < Int64(Self.ringTicks) { place(sink()) }
    }

    /// The next tick of the ring that has entries.
    private var nextTick: Int64? {
        let start = Int(truncatingIfNeeded: tick + 1) & (Self.ringTicks - 1)
        var word = start / 64
        var bits = occupied[word] & (.max << UInt64(start % 64))
        // Once around, and the first word a second time for the ticks before the start.
        for _ in 0...occupied.count {
            if bits != 0 {
                let position = word * 64 + bits.trailingZeroBitCount
                return tick + 1 + Int64((position - start) & (Self.ringTicks - 1))
            }
            word = (word + 1) % occupied.count
            bits = occupied[word]
        }
        return nil
    }

    // MARK: The heap

    private mutating func rise(_ key: Key) {
        far.append(key)
        far.withUnsafeMutableBufferPointer { far in
            var index = far.count - 1
            while index > 0 {
                let parent = (index - 1) / 4
                guard key.precedes(far[parent]) else { break }
                far[index] = far[parent]
                index = parent
            }
            far[index] = key
        }
    }

    /// Takes out the first one, which must be there.
    private mutating func sink() -> Key {
        let first = far[0]
        let last = far.removeLast()
        guard !far.isEmpty else { return first }
        far.withUnsafeMutableBufferPointer { far in
            var index = 0
            while true {
                let child = 4 * index + 1
                guard child < far.count else { break }
                var best = child
                for other in (child + 1)..<max(child + 1, min(child + 4, far.count)) where far[other].precedes(far[best]) { best = other }
                guard far[best].precedes(last) else { break }
                far[index] = far[best]
                index = best
            }
            far[index] = last
        }
        return first
    }
}
