import PatinaProtocol

/// What came of replaying logs of real nodes.
public struct RecordingReport: Sendable {
    public var logs: [Log]

    /// One log, of one start of a node.
    public struct Log: Sendable {
        public var file: String
        /// Nil when not even that can be read.
        public var header: EventLogHeader?
        public var events: UInt64 = 0
        public var effects: UInt64 = 0
        public var bytes = 0
        /// From the first event to the last.
        public var span = Duration.zero
        /// Nil when it was not read to its end.
        public var ending: NodeReplay.Ending?
        public var verdict = Verdict.identical

        init(file: String) { self.file = file }
    }

    public enum Verdict: Sendable {
        case identical
        case different(Difference)
        /// It is damaged, or of another build.
        case unreadable(String)
    }

    /// The first event after which the node wanted something else.
    public struct Difference: Sendable {
        public var event: UInt64
        public var instant: Instant
        /// Since the beginning of the log.
        public var since: Duration
        public var words: String
        /// Effects before the first that differs.
        public var equalEffects = 0
        /// Those from there on, in words.
        public var recorded: [String] = []
        public var replayed: [String] = []
    }

    /// 0 when all are identical, 1 when one is different, 2 when one cannot be read.
    public var exitCode: Int32 {
        logs.reduce(0) { code, log in
            switch log.verdict {
            case .identical: code
            case .different: max(code, 1)
            case .unreadable: 2
            }
        }
    }

    /// For people.
    public var lines: [String] { logs.flatMap(\.lines) }

    /// One JSON object.
    public var json: String {
        var writer = JSONWriter()
        writer.object {
            $0.field("kind", "recording")
            $0.field("identical", exitCode == 0)
            $0.array("logs", of: logs) { log, writer in log.write(to: &writer) }
        }
        return writer.text + "\n"
    }
}

extension RecordingReport.Log {
    fileprivate var verdictWord: String {
        switch verdict {
        case .identical: "identical"
        case .different: "different"
        case .unreadable: "unreadable"
        }
    }

    fileprivate var endingWords: String? {
        switch ending {
        case .finished(let end): "ended because \(end.words)"
        case .open: "without an end: the process was killed, or still runs"
        case .cut(let position, let bytes): "cut within a record at byte \(position), of which \(bytes) bytes are there"
        case nil: nil
        }
    }

    fileprivate var lines: [String] {
        var lines: [String] = []
        let counts = "\(events) events, \(effects) effects, \(RecordingReplay.words(span)), \(bytes) bytes"
        switch verdict {
        case .identical: lines.append("\(file): identical, \(counts)")
        case .different(let difference):
            lines.append("\(file): DIFFERENT at event \(difference.event)")
            lines.append("  \(RecordingReplay.words(difference.since)) after the beginning, at \(difference.instant): \(difference.words)")
            lines.append("  the first \(difference.equalEffects) effects are the same; then recorded:")
            lines += difference.recorded.isEmpty ? ["    nothing"] : difference.recorded.map { "    \($0)" }
            lines.append("  replayed:")
            lines += difference.replayed.isEmpty ? ["    nothing"] : difference.replayed.map { "    \($0)" }
        case .unreadable(let reason): lines.append("\(file): UNREADABLE after \(counts): \(reason)")
        }
        if let header {
            lines.append("  actor \(header.configuration.actor), generation \(header.configuration.generation), written by \(header.build)")
        }
        if let endingWords { lines.append("  \(endingWords)") }
        return lines
    }

    fileprivate func write(to writer: inout JSONWriter) {
        writer.object {
            $0.field("file", file)
            $0.field("verdict", verdictWord)
            $0.field("events", number: "\(events)")
            $0.field("effects", number: "\(effects)")
            $0.field("bytes", number: "\(bytes)")
            $0.field("span_seconds", JSONWriter.seconds(span))
            if let endingWords { $0.field("ending", endingWords) }
            if let header {
                $0.field("actor", "\(header.configuration.actor)")
                $0.field("generation", number: "\(header.configuration.generation)")
                $0.field("build", header.build)
                $0.field("wall_nanoseconds", number: "\(header.wall)")
            }
            switch verdict {
            case .identical: break
            case .unreadable(let reason): $0.field("reason", reason)
            case .different(let difference):
                $0.field("event", number: "\(difference.event)")
                $0.field("event_seconds", JSONWriter.seconds(difference.since))
                $0.field("event_words", difference.words)
                $0.field("equal_effects", number: "\(difference.equalEffects)")
                $0.array("recorded", of: difference.recorded) { text, writer in writer.value(text) }
                $0.array("replayed", of: difference.replayed) { text, writer in writer.value(text) }
            }
        }
    }
}
