/// Reads a log out of pieces that are cut anywhere. Whatever the bytes are, it never traps, and holds one record at most.
public struct EventLogReader: Sendable {
    private var buffer: [UInt8] = []
    /// Where in `buffer` the next record begins.
    private var position = 0
    /// Where in the log `buffer` begins.
    private var offset = 0
    private var number: UInt64 = 0
    private var state = State.beginning
    private var last = Instant.zero
    private var detail = EventLogHeader.EffectDetail.whole

    private enum State: Hashable, Sendable {
        /// Not even the format has been read.
        case beginning
        case header
        case steps
        case ended
        case failed(EventLogError)
    }

    public init() {}

    /// Takes the next bytes of the log. Call `next()` until it returns nil before more are given.
    public mutating func feed(_ bytes: some Collection<UInt8>) {
        if position > 0 {
            buffer.removeSubrange(..<position)
            offset += position
            position = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// Bytes that were given and are not part of a whole record: at the end of a log, what a kill has cut.
    public var unread: Int { buffer.count - position }
    /// Where in the log the next record begins.
    public var consumed: Int { offset + position }

    /// The next record; nil when more bytes are needed for it. After an error it throws the same one again.
    public mutating func next() throws(EventLogError) -> EventLogRecord? {
        if case .failed(let error) = state { throw error }
        do throws(EventLogError) {
            return try read()
        } catch {
            state = .failed(error)
            throw error
        }
    }

    private mutating func read() throws(EventLogError) -> EventLogRecord? {
        if state == .beginning {
            let beginning = EventLog.magic.count + 1
            guard buffer.prefix(EventLog.magic.count).elementsEqual(EventLog.magic.prefix(buffer.count)) else { throw .notALog }
            guard unread >= beginning else { return nil }
            guard buffer[beginning - 1] == EventLog.format else { throw .otherFormat(buffer[beginning - 1]) }
            position = beginning
            state = .header
        }
        var head = ByteReader(buffer[position...])
        guard let written = try? head.readUInt32(), let ofLength = try? head.readUInt16(), let sum = try? head.readUInt32() else {
            return nil
        }
        let length = Int(written)
        let check = EventLogCheck(number: number, length: length)
        guard ofLength == check.ofLength, (1...EventLog.recordBytes).contains(length) else {
            throw .damaged(at: consumed, reason: "the length of record \(number) does not fit its check")
        }
        guard head.remaining >= length else { return nil }
        let start = position + EventLogWriter.headBytes
        let isWhole = buffer.withUnsafeBytes { check.sum(of: UnsafeRawBufferPointer(rebasing: $0[start..<(start + length)])) == sum }
        guard isWhole else { throw .damaged(at: consumed, reason: "the content of record \(number) does not fit its check") }
        let record: EventLogRecord
        do throws(MalformedInput) {
            record = try decode(buffer[start..<(start + length)])
        } catch {
            throw .damaged(at: consumed, reason: "record \(number): \(error)")
        }
        position = start + length
        number += 1
        return record
    }

    private mutating func decode(_ body: ArraySlice<UInt8>) throws(MalformedInput) -> EventLogRecord {
        var reader = ByteReader(body)
        let record: EventLogRecord
        switch (EventLog.Kind(rawValue: try reader.readByte()), state) {
        case (.header, .header):
            let header = try reader.readHeader()
            (detail, last, state) = (header.detail, header.start, .steps)
            record = .header(header)
        case (.step, .steps):
            let now = Instant(nanoseconds: last.nanoseconds &+ (try reader.readSignedVarint()))
            let event = try reader.readEvent()
            let effects: RecordedEffects
            switch detail {
            case .whole: effects = .whole(try reader.readEffects(now: now))
            case .digest:
                let count = try reader.readCount(limit: EventLog.recordBytes, of: "number of effects")
                effects = .digest(try reader.readFingerprint(), count: count)
            }
            last = now
            record = .step(.init(now: now, event: event, effects: effects))
        case (.end, .steps):
            state = .ended
            record = .end(try reader.readCase("reason of the end"))
        case (nil, _): throw MalformedInput("a kind that this build does not know")
        case (_, .ended): throw MalformedInput("something follows the end")
        case (.header, _): throw MalformedInput("a second header")
        case (.step, _), (.end, _): throw MalformedInput("the log begins without a header")
        }
        guard reader.isAtEnd else { throw MalformedInput("\(reader.remaining) bytes are left over") }
        return record
    }
}
