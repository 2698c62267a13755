import PatinaProtocol

/// What `patina sim replay` does with logs of real nodes, as `patina agent --record` writes them: feeds each to the same `Node` and
/// compares every effect; or stops somewhere and shows the node.
public struct RecordingReplay: Sendable {
    /// A directory of logs, or one log.
    public var path: String
    /// Where to stop: the number of an event, or a time since the beginning of the log (`12.5s`). Nil: go to the end and compare.
    public var until: String?

    /// Events that are shown before and after the place where it stops, and effects of one event.
    private static let before = 20
    private static let after = 10
    private static let effectsMaximum = 40

    public init(path: String) { self.path = path }

    /// True when there are logs at a path, and it is not the directory of a simulated run.
    public static func isRecording(_ path: String) -> Bool {
        if FileAccess.isDirectory(path) { return !FileAccess.exists("\(path)/report.json") && !files(in: path).isEmpty }
        return EventLog.number(ofFile: String(path.split(separator: "/").last ?? "")) != nil || beginsAsLog(path)
    }

    private static func beginsAsLog(_ path: String) -> Bool {
        guard let pieces = try? FilePieces(path), let piece = try? pieces.next() else { return false }
        return piece.starts(with: EventLog.magic)
    }

    /// In the order of the starts.
    private static func files(in directory: String) -> [String] {
        FileAccess.names(in: directory).filter { EventLog.number(ofFile: $0) != nil }
            .sorted { (EventLog.number(ofFile: $0) ?? 0) < (EventLog.number(ofFile: $1) ?? 0) }
    }

    // MARK: Comparing

    /// Replays every log.
    public func compare() throws(ScenarioError) -> RecordingReport {
        let files = FileAccess.isDirectory(path) ? Self.files(in: path).map { "\(path)/\($0)" } : [path]
        guard !files.isEmpty else { throw ScenarioError(file: path, line: nil, message: "there is no event log in this folder") }
        return RecordingReport(logs: files.map(Self.replay))
    }

    private static func replay(_ file: String) -> RecordingReport.Log {
        var log = RecordingReport.Log(file: file)
        do throws(NodeReplayError) {
            var replay = try NodeReplay(file: file)
            log.header = replay.header
            var first: Instant?
            defer {
                log.events = replay.steps
                log.effects = replay.effectCount
                log.bytes = replay.bytes
            }
            while let step = try replay.next() {
                first = first ?? step.now
                log.span = step.now - (first ?? step.now)
                guard step.isEqual else {
                    log.verdict = .different(difference(step, header: replay.header))
                    return log
                }
            }
            log.ending = replay.ending
            log.verdict = .identical
        } catch {
            switch error {
            case .impossible(let step, let event, _):
                // Everything before it was the same, so the log itself holds what no node can be told.
                log.verdict = .unreadable("\(error): \(EventWords.of(event)) (event \(step))")
            case .unreadable, .noHeader, .log: log.verdict = .unreadable("\(error)")
            }
        }
        return log
    }

    private static func difference(_ step: NodeReplay.Step, header: EventLogHeader) -> RecordingReport.Difference {
        var difference = RecordingReport.Difference(
            event: step.number, instant: step.now, since: step.now - header.start, words: EventWords.of(step.event))
        let replayed = step.replayed.map { EventWords.of($0) }
        switch step.recorded {
        case .digest(_, let count):
            difference.recorded = ["\(count) effects, of which the log has a digest only"]
            difference.replayed = Array(replayed.prefix(effectsMaximum))
        case .whole(let effects):
            let recorded = effects.map { EventWords.of($0) }
            let same = zip(effects, step.replayed).prefix { $0 == $1 }.count
            difference.equalEffects = same
            difference.recorded = Array(recorded.dropFirst(same).prefix(effectsMaximum))
            difference.replayed = Array(replayed.dropFirst(same).prefix(effectsMaximum))
        }
        return difference
    }

    // MARK: Showing

    private enum Place {
        case event(UInt64)
        case time(Duration)
    }

    /// Stops at `until` and tells what happened before, what the node is like, and what happens next.
    public func show(until text: String) throws(ScenarioError) -> [String] {
        func failure(_ message: String) -> ScenarioError { ScenarioError(file: path, line: nil, message: message) }
        var file = path
        if FileAccess.isDirectory(path) {
            let files = Self.files(in: path)
            guard files.count == 1 else {
                throw failure("there are \(files.count) logs in this folder: name the one to stop in, like \(path)/\(files.last ?? "")")
            }
            file = "\(path)/\(files[0])"
        }
        let place: Place
        if let number = UInt64(text) {
            place = .event(number)
        } else if let time = Quantity.duration(text) {
            place = .time(time)
        } else {
            throw failure("\"\(text)\" is no place in a log; expected the number of an event, or a time since its beginning, like 12.5s")
        }
        do throws(NodeReplayError) {
            return try Self.lines(file, until: place)
        } catch {
            throw failure("\(error)")
        }
    }

    private static func lines(_ file: String, until place: Place) throws(NodeReplayError) -> [String] {
        var replay = try NodeReplay(file: file)
        let start = replay.header.start
        var recent: [NodeReplay.Step] = []
        var next: NodeReplay.Step?
        while next == nil, let step = try replay.next() {
            // Events of the instant itself come before the place.
            let isReached =
                switch place {
                case .event(let number): step.number >= number
                case .time(let time): step.now - start >= time
                }
            recent.append(step)
            if recent.count > before { recent.removeFirst() }
            if isReached { next = step }
        }
        guard let last = recent.last else { return ["there is no event in this log"] }
        var lines = ["stopped after event \(last.number), \(words(last.now - start)) after the beginning, at \(last.now)"]
        lines += ["what happened before:"] + recent.map { line($0, start: start) }
        lines += ["", "what it wanted then:"] + last.replayed.prefix(effectsMaximum).map { "  \(EventWords.of($0))" }
        if last.replayed.count > effectsMaximum { lines.append("  and \(last.replayed.count - effectsMaximum) more") }
        lines += ["", "the node:"] + state(of: replay.node)
        lines += ["", "what happens next:"]
        for _ in 0..<after {
            guard let step = try replay.next() else { break }
            lines.append(line(step, start: start))
        }
        return lines
    }

    private static func line(_ step: NodeReplay.Step, start: Instant) -> String {
        "  event \(step.number) at \(words(step.now - start)): \(EventWords.of(step.event))\(step.isEqual ? "" : " (DIFFERENT)")"
    }

    private static func state(of node: borrowing Node) -> [String] {
        let status = node.status
        let members = node.members.map { member in
            "  \(member.record.actor) at \(member.record.address), generation \(member.record.generation), \(member.state)"
        }
        let ledger = node.ledger
        let heads = ledger.actors.compactMap { actor in
            ledger[actor].map { "\(actor) \($0.head)\($0.gaps.isEmpty ? "" : " without \($0.gaps)")" }
        }
        return ["  digest \(status.digest), \(node.members.count) members:"] + members + [
            "  waiting for the store: \(status.pendingChunks) chunks, \(status.pendingBytes) bytes, \(status.storeOperations) operations",
            "  broadcast: \(status.cachedChunks) chunks cached, \(status.missingChunks) missing; sync: \(status.ownSessions) own sessions, "
                + "\(status.servedSessions) served, \(status.differingPeers) peers differ",
            "  versions: \(heads.isEmpty ? "none" : heads.joined(separator: ", "))",
        ]
    }

    static func words(_ duration: Duration) -> String { (Instant.zero + duration).description }
}
