import HTTPTypes
import HummingbirdCore
import NIOCore

/// Reads a request's body into memory, and no more of it than the limit allows.
enum RequestBodyReader {
    enum Outcome: Sendable {
        case body([UInt8])
        /// More than the limit was announced or came; what came was let go.
        case tooLarge
    }

    /// True when the request says that its body is longer than `limit`.
    static func announcesTooMuch(_ head: HTTPRequest, limit: Int) -> Bool {
        guard let text = head.headerFields[.contentLength], let length = UInt64(text) else { return false }
        return length > UInt64(limit)
    }

    static func read(_ request: Request, limit: Int) async throws -> Outcome {
        guard !announcesTooMuch(request.head, limit: limit) else { return .tooLarge }
        var bytes: [UInt8] = []
        if let text = request.head.headerFields[.contentLength], let length = Int(text) {
            // Announcing is cheap: memory is reserved for what a small request has, the rest as it comes.
            bytes.reserveCapacity(min(max(0, length), 1_048_576))
        }
        for try await part in request.body {
            guard bytes.count + part.readableBytes <= limit else { return .tooLarge }
            part.withUnsafeReadableBytes { bytes.append(contentsOf: $0) }
        }
        return .body(bytes)
    }

    /// True for `application/json` and `application/*+json`, whatever parameters follow.
    static func isJSON(_ contentType: String?) -> Bool {
        guard let contentType else { return false }
        let type = contentType.prefix { $0 != ";" }.filter { $0 != " " && $0 != "\t" }.lowercased()
        return type == "application/json" || (type.hasPrefix("application/") && type.hasSuffix("+json"))
    }
}
