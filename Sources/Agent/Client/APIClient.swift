import AsyncHTTPClient
import HTTPTypes
import NIOCore
import NIOHTTP1
import PatinaProtocol
import PatinaStore

/// A client of an agent's HTTP API.
public struct APIClient: Sendable {
    public let address: Address
    private let bearerToken: String?
    private let client: HTTPClient
    /// How long a request may take until its answer begins.
    public var timeout: Duration = .seconds(120)
    /// Bytes of an answer that is read as a whole; and of one line of a stream.
    public static let answerBytes = 64 * 1_024 * 1_024

    /// Unlike the shared one it says at once that nobody answers, instead of trying until the timeout.
    private static let impatientClient: HTTPClient = {
        var configuration = HTTPClient.Configuration(timeout: .init(connect: .seconds(5)))
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    /// - Parameter client: connections are taken from it; one for the whole process by default.
    public init(address: Address, bearerToken: String? = nil, client: HTTPClient? = nil) {
        self.address = address
        self.bearerToken = bearerToken
        self.client = client ?? Self.impatientClient
    }

    /// Why there is no result.
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// The agent did not answer.
        case unreachable(Address, reason: String)
        /// The agent refused: its status and its words.
        case refused(status: Int, message: String)
        /// The answer is not what an agent says.
        case malformed(String)
        /// The query failed after it had begun.
        case interrupted(String)

        public var description: String {
            switch self {
            case .unreachable(let address, let reason): "the agent at \(address) cannot be reached: \(reason)"
            case .refused(let status, let message): message.isEmpty ? "the agent refused with status \(status)" : message
            case .malformed(let reason): "the agent's answer is not understood: \(reason)"
            case .interrupted(let message): message
            }
        }
    }

    /// What `POST /v1/transactions` answered.
    public struct TransactionReply: Hashable, Sendable {
        public struct Result: Hashable, Sendable {
            public var rowsAffected: Int64
            public var seconds: Double
        }

        public var results: [Result]
        public var seconds: Double
        /// The version that the transaction became; nil when it changed no replicated row.
        public var version: UInt64?
        public var actor: ActorID?
    }

    /// What `GET /v1/health` answered.
    public struct Health: Hashable, Sendable {
        public var isHealthy: Bool
        public var gaps: UInt64
        public var members: Int64
        public var queueSize: Int64
        public var p99LagSeconds: Double?
    }

    /// Runs the statements in one transaction.
    ///
    /// - Parameter timeout: how long the transaction may take; nil: as long as it needs.
    public func execute(_ statements: [Statement], timeout: Duration? = nil) async throws(Failure) -> TransactionReply {
        var writer = JSONWriter()
        writer.array(statements) { $0.statement($1) }
        let (status, body) = try await whole(request("/v1/transactions" + Self.query(timeout), body: writer.bytes))
        let answer = try Self.parse(body, status)
        guard status == 200 else { throw .refused(status: status, message: Self.message(of: answer)) }
        guard let results = answer["results"]?.array else { throw .malformed("a transaction's answer without results") }
        return TransactionReply(
            results: results.map { .init(rowsAffected: $0["rows_affected"]?.integer ?? 0, seconds: $0["time"]?.number ?? 0) },
            seconds: answer["time"]?.number ?? 0, version: answer["version"]?.integer.flatMap { UInt64(exactly: $0) },
            actor: answer["actor_id"]?.string.flatMap { ActorID($0) })
    }

    /// Starts a query. The rows are read as they are iterated; giving the iteration up ends the query.
    ///
    /// - Parameter timeout: how long the query may take for a row; zero: as long as it needs; nil: the agent's default.
    public func query(_ statement: Statement, timeout: Duration? = nil) async throws(Failure) -> RowStream {
        var writer = JSONWriter()
        writer.statement(statement)
        let response = try await send(request("/v1/queries" + Self.query(timeout), body: writer.bytes))
        guard response.status == .ok else {
            let answer = try Self.parse(try await collect(response), Int(response.status.code))
            throw .refused(status: Int(response.status.code), message: Self.message(of: answer))
        }
        return try await RowStream(response.body)
    }

    public func health() async throws(Failure) -> Health {
        let (status, body) = try await whole(request("/v1/health", method: .GET, body: nil))
        let answer = try Self.parse(body, status)
        guard let response = answer["response"] else { throw .refused(status: status, message: Self.message(of: answer)) }
        return Health(
            isHealthy: status == 200, gaps: response["gaps"]?.integer.flatMap { UInt64(exactly: $0) } ?? 0,
            members: response["members"]?.integer ?? 0, queueSize: response["queue_size"]?.integer ?? 0,
            p99LagSeconds: response["p99_lag"]?.number)
    }

    // MARK: Exchange

    private func request(_ path: String, method: HTTPMethod = .POST, body: [UInt8]?) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: "http://\(address)\(path)")
        request.method = method
        if let bearerToken { request.headers.add(name: "authorization", value: "Bearer \(bearerToken)") }
        if let body {
            request.headers.add(name: "content-type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: body))
        }
        return request
    }

    private func send(_ request: HTTPClientRequest) async throws(Failure) -> HTTPClientResponse {
        do {
            return try await client.execute(request, timeout: TimeAmount(timeout))
        } catch {
            throw .unreachable(address, reason: "\((error as? IOError)?.reason ?? String(describing: error))")
        }
    }

    private func collect(_ response: HTTPClientResponse) async throws(Failure) -> [UInt8] {
        do {
            return Array(try await response.body.collect(upTo: Self.answerBytes).readableBytesView)
        } catch {
            throw .malformed("\(error)")
        }
    }

    private func whole(_ request: HTTPClientRequest) async throws(Failure) -> (status: Int, body: [UInt8]) {
        let response = try await send(request)
        return (Int(response.status.code), try await collect(response))
    }

    private static func query(_ timeout: Duration?) -> String {
        timeout.map { "?timeout=\(Double($0.nanoseconds) / 1e9)" } ?? ""
    }

    /// Refusals may be plain text; then the text itself is the message.
    private static func parse(_ body: [UInt8], _ status: Int) throws(Failure) -> JSONValue {
        do throws(JSONError) {
            return try JSONValue(json: body)
        } catch {
            guard status == 200 else { throw .refused(status: status, message: String(decoding: body.prefix(2_000), as: UTF8.self)) }
            throw .malformed(error.description)
        }
    }

    private static func message(of answer: JSONValue) -> String {
        answer["error"]?.string ?? answer["results"]?.array?.lazy.compactMap { $0["error"]?.string }.first ?? ""
    }
}

extension JSONWriter {
    /// A statement in the shortest form that HTTP bodies have.
    mutating func statement(_ statement: Statement) {
        switch statement.parameters {
        case .none:
            string(statement.sql)
        case .positional(let values):
            raw("[")
            string(statement.sql)
            raw(",")
            array(values) { $0.value($1) }
            raw("]")
        case .named(let values):
            raw("[")
            string(statement.sql)
            raw(",{")
            for (index, value) in values.enumerated() {
                if index > 0 { raw(",") }
                string(value.name)
                raw(":")
                self.value(value.value)
            }
            raw("}]")
        }
    }
}
