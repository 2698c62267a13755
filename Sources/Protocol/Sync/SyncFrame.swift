/// What the two sides of a session say to each other; `docs/wire-format.md`, "Sync".
enum SyncFrame {
    enum Kind: UInt8 {
        case greeting = 1
        case equal = 2
        case refusal = 3
        case state = 4
        case request = 5
        case chunk = 6
        case empties = 7
        case end = 8
    }

    /// Client: who asks, and the digest of what it knows.
    case greeting(Greeting)
    /// Server: we know the same.
    case equal
    /// Server: not now.
    case refusal(Refusal)
    /// Server: a part of what it knows.
    case state(StateFrame)
    /// Client: send these.
    case request(ReadRequest)
    /// Server: a chunk that was asked for.
    case chunk(Chunk)
    /// Server: of these, which were asked for, nothing is left.
    case empties([EmptyVersions])
    /// Server: this is all for this request, but for what is listed.
    case end(remaining: [ReadRequest.Want])

    struct Greeting: Hashable, Sendable {
        var actor: ActorID
        var fingerprint: Fingerprint
        /// Digests of `1 << n` buckets of actors, n from 0 to 8.
        var buckets: [UInt64]
    }

    struct Refusal: Hashable, Sendable {
        enum Reason: UInt8, Hashable, Sendable {
            case busy = 1
            case storeFailed = 2
        }
        /// Nil for a reason of a later build.
        var reason: Reason?
        var retryAfter: Duration
    }

    struct StateFrame: Hashable, Sendable {
        /// Of the server's whole ledger.
        var fingerprint: Fingerprint
        /// No further state frame follows.
        var isLast: Bool
        var state: PeerState
    }

    /// Lists in one frame are refused beyond this, whatever our own limits for writing are: each entry costs a look at every
    /// range that was asked for.
    static let listLimit = 65_536
    /// Ranges of one set of intervals are refused beyond this.
    static let intervalLimit = 1_048_576

    /// Reads a frame; nil for a kind of a later build, which is skipped.
    static func read(from frame: ByteReader) throws(MalformedInput) -> SyncFrame? {
        var reader = frame
        switch Kind(rawValue: try reader.readByte()) {
        case .greeting: return .greeting(try Greeting(from: &reader))
        case .equal: return .equal
        case .refusal:
            let reason = Refusal.Reason(rawValue: try reader.readByte())
            let milliseconds = min(try reader.readVarint(), 3_600_000)
            return .refusal(Refusal(reason: reason, retryAfter: .milliseconds(Int64(milliseconds))))
        case .state: return .state(try StateFrame(from: &reader))
        case .request:
            let byteLimit = try reader.readVarint()
            return .request(ReadRequest(wants: try reader.readWants(), byteLimit: Int(min(byteLimit, UInt64(Int32.max)))))
        case .chunk: return .chunk(try reader.readChunk())
        case .empties:
            let count = try reader.readListCount(of: "empty ranges", least: 18)
            var empties: [EmptyVersions] = []
            empties.reserveCapacity(count)
            for _ in 0..<count {
                let actor = try reader.readActor()
                empties.append(EmptyVersions(actor: actor, versions: try reader.readVersionRange()))
            }
            return .empties(empties)
        case .end: return .end(remaining: try reader.readWants())
        case nil: return nil
        }
    }

    /// Appends the frame with its length.
    func write(to writer: inout ByteWriter) {
        var body = ByteWriter()
        switch self {
        case .greeting(let greeting):
            body.write(Kind.greeting.rawValue)
            greeting.write(to: &body)
        case .equal:
            body.write(Kind.equal.rawValue)
        case .refusal(let refusal):
            body.write(Kind.refusal.rawValue)
            body.write(refusal.reason?.rawValue ?? 0)
            body.writeVarint(UInt64(max(0, refusal.retryAfter.milliseconds)))
        case .state(let frame):
            body.write(Kind.state.rawValue)
            frame.write(to: &body)
        case .request(let request):
            body.write(Kind.request.rawValue)
            body.writeVarint(UInt64(max(0, request.byteLimit)))
            body.writeWants(request.wants)
        case .chunk(let chunk):
            body.write(Kind.chunk.rawValue)
            body.write(chunk)
        case .empties(let empties):
            body.write(Kind.empties.rawValue)
            body.writeVarint(UInt64(empties.count))
            for versions in empties {
                body.write(versions.actor)
                body.writeVersionRange(versions.versions)
            }
        case .end(let remaining):
            body.write(Kind.end.rawValue)
            body.writeWants(remaining)
        }
        writer.writeBytes(body.bytes)
    }
}

extension SyncFrame.Greeting {
    fileprivate init(from reader: inout ByteReader) throws(MalformedInput) {
        actor = try reader.readActor()
        fingerprint = try reader.readFingerprint()
        let bits = try reader.readByte()
        guard bits <= VersionLedger.bucketBits else { throw MalformedInput("\(bits) bits of buckets, at most \(VersionLedger.bucketBits)") }
        buckets = []
        for _ in 0..<(1 << bits) { buckets.append(try reader.readUInt64()) }
    }

    fileprivate func write(to writer: inout ByteWriter) {
        writer.write(actor)
        writer.write(fingerprint)
        writer.write(UInt8(buckets.count.trailingZeroBitCount))
        for digest in buckets { writer.write(digest) }
    }
}

extension ByteReader {
    /// A count of things of at least `least` bytes each: checked before memory is taken for what a peer merely claims.
    mutating func readListCount(
        of what: StaticString, least: Int, limit: Int = SyncFrame.listLimit
    ) throws(MalformedInput) -> Int {
        let count = try readCount(limit: limit, of: what)
        guard count <= remaining / least else { throw MalformedInput("truncated: \(count) \(what) in \(remaining) bytes") }
        return count
    }

    /// First version, then how many follow it.
    mutating func readVersionRange() throws(MalformedInput) -> ClosedRange<UInt64> {
        let first = try readVarint()
        let (last, overflow) = first.addingReportingOverflow(try readVarint())
        guard first > 0, !overflow else { throw MalformedInput("a range of versions starts at 0 or exceeds 64 bits") }
        return first...last
    }

    mutating func readWants(limit: Int = SyncFrame.listLimit) throws(MalformedInput) -> [ReadRequest.Want] {
        let count = try readListCount(of: "wanted ranges", least: 19, limit: limit)
        var wants: [ReadRequest.Want] = []
        wants.reserveCapacity(count)
        for _ in 0..<count {
            let kind = try readByte()
            let actor = try readActor()
            switch kind {
            case 0: wants.append(.versions(actor, try readVersionRange()))
            case 1:
                let version = try readVarint()
                let sequences = try readIntervals()
                guard version > 0, !sequences.isEmpty else { throw MalformedInput("a wanted piece of version 0, or of nothing") }
                wants.append(.sequences(actor, version: version, sequences))
            default: throw MalformedInput("a want of kind \(kind)")
            }
        }
        return wants
    }

    /// Ascending ranges: for each the distance from the last one's end, then how many numbers follow its first.
    mutating func readIntervals(limit: Int = SyncFrame.intervalLimit) throws(MalformedInput) -> IntervalSet {
        let count = try readListCount(of: "intervals", least: 2, limit: limit)
        var result = IntervalSet()
        var next: UInt64 = 0
        for index in 0..<count {
            let (first, overflow) = next.addingReportingOverflow(try readVarint())
            let (last, carry) = first.addingReportingOverflow(try readVarint())
            guard !overflow, !carry, index == count - 1 || last < .max - 1 else { throw MalformedInput("intervals exceed 64 bits") }
            result.insert(first...last)
            next = last &+ 2
        }
        return result
    }
}

extension ByteWriter {
    mutating func writeVersionRange(_ range: ClosedRange<UInt64>) {
        writeVarint(range.lowerBound)
        writeVarint(range.upperBound - range.lowerBound)
    }

    mutating func writeWants(_ wants: [ReadRequest.Want]) {
        writeVarint(UInt64(wants.count))
        for want in wants {
            switch want {
            case .versions(let actor, let versions):
                write(UInt8(0))
                write(actor)
                writeVersionRange(versions)
            case .sequences(let actor, let version, let sequences):
                write(UInt8(1))
                write(actor)
                writeVarint(version)
                writeIntervals(sequences)
            }
        }
    }

    mutating func writeIntervals(_ set: IntervalSet) {
        writeVarint(UInt64(set.ranges.count))
        var next: UInt64 = 0
        for range in set.ranges {
            writeVarint(range.lowerBound - next)
            writeVarint(range.upperBound - range.lowerBound)
            // Ranges never touch, so the next one starts two further on at the earliest.
            next = range.upperBound &+ 2
        }
    }
}
