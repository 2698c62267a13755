import NIOHTTP1
import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaAgent

@Suite("HTTP routes")
struct RoutesTests {
    // MARK: Transactions

    @Test("transactions: the answer has every result, the version and the actor")
    func transaction() async throws {
        let backend = ScriptedBackend()
        try await withServer(backend) { url in
            let answer = try await send(.POST, url + "/v1/transactions", body: #"["A", ["B ?", [1]]]"#)
            #expect(answer.status == 200)
            #expect(answer.headers["content-type"] == ["application/json"])
            let json = try #require(answer.json)
            #expect(json["results"]?.array?.count == 2)
            #expect(json["results"]?.array?[1]["rows_affected"]?.integer == 2)
            #expect(json["results"]?.array?[1]["time"] == .real(0.000271))
            #expect(json["version"]?.integer == 12)
            #expect(json["actor_id"]?.string == "112233445566778899aabbccddeeff00")
            #expect((json["time"]?.number ?? -1) > 0)
        }
        let seen = backend.record.transactions.withLock { $0 }
        #expect(seen.map(\.statements) == [[Statement("A"), Statement("B ?", .positional([.integer(1)]))]])
        #expect(seen.map(\.timeout) == [nil])
    }

    @Test("transactions: no version when no replicated row changed")
    func noVersion() async throws {
        var backend = ScriptedBackend()
        backend.onTransact = { (_, _) async throws(StoreError) in ScriptedBackend.outcome(1, version: nil) }
        try await withServer(backend) { url in
            let answer = try await send(.POST, url + "/v1/transactions", body: #"["A"]"#)
            #expect(answer.text.contains(#""version":null,"actor_id":"112233445566778899aabbccddeeff00"}"#))
        }
    }

    @Test("transactions: an empty list is refused in the form of a result")
    func emptyTransaction() async throws {
        try await withServer { url in
            let answer = try await send(.POST, url + "/v1/transactions", body: "[]")
            #expect(answer.status == 400)
            #expect(
                answer.text == #"{"results":[{"error":"at least 1 statement is required"}],"time":0.0,"version":null,"#
                    + #""actor_id":"112233445566778899aabbccddeeff00"}"#)
        }
    }

    @Test(
        "transactions: a failure is one result",
        arguments: [
            (StoreError.sqlite(code: 1, message: "no such table: t", sql: "A"), 500, "rusqlite: no such table: t"),
            (.statementRefused(message: "COMMIT is not allowed", sql: "COMMIT"), 500, "rusqlite: COMMIT is not allowed"),
            (.interrupted, 500, "rusqlite: interrupted"), (.tooLarge(message: "the value is too large"), 500, "the value is too large"),
            (.busy(message: "too many transactions wait"), 503, "too many transactions wait"),
        ])
    func failedTransaction(error: StoreError, status: Int, message: String) async throws {
        var backend = ScriptedBackend()
        backend.onTransact = { (_, _) async throws(StoreError) in throw error }
        try await withServer(backend) { url in
            let answer = try await send(.POST, url + "/v1/transactions", body: #"["A"]"#)
            #expect(answer.status == status)
            #expect(answer.json?["results"]?.array == [.members(("error", .string(message)))])
            #expect(answer.json?["version"] == .null && answer.json?["time"] == .real(0))
        }
    }

    // MARK: Queries

    @Test("queries: columns, numbered rows and the end, a line each")
    func query() async throws {
        var backend = ScriptedBackend()
        backend.onQuery = { (_, _) async throws(StoreError) in
            ScriptedBackend.rows(columns: ["a", "b\""], [[.integer(1), .text("x")], [.null, .real(2)]], [[.blob([1, 2]), .text("")]])
        }
        try await withServer(backend) { url in
            let answer = try await send(.POST, url + "/v1/queries", body: #""SELECT a, b FROM t""#)
            #expect(answer.status == 200)
            #expect(answer.lines.count == 5)
            #expect(answer.lines[0] == #"{"columns":["a","b\""]}"#)
            #expect(answer.lines[1] == #"{"row":[1,[1,"x"]]}"#)
            #expect(answer.lines[2] == #"{"row":[2,[null,2.0]]}"#)
            #expect(answer.lines[3] == #"{"row":[3,[[1,2],""]]}"#)
            #expect(try JSONValue(json: Array(answer.lines[4].utf8))["eoq"]?["time"]?.number != nil)
            #expect(answer.text.hasSuffix("\n"))
        }
    }

    @Test("queries: every encoding comes back as it went")
    func roundTrip() async throws {
        try await withServer { url in
            let parameters = #"[null, 1, -9223372036854775808, 1.0, 1e300, "é\"\n\u0000😀", [], [0, 255], 18446744073709551615]"#
            let answer = try await send(.POST, url + "/v1/queries", body: "[\"S\", \(parameters)]")
            #expect(
                answer.lines[1] == #"{"row":[1,[null,1,-9223372036854775808,1.0,1.0e300,"é\"\n\u0000😀","#
                    + #"[],[0,255],1.8446744073709552e19]]}"#
            )
        }
    }

    @Test(
        "queries: what SQLite refuses is 400, what fails later is not",
        arguments: [
            (StoreError.sqlite(code: 1, message: "near \"SELEC\": syntax error", sql: nil), 400), (.notReadOnly, 400),
            (.parameter(message: "no parameter :a", sql: "S"), 500), (.busy(message: "too many queries wait"), 503),
            (.sqlite(code: 11, message: "database disk image is malformed", sql: nil), 500),
        ])
    func refusedQuery(error: StoreError, status: Int) async throws {
        var backend = ScriptedBackend()
        backend.onQuery = { (_, _) async throws(StoreError) in throw error }
        try await withServer(backend) { url in
            let answer = try await send(.POST, url + "/v1/queries", body: #""S""#)
            #expect(answer.status == status)
            #expect(answer.json == .members(("error", .string(error.description))))
        }
    }

    @Test("queries: a failure in the middle stands in place of the end")
    func failureInTheMiddle() async throws {
        var backend = ScriptedBackend()
        backend.onQuery = { (_, _) async throws(StoreError) in
            let rows = ScriptedBackend.rows(columns: ["a"], [[.integer(1)]])
            return RowBatches(columns: ["a"]) { () async throws(StoreError) in
                guard let batch = try await rows.next() else { throw .interrupted }
                return batch
            }
        }
        try await withServer(backend) { url in
            let answer = try await send(.POST, url + "/v1/queries", body: #""S""#)
            #expect(answer.status == 200)
            #expect(answer.lines == [#"{"columns":["a"]}"#, #"{"row":[1,[1]]}"#, #"{"error":"interrupted"}"#])
        }
    }

    @Test(
        "timeouts: seconds, zero for none, and the defaults",
        arguments: [
            ("", Duration?.none, Duration?.some(.seconds(60))), ("?timeout=5", .seconds(5), .seconds(5)), ("?timeout=0", nil, nil),
            ("?x=1&timeout=0.25", .milliseconds(250), .milliseconds(250)), ("?timeout=1&timeout=2", .seconds(1), .seconds(1)),
        ])
    func timeouts(query: String, transaction: Duration?, expected: Duration?) async throws {
        let backend = ScriptedBackend()
        try await withServer(backend) { url in
            let status1 = try await send(.POST, url + "/v1/transactions" + query, body: #"["A"]"#).status
            #expect(status1 == 200)
            let status2 = try await send(.POST, url + "/v1/queries" + query, body: #""A""#).status
            #expect(status2 == 200)
        }
        #expect(backend.record.transactions.withLock { $0.map(\.timeout) } == [transaction])
        #expect(backend.record.queries.withLock { $0.map(\.timeout) } == [expected])
    }

    // MARK: Status

    @Test(
        "health: the numbers, and when they are too bad",
        arguments: [
            ("", 200), ("?gaps=2", 200), ("?gaps=1", 503), ("?max_queue=7", 200), ("?max_queue=6", 503), ("?p99_lag=0.3", 200),
            ("?p99_lag=0.2", 503), ("?p99_lag=0.2&queue_size=7", 200), ("?p99_lag=0.2&queue_size=6", 503),
            ("?gaps=0&failure_status=418", 418),
            ("?gaps=-1", 503), ("?gaps=x", 400), ("?p99_lag=nan", 400), ("?failure_status=99", 400), ("?failure_status=600", 400),
            ("?max_queue=-1", 400), ("?unknown=1", 200),
        ])
    func health(query: String, status: Int) async throws {
        var backend = ScriptedBackend()
        backend.reportedStatus = AgentStatus(actor: backend.actor, aliveMembers: 3, gaps: 2, queueLength: 7, lag99: .milliseconds(250))
        try await withServer(backend) { url in
            let answer = try await send(.GET, url + "/v1/health" + query)
            #expect(answer.status == status)
            guard status != 400 else { return }
            #expect(answer.text == #"{"response":{"gaps":2,"members":3,"p99_lag":0.25,"queue_size":7,"waiting_for_schema":0}}"#)
        }
    }

    @Test("health: an idle node is healthy, one that shuts down is not")
    func idleHealth() async throws {
        var backend = ScriptedBackend()
        try await withServer(backend) { url in
            let answer = try await send(.GET, url + "/v1/health?p99_lag=0.1&gaps=0")
            #expect(answer.status == 200)
            #expect(answer.json?["response"]?["p99_lag"] == .null)
        }
        backend.reportedStatus = nil
        try await withServer(backend) { url in
            let answer = try await send(.GET, url + "/v1/health")
            #expect(answer.status == 503)
            #expect(answer.json?["error"]?.string == "the node is shutting down")
        }
    }

    @Test("table_stats: counts what there is, names what there is not")
    func tableStats() async throws {
        var backend = ScriptedBackend()
        backend.onQuery = { (statement, _) async throws(StoreError) in
            switch statement.parameters {
            case .positional(let values) where values == [.text("a")] || values == [.text("b\"")]:
                ScriptedBackend.rows(columns: ["1"], [[.integer(1)]])
            case .positional: ScriptedBackend.rows(columns: ["1"])
            case .none, .named: ScriptedBackend.rows(columns: ["n"], [[.integer(21)]])
            }
        }
        try await withServer(backend) { url in
            let answer = try await send(.POST, url + "/v1/table_stats", body: #"{"tables":["a","missing","b\""],"x":1}"#)
            #expect(answer.status == 200)
            #expect(answer.text == #"{"total_row_count":42,"invalid_tables":["missing"]}"#)
            for body in ["{}", #"{"tables":"a"}"#, #"{"tables":[1]}"#, "[]"] {
                let status3 = try await send(.POST, url + "/v1/table_stats", body: body).status
                #expect(status3 == 422)
            }
        }
        #expect(backend.record.queries.withLock { $0.map(\.statement.sql) }.contains(#"SELECT count(*) FROM "b""""#))
    }

    // MARK: Bad input

    @Test(
        "status: content types",
        arguments: [
            (["application/json"], 200), (["application/json; charset=utf-8"], 200), (["APPLICATION/JSON"], 200),
            (["application/x+json"], 200),
            ([], 415), (["text/plain"], 415), (["application/jsonx"], 415), (["application/x-www-form-urlencoded"], 415),
        ])
    func contentTypes(types: [String], status: Int) async throws {
        try await withServer { url in
            let headers = types.map { ("content-type", $0) }
            let status4 = try await send(.POST, url + "/v1/transactions", body: #"["A"]"#, headers: headers).status
            #expect(status4 == status)
        }
    }

    @Test(
        "status: bodies that are not understood are text that says why",
        arguments: [
            ("transactions", "", 400, "the body is not JSON: a value is missing: the text ends here at line 1 column 1"),
            ("transactions", "[\"A\"", 400, "the body is not JSON: the text ends inside an array at line 1 column 5"),
            ("transactions", "[\"A\"] x", 400, "the body is not JSON: unexpected characters behind the value at line 1 column 7"),
            (
                "transactions", "{}", 422,
                "the body has the wrong form: an array of statements is expected, this is an object at line 1 column 1"
            ),
            (
                "queries", "[\"S\", 1, 2]", 422,
                "the body has the wrong form: parameters are an array or an object, this is a number: write [\"SELECT ?1, ?2\", [1, 2]] "
                    + "at line 1 column 7"
            ),
        ])
    func badBodies(route: String, body: String, status: Int, message: String) async throws {
        try await withServer { url in
            let answer = try await send(.POST, "\(url)/v1/\(route)", body: body)
            #expect(answer.status == status)
            #expect(answer.text == message)
            #expect(answer.headers["content-type"] == ["text/plain; charset=utf-8"])
        }
    }

    @Test("status: bad query strings", arguments: ["timeout=x", "timeout=-1", "timeout=inf", "timeout=", "timeout=1e300"])
    func badQueryStrings(query: String) async throws {
        try await withServer { url in
            let status5 = try await send(.POST, "\(url)/v1/transactions?\(query)", body: #"["A"]"#).status
            #expect(status5 == 400)
            let status6 = try await send(.POST, "\(url)/v1/queries?\(query)", body: #""A""#).status
            #expect(status6 == 400)
        }
    }

    @Test(
        "status: unknown paths and wrong methods",
        arguments: [
            (HTTPMethod.GET, "/", 404), (.POST, "/v1/migrations", 404), (.POST, "/v1/transactions/", 404), (.GET, "/v1/transactions", 405),
            (.PUT, "/v1/queries", 405), (.POST, "/v1/health", 405), (.DELETE, "/v1/table_stats", 405), (.GET, "/v1/health?x", 200),
        ])
    func paths(method: HTTPMethod, path: String, status: Int) async throws {
        try await withServer { url in
            let answer = try await send(method, url + path, body: method == .POST ? "[]" : nil)
            #expect(answer.status == status)
            if status != 200 { #expect(answer.bytes.isEmpty) }
            if status == 405 { #expect(answer.headers["allow"] == [path.hasPrefix("/v1/health") ? "GET" : "POST"]) }
        }
    }

    @Test("status: HEAD of health has no body")
    func head() async throws {
        try await withServer { url in
            let answer = try await send(.HEAD, url + "/v1/health")
            #expect(answer.status == 200)
            #expect(answer.bytes.isEmpty)
        }
    }

    // MARK: Who may ask

    @Test(
        "authorization: the token, for every path",
        arguments: [
            (String?.some("s3cret"), [String](), 401), ("s3cret", ["Bearer s3cret"], 200), ("s3cret", ["bearer s3cret"], 200),
            ("s3cret", ["Bearer wrong"], 401), ("s3cret", ["Bearer s3cret2"], 401), ("s3cret", ["Bearer s3cre"], 401),
            ("s3cret", ["Basic czNjcmV0"], 400), ("s3cret", ["s3cret"], 400), ("s3cret", ["Bearer "], 400), (nil, [], 200),
            (nil, ["Bearer anything"], 200), (nil, ["Basic czNjcmV0"], 400),
        ])
    func authorization(token: String?, headers: [String], status: Int) async throws {
        try await withServer(ScriptedBackend(), configured { $0.bearerToken = token }) { url in
            let fields = headers.map { ("authorization", $0) } + [("content-type", "application/json")]
            let status7 = try await send(.POST, url + "/v1/transactions", body: #"["A"]"#, headers: fields).status
            #expect(status7 == status)
            // Paths that are none are no way to find out what there is.
            let status8 = try await send(.GET, url + "/nothing", headers: fields).status
            #expect(status8 == (status == 200 ? 404 : status))
        }
    }

    @Test(
        "authorization: the endpoint's name",
        arguments: [
            (String?.some("here"), String?.some("here"), 200), ("here", "there", 421), ("here", nil, 200), (nil, "there", 200),
            ("here", "", 421),
        ])
    func endpointName(name: String?, requested: String?, status: Int) async throws {
        try await withServer(ScriptedBackend(), configured { $0.endpointName = name }) { url in
            let fields = requested.map { [("x-corrosion-requested-endpoint-name", $0)] } ?? []
            let status9 = try await send(.GET, url + "/v1/health", headers: fields).status
            #expect(status9 == status)
        }
    }
}
