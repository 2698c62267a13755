import Foundation
import NIOCore
import NIOPosix
import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaAgent

@Suite("Admin protocol")
struct AdminProtocolTests {
    @Test("admin: frames are cut wherever the bytes are")
    func frames() throws {
        let bodies = ["\"Ping\"", "", "{\"a\":1}"].map { Array($0.utf8) }
        let stream = try bodies.flatMap { try AdminFrame.encode($0) }
        #expect(stream.prefix(10).elementsEqual([0, 0, 0, 6] + Array("\"Ping\"".utf8)))
        for size in 1...stream.count {
            var decoder = AdminFrame.Decoder()
            var frames: [[UInt8]] = []
            for start in Swift.stride(from: 0, to: stream.count, by: size) {
                decoder.append(stream[start..<min(stream.count, start + size)])
                while let frame = try decoder.next() { frames.append(frame) }
            }
            #expect(frames == bodies)
            #expect(decoder.pending == 0)
        }
    }

    @Test("admin: a frame over the limit is refused before it comes")
    func frameLimit() throws {
        var decoder = AdminFrame.Decoder()
        decoder.append([0x06, 0x40, 0, 0])  // 100 MiB
        #expect(try decoder.next() == nil)
        decoder = AdminFrame.Decoder()
        decoder.append([0x06, 0x40, 0, 1])
        #expect(throws: AdminFrame.TooLong(length: 104_857_601)) { try decoder.next() }
    }

    @Test(
        "admin: commands in the tagging of serde",
        arguments: [
            (#""Ping""#, AdminCommand.ping), (#"{"Ping":null}"#, .ping), (#""Reload""#, .reload(allowDestructive: false)),
            (#"{"Reload":{"allow_destructive":true}}"#, .reload(allowDestructive: true)), (#"{"Cluster":"Members"}"#, .members),
            (#"{"Cluster":{"Members":null}}"#, .members), (#"{"Cluster":"MembershipStates"}"#, .membershipStates),
            (#"{"Cluster":"Rejoin"}"#, .rejoin), (#"{"Cluster":"Reconnect"}"#, .reconnect),
            (#"{"Sync":"Generate"}"#, .syncState), (#"{"Log":{"Set":{"filter":"debug"}}}"#, .setLogFilter("debug")),
            (#"{"Log":"Reset"}"#, .resetLogFilter),
        ])
    func commands(text: String, expected: AdminCommand) throws {
        #expect(try AdminCommand(json: Array(text.utf8)) == expected)
        #expect(try AdminCommand(json: expected.json) == expected)
    }

    @Test(
        "admin: what is not understood says why",
        arguments: [
            ("", "the command is not JSON: a value is missing: the text ends here at line 1 column 1"),
            (#""Pong""#, "\"Pong\" is no known command"), ("[]", "the frame is no known command"), ("{}", "the frame is no known command"),
            (#"{"Cluster":"Explode"}"#, "\"Cluster Explode\" is no known command"), (#"{"Cluster":1}"#, "\"Cluster\" is no known command"),
            (#""Cluster""#, "\"Cluster\" is no known command"), (#"{"Ping":1}"#, "\"Ping\" is no known command"),
            (#"{"Cluster":{"SetId":3}}"#, "the command Cluster SetId is not supported in this version"),
            (#"{"Subs":{"Info":{"hash":null,"id":"x"}}}"#, "the command Subs Info is not supported in this version"),
            (#"{"Actor":{"Version":{"actor_id":"x","version":1}}}"#, "the command Actor Version is not supported in this version"),
            (#""ReloadDicts""#, "the command ReloadDicts is not supported in this version"),
            (#"{"Log":{"Set":{}}}"#, "Log Set needs a filter, as in {\"Log\":{\"Set\":{\"filter\":\"debug\"}}}"),
            (#"{"Ping":null,"Reload":null}"#, "the frame is no known command"),
        ])
    func malformed(text: String, expected: String) {
        #expect { try AdminCommand(json: Array(text.utf8)) } throws: { ($0 as? AdminCommand.Malformed)?.description == expected }
    }

    @Test(
        "admin: answers are read as they are written",
        arguments: [
            AdminResponse.success, .failure("no"), .json(.members(("a", .integer(1)))), .json(.null), .log(level: "warn", message: "x"),
        ])
    func responses(response: AdminResponse) throws { #expect(try AdminResponse(json: response.json(timestamp: [2_026, 326])) == response) }

    @Test("fuzz: mutated frames and commands are decoded or refused, never worse", arguments: 0..<8)
    func fuzz(seed: UInt64) throws {
        let commands = [#"{"Log":{"Set":{"filter":"debug"}}}"#, #"{"Cluster":"Members"}"#, #""Ping""#, #"{"Cluster":{"SetId":3}}"#]
        let stream = try commands.flatMap { try AdminFrame.encode(Array($0.utf8)) }
        var random = Random(seed: seed)
        var frames = 0
        for _ in 0..<1_000 {
            var decoder = AdminFrame.Decoder()
            var rest = mutated(stream, &random)[...]
            do {
                while !rest.isEmpty {
                    let piece = rest.prefix(1 + random.below(20))
                    rest = rest.dropFirst(piece.count)
                    decoder.append(piece)
                    while let frame = try decoder.next() {
                        frames += 1
                        _ = try? AdminCommand(json: frame)
                        _ = try? AdminResponse(json: frame)
                    }
                }
            } catch {
                #expect(error.length > AdminFrame.byteLimit)
            }
        }
        #expect(frames > 0)
    }
}

@Suite("Admin socket")
struct AdminSocketTests {
    private func withSocket(
        _ backend: ScriptedBackend = ScriptedBackend(), log: AgentLog = quietLog, schemaPaths: [String] = [],
        allowDestructiveSchema: Bool = false, directory: String = "a/b",
        _ body: (AdminClient) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { root in
            let path = "\(root)/\(directory)/admin.sock"
            let socket = AdminSocket(
                path: path, backend: backend, log: log, schemaPaths: schemaPaths,
                allowDestructiveSchema: allowDestructiveSchema, cluster: 3, logger: quietLog.logger(label: "test"))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await socket.run() }
                #expect(await socket.isListening())
                var client = AdminClient(path: path)
                client.timeout = .seconds(20)
                try await body(client)
                group.cancelAll()
            }
            #expect(!FileManager.default.fileExists(atPath: path), "the socket file is taken away at the end")
        }
    }

    @Test("admin socket: only the owner may open it, and its directory is made")
    func permissions() async throws {
        try await withSocket { client in
            let attributes = try FileManager.default.attributesOfItem(atPath: client.path)
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
            let directory = try FileManager.default.attributesOfItem(atPath: (client.path as NSString).deletingLastPathComponent)
            #expect((directory[.posixPermissions] as? NSNumber)?.intValue == 0o700)
            #expect(try await client.send(.ping).isEmpty)
        }
    }

    @Test("admin socket: members, their states and what is missing")
    func members() async throws {
        var backend = ScriptedBackend()
        let other = ActorID(high: 1, low: 2)
        func member(_ actor: ActorID, _ state: Member.State, _ roundTrip: Duration?) -> Member {
            let record = MemberRecord(actor: actor, address: Address(ipv4: 0x0A00_0001, port: 4_001), generation: 9)
            return Member(record: record, incarnation: 5, state: state, roundTrip: roundTrip)
        }
        backend.knownMembers = [member(other, .alive, .microseconds(1_500)), member(backend.actor, .left, nil)]
        var needs = IntervalSet(3...5)
        needs.insert(9)
        backend.reportedStatus = AgentStatus(
            actor: backend.actor, waitingVersions: 4,
            progress: [
                .init(actor: other, head: 10, needs: needs, partials: [7]),
                .init(actor: backend.actor, head: 1, needs: .init(), partials: []),
            ])
        try await withSocket(backend) { client in
            func texts(_ command: AdminCommand) async throws -> [String] {
                try await client.send(command).map { String(decoding: $0.json(), as: UTF8.self) }
            }
            let id = "00000000-0000-0001-0000-000000000002"
            let own = "11223344-5566-7788-99aa-bbccddeeff00"
            let members = try await texts(.members)
            #expect(
                members == [
                    #"{"id":"\#(id)","state":{"addr":"10.0.0.1:4001","ts":9,"cluster_id":3,"ring":null,"#
                        + #""last_sync_ts":null,"member_id":null},"rtts":[1.5]}"#
                ])
            let states = try await texts(.membershipStates)
            #expect(
                states == [
                    #"{"id":{"id":"\#(id)","addr":"10.0.0.1:4001","ts":9,"cluster_id":3,"member_id":null},"#
                        + #""incarnation":5,"state":"Alive"}"#,
                    #"{"id":{"id":"\#(own)","addr":"10.0.0.1:4001","ts":9,"cluster_id":3,"member_id":null},"#
                        + #""incarnation":5,"state":"Down"}"#,
                ])
            let sync = try await texts(.syncState)
            #expect(
                sync == [
                    #"{"actor_id":"\#(own)","heads":{"\#(id)":10,"\#(own)":1},"need":{"\#(id)":[{"start":3,"end":5},{"start":9,"end":9}]},"#
                        + #""partial_need":{"\#(id)":{"7":[]}},"last_cleared_ts":null,"waiting_for_schema":4}"#
                ])
            _ = try await client.send(.rejoin)
            _ = try await client.send(.reconnect)
        }
        #expect(backend.record.rejoins.withLock { $0 } == 1)
        #expect(backend.record.reconnects.withLock { $0 } == 1)
    }

    @Test("admin socket: reload reads the schema files again")
    func reload() async throws {
        var backend = ScriptedBackend()
        backend.onReload = { (_) async throws(StoreError) in
            var report = SchemaReport()
            report.createdTables = ["t"]
            return report
        }
        try await withTemporaryDirectory { directory in
            let schema = "\(directory)/schema"
            try FileManager.default.createDirectory(atPath: schema, withIntermediateDirectories: false)
            for (name, text) in [("b.sql", "B"), ("a.sql", "A"), ("note.txt", "no")] {
                makeFile("\(schema)/\(name)", Array(text.utf8))
            }
            try await withSocket(backend, schemaPaths: [schema]) { client in
                let lines = ScriptedBackend.Box(.init([String]()))
                _ = try await client.send(.reload(allowDestructive: false)) { level, message in
                    lines.mutex.withLock { $0.append("\(level): \(message)") }
                }
                #expect(lines.mutex.withLock { $0 } == ["info: applied 2 schema files; created tables: t"])
            }
            #expect(
                backend.record.schemas.withLock { $0 } == [
                    [
                        SchemaFile(path: "\(schema)/a.sql", text: "A"), SchemaFile(path: "\(schema)/b.sql", text: "B"),
                    ]
                ])
            try await withSocket(backend, schemaPaths: ["\(directory)/missing.sql"]) { client in
                await #expect(
                    throws: AdminClient.Failure.refused(
                        "db.schema_paths: \(directory)/missing.sql: there is no such file or directory")
                ) { try await client.send(.reload(allowDestructive: false)) }
            }
        }
        #expect(backend.record.destructiveReloads.withLock { $0 } == [false])
        for isConfigured in [false, true] {
            try await withSocket(backend, allowDestructiveSchema: isConfigured) { client in
                for isAsked in [false, true] { _ = try await client.send(.reload(allowDestructive: isAsked)) }
            }
        }
        #expect(backend.record.destructiveReloads.withLock { $0 } == [false, false, true, true, true])
        backend.onReload = { (_) async throws(StoreError) in throw .schema(file: "a.sql", line: 3, message: "no primary key") }
        try await withSocket(backend) { client in
            await #expect(throws: AdminClient.Failure.refused("a.sql:3: no primary key")) {
                try await client.send(.reload(allowDestructive: false))
            }
        }
    }

    @Test("admin socket: the log filter changes and goes back")
    func logFilter() async throws {
        let log = AgentLog(filter: LogFilter(level: .critical))
        try await withSocket(log: log) { client in
            _ = try await client.send(.setLogFilter("off,patina.x=trace"))
            #expect(try log.filter == LogFilter("off,patina.x=trace"))
            await #expect(throws: AdminClient.Failure.self) { try await client.send(.setLogFilter("loud=loud")) }
            #expect(try log.filter == LogFilter("off,patina.x=trace"))
            _ = try await client.send(.resetLogFilter)
            #expect(log.filter == LogFilter(level: .critical))
        }
    }

    @Test("admin socket: several commands on a connection, bad ones among them, and a frame that is too long")
    func connection() async throws {
        try await withSocket { client in
            let connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(unixDomainSocketPath: client.path) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                    }
                }
            let answers = try await connection.executeThenClose { inbound, outbound in
                for text in [#""Ping""#, "garbage", #"{"Subs":"List"}"#, #""Ping""#] {
                    try await outbound.write(ByteBuffer(bytes: AdminFrame.encode(Array(text.utf8))))
                }
                try await outbound.write(ByteBuffer(bytes: [0xFF, 0xFF, 0xFF, 0xFF]))
                var decoder = AdminFrame.Decoder()
                var answers: [AdminResponse] = []
                for try await part in inbound {
                    decoder.append(part.readableBytesView)
                    while let frame = try decoder.next() { answers.append(try AdminResponse(json: frame)) }
                }
                return answers
            }
            #expect(
                answers == [
                    .success, .failure("the command is not JSON: a value is missing at line 1 column 1"),
                    .failure("the command Subs List is not supported in this version"), .success,
                    .failure("a frame of 4294967295 bytes is over the limit of 104857600"),
                ])
            #expect(try await client.send(.ping).isEmpty)
        }
    }

    @Test("admin socket: a stale socket is replaced, a live one and other files are not")
    func staleSocket() async throws {
        try await withTemporaryDirectory { root in
            let path = "\(root)/admin.sock"
            func makeSocket() -> AdminSocket {
                AdminSocket(
                    path: path, backend: ScriptedBackend(), log: quietLog, schemaPaths: [], cluster: 0,
                    logger: quietLog.logger(label: "test"))
            }
            makeFile(path, Array("precious".utf8))
            await #expect(
                throws: AgentError.cannotListen(
                    key: "admin.uds_path", address: path, reason: "there is a file that is no socket; remove it, or choose another path")
            ) { try await makeSocket().run() }
            #expect(FileManager.default.contents(atPath: path) == Data("precious".utf8))
            try FileManager.default.removeItem(atPath: path)

            // What a killed agent leaves: a bound socket that nobody listens on.
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
            withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    #expect(bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0)
                }
            }
            close(descriptor)
            #expect(FileManager.default.fileExists(atPath: path))
            let client = AdminClient(path: path)
            await #expect(throws: AdminClient.Failure.self) { try await client.send(.ping) }

            let first = makeSocket()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await first.run() }
                #expect(await first.isListening())
                await #expect(
                    throws: AgentError.cannotListen(
                        key: "admin.uds_path", address: path, reason: "another agent answers there already")
                ) { try await makeSocket().run() }
                _ = try await client.send(.ping)
                group.cancelAll()
            }
        }
    }

    @Test("admin socket: a path that is too long is refused")
    func longPath() async {
        let socket = AdminSocket(
            path: "/tmp/" + String(repeating: "x", count: 120), backend: ScriptedBackend(), log: quietLog, schemaPaths: [], cluster: 0,
            logger: quietLog.logger(label: "test"))
        await #expect(throws: AgentError.self) { try await socket.run() }
        #expect(await !socket.isListening())
    }
}
