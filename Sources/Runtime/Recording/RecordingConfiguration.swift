import PatinaProtocol

/// Where and how a node records what it handles (`docs/event-log.md`).
public struct RecordingConfiguration: Hashable, Sendable {
    /// Made when it is missing. Each start of a node adds a file to it and touches no other.
    public var directory: String
    /// The program and its version, for people who read the log.
    public var build: String
    /// Bytes that the log of one start may have; the recording ends there, the node goes on.
    public var limitBytes = 4 * 1_024 * 1_024 * 1_024
    /// How much of the effects is kept.
    public var detail: EventLogHeader.EffectDetail = .whole
    /// Bytes that may wait for the disk. When it is so far behind, the recording ends, and the node goes on.
    public var waitingBytes = 64 * 1_024 * 1_024
    /// A process that is killed loses what it recorded for this long, at most.
    public var flushPeriod = Duration.milliseconds(100)

    public init(directory: String, build: String) {
        self.directory = directory
        self.build = build
    }
}
