/// Every bound of the HTTP server, by name. Reaching one answers a clear status; none grows with what clients send.
public struct HTTPLimits: Hashable, Sendable {
    /// Bytes of one request body (`api.max_body_bytes`). More is refused with 413 and not kept.
    public var bodyBytes = 64 * 1_024 * 1_024
    /// Requests of one data route that are worked on at once. One more is refused with 503.
    public var dataRequests = 128
    /// The same for `/v1/table_stats` and `/v1/health`.
    public var statusRequests = 4
    /// Tables that one `/v1/table_stats` may name.
    public var countedTables = 1_000
    /// Bytes of all header fields of a request.
    public var headerBytes = 64 * 1_024
    /// Streams that one HTTP/2 connection may have open.
    public var streams = 512
    /// Bytes that an HTTP/2 client may send on a stream before they are consumed.
    public var streamWindow = 1_024 * 1_024
    /// A connection without a request in progress is closed after this long. A request body that stops coming counts as none.
    public var idleTimeout: Duration = .seconds(300)
    /// A connection must say whether it is HTTP/1.1 or HTTP/2 within this time.
    public var prefaceTimeout: Duration = .seconds(60)
    /// How long a query may take for a row when the request does not say.
    public var queryTimeout: Duration = .seconds(60)
    /// How long requests in progress may take to end once the server shuts down.
    public var shutdownGrace: Duration = .milliseconds(500)

    public init() {}
}
