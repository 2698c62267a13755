/// What will happen, ordered by time and, at the same time, by the order in which it was added.
///
/// A heap with four children a node: half the levels of a binary one, and the children share a cache line or two.
/// Only 24-byte keys move; the payloads stay where they are and their places are used again, so a queue that has found its
/// size does not allocate.
package struct EventHeap<Payload> {
    private struct Key {
        var time: Int64
        var sequence: UInt64
        var slot: Int

        func precedes(_ other: Key) -> Bool {
            time != other.time ? time < other.time : sequence < other.sequence
        }
    }

    private var keys: [Key] = []
    private var payloads: [Payload?] = []
    private var free: [Int] = []
    private var sequence: UInt64 = 0

    package init() {}

    package var count: Int { keys.count }
    package var isEmpty: Bool { keys.isEmpty }
    /// The time of the first entry, in nanoseconds.
    package var firstTime: Int64? { keys.first?.time }

    package mutating func push(_ payload: consuming Payload, at time: Int64) {
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            payloads[slot] = payload
        } else {
            slot = payloads.count
            payloads.append(payload)
        }
        let key = Key(time: time, sequence: sequence, slot: slot)
        sequence += 1
        keys.append(key)
        keys.withUnsafeMutableBufferPointer { keys in
            var index = keys.count - 1
            while index > 0 {
                let parent = (index - 1) / 4
                guard key.precedes(keys[parent]) else { break }
                keys[index] = keys[parent]
                index = parent
            }
            keys[index] = key
        }
    }

    /// Takes the first entry out; nil when there is none.
    package mutating func pop() -> (time: Int64, payload: Payload)? {
        guard let first = keys.first else { return nil }
        let last = keys.removeLast()
        if !keys.isEmpty {
            keys.withUnsafeMutableBufferPointer { keys in
                var index = 0
                while true {
                    let child = 4 * index + 1
                    guard child < keys.count else { break }
                    var best = child
                    for other in (child + 1)..<max(child + 1, min(child + 4, keys.count)) where keys[other].precedes(keys[best]) {
                        best = other
                    }
                    guard keys[best].precedes(last) else { break }
                    keys[index] = keys[best]
                    index = best
                }
                keys[index] = last
            }
        }
        guard let payload = payloads[first.slot].take() else { preconditionFailure("an entry of the heap without a payload") }
        free.append(first.slot)
        return (first.time, payload)
    }
}
