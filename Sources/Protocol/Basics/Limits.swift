/// Every bound of the protocol core, by name. Reaching one is measured (`Measurement.dropped`), never silent.
public struct Limits: Hashable, Sendable {
    /// Bytes of one datagram's payload. QUIC promises 1,200 bytes of UDP payload; its headers take about 40.
    public var datagramBytes = 1_150
    /// Bytes of row data that the store aims for in one chunk; a single larger cell makes a larger chunk.
    public var chunkBytes = 16 * 1_024
    /// Bytes of one message or frame. Longer ones are refused unread.
    public var messageBytes = 16 * 1_024 * 1_024
    /// Bytes of one value that a local transaction may write, so that its chunk fits a message.
    public var valueBytes = 15 * 1_024 * 1_024
    /// Members that are remembered, the down ones included.
    public var members = 20_000
    /// Members that are persisted, to find the cluster again after a restart: a sample of a larger cluster.
    public var savedMembers = 128
    /// Probes that a node does for others at the same time. Beyond that it answers at once that it has no answer.
    public var relayedProbes = 1_024
    /// Chunks that wait for the store. When full, further chunks are dropped and sync brings them later.
    public var pendingChunks = 20_000
    /// Bytes of the chunks that wait for the store.
    public var pendingBytes = 64 * 1_024 * 1_024
    /// Chunks, and their bytes, kept to answer grafts.
    public var cachedChunks = 4_096
    public var cachedBytes = 32 * 1_024 * 1_024
    /// Chunk ids in one lazy announcement.
    public var announcedChunks = 256
    /// Announced chunks that are waited for.
    public var missingChunks = 4_096
    /// Sync sessions that a node serves, and that it runs itself, at the same time.
    public var servedSessions = 3
    public var ownSessions = 2
    /// Bytes of chunks that one sync request may bring.
    public var syncRequestBytes = 1_024 * 1_024
    /// Version ranges in one sync request.
    public var syncRequestRanges = 128
    /// Versions, and the bytes of their chunks, that are kept for a schema to come. What comes beyond is refused, and sync brings it later.
    public var waitingVersions = 4_096
    public var waitingBytes = 64 * 1_024 * 1_024
    /// Chunks in one store operation.
    public var applyBatchChunks = 512

    public init() {}
}
