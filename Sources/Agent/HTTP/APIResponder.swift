import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import PatinaProtocol
import PatinaStore

/// Answers the requests of the HTTP API: checks who asks, finds the route, sheds what is too much, and writes the answer.
struct APIResponder: Sendable {
    let backend: any AgentBackend
    let authorization: Authorization
    let limits: HTTPLimits
    let registry: ConnectionRegistry
    let logger: Logger
    private let transactions: ConcurrencyLimit
    private let queries: ConcurrencyLimit
    private let tableStats: ConcurrencyLimit
    private let health: ConcurrencyLimit

    init(backend: any AgentBackend, authorization: Authorization, limits: HTTPLimits, registry: ConnectionRegistry, logger: Logger) {
        self.backend = backend
        self.authorization = authorization
        self.limits = limits
        self.registry = registry
        self.logger = logger
        transactions = ConcurrencyLimit(limits.dataRequests)
        queries = ConcurrencyLimit(limits.dataRequests)
        tableStats = ConcurrencyLimit(limits.statusRequests)
        health = ConcurrencyLimit(limits.statusRequests)
    }

    enum Route: Hashable, Sendable {
        case transactions, queries, tableStats, health

        init?(path: some StringProtocol) {
            switch path {
            case "/v1/transactions": self = .transactions
            case "/v1/queries": self = .queries
            case "/v1/table_stats": self = .tableStats
            case "/v1/health": self = .health
            default: return nil
            }
        }

        func allows(_ method: HTTPRequest.Method) -> Bool {
            switch self {
            case .transactions, .queries, .tableStats: method == .post
            case .health: method == .get || method == .head
            }
        }

        var method: HTTPRequest.Method { self == .health ? .get : .post }
    }

    func respond(
        _ version: PrefaceHandler.Version, _ request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel
    ) async throws {
        let refusal = preliminary(request.head)
        if refusal == nil, request.headers[.expect]?.lowercased() == "100-continue", version == .http1 {
            try await writer.writeInformationalHead(HTTPResponse(status: .continue))
        }
        let reply: APIReply
        if let refusal {
            reply = refusal
        } else {
            reply = await answer(request, channel)
        }
        switch reply {
        case .whole(let status, let contentType, var headers, let bytes):
            if version == .http2 { headers[.connection] = nil }
            try await write(HTTPResponse(status: status, headerFields: headers), contentType, bytes, request.method, writer)
        case .rows(let rows, let started):
            try await stream(rows, started: started, channel, writer)
        }
    }

    // MARK: Finding out what to say

    /// What can be refused by the head alone, before the client sends its body.
    private func preliminary(_ head: HTTPRequest) -> APIReply? {
        if let refusal = authorization.refusal(of: head) { return refusal }
        guard let route = route(of: head) else { return .empty(.notFound) }
        guard route.allows(head.method) else { return .methodNotAllowed(route.method) }
        guard route != .health else { return nil }
        guard RequestBodyReader.isJSON(head.headerFields[.contentType]) else {
            return .text(.unsupportedMediaType, "the body must be JSON, with the header content-type: application/json")
        }
        return RequestBodyReader.announcesTooMuch(head, limit: limits.bodyBytes) ? .tooLarge(limit: limits.bodyBytes) : nil
    }

    private func route(of head: HTTPRequest) -> Route? {
        guard let path = head.path else { return nil }
        return Route(path: path.prefix { $0 != "?" })
    }

    private func answer(_ request: Request, _ channel: any Channel) async -> APIReply {
        guard let route = route(of: request.head) else { return .empty(.notFound) }
        let query = RequestQuery(path: request.head.path ?? "")
        let limit: ConcurrencyLimit =
            switch route {
            case .transactions: transactions
            case .queries: queries
            case .tableStats: tableStats
            case .health: health
            }
        // The place is given back once the answer begins: a long stream does not keep one.
        let reply = await limit.run {
            do {
                return try await answer(route, query, request, channel)
            } catch let error as RequestQuery.Malformed {
                return .text(.badRequest, error.description)
            } catch let error as JSONError {
                switch error.kind {
                case .syntax: return .text(.badRequest, "the body is not JSON: \(error)")
                case .shape: return .text(.unprocessableContent, "the body has the wrong form: \(error)")
                }
            } catch {
                logger.debug("request failed", metadata: ["reason": "\(error)"])
                return .text(.badRequest, "the body could not be read")
            }
        }
        return reply ?? .overloaded
    }

    private func answer(_ route: Route, _ query: RequestQuery, _ request: Request, _ channel: any Channel) async throws -> APIReply {
        if route == .health { return try await healthReply(query) }
        let timeout = try query.timeout()
        let body: [UInt8]
        switch try await RequestBodyReader.read(request, limit: limits.bodyBytes) {
        case .body(let bytes): body = bytes
        case .tooLarge: return .tooLarge(limit: limits.bodyBytes)
        }
        switch route {
        case .transactions:
            let statements = try StatementDecoder.statements(body)
            return await registry.withCancellationOnClose(of: channel) { await transactionReply(statements, timeout: timeout ?? nil) }
        case .queries:
            let statement = try StatementDecoder.statement(body)
            let patience = timeout ?? limits.queryTimeout
            return await registry.withCancellationOnClose(of: channel) { await queryReply(statement, timeout: patience) }
        case .tableStats:
            let tables = try TableStatsRequest(body, limit: limits.countedTables)
            return await registry.withCancellationOnClose(of: channel) { await tableStatsReply(tables) }
        case .health:
            preconditionFailure("health has no body and was answered above")
        }
    }

    // MARK: Writing

    private func write(
        _ head: HTTPResponse, _ contentType: String?, _ bytes: [UInt8], _ method: HTTPRequest.Method, _ writer: consuming ResponseWriter
    ) async throws {
        var head = head
        if let contentType { head.headerFields[.contentType] = contentType }
        head.headerFields[.contentLength] = String(bytes.count)
        if bytes.isEmpty || method == .head {
            try await writer.writeResponse(head)
        } else {
            try await writer.write(response: head, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        }
    }

    /// Each line goes out when it is known; taking the next rows waits until the client has taken these.
    private func stream(
        _ rows: RowBatches, started: ContinuousClock.Instant, _ channel: any Channel,
        _ writer: consuming ResponseWriter
    ) async throws {
        // Not in Corrosion's answer, and harmless to its clients.
        var body = try await writer.writeHead(HTTPResponse(status: .ok, headerFields: [.contentType: "application/x-ndjson"]))
        var encoder = RowEncoder()
        try await body.write(ByteBuffer(bytes: encoder.columns(rows.columns)))
        while true {
            let next = await registry.withCancellationOnClose(of: channel) { await RowStep(rows) }
            switch next {
            case .batch(let batch):
                try await body.write(ByteBuffer(bytes: encoder.rows(batch)))
            case .end:
                try await body.write(ByteBuffer(bytes: encoder.end(after: started.duration(to: .now))))
                return try await body.finish(nil)
            case .failed(let error):
                try await body.write(ByteBuffer(bytes: encoder.failure(error.description)))
                return try await body.finish(nil)
            }
        }
    }
}

/// One step of a query's stream.
private enum RowStep: Sendable {
    case batch([[Value]])
    case end
    case failed(StoreError)

    init(_ rows: RowBatches) async {
        do throws(StoreError) {
            self = if let batch = try await rows.next() { .batch(batch) } else { .end }
        } catch {
            self = .failed(error)
        }
    }
}
