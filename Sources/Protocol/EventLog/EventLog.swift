/// Everything that went into a node and came out of it, as bytes: `docs/event-log.md`.
///
/// A node is a function of what it is made of and of the events that it is handed, so its log replays through the same `Node` to the
/// same effects. The engine writes one log for each life of a node with `EventLogWriter`; `EventLogReader` reads it.
public enum EventLog {
    /// Raised whenever the layout changes, which it does with every case of `Event` and `Effect` and every field of
    /// `NodeConfiguration` that comes or goes. A reader of another format refuses the log.
    public static let format: UInt8 = 2
    /// The first bytes of a log; the format follows.
    public static let magic: [UInt8] = Array("PatinaEv".utf8)
    /// Bytes of one record at most. A node whose event and effects take more can be recorded up to that event.
    public static let recordBytes = 512 * 1_024 * 1_024
    /// Bytes of the name of the build that wrote a log.
    public static let buildBytes = 256

    /// The name of the log of the `number`-th start of a node in a directory of recordings.
    public static func fileName(_ number: Int) -> String {
        let digits = String(number)
        return filePrefix + String(repeating: "0", count: max(0, 6 - digits.count)) + digits + fileSuffix
    }

    /// The number in a name of `fileName(_:)`; nil for other names.
    public static func number(ofFile name: String) -> Int? {
        guard name.hasPrefix(filePrefix), name.hasSuffix(fileSuffix),
            let number = Int(name.dropFirst(filePrefix.count).dropLast(fileSuffix.count)), number > 0, fileName(number) == name
        else { return nil }
        return number
    }

    private static let filePrefix = "events-"
    private static let fileSuffix = ".log"

    /// What a record is, in its first byte.
    enum Kind: UInt8 {
        case header = 1
        case step = 2
        case end = 3
    }
}

/// The first record of a log: what its node was made of.
public struct EventLogHeader: Hashable, Sendable {
    /// The build that wrote the log, for people. Another build may well decide differently.
    public var build: String
    /// The wall clock when the recording began, in nanoseconds since 1970, to line the log up with others.
    public var wall: Int64
    /// The monotonic clock at the same moment: an event's wall time is `wall` and what its instant is later than this.
    public var start: Instant
    public var detail: EffectDetail
    public var configuration: NodeConfiguration
    /// What the store knew when it was opened.
    public var ledger: VersionLedger
    /// The members that were persisted.
    public var members: [MemberRecord]

    public init(
        build: String, wall: Int64, start: Instant, detail: EffectDetail, configuration: NodeConfiguration, ledger: VersionLedger,
        members: [MemberRecord]
    ) {
        self.build = build
        self.wall = wall
        self.start = start
        self.detail = detail
        self.configuration = configuration
        self.ledger = ledger
        self.members = members
    }

    /// How much of the effects a log holds.
    public enum EffectDetail: UInt8, Hashable, Sendable, CaseIterable {
        /// All of them, so that a difference can be shown side by side.
        case whole = 1
        /// How many there were, and their digest: enough to find the event after which another node would have parted.
        case digest = 2
    }
}

/// The effects of one event, as a log has them.
public enum RecordedEffects: Hashable, Sendable {
    case whole([Effect])
    case digest(Fingerprint, count: Int)

    /// True when these are the effects that were recorded.
    ///
    /// - Parameter now: the instant of their event.
    public func matches(_ effects: [Effect], now: Instant) -> Bool {
        switch self {
        case .whole(let recorded): recorded == effects
        case .digest(let digest, let count): count == effects.count && digest == Self.digest(of: effects, now: now)
        }
    }

    public var count: Int {
        switch self {
        case .whole(let effects): effects.count
        case .digest(_, let count): count
        }
    }

    /// The digest that a log of `EffectDetail.digest` has in place of these effects.
    public static func digest(of effects: [Effect], now: Instant) -> Fingerprint {
        var writer = ByteWriter()
        writer.writeEffects(effects, now: now)
        var hasher = Fingerprint.Hasher()
        hasher.combine(writer.bytes)
        return hasher.finish()
    }
}

/// What a log holds, record by record.
public enum EventLogRecord: Hashable, Sendable {
    /// The first record, and no other.
    case header(EventLogHeader)
    case step(Step)
    /// The last record, unless the process was killed.
    case end(End)

    /// One event, and what the node wanted because of it.
    public struct Step: Hashable, Sendable {
        /// What the node was told of the time.
        public var now: Instant
        public var event: Event
        public var effects: RecordedEffects

        public init(now: Instant, event: Event, effects: RecordedEffects) {
            self.now = now
            self.event = event
            self.effects = effects
        }
    }

    /// Why a recording ended before its process, or with it.
    public enum End: UInt8, Hashable, Sendable, CaseIterable {
        /// The node was shut down.
        case shutdown = 1
        /// The log reached the size that it may have.
        case limitReached = 2
        /// The disk did not keep up with the node.
        case diskTooSlow = 3
        /// An event and its effects were larger than `EventLog.recordBytes`.
        case recordTooLarge = 4

        /// For people: "the recording ends because …".
        public var words: String {
            switch self {
            case .shutdown: "the node was shut down"
            case .limitReached: "the log reached its limit"
            case .diskTooSlow: "the disk did not keep up"
            case .recordTooLarge: "one event and its effects were larger than \(EventLog.recordBytes) bytes"
            }
        }
    }
}

/// Why a log cannot be read, or cannot be read further.
public enum EventLogError: Error, Hashable, Sendable, CustomStringConvertible {
    case notALog
    /// A build with another format wrote it.
    case otherFormat(UInt8)
    /// What stands at this byte is not what was written.
    case damaged(at: Int, reason: String)

    public var description: String {
        switch self {
        case .notALog: "it is no event log: it does not begin with \"\(String(decoding: EventLog.magic, as: UTF8.self))\""
        case .otherFormat(let format):
            "it is an event log of format \(format), and this build reads format \(EventLog.format) only: "
                + "replay it with the build that wrote it"
        case .damaged(let position, let reason): "it is damaged at byte \(position): \(reason)"
        }
    }
}
