// Goal: whoever replays a folder of logs is told which are identical, where one is not, and which cannot be read, with an exit code.
// Method: logs of simulated nodes in a folder, whole, changed and damaged.

import Foundation
import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct RecordingReplayTests {
    /// A folder with the logs of one simulated node in two lives; `change` may do something to the effects of an event.
    private static func withLogs(
        change: (Int, [Effect]) -> [Effect] = { $1 }, _ body: (_ folder: String, _ logs: [String]) throws -> Void
    ) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "patina-replay-\(UInt64.random(in: 0...UInt64.max))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var files: [String] = []
        for number in 1...2 {
            let actor = ActorID(high: 1, low: 2)
            let configuration = NodeConfiguration(
                actor: actor, address: Address(ipv4: 0x7F00_0001, port: 4_001), generation: UInt64(number), seed: 7)
            var node = Node(configuration: configuration, ledger: VersionLedger(), members: [])
            let header = EventLogHeader(
                build: "test 1", wall: 5, start: .zero, detail: .whole, configuration: configuration, ledger: VersionLedger(), members: [])
            var writer = try #require(EventLogWriter(header))
            var effects = Effects()
            for index in 0..<40 {
                let now = Instant.zero + .milliseconds(250) * index
                let event: Event = index == 0 ? .started : .datagramReceived(from: configuration.address, bytes: [UInt8(index), 2, 3])
                node.handle(event, now: now, into: &effects)
                let isWritten = writer.append(event, now: now, effects: number == 2 ? change(index, effects.items) : effects.items)
                #expect(isWritten)
                effects.drain { _ in }
            }
            writer.finish(.shutdown)
            let file = folder.appending(path: EventLog.fileName(number)).path
            try Data(writer.take()).write(to: URL(fileURLWithPath: file))
            files.append(file)
        }
        try body(folder.path, files)
    }

    @Test("recording replay: a folder whose logs are identical")
    func identical() throws {
        try Self.withLogs { folder, files in
            #expect(RecordingReplay.isRecording(folder) && RecordingReplay.isRecording(files[0]))
            let report = try RecordingReplay(path: folder).compare()
            #expect(report.exitCode == 0)
            #expect(report.logs.map(\.file) == files)
            #expect(report.logs.map(\.events) == [40, 40])
            #expect(report.logs[0].span == .milliseconds(250) * 39)
            #expect(report.lines.filter { $0.contains("identical, 40 events") }.count == 2)
            let json = try JSONDocument.parse(report.json)
            #expect(try json.required("identical").boolean())
            #expect(try json.required("logs").elements().map { try $0.required("generation").whole() } == [1, 2])
            #expect(try RecordingReplay(path: files[1]).compare().logs.count == 1)
        }
    }

    @Test("recording replay: an effect that is another one is shown with both, and the exit code is 1")
    func different() throws {
        let change = { (index: Int, effects: [Effect]) -> [Effect] in
            index == 7 ? Array(effects.dropLast()) + [.measure(.announced(chunks: 3))] : effects
        }
        try Self.withLogs(change: change) { folder, _ in
            let report = try RecordingReplay(path: folder).compare()
            #expect(report.exitCode == 1)
            guard case .identical = report.logs[0].verdict, case .different(let difference) = report.logs[1].verdict else {
                Issue.record("the verdicts are \(report.lines)")
                return
            }
            #expect(difference.event == 8 && difference.since == .milliseconds(1_750))
            #expect(difference.recorded == ["measure announced(chunks: 3)"])
            #expect(difference.replayed.count == 1 && difference.replayed[0].hasPrefix("notify malformed"))
            #expect(report.lines.contains { $0.contains("DIFFERENT at event 8") })
            let log = try JSONDocument.parse(report.json).required("logs").elements()[1]
            #expect(try log.required("verdict").string() == "different")
            #expect(try log.required("recorded").elements().count == 1)
            let shown = try RecordingReplay(path: report.logs[1].file).show(until: "6")
            #expect(shown.contains { $0.contains("event 8 at") && $0.hasSuffix("(DIFFERENT)") })
        }
    }

    @Test("recording replay: damage, and a log of another format, have the exit code 2 and a reason")
    func unreadable() throws {
        try Self.withLogs { folder, files in
            var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: files[0])))
            bytes[bytes.count - 20] ^= 1
            try Data(bytes).write(to: URL(fileURLWithPath: files[0]))
            let damaged = try RecordingReplay(path: folder).compare()
            #expect(damaged.exitCode == 2)
            #expect(damaged.logs[0].events > 30, "what stands before the damage is replayed")
            #expect(damaged.lines.contains { $0.contains("UNREADABLE") && $0.contains("damaged at byte") })
            bytes[8] = 200
            try Data(bytes).write(to: URL(fileURLWithPath: files[0]))
            let other = try RecordingReplay(path: folder).compare()
            #expect(other.exitCode == 2 && other.lines.contains { $0.contains("format 200") })
            let logs = try JSONDocument.parse(other.json).required("logs").elements()
            #expect(try logs.map { try $0.required("verdict").string() } == ["unreadable", "identical"])
        }
    }

    @Test("recording replay: a log without an end is replayed, and what it lacks is said")
    func cut() throws {
        try Self.withLogs { _, files in
            let bytes = try Data(contentsOf: URL(fileURLWithPath: files[0]))
            try bytes.dropLast(20).write(to: URL(fileURLWithPath: files[0]))
            let report = try RecordingReplay(path: files[0]).compare()
            #expect(report.exitCode == 0 && report.logs[0].events == 39)
            #expect(report.lines.contains { $0.contains("cut within a record") })
            try bytes.dropLast(12).write(to: URL(fileURLWithPath: files[0]))
            let open = try RecordingReplay(path: files[0]).compare()
            #expect(open.logs[0].events == 40 && open.lines.contains { $0.contains("was killed, or still runs") })
        }
    }

    @Test("recording replay: it stops at an event or a time, and shows the node")
    func show() throws {
        try Self.withLogs { folder, files in
            let replay = RecordingReplay(path: files[0])
            let byNumber = try replay.show(until: "5")
            #expect(byNumber.first == "stopped after event 5, 1.000000s after the beginning, at 1.000000s")
            #expect(byNumber.contains("what happens next:") && byNumber.contains { $0.contains("waiting for the store") })
            #expect(try replay.show(until: "1s") == byNumber)
            #expect(try replay.show(until: "1h").first?.hasPrefix("stopped after event 40") == true)
            #expect(throws: ScenarioError.self) { try replay.show(until: "violation") }
            #expect(throws: ScenarioError.self) { try RecordingReplay(path: folder).show(until: "5") }
        }
    }

    @Test("recording replay: other folders and files are no recordings")
    func strangers() throws {
        try Self.withLogs { folder, files in
            try Data().write(to: URL(fileURLWithPath: "\(folder)/report.json"))
            #expect(!RecordingReplay.isRecording(folder), "that is a simulated run")
            try Data("no log".utf8).write(to: URL(fileURLWithPath: "\(folder)/other"))
            #expect(!RecordingReplay.isRecording("\(folder)/other"))
            #expect(!RecordingReplay.isRecording("\(folder)/missing"))
            let renamed = "\(folder)/renamed"
            try FileManager.default.moveItem(atPath: files[0], toPath: renamed)
            #expect(RecordingReplay.isRecording(renamed))
        }
    }
}
