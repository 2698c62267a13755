import PatinaProtocol

/// Collects what a report shows beyond its totals: what happened when. A run without `--out` has none, and pays one comparison a message.
///
/// A class, because the simulation and the report share it. Everything in it has a bound (`Bounds`), and what was left out is counted.
final class RunRecorder {
    /// How much of a run is kept.
    enum Bounds {
        /// Intervals that the time of a run is cut into.
        static let intervals = 200
        /// Messages from the beginning of the run for the trace.
        static let messages = 8_000
        /// Messages that are kept before and after the first violation, or the first fault.
        static let before = 2_000
        static let after = 400
        /// What nodes said of each other, and commits.
        static let notes = 8_000
        /// Changes of the state of machines.
        static let changes = 20_000
        /// Nodes that are asked what they see and know; in a larger cluster these are spread evenly over it.
        static let observers = 64
    }

    /// A machine's state changed.
    struct Change: Hashable {
        enum State: String, Hashable, CaseIterable { case up, down, paused }

        let node: Int
        let at: Int64
        let state: State
    }

    /// Something that a node said or did at one moment.
    struct Note: Hashable {
        let node: Int
        let at: Int64
        let traffic: TrafficClass
        let text: String
    }

    /// One time that a fault struck.
    struct Band: Hashable {
        let id: String
        let start: Int64
        /// Nil while it lasts.
        var end: Int64?
    }

    /// What the observers saw and knew at one moment.
    struct Sample: Hashable {
        let at: Int64
        /// Millionths; nil when nobody is up.
        let agreement: Int?
        /// Acknowledged versions that the worst live observer lacks, and the mean over them in thousandths.
        let missingWorst: UInt64
        let missingMean: UInt64
        let liveNodes: Int
    }

    let nodes: Int
    let duration: Int64
    /// Length of one interval in nanoseconds.
    let interval: Int64

    /// Latencies by the time of the acknowledgement.
    private(set) var latency: [Histogram]
    /// By class, then by interval.
    private(set) var sentMessages: [[UInt64]]
    private(set) var sentBytes: [[UInt64]]
    private(set) var samples: [Sample] = []
    private(set) var changes: [Change] = []
    private(set) var bands: [Band] = []
    private var bandOf: [Int: Int] = [:]
    private(set) var notes: [Note] = []
    private(set) var messages: [RecordedMessage] = []
    private(set) var violation = MessageWindow(before: Bounds.before, after: Bounds.after)
    private(set) var firstFault = MessageWindow(before: Bounds.after, after: Bounds.before)
    private(set) var digests = DigestList()
    private(set) var messagesSeen: UInt64 = 0
    private(set) var notesLeftOut: UInt64 = 0
    private(set) var changesLeftOut: UInt64 = 0

    init(nodes: Int, duration: Duration) {
        self.nodes = nodes
        self.duration = duration.nanoseconds
        interval = max(1, (duration.nanoseconds + Int64(Bounds.intervals) - 1) / Int64(Bounds.intervals))
        latency = Array(repeating: Histogram(), count: Bounds.intervals)
        let zeros = [UInt64](repeating: 0, count: Bounds.intervals)
        sentMessages = Array(repeating: zeros, count: TrafficClass.allCases.count)
        sentBytes = sentMessages
    }

    /// The machines that are asked.
    var observers: [Int] {
        guard nodes > Bounds.observers else { return Array(0..<nodes) }
        return (0..<Bounds.observers).map { $0 * nodes / Bounds.observers }
    }

    private func interval(of time: Int64) -> Int { min(Bounds.intervals - 1, max(0, Int(time / interval))) }

    // MARK: What happens

    func measured(_ measurement: Measurement, node: Int, at now: Instant) {
        switch measurement {
        case .sent(let kind, let bytes):
            let place = interval(of: now.nanoseconds)
            sentMessages[Int(kind.rawValue)][place] += 1
            sentBytes[Int(kind.rawValue)][place] += UInt64(bytes)
        case .synced(_, let chunks, let bytes):
            note(node, .sync, "sync session: \(chunks) chunks, \(bytes) bytes", at: now)
        case .dropped(let bound): note(node, .broadcast, "bound reached: \(bound)", at: now)
        case .repaired: note(node, .broadcast, "repaired by a graft", at: now)
        case .chaos(let number):
            if let point = ChaosPoint(rawValue: number) { note(node, .unknown, "chaos: \(point.name)", at: now) }
        default: break
        }
    }

    func noticed(_ notice: Notice, node: Int, at now: Instant, name: (ActorID) -> String) {
        switch notice {
        case .memberUp(let member): note(node, .membership, "\(name(member.actor)) is up", at: now)
        case .memberSuspected(let member): note(node, .membership, "suspects \(name(member.actor))", at: now)
        case .memberDown(let member): note(node, .membership, "declares \(name(member.actor)) down", at: now)
        case .memberLeft(let member): note(node, .membership, "\(name(member.actor)) left", at: now)
        case .refuted(let incarnation): note(node, .membership, "refutes, incarnation \(incarnation)", at: now)
        case .versionApplied(let origin, let version): note(node, .broadcast, "has version \(version) of \(name(origin))", at: now)
        case .malformed(_, let reason): note(node, .unknown, "malformed input: \(reason)", at: now)
        case .storeFailed(let reason): note(node, .unknown, "store failed: \(reason)", at: now)
        default: break
        }
    }

    func note(_ node: Int, _ traffic: TrafficClass, _ text: @autoclosure () -> String, at now: Instant) {
        guard notes.count < Bounds.notes else {
            notesLeftOut += 1
            return
        }
        notes.append(Note(node: node, at: now.nanoseconds, traffic: traffic, text: text()))
    }

    /// A version became visible at another node, `latency` after its acknowledgement.
    func applied(after latency: Duration, at now: Instant) {
        self.latency[interval(of: (now - latency).nanoseconds)].record(latency)
    }

    func sent(_ message: RecordedMessage) {
        messagesSeen += 1
        if messages.count < Bounds.messages { messages.append(message) }
        violation.append(message)
        firstFault.append(message)
    }

    /// The messages of a run of which it is known only afterwards what arrived, in the order of sending. Call it once, at the end.
    ///
    /// - Parameters:
    ///   - violation: when something was seen first that must not be; nil: nothing was.
    ///   - leftOut: messages that are not among them.
    func sent(all messages: [RecordedMessage], violation moment: Int64?, leftOut: UInt64) {
        violation = MessageWindow(before: Bounds.before, after: Bounds.after)
        firstFault = MessageWindow(before: Bounds.after, after: Bounds.before)
        let fault = bands.first?.start
        for message in messages {
            if let moment, moment < message.sent { violation.keep(at: moment) }
            if let fault, fault < message.sent { firstFault.keep(at: fault) }
            sent(message)
        }
        if let moment { violation.keep(at: moment) }
        if let fault { firstFault.keep(at: fault) }
        messagesSeen += leftOut
    }

    /// Something that must not be was seen for the first time.
    func violated(at now: Instant) { violation.keep(at: now.nanoseconds) }

    func changed(_ node: Int, to state: Change.State, at now: Instant) {
        guard changes.count < Bounds.changes else {
            changesLeftOut += 1
            return
        }
        changes.append(Change(node: node, at: now.nanoseconds, state: state))
    }

    func faultStarted(_ occurrence: Int, id: String, at now: Instant) {
        firstFault.keep(at: now.nanoseconds)
        guard bands.count < Bounds.changes else { return }
        bandOf[occurrence] = bands.count
        bands.append(Band(id: id, start: now.nanoseconds, end: nil))
    }

    func faultEnded(_ occurrence: Int, at now: Instant) {
        if let band = bandOf[occurrence] { bands[band].end = now.nanoseconds }
    }

    func sampled(_ sample: Sample) { samples.append(sample) }

    /// One more entry of the running trace, and its digest after it.
    func traced(_ digest: Fingerprint) { digests.append(digest.low) }
}
