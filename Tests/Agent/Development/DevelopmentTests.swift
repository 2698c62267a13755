// Goal: what a development cluster writes is what an agent reads, and what it starts ends.
// Method: the files are read back through the agent's own configuration; child processes are small programs of the system.

import Foundation
import PatinaProtocol
import Testing

@testable import PatinaAgent

/// A folder for one test, removed at its end.
private func withFolder<Value>(_ body: (String) async throws -> Value) async throws -> Value {
    let folder = FileManager.default.temporaryDirectory.appending(path: "patina-tests-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try await body(folder.path(percentEncoded: false))
}

@Suite struct TextTableTests {
    @Test("text table: columns are as wide as their widest cell, aligned, without trailing blanks")
    func alignment() {
        var table = TextTable(columns: [("name", .left), ("n", .right), ("", .left)])
        table.add(["a", "100", "x"])
        table.add(["longer", "2"])
        #expect(table.lines(indentation: 1) == [" name      n", " ──────  ───  ─", " a       100  x", " longer    2"])
    }

    @Test(
        "durations: printed in milliseconds with one digit, rounded",
        arguments: [
            (Duration.zero, "0.0 ms"), (.microseconds(49), "0.0 ms"), (.microseconds(50), "0.1 ms"), (.milliseconds(1_234), "1234.0 ms"),
            (.nanoseconds(12_349_999), "12.3 ms"),
        ])
    func milliseconds(duration: Duration, text: String) {
        #expect(duration.inMilliseconds == text)
    }

    @Test("demonstration: runs stand side by side, what is not known is a dash")
    func sideBySide() {
        let simulated = DemonstrationTimes(
            subject: "simulated", propagationMedian: .milliseconds(31), propagation99: .milliseconds(88), propagationSamples: 5_000,
            catchUp: .milliseconds(1_500))
        let live = DemonstrationTimes(
            subject: "live", propagationMedian: .milliseconds(2), propagation99: .milliseconds(9), propagationSamples: 400,
            catchUp: .milliseconds(700), start: .milliseconds(90))
        let lines = DemonstrationTimes.table([simulated, live]).lines()
        #expect(lines[0].contains("simulated") && lines[0].contains("live"))
        #expect(lines[2].hasPrefix("propagation, median") && lines[2].contains("31.0 ms") && lines[2].hasSuffix("2.0 ms"))
        #expect(lines[6].contains("–") && lines[6].hasSuffix("90.0 ms"))
    }
}

@Suite struct DevelopmentLayoutTests {
    @Test("free ports: different ones, each free for both protocols")
    func ports() throws {
        let ports = try FreePorts.find(20)
        #expect(Set(ports).count == 20)
        #expect(!ports.contains(0))
    }

    @Test("development layout: every node's configuration is read back as mutual TLS among each other")
    func configurations() async throws {
        try await withFolder { folder in
            let layout = try DevelopmentLayout(.init(nodes: 3, directory: folder + "/with \"quotes\"", executable: "/bin/true"))
            #expect(layout.nodes.map(\.name) == ["node-1", "node-2", "node-3"])
            for node in layout.nodes {
                let configuration = try AgentConfiguration.load(file: node.configuration, environment: [:])
                #expect(configuration.warnings == [])
                #expect(configuration.database.path == node.database)
                #expect(configuration.admin.socketPath == node.adminSocket)
                #expect(configuration.api.bind == [node.api])
                #expect(configuration.gossip.bind == node.gossip)
                #expect(configuration.gossip.bootstrap == layout.nodes.filter { $0 != node }.map(\.gossip.description))
                guard case .mutual = configuration.gossip.security else {
                    Issue.record("\(node.name) does not demand certificates: \(configuration.gossip.security)")
                    return
                }
                let schema = try #require(configuration.database.schemaPaths.first)
                #expect(try String(contentsOfFile: schema, encoding: .utf8) == DevelopmentLayout.exampleSchema)
            }
        }
    }

    @Test("development layout: a kept folder keeps its authority, a temporary one goes")
    func folders() async throws {
        try await withFolder { folder in
            let first = try DevelopmentLayout(.init(nodes: 1, directory: folder, executable: "/bin/true"))
            let authority = try String(contentsOfFile: folder + "/ca_cert.pem", encoding: .utf8)
            first.remove()
            _ = try DevelopmentLayout(.init(nodes: 1, directory: folder, executable: "/bin/true"))
            #expect(try String(contentsOfFile: folder + "/ca_cert.pem", encoding: .utf8) == authority)
        }
        let temporary = try DevelopmentLayout(.init(nodes: 1, executable: "/bin/true"))
        #expect(FileManager.default.fileExists(atPath: temporary.root))
        temporary.remove()
        #expect(!FileManager.default.fileExists(atPath: temporary.root))
    }

    @Test("development layout: a missing schema, an impossible folder and a path too long for a socket are refused with a sentence")
    func refusals() async throws {
        try await withFolder { folder in
            let schema = #expect(throws: DevelopmentError.self) {
                try DevelopmentLayout(.init(nodes: 1, directory: folder, schema: folder + "/none.sql", executable: "/bin/true"))
            }
            #expect(schema?.description.contains("none.sql") == true)
            try "".write(toFile: folder + "/file", atomically: true, encoding: .utf8)
            let file = #expect(throws: DevelopmentError.self) {
                try DevelopmentLayout(.init(nodes: 1, directory: folder + "/file/below", executable: "/bin/true"))
            }
            #expect(file?.description.contains("file/below") == true)
            let long = #expect(throws: DevelopmentError.self) {
                try DevelopmentLayout(
                    .init(nodes: 1, directory: folder + "/" + String(repeating: "d", count: 100), executable: "/bin/true"))
            }
            #expect(long?.description.contains("too long") == true)
        }
    }
}

@Suite struct ChildProcessTests {
    @Test("child process: its end is reported once, with its code", arguments: [Int32(0), 3])
    func exitCode(code: Int32) async throws {
        try await withFolder { folder in
            let child = try ChildProcess(
                executable: "/bin/sh", arguments: ["-c", "echo from the child; exit \(code)"], output: folder + "/log"
            ) { _ in }
            #expect(await child.waitUntilEnded() == .exited(code))
            #expect(child.hasEnded)
            #expect(try String(contentsOfFile: folder + "/log", encoding: .utf8) == "from the child\n")
        }
    }

    @Test("child process: a signal ends it, a second one after its end goes nowhere")
    func signal() async throws {
        try await withFolder { folder in
            let child = try ChildProcess(executable: "/bin/sh", arguments: ["-c", "exec sleep 60"], output: folder + "/log") { _ in }
            child.signal(SIGKILL)
            #expect(await child.waitUntilEnded() == .killed(signal: SIGKILL))
            child.signal(SIGKILL)
        }
    }

    @Test("child process: output is appended, an executable that is not there is refused")
    func outputAndRefusal() async throws {
        try await withFolder { folder in
            try "before\n".write(toFile: folder + "/log", atomically: true, encoding: .utf8)
            let child = try ChildProcess(executable: "/bin/sh", arguments: ["-c", "echo after >&2"], output: folder + "/log") { _ in }
            _ = await child.waitUntilEnded()
            #expect(try String(contentsOfFile: folder + "/log", encoding: .utf8) == "before\nafter\n")
            #expect(throws: DevelopmentError.self) {
                try ChildProcess(executable: folder + "/nothing", arguments: [], output: folder + "/log") { _ in }
            }
        }
    }
}
