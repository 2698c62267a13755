import NIOCore

/// The messages that one one-way stream of ours carries, in order: where each ends on the stream.
///
/// A lane lives as long as its connection. A stream for each message would be simpler, but ngtcp2 0.12.1 never closes a one-way
/// stream at its receiver (it waits for an acknowledgement of data that nobody can send), so that each would cost memory and
/// allowance for good.
struct MessageLane {
    /// Bytes before each message: its length, little endian.
    static let headerBytes = 4

    private var ends = CircularBuffer<UInt64>()

    /// Messages that were given to the lane and are not acknowledged.
    var count: Int { ends.count }

    mutating func append(endingAt end: UInt64) { ends.append(end) }

    /// The peer has all before `offset`; tells how many messages more than before that is.
    mutating func acknowledge(to offset: UInt64) -> Int {
        var done = 0
        while let end = ends.first, end <= offset {
            ends.removeFirst()
            done += 1
        }
        return done
    }
}

/// Cuts the bytes of a peer's lane into messages again.
///
/// A message over the bound is skipped, not stored: the rest of the lane is as good as before.
struct MessageReader {
    enum Message: Equatable {
        case whole([UInt8])
        /// Its length is over the bound.
        case refused(length: Int)
    }

    private enum State {
        case header(value: UInt32, bytes: Int)
        case body(length: Int)
        case skipping(left: Int)
    }

    private var state = State.header(value: 0, bytes: 0)
    private var body: [UInt8] = []

    /// The length of the message that is not whole yet: the memory that it will have taken.
    var assembledBytes: Int { if case .body(let length) = state { length } else { 0 } }

    /// Takes the next bytes of the stream.
    /// - Parameters:
    ///   - limit: the longest message that is taken.
    ///   - deliver: called for each message whose end, or whose length over the bound, is among the bytes.
    mutating func read(_ bytes: Slice<UnsafeBufferPointer<UInt8>>, limit: Int, _ deliver: (Message) -> Void) {
        var rest = bytes
        while true {
            switch state {
            case .header(let value, MessageLane.headerBytes):
                let length = Int(value)
                if length > limit {
                    state = .skipping(left: length)
                    deliver(.refused(length: length))
                } else {
                    state = .body(length: length)
                }
            case .header(let value, let count):
                guard let byte = rest.popFirst() else { return }
                state = .header(value: value | UInt32(byte) << (8 * UInt32(count)), bytes: count + 1)
            case .body(let length):
                let piece = rest.prefix(length - body.count)
                rest = rest.dropFirst(piece.count)
                body.append(contentsOf: piece)
                guard body.count == length else { return }
                state = .header(value: 0, bytes: 0)
                var whole: [UInt8] = []
                swap(&whole, &body)
                deliver(.whole(whole))
            case .skipping(let left):
                let skipped = min(left, rest.count)
                rest = rest.dropFirst(skipped)
                state = skipped == left ? .header(value: 0, bytes: 0) : .skipping(left: left - skipped)
                if skipped < left { return }
            }
        }
    }
}
