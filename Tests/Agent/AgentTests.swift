import AsyncHTTPClient
import Foundation
import NIOCore
import PatinaProtocol
import PatinaStore
import Synchronization
import Testing

@testable import PatinaAgent

@Suite("Agent")
struct AgentTests {
    private func configuration(_ directory: String) -> AgentConfiguration {
        var configuration = AgentConfiguration(
            database: .init(path: "\(directory)/state.db"), api: .init(bind: [loopback, loopback]),
            gossip: .init(bind: loopback, security: .plaintext))
        configuration.admin.socketPath = "\(directory)/admin.sock"
        return configuration
    }

    private func agent(_ configuration: AgentConfiguration, _ backend: ScriptedBackend, environment: [String: String] = [:]) -> Agent {
        var agent = Agent(configuration: configuration, log: quietLog, environment: environment) { _, _ in backend }
        agent.signals = []
        return agent
    }

    @Test("agent: everything listens, answers, and ends")
    func whole() async throws {
        let backend = ScriptedBackend()
        try await withTemporaryDirectory { directory in
            var configuration = configuration(directory)
            configuration.api.bearerToken = "token"
            configuration.api.maximumBodyBytes = 2_048
            try await withRunningAgent(agent(configuration, backend)) { addresses in
                #expect(addresses.api.count == 2 && Set(addresses.api.map(\.port)).count == 2 && addresses.gossip == backend.gossipAddress)
                for address in addresses.api {
                    let client = APIClient(address: address, bearerToken: "token")
                    #expect(try await client.health().members == 3)
                    let reply = try await client.execute([Statement("A"), Statement("B")])
                    #expect(reply.results.map(\.rowsAffected) == [1, 2] && reply.version == 12 && reply.actor == backend.actor)
                    await #expect(throws: APIClient.Failure.self) { try await APIClient(address: address).health() }
                    do {
                        _ = try await client.execute([Statement(String(repeating: "x", count: 4_096))])
                        Issue.record("the body is over the limit")
                    } catch {
                        #expect("\(error)".contains("larger than the limit of 2048 bytes"))
                    }
                }
                #expect(try await AdminClient(path: addresses.adminSocket).send(.ping).isEmpty)
            }
            #expect(!FileManager.default.fileExists(atPath: configuration.admin.socketPath))
        }
        #expect(backend.record.shutdowns.withLock { $0 } == 1)
    }

    @Test("agent: systemd hears of the start and of the end")
    func systemd() async throws {
        try await withTemporaryDirectory { directory in
            let path = "\(directory)/notify"
            let descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue), 0)
            defer { close(descriptor) }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    #expect(bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0)
                }
            }
            @Sendable func receive() -> String {
                var buffer = [UInt8](repeating: 0, count: 512)
                let count = recv(descriptor, &buffer, buffer.count, CInt(MSG_DONTWAIT))
                return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : ""
            }
            let environment = ["NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000"]
            let watchdogs = ScriptedBackend.Box(.init(0))
            try await withRunningAgent(agent(configuration(directory), ScriptedBackend(), environment: environment)) { _ in
                #expect(await eventually { receive().hasPrefix("READY=1\nSTATUS=serving on 127.0.0.1:") })
                #expect(
                    await eventually {
                        if receive() == "WATCHDOG=1" { watchdogs.mutex.withLock { $0 += 1 } }
                        return watchdogs.mutex.withLock { $0 } >= 3
                    })
            }
            #expect(await eventually { receive() == "STOPPING=1" })
        }
    }

    @Test("agent: a busy port ends it with one line, and closes the node")
    func busyPort() async throws {
        let backend = ScriptedBackend()
        try await withServer { url in
            try await withTemporaryDirectory { directory in
                var configuration = configuration(directory)
                let busy = try #require(Address(String(url.dropFirst("http://".count))))
                configuration.api.bind = [loopback, busy]
                let agent = agent(configuration, backend)
                do {
                    try await agent.run()
                    Issue.record("the agent ended without an error")
                } catch {
                    #expect("\(error)" == "api.bind_addr: cannot listen on \(busy): Address already in use")
                }
            }
        }
        #expect(backend.record.shutdowns.withLock { $0 } == 1)
    }

    @Test("agent: broken storage ends it with the reason")
    func brokenStorage() async throws {
        var backend = ScriptedBackend()
        let broken = Gate()
        backend.onFatal = {
            await broken.pass()
            return .sqlite(code: 13, message: "database or disk is full", sql: nil)
        }
        try await withTemporaryDirectory { directory in
            var agent = agent(configuration(directory), backend)
            agent.onReady = { _ in broken.open() }
            do {
                try await agent.run()
                Issue.record("the agent ended without an error")
            } catch {
                #expect("\(error)" == "the database \(directory)/state.db failed: database or disk is full")
            }
        }
        #expect(backend.record.shutdowns.withLock { $0 } == 1)
    }

    @Test("agent: a node that does not end is left behind")
    func shutdownLimit() async throws {
        let gate = Gate()
        var backend = ScriptedBackend()
        backend.onShutdown = { await gate.pass() }
        try await withTemporaryDirectory { directory in
            var agent = agent(configuration(directory), backend)
            agent.shutdownLimit = .milliseconds(200)
            await #expect(throws: AgentError.shutdownTimedOut) {
                try await withRunningAgent(agent) { _ in }
            }
        }
        gate.open()
    }

    @Test("agent: a query that never ends does not delay the end")
    func endlessQuery() async throws {
        var backend = ScriptedBackend()
        backend.onQuery = { (_, _) async throws(StoreError) in
            RowBatches(columns: ["a"]) { () async throws(StoreError) in
                try? await Task.sleep(for: .seconds(3_600))
                throw .interrupted
            }
        }
        let ending = ScriptedBackend.Box(Mutex(ContinuousClock.now))
        try await withTemporaryDirectory { directory in
            try await withRunningAgent(agent(configuration(directory), backend)) { addresses in
                let stream = try await APIClient(address: addresses.api[0]).query(Statement("S"))
                #expect(stream.columns == ["a"])
                ending.mutex.withLock { $0 = .now }
            }
        }
        #expect(ending.mutex.withLock { $0 }.duration(to: .now) < .seconds(5))
    }
}

@Suite("API client")
struct APIClientTests {
    private func withClient(_ backend: ScriptedBackend = ScriptedBackend(), _ body: (APIClient) async throws -> Void) async throws {
        try await withServer(backend) { url in
            try await body(APIClient(address: try #require(Address(String(url.dropFirst("http://".count))))))
        }
    }

    @Test("client: values come back as they went")
    func roundTrip() async throws {
        let values: [Value] = [
            .null, .integer(.min), .integer(.max), .real(-0.0), .real(1), .real(1e300), .text("é\n\u{0}"), .blob([0, 255]),
        ]
        try await withClient { client in
            let stream = try await client.query(Statement("S", .positional(values)))
            var rows: [[Value]] = []
            for try await row in stream { rows.append(row) }
            #expect(rows == [values])
        }
    }

    @Test("client: refusals carry the agent's words")
    func refusals() async throws {
        var backend = ScriptedBackend()
        backend.onTransact = { (_, _) async throws(StoreError) in throw .sqlite(code: 1, message: "no such table: t", sql: nil) }
        backend.onQuery = { (_, _) async throws(StoreError) in throw .notReadOnly }
        try await withClient(backend) { client in
            await #expect(throws: APIClient.Failure.refused(status: 500, message: "rusqlite: no such table: t")) {
                try await client.execute([Statement("A")])
            }
            await #expect(throws: APIClient.Failure.refused(status: 400, message: "at least 1 statement is required")) {
                try await client.execute([])
            }
            await #expect(throws: APIClient.Failure.refused(status: 400, message: "statement is not readonly")) {
                _ = try await client.query(Statement("A"))
            }
        }
    }

    @Test("client: an error in the middle is thrown after the rows before it, a cut stream too")
    func broken() async throws {
        var backend = ScriptedBackend()
        backend.onQuery = { (_, _) async throws(StoreError) in
            let rows = ScriptedBackend.rows(columns: ["a"], [[.integer(1)]])
            return RowBatches(columns: ["a"]) { () async throws(StoreError) in
                guard let batch = try await rows.next() else { throw .interrupted }
                return batch
            }
        }
        try await withClient(backend) { client in
            var iterator = try await client.query(Statement("S")).makeAsyncIterator()
            #expect(try await iterator.next() == [.integer(1)])
            await #expect(throws: APIClient.Failure.interrupted("interrupted")) { _ = try await iterator.next() }
        }
    }

    @Test("client: nobody there")
    func unreachable() async throws {
        let client = APIClient(address: Address(ipv4: 0x7F00_0001, port: 1))
        await #expect(throws: APIClient.Failure.self) { try await client.health() }
    }

    @Test(
        "client: lines of an answer",
        arguments: [
            (#"{"columns":[]}"#, RowStream.Line?.some(.columns([]))), (#"{"row":[7,[1,1.0,null]]}"#, .row([.integer(1), .real(1), .null])),
            (#"{"eoq":{"time":5e-8}}"#, .end(seconds: 5e-8)), (#"{"eoq":{"time":0.5,"change_id":3}}"#, .end(seconds: 0.5)),
            (#"{"error":"x"}"#, .failure("x")), ("{}", nil), ("[]", nil), (#"{"row":[1]}"#, nil), (#"{"row":[1,[{}]]}"#, nil), ("", nil),
        ])
    func lines(text: String, expected: RowStream.Line?) {
        #expect((try? RowStream.Line(Array(text.utf8))) == expected)
    }
}
