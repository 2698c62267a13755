import HTTPTypes

/// The answer to a request: all of it, or the rows of a query that follow.
enum APIReply: Sendable {
    case whole(HTTPResponse.Status, contentType: String?, headers: HTTPFields = [:], bytes: [UInt8])
    /// NDJSON: the columns, the rows, and what it took.
    case rows(RowBatches, started: ContinuousClock.Instant)

    static func empty(_ status: HTTPResponse.Status) -> APIReply { .whole(status, contentType: nil, bytes: []) }

    static func text(_ status: HTTPResponse.Status, _ text: String) -> APIReply {
        .whole(status, contentType: "text/plain; charset=utf-8", bytes: Array(text.utf8))
    }

    static func json(_ status: HTTPResponse.Status, _ bytes: [UInt8]) -> APIReply {
        .whole(status, contentType: "application/json", bytes: bytes)
    }

    /// `{"error": …}`
    static func error(_ status: HTTPResponse.Status, _ message: String) -> APIReply {
        .json(status, JSONValue.members(("error", .string(message))).json())
    }

    static let unauthorized = APIReply.empty(.unauthorized)
    static let overloaded = APIReply.text(.serviceUnavailable, "max concurrency limit reached")

    static func methodNotAllowed(_ allowed: HTTPRequest.Method) -> APIReply {
        .whole(.methodNotAllowed, contentType: nil, headers: [.allow: allowed.rawValue], bytes: [])
    }

    /// The body is longer than `limit`. The connection is of no more use: the client may not have sent the body at all.
    static func tooLarge(limit: Int) -> APIReply {
        .whole(
            .contentTooLarge, contentType: "text/plain; charset=utf-8", headers: [.connection: "close"],
            bytes: Array("the request body is larger than the limit of \(limit) bytes (api.max_body_bytes); send it in parts".utf8))
    }
}
