import CNgtcp2
import Glibc
import NIOCore
import PatinaProtocol

/// The first byte that the opener of a stream sends: what the stream is for.
enum StreamKind: UInt8 {
    /// Of a one-way stream: messages, each after its length, for as long as the connection lives.
    case messages = 1
    /// Of a bidirectional stream: one session.
    case session = 2
}

/// Bytes that were given to a stream and are not yet acknowledged.
///
/// The library keeps pointers into them until the acknowledgement, so they live in memory of their own that never moves.
struct SendBuffer: ~Copyable {
    private struct Chunk {
        let base: UnsafeMutablePointer<UInt8>
        let start: UInt64
        let count: Int
        var end: UInt64 { start + UInt64(count) }
    }

    private var chunks = CircularBuffer<Chunk>(initialCapacity: 1)
    /// Stream offsets: all before `acknowledged` is freed, all before `sent` was written once, `end` is the length so far.
    private(set) var acknowledged: UInt64 = 0
    private(set) var sent: UInt64 = 0
    private(set) var end: UInt64 = 0

    var unsent: UInt64 { end - sent }
    var unacknowledged: Int { Int(end - acknowledged) }

    /// - Parameter kind: written before the bytes: the beginning of a stream.
    mutating func append(_ bytes: [UInt8], after kind: StreamKind? = nil) {
        append(bytes, behind: kind == nil ? 0 : 1) { $0.initialize(to: kind?.rawValue ?? 0) }
    }

    /// Appends the length of a message, and the message.
    mutating func append(message bytes: [UInt8]) {
        append(bytes, behind: MessageLane.headerBytes) { start in
            for byte in 0..<MessageLane.headerBytes { (start + byte).initialize(to: UInt8(truncatingIfNeeded: bytes.count >> (8 * byte))) }
        }
    }

    private mutating func append(_ bytes: [UInt8], behind prefix: Int, _ write: (UnsafeMutablePointer<UInt8>) -> Void) {
        let count = prefix + bytes.count
        guard count > 0 else { return }
        let base = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
        if prefix > 0 { write(base) }
        bytes.withUnsafeBufferPointer { source in
            if let start = source.baseAddress { (base + prefix).initialize(from: start, count: source.count) }
        }
        chunks.append(Chunk(base: base, start: end, count: count))
        end += UInt64(count)
    }

    /// Points `vectors` at what is unsent; tells how many were filled and how many bytes they hold.
    func fill(_ vectors: UnsafeMutableBufferPointer<ngtcp2_vec>) -> (vectors: Int, bytes: UInt64) {
        var filled = 0
        var bytes: UInt64 = 0
        for chunk in chunks where chunk.end > sent {
            guard filled < vectors.count else { break }
            let skipped = sent > chunk.start ? Int(sent - chunk.start) : 0
            vectors[filled] = ngtcp2_vec(base: chunk.base + skipped, len: chunk.count - skipped)
            filled += 1
            bytes += UInt64(chunk.count - skipped)
        }
        return (filled, bytes)
    }

    mutating func advance(by count: Int) {
        sent += UInt64(count)
        precondition(sent <= end, "a stream cannot have sent more than it was given")
    }

    /// Frees what the peer has; tells how many bytes more than before.
    mutating func acknowledge(to offset: UInt64) -> Int {
        guard offset > acknowledged else { return 0 }
        let gained = Int(offset - acknowledged)
        acknowledged = offset
        while let first = chunks.first, first.end <= offset {
            first.base.deallocate()
            chunks.removeFirst()
        }
        return gained
    }

    deinit { for chunk in chunks { chunk.base.deallocate() } }
}

/// A stream that this endpoint writes to: a lane of messages, or its half of a session.
final class SendStream {
    enum Purpose {
        case messages
        case session(SessionID)
    }

    let purpose: Purpose
    /// The number on the wire, once it is open.
    var id: Int64 = -1
    var buffer = SendBuffer()
    /// What a stream of messages carries; empty for sessions.
    var lane = MessageLane()
    /// Nothing will be appended any more.
    var isFinished: Bool
    /// The end of the stream was written.
    var finishSent = false
    /// In the queue of streams that have something to write.
    var isReady = false
    /// Reset by one side: what still arrives is ignored.
    var isAbandoned = false

    init(purpose: Purpose, isFinished: Bool) {
        self.purpose = purpose
        self.isFinished = isFinished
    }

    var hasWork: Bool { !isAbandoned && (buffer.unsent > 0 || isFinished && !finishSent) }
}
