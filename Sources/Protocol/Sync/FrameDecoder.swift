/// Cuts one direction of a session into frames, however the bytes arrive.
///
/// First comes an envelope, then frames: a varint length, a kind, a body. A frame that claims to be longer than the bound is
/// refused as soon as its length is there, before anything of it is kept.
struct FrameDecoder: Sendable {
    private let cluster: UInt16
    private let limit: Int
    private var buffer: [UInt8] = []
    private var head = 0
    private var isPastEnvelope = false

    /// - Parameter limit: bytes of one frame, its kind included.
    init(cluster: UInt16, limit: Int) {
        self.cluster = cluster
        self.limit = limit
    }

    /// Bytes that wait for the rest of their frame.
    var buffered: Int { buffer.count - head }

    mutating func append(_ bytes: [UInt8]) {
        if head == buffer.count {
            buffer = bytes
            head = 0
        } else {
            // What was decoded is given back once it is the larger part, so that each byte moves a bounded number of times.
            if head > buffer.count / 2 {
                buffer.removeFirst(head)
                head = 0
            }
            buffer.append(contentsOf: bytes)
        }
    }

    /// The next whole frame, kind first; nil when more bytes are needed. After an error the session cannot go on.
    mutating func next() throws(MalformedInput) -> ByteReader? {
        if !isPastEnvelope {
            guard buffered >= Envelope.overhead else { return nil }
            var reader = ByteReader(buffer[head..<(head + Envelope.overhead)])
            let envelope = try Envelope.read(from: &reader)
            guard envelope.cluster == cluster else {
                throw MalformedInput("a session of cluster \(envelope.cluster), this node is in cluster \(cluster)")
            }
            guard envelope.kind == MessageKind.sync.rawValue else { throw MalformedInput("a session of kind \(envelope.kind)") }
            head += Envelope.overhead
            isPastEnvelope = true
        }
        guard let (length, prefix) = try frameLength() else { return nil }
        guard buffered >= prefix + length else { return nil }
        let start = head + prefix
        head = start + length
        return ByteReader(buffer[start..<head])
    }

    /// The length of the next frame and the bytes that it is written in; nil when it is not there yet.
    private func frameLength() throws(MalformedInput) -> (length: Int, prefix: Int)? {
        var value: UInt64 = 0
        for offset in 0..<min(buffered, 10) {
            let byte = buffer[head + offset]
            value |= UInt64(byte & 0x7F) << UInt64(7 * offset)
            // A tenth byte could overflow, but no bound is that large.
            guard value <= UInt64(limit), offset < 9 else { throw MalformedInput("a frame of more than \(limit) bytes") }
            if byte & 0x80 == 0 {
                guard value > 0 else { throw MalformedInput("a frame without a kind") }
                return (Int(value), offset + 1)
            }
        }
        return nil
    }
}
