import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import PatinaProtocol
import Testing

@testable import PatinaAgent

let loopback = Address(ipv4: 0x7F00_0001, port: 0)

/// Errors only: what tests provoke on purpose need not be told.
let quietLog = AgentLog(filter: LogFilter(level: .critical))

/// Runs `body` while a server listens on a port of the system's choice.
func withServer(
    _ backend: ScriptedBackend = ScriptedBackend(), _ configuration: HTTPServer.Configuration = configured { _ in },
    _ body: (_ url: String) async throws -> Void
) async throws {
    let server = HTTPServer(configuration, backend: backend, logger: quietLog.logger(label: "test"))
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.run() }
        let address = try #require(await server.address())
        defer { group.cancelAll() }
        try await body("http://\(address)")
    }
}

/// A configuration for tests, changed as a test wants.
func configured(_ change: (inout HTTPServer.Configuration) -> Void) -> HTTPServer.Configuration {
    var configuration = HTTPServer.Configuration(bind: loopback)
    configuration.limits.shutdownGrace = .milliseconds(50)
    change(&configuration)
    return configuration
}

/// What came back from a server.
struct Answer: Sendable {
    var status: Int
    var headers: HTTPHeaders
    var bytes: [UInt8]
    var text: String { String(decoding: bytes, as: UTF8.self) }
    var lines: [String] { text.split(separator: "\n").map(String.init) }
    var json: JSONValue? { try? JSONValue(json: bytes) }
}

/// One request over HTTP/1.1. JSON is the content type unless `headers` say otherwise.
func send(
    _ method: HTTPMethod = .POST, _ url: String, body: String? = nil, headers: [(String, String)] = [("content-type", "application/json")]
) async throws -> Answer {
    var request = HTTPClientRequest(url: url)
    request.method = method
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    if let body { request.body = .bytes(ByteBuffer(string: body)) }
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
    let bytes = try await response.body.collect(upTo: 1 << 28)
    return Answer(status: Int(response.status.code), headers: response.headers, bytes: Array(bytes.readableBytesView))
}

/// Bytes to and from a server, without a client that knows HTTP.
func withConnection<Result: Sendable>(
    to url: String,
    _ body: (inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator, NIOAsyncChannelOutboundWriter<ByteBuffer>) async throws -> Result
) async throws -> Result {
    let address = try #require(Address(String(url.dropFirst("http://".count))))
    let connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(host: address.host, port: Int(address.port)) { channel in
            channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel) }
        }
    return try await connection.executeThenClose { inbound, outbound in
        var iterator = inbound.makeAsyncIterator()
        return try await body(&iterator, outbound)
    }
}

/// A fresh directory that is removed at the end.
func withTemporaryDirectory<Result>(_ body: (_ path: String) async throws -> Result) async throws -> Result {
    // Short: socket paths have little room.
    let path = "/tmp/patina-\(UInt32.random(in: 0...UInt32.max))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

/// Makes a file, or replaces its contents.
func makeFile(_ path: String, _ contents: [UInt8] = []) {
    #expect(FileManager.default.createFile(atPath: path, contents: Data(contents)), "\(path) cannot be made")
}

/// A finished program: its exit code and what it wrote.
struct ProgramOutput: Sendable {
    var code: Int32
    var output: [UInt8]
    var errors: String
    var text: String { String(decoding: output, as: UTF8.self) }
}

/// Runs a program to its end. Its output goes through files: a pipe would fill up.
func run(_ program: String, _ arguments: [String]) async throws -> ProgramOutput {
    try await withTemporaryDirectory { directory in
        let files = ["out", "err"].map { "\(directory)/\($0)" }
        for file in files { makeFile(file) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program] + arguments
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: files[0]))
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: files[1]))
        process.standardInput = FileHandle.nullDevice
        let code: Int32 = try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        let contents = files.map { Array(FileManager.default.contents(atPath: $0) ?? Data()) }
        return ProgramOutput(code: code, output: contents[0], errors: String(decoding: contents[1], as: UTF8.self))
    }
}
