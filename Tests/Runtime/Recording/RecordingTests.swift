// Goal: what a live node did is what the same node does again from its log; recording never disturbs the node, whatever the disk does.
// Method: a real cluster over QUIC on loopback is recorded, with writes on all nodes and a restart, and every log replayed. Then limits, a
// disk that takes nothing, and directories that cannot be written.

import Foundation
import Logging
import PatinaProtocol
import PatinaSim
import PatinaStore
import Testing

@testable import PatinaRuntime

@Suite(.serialized) struct RecordingTests {
    /// Files of a directory of recordings, in order.
    private static func logs(in directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory).filter { EventLog.number(ofFile: $0) != nil }.sorted()
            .map { "\(directory)/\($0)" }
    }

    /// A directory that goes with the test.
    private static func temporary() throws -> URL {
        let directory = FileManager.default.temporaryDirectory.appending(path: "patina-recording-\(UInt64.random(in: 0...UInt64.max))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        return directory
    }

    /// Replays a log and expects no difference.
    private static func replay(_ file: String) throws -> (steps: UInt64, notices: [Notice], ending: NodeReplay.Ending?) {
        var replay = try NodeReplay(file: file)
        var notices: [Notice] = []
        while let step = try replay.next() {
            #expect(step.isEqual, "event \(step.number) of \(file): \(step.event)")
            for case .notify(let notice) in step.replayed { notices.append(notice) }
        }
        return (replay.steps, notices, replay.ending)
    }

    @Test("recording: every node of a live cluster does again what it did, a restart included", .timeLimit(.minutes(2)))
    func cluster() async throws {
        let directory = try Self.temporary()
        defer { try? FileManager.default.removeItem(at: directory) }
        func configuration(_ number: Int, bootstrap: [Address]) -> RuntimeConfiguration {
            var configuration = RuntimeConfiguration.forTest(directory.appending(path: "\(number).db").path, bootstrap: bootstrap)
            configuration.recording = RecordingConfiguration(directory: directory.appending(path: "log-\(number)").path, build: "test")
            if number == 1 { configuration.recording?.detail = .digest }
            return configuration
        }
        var nodes: [NodeRuntime] = []
        for number in 0..<3 {
            nodes.append(
                try await NodeRuntime.start(configuration(number, bootstrap: nodes.prefix(1).map(\.gossipAddress)), logger: .silent))
        }
        for (number, node) in nodes.enumerated() { try await node.write(Int64(number * 20)..<Int64(number * 20 + 20)) }
        for node in nodes { try await eventually("all rows are everywhere") { try await node.count() == 60 } }
        await nodes[2].shutdown()
        nodes[2] = try await NodeRuntime.start(configuration(2, bootstrap: [nodes[0].gossipAddress]), logger: .silent)
        try await nodes[2].write(60..<80)
        for node in nodes { try await eventually("the last rows are everywhere") { try await node.count() == 80 } }
        for node in nodes { await node.shutdown() }

        for number in 0..<3 {
            let files = try Self.logs(in: directory.appending(path: "log-\(number)").path)
            #expect(files.count == (number == 2 ? 2 : 1), "one log for each start")
            for file in files {
                let (steps, notices, ending) = try Self.replay(file)
                #expect(steps >= 20, "each start wrote 20 transactions")
                #expect(notices.contains(.left))
                #expect(ending == .finished(.shutdown))
                let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
                #expect(mode == 0o600, "what users wrote is in it")
            }
        }
    }

    @Test("recording: one that has reached its limit ends, says so, and the node goes on", .timeLimit(.minutes(1)))
    func limit() async throws {
        let directory = try Self.temporary()
        defer { try? FileManager.default.removeItem(at: directory) }
        var configuration = RuntimeConfiguration.forTest(directory.appending(path: "a.db").path)
        configuration.recording = RecordingConfiguration(directory: directory.appending(path: "log").path, build: "test")
        configuration.recording?.limitBytes = 8_000
        let node = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
        try await node.write(0..<200)
        #expect(try await node.count() == 200)
        await node.shutdown()
        let file = try #require(try Self.logs(in: directory.appending(path: "log").path).first)
        let size = try Data(contentsOf: URL(fileURLWithPath: file)).count
        #expect(size <= 8_000 && size > 6_000)
        let (steps, _, ending) = try Self.replay(file)
        #expect(steps > 10 && ending == .finished(.limitReached))
    }

    @Test("recording: a directory that cannot be written keeps the node from starting, and says why")
    func unwritable() async throws {
        let directory = try Self.temporary()
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = directory.appending(path: "file").path
        try Data().write(to: URL(fileURLWithPath: file))
        for place in [file, "\(file)/below", "/proc/nothing/here"] {
            var configuration = RuntimeConfiguration.forTest(directory.appending(path: "a.db").path)
            configuration.recording = RecordingConfiguration(directory: place, build: "test")
            do {
                let node = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
                await node.shutdown()
                Issue.record("it started with \(place)")
            } catch RuntimeError.recording(let named, let reason) {
                #expect(named == place && !reason.isEmpty)
            }
        }
    }

    @Test("recording: a node that does not start leaves no log behind")
    func failedStart() async throws {
        let directory = try Self.temporary()
        defer { try? FileManager.default.removeItem(at: directory) }
        var configuration = RuntimeConfiguration.forTest(directory.path)
        configuration.recording = RecordingConfiguration(directory: directory.appending(path: "log").path, build: "test")
        await #expect(throws: StoreError.self) {
            _ = try await NodeRuntime.start(configuration, logger: .silent, binding: LoopbackNetwork().binding)
        }
        #expect(try Self.logs(in: directory.appending(path: "log").path) == [])
    }

    private static let node = NodeConfiguration(
        actor: ActorID(high: 1, low: 2), address: Address(ipv4: 0x7F00_0001, port: 4_001), generation: 1, seed: 1)

    @Test("recording: starts add files, and touch none that is there")
    func numbers() async throws {
        let directory = try Self.temporary()
        defer { try? FileManager.default.removeItem(at: directory) }
        try Data("kept".utf8).write(to: directory.appending(path: EventLog.fileName(41)))
        for _ in 0..<2 {
            let recorder = try EventRecorder(RecordingConfiguration(directory: directory.path, build: "test"), logger: .silent)
            recorder.begin(Self.node, ledger: VersionLedger(), members: [], wall: 5, now: .zero)
            #expect(await recorder.close(atMost: .seconds(20)))
        }
        let names = try Self.logs(in: directory.path).map { $0.split(separator: "/").last.map(String.init) ?? "" }
        #expect(names == [41, 42, 43].map(EventLog.fileName))
        #expect(try Data(contentsOf: directory.appending(path: EventLog.fileName(41))) == Data("kept".utf8))
    }

    @Test("recording: a disk that does not keep up ends the recording with a mark, and nobody waits for it", .timeLimit(.minutes(1)))
    func slowDisk() async throws {
        let directory = try Self.temporary()
        defer { try? FileManager.default.removeItem(at: directory) }
        let pipe = directory.appending(path: "pipe").path
        #expect(mkfifo(pipe, 0o600) == 0)
        let end = open(pipe, O_RDONLY | O_NONBLOCK)
        defer { close(end) }
        var configuration = RecordingConfiguration(directory: directory.path, build: "test")
        configuration.waitingBytes = 1 << 20
        // A pipe takes 64 KiB, and then nothing as long as nobody reads.
        let recorder = EventRecorder(configuration, file: try EventLogFile(existing: pipe), logger: .silent)
        recorder.begin(Self.node, ledger: VersionLedger(), members: [], wall: 5, now: .zero)
        let message = Event.messageReceived(from: Address(ipv4: 7, port: 1), bytes: Array(repeating: 1, count: 10_000))
        for number in 0..<400 { recorder.append(message, now: Instant(nanoseconds: Int64(number)), effects: []) }
        recorder.end()
        #expect(fcntl(end, F_SETFL, 0) == 0)
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(end, &piece, piece.count)
            guard count > 0 else { break }
            bytes += piece[..<count]
        }
        #expect(await recorder.close(atMost: .seconds(20)))
        var reader = EventLogReader()
        reader.feed(bytes)
        var records: [EventLogRecord] = []
        while let record = try reader.next() { records.append(record) }
        #expect(records.count > 50 && records.count < 400)
        #expect(records.last == .end(.diskTooSlow))
    }

    @Test("recording: a disk that is full ends the recording, and nothing else")
    func fullDisk() async throws {
        let directory = try Self.temporary()
        defer { try? FileManager.default.removeItem(at: directory) }
        let recorder = EventRecorder(
            RecordingConfiguration(directory: directory.path, build: "test"), file: try EventLogFile(existing: "/dev/full"), logger: .silent
        )
        recorder.begin(Self.node, ledger: VersionLedger(), members: [], wall: 5, now: .zero)
        #expect(await recorder.close(atMost: .seconds(20)))
        recorder.append(.started, now: .zero, effects: [])
    }
}
