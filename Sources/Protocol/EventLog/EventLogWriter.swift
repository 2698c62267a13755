/// Writes the log of one life of a node, record by record, into a buffer that its owner empties.
///
/// Each record stands behind its length and a checksum, so that a log that was cut anywhere can be read to its last whole record.
public struct EventLogWriter: Sendable {
    /// Bytes before the body of a record: its length (4), a check of the length (2), a check of the body (4), little endian.
    static let headBytes = 10

    private var writer: ByteWriter
    private let detail: EventLogHeader.EffectDetail
    private let limitBytes: Int
    private let recordBytes: Int
    /// The instant of the record before: instants are written as differences.
    private var last: Instant
    /// Records so far, and their bytes.
    private var number: UInt64 = 0
    private var total = 0
    /// Why the log has ended; nil while it goes on.
    public private(set) var end: EventLogRecord.End?

    /// Writes the beginning and the header. A name of the build that is too long is cut.
    ///
    /// - Parameter limitBytes: bytes of the whole log. Nil when not even the header fits.
    public init?(_ header: EventLogHeader, limitBytes: Int = .max) {
        self.init(header, limitBytes: limitBytes, recordBytes: EventLog.recordBytes)
    }

    init?(_ header: EventLogHeader, limitBytes: Int = .max, recordBytes: Int) {
        self.limitBytes = limitBytes
        self.recordBytes = recordBytes
        writer = ByteWriter(capacity: 4_096)
        detail = header.detail
        last = header.start
        writer.write(contentsOf: EventLog.magic)
        writer.write(EventLog.format)
        total = writer.count
        guard append(.header, { $0.write(header) }) == nil else { return nil }
    }

    /// Bytes that wait to be taken.
    public var count: Int { writer.count }

    /// Appends an event and its effects. Returns false when they do not fit: the log has ended then, and says so.
    public mutating func append(_ event: Event, now: Instant, effects: [Effect]) -> Bool {
        guard end == nil else { return false }
        let (detail, last) = (detail, last)
        let obstacle = append(.step) { body in
            body.writeSignedVarint(now.nanoseconds &- last.nanoseconds)
            body.write(event)
            switch detail {
            case .whole: body.writeEffects(effects, now: now)
            case .digest:
                body.writeVarint(UInt64(effects.count))
                body.write(RecordedEffects.digest(of: effects, now: now))
            }
        }
        if let obstacle {
            finish(obstacle)
            return false
        }
        self.last = now
        return true
    }

    /// Says why nothing follows. A second call does nothing.
    public mutating func finish(_ end: EventLogRecord.End) {
        guard self.end == nil else { return }
        _ = append(.end) { $0.write(end.rawValue) }
        self.end = end
    }

    /// The bytes since the last call, and empties the buffer.
    public mutating func take() -> [UInt8] {
        let bytes = writer.bytes
        writer = ByteWriter(capacity: min(bytes.count, 1 << 20))
        return bytes
    }

    /// Appends a record, or nothing, and returns what was in the way.
    private mutating func append(_ kind: EventLog.Kind, _ body: (inout ByteWriter) -> Void) -> EventLogRecord.End? {
        let start = writer.count
        writer.write(UInt64(0))
        writer.write(UInt16(0))
        writer.write(kind.rawValue)
        body(&writer)
        let length = writer.count - start - Self.headBytes
        // There is always room for the end.
        let reserve = kind == .end ? 0 : Self.headBytes + 2
        let isWithinLimit = total + Self.headBytes + length <= limitBytes - reserve
        guard length <= recordBytes, isWithinLimit else {
            writer.truncate(to: start)
            return isWithinLimit ? .recordTooLarge : .limitReached
        }
        total += Self.headBytes + length
        let check = EventLogCheck(number: number, length: length)
        let sum = writer.bytes.withUnsafeBytes { check.sum(of: UnsafeRawBufferPointer(rebasing: $0[(start + Self.headBytes)...])) }
        for index in 0..<4 { writer.replace(at: start + index, with: UInt8(truncatingIfNeeded: length >> (8 * index))) }
        for index in 0..<2 { writer.replace(at: start + 4 + index, with: UInt8(truncatingIfNeeded: check.ofLength >> (8 * index))) }
        for index in 0..<4 { writer.replace(at: start + 6 + index, with: UInt8(truncatingIfNeeded: sum >> (8 * index))) }
        number += 1
        return nil
    }
}

/// What shows that a record stands as it was written, and in its place: the number of the record goes into both checks.
///
/// The length has one of its own, or a flipped bit in it would look like a log that was cut.
struct EventLogCheck {
    let number: UInt64
    let length: Int

    var ofLength: UInt16 { UInt16(truncatingIfNeeded: mixed(mixed(number) ^ UInt64(length))) }

    func sum(of body: UnsafeRawBufferPointer) -> UInt32 {
        var hasher = Fingerprint.Hasher(seed: number)
        hasher.combine(body)
        return UInt32(truncatingIfNeeded: hasher.finish().low)
    }
}
