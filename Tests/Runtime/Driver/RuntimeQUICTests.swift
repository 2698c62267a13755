import PatinaProtocol
import Testing

@testable import PatinaRuntime

/// Goal: whole nodes over real sockets. Method: as `RuntimeTests`, with QUIC on loopback ports that the system chooses.
@Suite struct RuntimeQUICTests {
    @Test("cluster over QUIC: what is written at one node is visible at the others (3 nodes, 20 rows each, at once)")
    func replication() async throws {
        let directory = try TemporaryDirectory()
        // As in production.
        func onThreadOfItsOwn(_ configuration: inout RuntimeConfiguration) { configuration.group = nil }
        try await withCluster(of: 3, in: directory, binding: nil, adjust: onThreadOfItsOwn) { nodes in
            try await exerciseReplication(nodes)
            #expect(await nodes[0].status()?.transport.messagesSent ?? 0 > 0)
        }
    }

    @Test("cluster over QUIC: a node that was away catches up by sync (200 rows)")
    func catchUp() async throws {
        let directory = try TemporaryDirectory()
        try await withCluster(of: 3, in: directory, binding: nil) { nodes in
            await nodes[2].shutdown()
            _ = try await nodes[0].transact((0..<100).map { .insert($0) }, timeout: nil)
            try await nodes[0].write(100..<200)
            let again = try await NodeRuntime.start(
                .forTest(directory.file("2.db"), bootstrap: [nodes[0].gossipAddress]), logger: .silent)
            try await eventually("the node caught up") { try await again.count() == 200 }
            try await eventually("all know the same") { await again.status()?.digest == nodes[1].status()?.digest }
            await again.shutdown()
        }
    }

    @Test("cluster over QUIC: a transaction larger than many chunks arrives whole, and nobody sees a part of it (5 MB)")
    func large() async throws {
        let directory = try TemporaryDirectory()
        try await withCluster(of: 2, in: directory, binding: nil) { nodes in
            let body = String(repeating: "z", count: 250)
            _ = try await nodes[0].transact((0..<20_000).map { .insert($0, body) }, timeout: nil)
            try await eventually("all rows are there") {
                let count = try await nodes[1].count()
                #expect(count == 0 || count == 20_000)
                return count == 20_000
            }
        }
    }

    @Test("start over QUIC: a port that is taken is refused with its address, and the database is free again")
    func busyPort() async throws {
        let directory = try TemporaryDirectory()
        let first = try await NodeRuntime.start(.forTest(directory.file("0.db")), logger: .silent)
        var configuration = RuntimeConfiguration.forTest(directory.file("1.db"))
        configuration.quic.bind = first.gossipAddress
        let error = await #expect(throws: QUICError.self) { _ = try await NodeRuntime.start(configuration, logger: .silent) }
        #expect(error?.description.contains(first.gossipAddress.description) == true)
        configuration.quic.bind = Address(ipv4: 0x7F00_0001, port: 0)
        let second = try await NodeRuntime.start(configuration, logger: .silent)
        await second.shutdown()
        await first.shutdown()
    }

    @Test("start over QUIC: a wildcard socket advertises an address of the machine, an external address is told as it is")
    func advertised() async throws {
        let directory = try TemporaryDirectory()
        var configuration = RuntimeConfiguration.forTest(directory.file("0.db"))
        configuration.quic.bind = Address(ipv4: 0, port: 0)
        let wildcard = try await NodeRuntime.start(configuration, logger: .silent)
        #expect(wildcard.gossipAddress.ipv4 != 0)
        #expect(wildcard.gossipAddress.port != 0)
        await wildcard.shutdown()
        configuration.advertised = Address(ipv4: 0x7F00_0002, port: 0)
        let external = try await NodeRuntime.start(configuration, logger: .silent)
        #expect(external.gossipAddress.ipv4 == 0x7F00_0002)
        #expect(external.gossipAddress.port != 0)
        await external.shutdown()
    }
}
