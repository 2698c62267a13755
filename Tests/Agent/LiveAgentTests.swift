import Foundation
import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaAgent

/// Agents with the real node behind them: a database file, a UDP socket, certificates.
@Suite("Agent with a real node")
struct LiveAgentTests {
    private func configuration(_ directory: String, name: String = "a", security: AgentConfiguration.Security = .plaintext) throws
        -> AgentConfiguration
    {
        let schema = "\(directory)/schema.sql"
        makeFile(schema, Array("CREATE TABLE notes (id INTEGER NOT NULL PRIMARY KEY, text TEXT NOT NULL DEFAULT '', data BLOB);".utf8))
        var configuration = AgentConfiguration(
            database: .init(path: "\(directory)/\(name).db"), api: .init(bind: [loopback]),
            gossip: .init(bind: loopback, security: security))
        configuration.database.schemaPaths = [schema]
        configuration.database.cacheKiB = 1_024
        configuration.admin.socketPath = "\(directory)/\(name).sock"
        return configuration
    }

    private func withAgent(_ configuration: AgentConfiguration, _ body: @escaping @Sendable (Agent.Addresses) async throws -> Void)
        async throws
    {
        var agent = Agent(configuration: configuration, log: quietLog, environment: [:])
        agent.signals = []
        try await withRunningAgent(agent, body)
    }

    /// What an agent that cannot start says.
    private func failure(_ configuration: AgentConfiguration) async -> String {
        var agent = Agent(configuration: configuration, log: quietLog, environment: [:])
        agent.signals = []
        do {
            let running = Task { [agent] in try await agent.run() }
            let deadline = Task {
                try await Task.sleep(for: .seconds(30))
                running.cancel()
            }
            try await running.value
            deadline.cancel()
            return "it started"
        } catch {
            return "\(error)"
        }
    }

    private func rows(_ client: APIClient, _ sql: String) async throws -> [[Value]] {
        var rows: [[Value]] = []
        for try await row in try await client.query(Statement(sql)) { rows.append(row) }
        return rows
    }

    @Test("live: rows are written, read, counted and survive a restart")
    func oneAgent() async throws {
        try await withTemporaryDirectory { directory in
            let configuration = try configuration(directory)
            let values: [Value] = [.integer(7), .text("é\n"), .blob([0, 255])]
            try await withAgent(configuration) { addresses in
                let client = APIClient(address: addresses.api[0])
                let insert = Statement("INSERT INTO notes (id, text, data) VALUES (?, ?, ?)", .positional(values))
                let reply = try await client.execute([insert, Statement("UPDATE notes SET text = text WHERE id = 0")])
                #expect(reply.results.map(\.rowsAffected) == [1, 0] && reply.version == 1)
                #expect(try await rows(client, "SELECT id, text, data FROM notes") == [values])
                await #expect(throws: APIClient.Failure.self) { try await client.execute([insert]) }
                await #expect(throws: APIClient.Failure.refused(status: 400, message: "statement is not readonly")) {
                    _ = try await client.query(Statement("DELETE FROM notes"))
                }
                let stats = try await send(.POST, "http://\(addresses.api[0])/v1/table_stats", body: #"{"tables":["notes","nothing"]}"#)
                #expect(stats.text == #"{"total_row_count":1,"invalid_tables":["nothing"]}"#)
                #expect(try await client.health().members == 1)
                let members = try await AdminClient(path: addresses.adminSocket).send(.members)
                #expect(members.count == 1 && members[0]["state"]?["addr"]?.string == "\(addresses.gossip)")
                #expect(try await AdminClient(path: addresses.adminSocket).send(.reload(allowDestructive: false)).isEmpty)
                #expect(try await AdminClient(path: addresses.adminSocket).send(.syncState).first?["heads"] != nil)
            }
            try await withAgent(configuration) { addresses in
                let client = APIClient(address: addresses.api[0])
                let kept = try await rows(client, "SELECT id, text, data FROM notes")
                #expect(kept == [values])
                let reply = try await client.execute([Statement("DELETE FROM notes")])
                #expect(reply.version == 2)
            }
        }
    }

    @Test("live: what is written at one agent is read at another, over mutual TLS")
    func twoAgents() async throws {
        try await withTemporaryDirectory { directory in
            let authority = AgentConfiguration.KeyPair(certificate: "\(directory)/ca.pem", key: "\(directory)/ca.key")
            let server = AgentConfiguration.KeyPair(certificate: "\(directory)/s.pem", key: "\(directory)/s.key")
            let client = AgentConfiguration.KeyPair(certificate: "\(directory)/c.pem", key: "\(directory)/c.key")
            try Certificates.generateAuthority(certificate: authority.certificate, key: authority.key)
            try Certificates.generateServer(hosts: ["127.0.0.1"], authority: authority, certificate: server.certificate, key: server.key)
            try Certificates.generateClient(authority: authority, certificate: client.certificate, key: client.key)
            let security = AgentConfiguration.Security.mutual(server: server, authority: authority.certificate, client: client)
            let first = try configuration(directory, name: "a", security: security)
            try await withAgent(first) { addresses in
                var second = try configuration(directory, name: "b", security: security)
                second.gossip.bootstrap = ["\(addresses.gossip)"]
                try await withAgent(second) { others in
                    let here = APIClient(address: addresses.api[0])
                    let there = APIClient(address: others.api[0])
                    _ = try await here.execute([Statement("INSERT INTO notes (id, text) VALUES (1, 'hello')")])
                    var found: [[Value]] = []
                    for _ in 0..<600 where found.isEmpty {
                        found = try await rows(there, "SELECT text FROM notes WHERE id = 1")
                        if found.isEmpty { try await Task.sleep(for: .milliseconds(50)) }
                    }
                    #expect(found == [[.text("hello")]])
                    #expect(try await there.health().members == 2)
                }
            }
        }
    }

    @Test("live: what keeps an agent from starting is one line that names it")
    func failures() async throws {
        try await withTemporaryDirectory { directory in
            var broken = try configuration(directory)
            broken.database.path = "\(directory)/garbage.db"
            makeFile(broken.database.path, Array(repeating: 0x5A, count: 8_192))
            let garbage = await failure(broken)
            #expect(garbage.hasPrefix("db.path: cannot open the database \(directory)/garbage.db: "))
            broken.database.path = "\(directory)/nowhere/state.db"
            let missing = await failure(broken)
            #expect(missing.hasPrefix("db.path: cannot open the database \(directory)/nowhere/state.db: "))

            var schema = try configuration(directory)
            schema.database.schemaPaths = ["\(directory)/bad.sql"]
            makeFile("\(directory)/bad.sql", Array("CREATE TABLE t (\n".utf8))
            let bad = await failure(schema)
            #expect(bad.hasPrefix("db.schema_paths: \(directory)/bad.sql:"))

            var certificates = try configuration(directory)
            certificates.gossip.security = .server(.init(certificate: "\(directory)/no.pem", key: "\(directory)/no.key"), authority: nil)
            let unreadable = await failure(certificates)
            #expect(unreadable.hasPrefix("gossip.tls: \(directory)/no.pem: "))

            var bootstrap = try configuration(directory)
            bootstrap.gossip.bootstrap = ["host:port:x"]
            let entry = await failure(bootstrap)
            #expect(entry.hasPrefix("gossip.bootstrap: "))

            try await withAgent(try configuration(directory)) { addresses in
                var busy = try configuration(directory, name: "b")
                busy.gossip.bind = addresses.gossip
                let reason = await failure(busy)
                #expect(reason.hasPrefix("gossip.bind_addr: cannot listen on \(addresses.gossip): "))
                #expect(!reason.contains("\n"))
            }
        }
    }
}
