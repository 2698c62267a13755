import PatinaProtocol

/// What faults do to the network, in the order in which they do it. The relay of a live run follows it while the
/// agents run, and the judge follows it again when it reads what they recorded.
package struct NetworkTimeline: Sendable {
    /// One fault begins or ends.
    struct Change: Sendable {
        /// Since the run began.
        let at: Instant
        /// Tells the occurrence from all others of the run.
        let strike: Int
        let kind: Kind
    }

    enum Kind: Sendable {
        case cut(Partition)
        case heal
        case disturb(LinkDisturbance)
        case calm
    }

    private(set) var changes: [Change] = []

    /// - Parameter plan: of which only what the network is about matters here.
    package init(_ plan: FaultPlan) {
        for (strike, occurrence) in plan.occurrences.enumerated() {
            switch occurrence.action {
            case let action as PartitionAction: add(occurrence, strike, .cut(action.partition), .heal)
            case let action as LinkAction: add(occurrence, strike, .disturb(action.disturbance), .calm)
            default: break
            }
        }
        changes = changes.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }.map(\.element)
    }

    /// Whether the network is all that an occurrence is about.
    package static func covers(_ occurrence: FaultPlan.Occurrence) -> Bool {
        occurrence.action is PartitionAction || occurrence.action is LinkAction
    }

    private mutating func add(_ occurrence: FaultPlan.Occurrence, _ strike: Int, _ begin: Kind, _ end: Kind) {
        changes.append(Change(at: occurrence.start, strike: strike, kind: begin))
        if let time = occurrence.end { changes.append(Change(at: time, strike: strike, kind: end)) }
    }
}

extension NetworkTimeline {
    /// How many changes there are.
    package var count: Int { changes.count }

    /// When a change is due.
    package func time(of change: Int) -> Instant { changes[change].at }
}

extension Network {
    package mutating func apply(_ number: Int, of timeline: NetworkTimeline) {
        let change = timeline.changes[number]
        switch change.kind {
        case .cut(let partition): cut(partition, occurrence: change.strike)
        case .heal: heal(occurrence: change.strike, at: change.at)
        case .disturb(let disturbance): disturb(disturbance, strike: change.strike)
        case .calm: calm(strike: change.strike, at: change.at)
        }
    }
}
