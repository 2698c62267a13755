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
    /// How long a session that needs no more than one range of versions waits before it asks: under constant writes a peer
    /// is always a little ahead of us, and nearly all of that is on its way already.
    public var graceTime: Duration = .milliseconds(250)
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

    /// The configuration with every value raised to the nearest that the machine can work with.
    var sane: SyncConfiguration {
        var result = self
        // Rounds without a pause would never let time pass.
        result.minimumInterval = max(minimumInterval, .milliseconds(10))
        result.maximumInterval = max(maximumInterval, result.minimumInterval)
        result.jitterPercent = min(max(jitterPercent, 0), 100)
        result.settleTime = max(settleTime, .zero)
        result.graceTime = max(graceTime, .zero)
        result.sessionTimeout = max(sessionTimeout, .milliseconds(100))
        result.retryAfter = max(retryAfter, .milliseconds(1))
        result.rangeVersions = max(rangeVersions, 1)
        return result
    }
}
