import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import PatinaProtocol
import PatinaStore
import ServiceLifecycle
import Synchronization
import Testing

@testable import PatinaAgent

@Suite("HTTP transport")
struct HTTPTransportTests {
    // MARK: Both versions on one port

    @Test(
        "versions: HTTP/1.1 and HTTP/2 with prior knowledge on one port",
        arguments: [
            ("--http1.1", "1.1"), ("--http2-prior-knowledge", "2"),
        ])
    func versions(option: String, version: String) async throws {
        try await withServer { url in
            let arguments = [
                option, "--silent", "--show-error", "--max-time", "30", "-H", "content-type: application/json", "--write-out",
                "%{http_version} %{http_code}",
            ]
            let whole = try await run("curl", arguments + ["--data", #"["INSERT INTO t VALUES (?)", [[1, 2]]]"#, url + "/v1/queries"])
            #expect(whole.code == 0, "\(whole.errors)")
            #expect(whole.text.hasPrefix("{\"columns\":[\"?1\"]}\n{\"row\":[1,[[1,2]]]}\n{\"eoq\":{\"time\":"))
            #expect(whole.text.hasSuffix("\(version) 200"))
            let refused = try await run("curl", arguments + ["--data", "[", url + "/v1/transactions"])
            #expect(refused.text.hasSuffix("\(version) 400"))
            let missing = try await run("curl", arguments + [url + "/nothing"])
            #expect(missing.text == "\(version) 404")
        }
    }

    @Test(
        "versions: the first bytes tell them apart",
        arguments: [
            ("", nil), ("P", nil), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r", nil),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PrefaceHandler.Version.http2),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", .http2), ("G", .http1), ("POST", .http1), ("PRI * HTTP/2.1", .http1), ("\r\n", .http1),
        ])
    func preface(text: String, expected: PrefaceHandler.Version?) { #expect(PrefaceHandler.version(of: Array(text.utf8)) == expected) }

    @Test("http/1.1: a request that comes byte by byte, and two at once")
    func pieces() async throws {
        try await withServer { url in
            let request = "GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n"
            let text = try await withConnection(to: url) { inbound, outbound in
                for byte in request.utf8 { try await outbound.write(ByteBuffer(bytes: [byte])) }
                try await outbound.write(ByteBuffer(string: request + "GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n"))
                var text = ""
                while !text.contains("404"), let part = try await inbound.next() { text += String(buffer: part) }
                return text
            }
            #expect(text.components(separatedBy: "HTTP/1.1 200 OK").count == 3)
            #expect(text.contains("HTTP/1.1 404 Not Found"))
        }
    }

    @Test("http/1.1: garbage ends its connection and nothing else")
    func garbage() async throws {
        try await withServer { url in
            for text in ["\u{0}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
                let answer = try await withConnection(to: url) { inbound, outbound in
                    try await outbound.write(ByteBuffer(string: text))
                    var answer = ""
                    while let part = try await inbound.next() { answer += String(buffer: part) }
                    return answer
                }
                #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4"), "\(text.debugDescription): \(answer)")
            }
            #expect(try await send(.GET, url + "/v1/health").status == 200)
        }
    }

    @Test("http/2: a PING is answered")
    func ping() async throws {
        try await withServer { url in
            let payload: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
            let received = try await withConnection(to: url) { inbound, outbound in
                let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]
                let ping: [UInt8] = [0, 0, 8, 6, 0, 0, 0, 0, 0] + payload
                try await outbound.write(ByteBuffer(bytes: PrefaceHandler.preface + settings + ping))
                var received: [UInt8] = []
                while let part = try await inbound.next() {
                    received += Array(part.readableBytesView)
                    if received.suffix(8).elementsEqual(payload) { break }
                }
                return received
            }
            // A PING frame with the ACK flag and the same payload.
            #expect(Array(received.suffix(17)) == [0, 0, 8, 6, 1, 0, 0, 0, 0] + payload)
        }
    }

    // MARK: Streaming

    @Test("streaming: the first row is read before the query has its second")
    func notCollected() async throws {
        let gate = Gate()
        var backend = ScriptedBackend()
        backend.onQuery = { (_, _) async throws(StoreError) in
            let rows = ScriptedBackend.rows(columns: ["a"], [[.integer(1)]], [[.integer(2)]])
            let count = ScriptedBackend.Box(Mutex(0))
            return RowBatches(columns: ["a"]) { () async throws(StoreError) in
                let isSecond = count.mutex.withLock { count in
                    count += 1
                    return count == 2
                }
                if isSecond { await gate.pass() }
                return try await rows.next()
            }
        }
        try await withServer(backend) { url in
            let client = APIClient(address: try #require(Address(String(url.dropFirst("http://".count)))))
            let stream = try await client.query(Statement("S"))
            #expect(stream.columns == ["a"])
            var rows = stream.makeAsyncIterator()
            #expect(try await rows.next() == [.integer(1)])
            #expect(rows.seconds == nil)
            gate.open()
            #expect(try await rows.next() == [.integer(2)])
            #expect(try await rows.next() == nil)
            #expect(rows.seconds != nil)
        }
    }

    @Test("streaming: a client that does not read stops the query")
    func backPressure() async throws {
        let pulled = ScriptedBackend.Box(Mutex(0))
        var backend = ScriptedBackend()
        let batch: [[Value]] = [[.text([UInt8](repeating: 0x61, count: 65_536))]]
        backend.onQuery = { (_, _) async throws(StoreError) in
            RowBatches(columns: ["a"]) { () async throws(StoreError) in
                pulled.mutex.withLock { $0 += 1 }
                return batch
            }
        }
        try await withServer(backend) { url in
            try await withConnection(to: url) { inbound, outbound in
                let head = "POST /v1/queries HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n"
                try await outbound.write(ByteBuffer(string: head + "\"S\""))
                _ = try await inbound.next()
                // Nothing is read any more: the sockets fill up, and then nothing moves.
                var last = -1
                var current = pulled.mutex.withLock { $0 }
                for _ in 0..<100 where current != last {
                    try await Task.sleep(for: .milliseconds(100))
                    (last, current) = (current, pulled.mutex.withLock { $0 })
                }
                #expect(current == last, "the query never came to rest")
                // The buffers of the system, of both ends.
                #expect(current * 65_536 < 64 * 1_024 * 1_024)
            }
        }
    }

    @Test("streaming: many rows over HTTP/2 come whole")
    func manyRows() async throws {
        var backend = ScriptedBackend()
        backend.onQuery = { (_, _) async throws(StoreError) in
            let next = ScriptedBackend.Box(Mutex(0))
            return RowBatches(columns: ["n", "t"]) { () async throws(StoreError) in
                let start = next.mutex.withLock { next in
                    next += 500
                    return next - 500
                }
                return start >= 50_000 ? nil : (start..<(start + 500)).map { [.integer(Int64($0)), .text("row \($0)")] }
            }
        }
        try await withServer(backend) { url in
            for option in ["--http1.1", "--http2-prior-knowledge"] {
                let output = try await run(
                    "curl",
                    [
                        option, "--silent", "--max-time", "60", "-H", "content-type: application/json", "--data", "\"S\"",
                        url + "/v1/queries",
                    ])
                let lines = output.text.split(separator: "\n")
                #expect(lines.count == 50_002)
                #expect(lines[50_000] == #"{"row":[50000,[49999,"row 49999"]]}"#)
                #expect(lines.last?.hasPrefix("{\"eoq\"") == true)
            }
        }
    }

    @Test("disconnect: a client that goes away cancels its query and its transaction", arguments: ["queries", "transactions"])
    func disconnect(route: String) async throws {
        let gate = Gate()
        let cancelled = ScriptedBackend.Box(Mutex(false))
        @Sendable func hang() async throws(StoreError) {
            gate.arrivals.withLock { $0 += 1 }
            try? await Task.sleep(for: .seconds(3_600))
            if Task.isCancelled { cancelled.mutex.withLock { $0 = true } }
            throw .interrupted
        }
        var backend = ScriptedBackend()
        backend.onTransact = { (_, _) async throws(StoreError) in
            try await hang()
            return ScriptedBackend.outcome(0)
        }
        backend.onQuery = { (_, _) async throws(StoreError) in
            RowBatches(columns: []) { () async throws(StoreError) in
                try await hang()
                return nil
            }
        }
        try await withServer(backend) { url in
            try await withConnection(to: url) { inbound, outbound in
                let head = "POST /v1/\(route) HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n"
                try await outbound.write(ByteBuffer(string: head + (route == "queries" ? "\"SQL\"" : "[\"S\"]")))
                #expect(await eventually { gate.arrivals.withLock { $0 } == 1 })
            }
            #expect(await eventually { cancelled.mutex.withLock { $0 } })
        }
    }

    // MARK: Bounds

    @Test("limits: what is too much at once is shed, and a stream keeps no place")
    func concurrency() async throws {
        let gate = Gate()
        var backend = ScriptedBackend()
        backend.onTransact = { (statements, _) async throws(StoreError) in
            await gate.pass()
            return ScriptedBackend.outcome(statements.count)
        }
        let stream = Gate()
        backend.onQuery = { (_, _) async throws(StoreError) in
            RowBatches(columns: []) { () async throws(StoreError) in
                await stream.pass()
                return nil
            }
        }
        try await withServer(backend, configured { $0.limits.dataRequests = 2 }) { url in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<2 {
                    group.addTask { try await send(.POST, url + "/v1/transactions", body: #"["A"]"#).status }
                }
                #expect(await eventually { gate.arrivals.withLock { $0 } == 2 })
                let shed = try await send(.POST, url + "/v1/transactions", body: #"["A"]"#)
                #expect(shed.status == 503)
                #expect(shed.text == "max concurrency limit reached")
                // Another route has places of its own, and streams that have begun count no more.
                for expected in 1...5 {
                    group.addTask { try await send(.POST, url + "/v1/queries", body: #""S""#).status }
                    #expect(await eventually { stream.arrivals.withLock { $0 } == expected })
                }
                stream.open()
                gate.open()
                for try await status in group { #expect(status == 200) }
            }
            #expect(try await send(.POST, url + "/v1/transactions", body: #"["A"]"#).status == 200)
        }
    }

    @Test("limits: a body over the limit is refused with 413, announced or not", arguments: [true, false])
    func bodyLimit(isAnnounced: Bool) async throws {
        try await withServer(ScriptedBackend(), configured { $0.limits.bodyBytes = 1_000 }) { url in
            for (count, status) in [(999, 200), (1_000, 200), (1_001, 413), (100_000, 413)] {
                var request = HTTPClientRequest(url: url + "/v1/queries")
                request.method = .POST
                request.headers.add(name: "content-type", value: "application/json")
                let body = ByteBuffer(string: "\"" + String(repeating: "a", count: count - 2) + "\"")
                request.body = .stream([body].async, length: isAnnounced ? .known(Int64(count)) : .unknown)
                let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
                #expect(Int(response.status.code) == status)
                let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
                if status == 413 {
                    #expect(text == "the request body is larger than the limit of 1000 bytes (api.max_body_bytes); send it in parts")
                }
            }
        }
    }

    @Test("limits: 300 MB are refused without being kept, and the server lives on", arguments: ["--http1.1", "--http2-prior-knowledge"])
    func hugeBody(option: String) async throws {
        try await withServer { url in
            try await withTemporaryDirectory { directory in
                // A hole: it costs no disk.
                let file = "\(directory)/huge"
                makeFile(file)
                let handle = try #require(FileHandle(forWritingAtPath: file))
                try handle.truncate(atOffset: 300 * 1_024 * 1_024)
                try handle.close()
                let before = residentBytes()
                for header in ["transfer-encoding: chunked", "expect: 100-continue"] {
                    // Without Expect, and of unknown length where the version has such: the server must count for itself.
                    let output = try await run(
                        "curl",
                        [
                            option, "--silent", "--show-error", "--max-time", "60", "-X", "POST", "-H", "content-type: application/json",
                            "-H", header, "-H", header.hasPrefix("expect") ? "x: y" : "expect:", "--write-out", " %{http_code}", "-T", file,
                            url + "/v1/transactions",
                        ])
                    #expect(output.text.contains("larger than the limit of 67108864 bytes"), "\(header): \(output.errors)")
                    #expect(output.text.contains(" 413"))
                }
                #expect(residentBytes() - before < 200 * 1_024 * 1_024)
            }
            #expect(try await send(.GET, url + "/v1/health").status == 200)
        }
    }

    @Test("expect: a client that waits for leave to send its body gets it")
    func expectContinue() async throws {
        try await withServer { url in
            let text = try await withConnection(to: url) { inbound, outbound in
                let head =
                    "POST /v1/queries HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                    + "expect: 100-continue\r\ncontent-length: 3\r\n\r\n"
                try await outbound.write(ByteBuffer(string: head))
                var text = ""
                while !text.contains("100 Continue"), let part = try await inbound.next() { text += String(buffer: part) }
                try await outbound.write(ByteBuffer(string: "\"S\""))
                while !text.contains("eoq"), let part = try await inbound.next() { text += String(buffer: part) }
                return text
            }
            #expect(text.hasPrefix("HTTP/1.1 100 Continue\r\n"))
            #expect(text.contains("HTTP/1.1 200 OK"))
        }
    }

    // MARK: The server itself

    @Test("server: a busy port is named with its key")
    func busyPort() async throws {
        try await withServer { url in
            let address = try #require(Address(String(url.dropFirst("http://".count))))
            let second = HTTPServer(.init(bind: address), backend: ScriptedBackend(), logger: quietLog.logger(label: "test"))
            await #expect(throws: AgentError.cannotListen(key: "api.bind_addr", address: "\(address)", reason: "Address already in use")) {
                try await second.run()
            }
            #expect(await second.address() == nil)
        }
    }

    @Test("server: a shutdown tells idle HTTP/2 clients goodbye and lets requests in progress end")
    func gracefulShutdown() async throws {
        let gate = Gate()
        var backend = ScriptedBackend()
        backend.onTransact = { (statements, _) async throws(StoreError) in
            await gate.pass()
            return ScriptedBackend.outcome(statements.count)
        }
        let server = HTTPServer(
            configured { $0.limits.shutdownGrace = .seconds(30) }, backend: backend, logger: quietLog.logger(label: "test"))
        let group = ServiceGroup(services: [server], logger: quietLog.logger(label: "test"))
        let running = Task { try await group.run() }
        let url = "http://\(try #require(await server.address()))"
        async let transaction = send(.POST, url + "/v1/transactions", body: #"["A"]"#)
        let received = try await withConnection(to: url) { inbound, outbound in
            let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]
            try await outbound.write(ByteBuffer(bytes: PrefaceHandler.preface + settings))
            _ = try await inbound.next()
            #expect(await eventually { gate.arrivals.withLock { $0 } == 1 })
            await group.triggerGracefulShutdown()
            var received: [UInt8] = []
            while let part = try await inbound.next() { received += Array(part.readableBytesView) }
            return received
        }
        // A GOAWAY frame: 8 bytes, type 7, stream 0, then the last stream that is served.
        #expect(received.firstRange(of: [0, 0, 8, 7, 0, 0, 0, 0, 0]) != nil)
        gate.open()
        let status = try await transaction.status
        #expect(status == 200)
        try await running.value
    }

    @Test("server: IPv6")
    func ipv6() async throws {
        let configuration = HTTPServer.Configuration(bind: try #require(Address("[::1]:0")))
        let server = HTTPServer(configuration, backend: ScriptedBackend(), logger: quietLog.logger(label: "test"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            let address = try #require(await server.address())
            #expect(address.description.hasPrefix("[::1]:") && address.port != 0)
            #expect(try await send(.GET, "http://\(address)/v1/health").status == 200)
            group.cancelAll()
        }
    }
}

/// Bytes of memory that this process has in use.
private func residentBytes() -> Int {
    let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4_096 : 0
}

extension Array where Element: Sendable {
    /// The elements, one after another, as a stream.
    fileprivate var async: AsyncStream<Element> {
        AsyncStream { continuation in
            for element in self { continuation.yield(element) }
            continuation.finish()
        }
    }
}
