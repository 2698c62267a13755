import PatinaProtocol

/// `trace.json`: the run as a Chrome trace, for ui.perfetto.dev and chrome://tracing. A process is a node, a thread a protocol; messages
/// are slices with arrows between them. Of a run with a violation the messages around it are there in any case.
struct TraceDocument {
    private var text = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":["
    private var isFirst = true

    /// Threads of each node: the classes of traffic, then the process itself.
    private static let processThread = TrafficClass.allCases.count
    /// Slices of messages are this long, so that they can be seen and carry arrows.
    private static let sliceMicroseconds = 20

    static func text(of recorder: RunRecorder, scenario: Scenario) -> String {
        var document = TraceDocument()
        document.names(recorder)
        document.states(recorder)
        document.faults(recorder)
        for note in recorder.notes {
            document.event("\"ph\":\"i\",\"s\":\"t\",\"name\":\(quote(note.text))", pid: note.node, tid: note.traffic.rawValue, at: note.at)
        }
        let messages = recorder.traceMessages
        for (number, message) in messages.enumerated() { document.message(message, number: number) }
        if let violation = recorder.violation.moment {
            document.event("\"ph\":\"i\",\"s\":\"g\",\"name\":\"first violation\"", pid: recorder.nodes, tid: 0, at: violation)
        }
        let left = recorder.messagesSeen - UInt64(messages.count)
        return document.text + "\n],\"otherData\":{\"scenario\":\(quote(scenario.name)),\"messages\":\(recorder.messagesSeen),"
            + "\"messages_left_out\":\(left),\"notes_left_out\":\(recorder.notesLeftOut),"
            + "\"state_changes_left_out\":\(recorder.changesLeftOut)}}\n"
    }

    private static func quote(_ text: String) -> String { JSONWriter.quote(text) }

    private mutating func raw(_ event: String) {
        text += (isFirst ? "\n{" : ",\n{") + event + "}"
        isFirst = false
    }

    private mutating func event(_ fields: String, pid: Int, tid: Int, at nanoseconds: Int64) {
        raw("\(fields),\"pid\":\(pid),\"tid\":\(tid),\"ts\":\(Self.microseconds(nanoseconds))")
    }

    private static func microseconds(_ nanoseconds: Int64) -> String {
        let fraction = String(nanoseconds % 1_000)
        return "\(nanoseconds / 1_000)." + String(repeating: "0", count: 3 - fraction.utf8.count) + fraction
    }

    private mutating func names(_ recorder: RunRecorder) {
        // A node that nothing is shown of needs no name.
        var shown = [Bool](repeating: false, count: recorder.nodes)
        for change in recorder.changes { shown[change.node] = true }
        for message in recorder.traceMessages { (shown[message.from], shown[message.to]) = (true, true) }
        for node in 0..<recorder.nodes where shown[node] {
            raw("\"ph\":\"M\",\"name\":\"process_name\",\"pid\":\(node),\"args\":{\"name\":\"node \(node)\"}")
            raw("\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":\(node),\"args\":{\"sort_index\":\(node + 1)}")
            for (thread, name) in (TrafficClass.allCases.map(\.word) + ["process"]).enumerated() where name != TrafficClass.unknown.word {
                raw("\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":\(node),\"tid\":\(thread),\"args\":{\"name\":\"\(name)\"}")
            }
        }
        raw("\"ph\":\"M\",\"name\":\"process_name\",\"pid\":\(recorder.nodes),\"args\":{\"name\":\"faults\"}")
        raw("\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":\(recorder.nodes),\"args\":{\"sort_index\":0}")
    }

    private mutating func states(_ recorder: RunRecorder) {
        for segment in recorder.segments where segment.state != .down {
            slice(segment.state.rawValue, pid: segment.node, tid: Self.processThread, from: segment.start, to: segment.end)
        }
    }

    private mutating func faults(_ recorder: RunRecorder) {
        for (number, band) in recorder.bands.enumerated() {
            slice(band.id, pid: recorder.nodes, tid: number + 1, from: band.start, to: band.end ?? recorder.duration)
        }
    }

    private mutating func slice(_ name: String, pid: Int, tid: Int, from start: Int64, to end: Int64) {
        event(
            "\"ph\":\"X\",\"name\":\(Self.quote(name)),\"dur\":\(Self.microseconds(max(0, end - start)))", pid: pid, tid: tid, at: start)
    }

    private mutating func message(_ message: RecordedMessage, number: Int) {
        let thread = message.traffic.rawValue
        let name = Self.quote("\(message.transport.word), \(message.bytes) B")
        let lost = message.arrival == nil ? ",\"args\":{\"lost\":true}" : ""
        event(
            "\"ph\":\"X\",\"cat\":\"sent\",\"name\":\(name),\"dur\":\(Self.sliceMicroseconds)\(lost)", pid: message.from, tid: thread,
            at: message.sent)
        guard let arrival = message.arrival else { return }
        event(
            "\"ph\":\"X\",\"cat\":\"received\",\"name\":\(name),\"dur\":\(Self.sliceMicroseconds)", pid: message.to, tid: thread,
            at: arrival)
        event("\"ph\":\"s\",\"cat\":\"message\",\"name\":\"message\",\"id\":\(number)", pid: message.from, tid: thread, at: message.sent)
        event(
            "\"ph\":\"f\",\"bp\":\"e\",\"cat\":\"message\",\"name\":\"message\",\"id\":\(number)", pid: message.to, tid: thread, at: arrival
        )
    }
}

extension RunRecorder {
    /// The messages of the trace: those of the beginning, and those around the first violation.
    var traceMessages: [RecordedMessage] {
        guard let last = messages.last, !violation.kept.isEmpty else { return messages }
        return messages + violation.kept.filter { $0.sent > last.sent }
    }

    /// A stretch of time in which a machine's state did not change.
    struct Segment: Hashable {
        let node: Int
        let start: Int64
        let end: Int64
        let state: Change.State
    }

    /// The states of all machines without gaps, by node, then by time. A machine is down before its first start.
    var segments: [Segment] {
        var segments: [Segment] = []
        var state = [(at: Int64, state: Change.State)](repeating: (0, .down), count: nodes)
        func close(_ node: Int, at end: Int64) {
            let (start, old) = state[node]
            if end > start { segments.append(Segment(node: node, start: start, end: end, state: old)) }
        }
        for change in changes {
            close(change.node, at: change.at)
            state[change.node] = (change.at, change.state)
        }
        for node in 0..<nodes { close(node, at: duration) }
        return segments.sorted { ($0.node, $0.start, $0.end) < ($1.node, $1.start, $1.end) }
    }
}
