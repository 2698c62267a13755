import HTTPTypes
import PatinaProtocol
import PatinaStore

/// The body of `POST /v1/table_stats`: `{"tables": ["t1", "t2"]}`.
struct TableStatsRequest: Hashable, Sendable {
    let tables: [String]

    init(_ body: [UInt8], limit: Int) throws(JSONError) {
        var tables: [String]?
        var reader = JSONReader(body)
        try reader.readObject { (reader, key) throws(JSONError) in
            guard key == "tables" else { return try reader.skipValue() }
            var names: [String] = []
            try reader.readArray { (reader) throws(JSONError) in
                guard names.count < limit else { throw reader.shape("more than \(limit) tables in one request") }
                names.append(try reader.readString())
            }
            tables = names
        }
        guard let tables else { throw reader.shape("the key \"tables\" is missing") }
        try reader.finish()
        self.tables = tables
    }
}

/// `GET /v1/health` and `POST /v1/table_stats`.
extension APIResponder {
    /// Unlike Corrosion, an idle node is healthy: its lag is null.
    func healthReply(_ query: RequestQuery) async throws(RequestQuery.Malformed) -> APIReply {
        let gaps = try query.integer("gaps")
        let lag = try query.number("p99_lag")
        let maximumQueue = try query.unsigned("max_queue")
        let lagQueue = try query.unsigned("queue_size")
        let failure = HTTPResponse.Status(code: Int(try query.unsigned("failure_status", upTo: 599) ?? 503))
        guard (200...599).contains(failure.code) else {
            throw RequestQuery.Malformed(name: "failure_status", value: "\(failure.code)", expected: "a status from 200 to 599")
        }
        guard let status = await backend.status() else { return .error(failure, "the node is shutting down") }

        var isHealthy = true
        let queue = UInt64(max(0, status.queueLength))
        if let gaps, Int64(clamping: status.gaps) > gaps { isHealthy = false }
        if let maximumQueue, queue > maximumQueue { isHealthy = false }
        let seconds = status.lag99.map { Double($0.nanoseconds) / 1e9 }
        if let lag, let seconds, seconds > lag, lagQueue.map({ queue > $0 }) ?? true { isHealthy = false }
        let response = JSONValue.members(
            ("gaps", .unsigned(status.gaps)), ("members", .integer(Int64(status.aliveMembers))),
            ("p99_lag", seconds.map { .real($0) } ?? .null), ("queue_size", .unsigned(queue)),
            ("waiting_for_schema", .integer(Int64(status.waitingVersions))))
        return .json(isHealthy ? .ok : failure, JSONValue.members(("response", response)).json())
    }

    func tableStatsReply(_ request: TableStatsRequest) async -> APIReply {
        var total: Int64 = 0
        var invalid: [String] = []
        do throws(StoreError) {
            for table in request.tables {
                if let count = try await rowCount(of: table) { total += count } else { invalid.append(table) }
            }
        } catch {
            return .json(.internalServerError, tableStats(total: 0, invalid: invalid))
        }
        return .json(.ok, tableStats(total: total, invalid: invalid))
    }

    private func tableStats(total: Int64, invalid: [String]) -> [UInt8] {
        JSONValue.members(("total_row_count", .integer(total)), ("invalid_tables", .array(invalid.map { .string($0) }))).json()
    }

    /// Nil when there is no such table.
    private func rowCount(of table: String) async throws(StoreError) -> Int64? {
        let look = Statement("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", .positional([.text(table)]))
        guard try await first(look) != nil else { return nil }
        let quoted = table.replacing("\"", with: "\"\"")
        guard case .integer(let count) = try await first(Statement("SELECT count(*) FROM \"\(quoted)\"")) else { return nil }
        return count
    }

    private func first(_ statement: Statement) async throws(StoreError) -> Value? {
        let rows = try await backend.query(statement, timeout: limits.queryTimeout)
        var found: Value?
        while let batch = try await rows.next() { found = found ?? batch.first?.first }
        return found
    }
}
