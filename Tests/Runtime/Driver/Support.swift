import Glibc
import Logging
import NIOPosix
import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaRuntime

/// Waits until `condition` holds, and fails the test when it does not within `limit`. The limit is generous: it bounds a
/// hanging test and says nothing about speed.
func eventually(
    _ what: String, within limit: Duration = .seconds(60), pause: Duration = .milliseconds(5),
    sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let clock = ContinuousClock()
    let deadline = clock.now + limit
    while clock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: pause)
    }
    Issue.record("timed out waiting until \(what)", sourceLocation: sourceLocation)
    throw TimedOut()
}

struct TimedOut: Error {}

/// A directory that is removed when the last reference goes.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/patina-runtime-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemFailure(code: errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    deinit {
        guard let directory = opendir(path) else { return }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { unlink(file(name)) }
        }
        rmdir(path)
    }
}

struct SystemFailure: Error { let code: Int32 }

func writeFile(_ path: String, _ bytes: [UInt8]) throws {
    guard let file = fopen(path, "wb") else { throw SystemFailure(code: errno) }
    defer { fclose(file) }
    guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw SystemFailure(code: errno) }
}

func overwrite(_ path: String, at offset: Int, with bytes: [UInt8]) throws {
    guard let file = fopen(path, "r+b") else { throw SystemFailure(code: errno) }
    defer { fclose(file) }
    guard fseek(file, offset, SEEK_SET) == 0, fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw SystemFailure(code: errno) }
}

extension Logger {
    /// Says nothing: tests that want to know look at values, not at logs.
    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

extension RuntimeConfiguration {
    static let testSchema = SchemaFile(
        path: "test.sql", text: "CREATE TABLE items (id INTEGER PRIMARY KEY NOT NULL, body TEXT NOT NULL DEFAULT '');")

    /// A node that finds out quickly what happens around it, on a loop that outlives it: the network within the process hands
    /// things to loops without asking whether their node has gone.
    static func forTest(_ path: String, bootstrap: [Address] = []) -> RuntimeConfiguration {
        var configuration = RuntimeConfiguration(
            location: .file(path), quic: QUICConfiguration(bind: Address(ipv4: 0x7F00_0001, port: 0), security: .plaintext))
        configuration.schema = [testSchema]
        configuration.bootstrap = bootstrap.map(\.description)
        configuration.group = MultiThreadedEventLoopGroup.singleton
        configuration.readers = 4
        configuration.cacheKiB = 4_096
        configuration.sync.minimumInterval = .milliseconds(100)
        configuration.sync.maximumInterval = .milliseconds(400)
        configuration.sync.settleTime = .milliseconds(50)
        return configuration
    }
}

extension Statement {
    static func insert(_ id: Int64, _ body: String = "x") -> Statement {
        Statement("INSERT INTO items (id, body) VALUES (?1, ?2)", .positional([.integer(id), .text(body)]))
    }

    /// A query that yields as many rows as somebody takes.
    static let endlessRows = Statement(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, printf('%.1000c', 'x') FROM n")
    /// Keeps the writer busy until it is interrupted.
    static let endlessWrite = Statement(
        """
        INSERT INTO items (id, body) SELECT count(*), 'x' FROM (
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)
        """)
    /// A query that runs for ever without a row.
    static let endlessWork = Statement("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
}

extension NodeRuntime {
    /// All rows of a query.
    func rows(_ sql: String) async throws -> [[Value]] {
        var rows: [[Value]] = []
        for try await batch in try await query(Statement(sql), timeout: .seconds(60)) { rows += batch }
        return rows
    }

    func count() async throws -> Int64 {
        guard case .integer(let count)? = try await rows("SELECT count(*) FROM items").first?.first else { throw TimedOut() }
        return count
    }

    func write(_ ids: some Sequence<Int64>) async throws {
        for id in ids { _ = try await transact([.insert(id)], timeout: nil) }
    }
}
