/// How nodes compare what they know and fetch what they lack.
public struct SyncConfiguration: Hashable, Sendable {
    /// The pause between rounds while peers are known to have something else than we do.
    public var minimumInterval: Duration = .seconds(1)
    /// The pause that it grows to, doubling, while digests agree or rounds bring nothing.
    public var maximumInterval: Duration = .seconds(12)
    /// Every pause is stretched by a random part of up to this many hundredths.
    public var jitterPercent = 25
    /// How long a peer's digest must have differed before a session is worth it: broadcast usually is faster.
    public var settleTime: Duration = .milliseconds(500)
    /// A session in which nothing arrives for so long is dropped.
    public var sessionTimeout: Duration = .seconds(10)
    /// A session that a node runs itself ends after this long, so that a slow server does not keep its place for ever.
    public var sessionLimit: Duration = .seconds(60)
    /// What a server that is full tells the client to wait.
    public var retryAfter: Duration = .seconds(2)
    /// No further request while more chunks than this wait for the store.
    public var resumeBelowChunks = 1_024
    /// Versions of one actor that one range of a request spans at most, so that no actor holds up the others.
    public var rangeVersions: UInt64 = 64
    /// Bytes at which a peer's state is cut into frames.
    public var stateFrameBytes = 64 * 1_024

    public init() {}
}
