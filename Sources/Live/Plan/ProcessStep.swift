import PatinaProtocol
import PatinaSim
import PatinaStore

/// Something that the live engine does to agent processes at a time of the run.
struct ProcessStep: Sendable {
    enum Kind: Sendable {
        /// SIGKILL. The process is started again when every fault that holds it down has ended.
        case kill([Int])
        case revive([Int])
        /// SIGTERM: the agent says goodbye to the others and ends.
        case leave([Int])
        /// SIGSTOP and SIGCONT.
        case pause([Int])
        case resume([Int])
        /// SIGKILL, and the database is gone.
        case wipe([Int])
        /// Wall clocks jump by so many nanoseconds.
        case stepClock([(node: Int, nanoseconds: Int64)])
        /// Wall clocks gain so many microseconds in a second from now on.
        case driftClock([Int], partsPerMillion: Int)
        /// What they gained is taken back.
        case endDrift([Int], partsPerMillion: Int)
        /// New schema files, and a reload.
        case changeSchema([Int], [SchemaFile], allowDestructive: Bool)
    }

    /// Since the run began.
    let at: Instant
    let kind: Kind

    /// The steps of all faults that are not about the network, in order.
    ///
    /// - Throws: `LiveError` for a fault that is none of ours; `FaultKind.engines` should have said so.
    static func all(of plan: FaultPlan, _ scenario: Scenario) throws(LiveError) -> [ProcessStep] {
        var steps: [ProcessStep] = []
        for occurrence in plan.occurrences {
            let (begin, end) = try kinds(of: occurrence, scenario)
            if let begin { steps.append(ProcessStep(at: occurrence.start, kind: begin)) }
            if let end, let time = occurrence.end { steps.append(ProcessStep(at: time, kind: end)) }
        }
        return steps.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }.map(\.element)
    }

    private static func kinds(of occurrence: FaultPlan.Occurrence, _ scenario: Scenario) throws(LiveError) -> (Kind?, Kind?) {
        switch occurrence.action {
        case _ where NetworkTimeline.covers(occurrence): return (nil, nil)
        case let action as CrashAction: return (.kill(action.nodes), .revive(action.nodes))
        case let action as LeaveAction: return (.leave(action.nodes), nil)
        case let action as PauseAction: return (.pause(action.nodes), .resume(action.nodes))
        case let action as DiskAction where action.fault == .wipe: return (.wipe(action.nodes), .revive(action.nodes))
        case let action as SchemaAction:
            return (.changeSchema(action.nodes, action.change.files, allowDestructive: action.change.allowDestructive), nil)
        case let action as ClockAction:
            let steps = action.steps.map { (node: $0.node, nanoseconds: $0.by.nanoseconds) }
            return (.stepClock(steps), action.isReverted ? .stepClock(steps.map { (node: $0.node, nanoseconds: -$0.nanoseconds) }) : nil)
        case let action as DriftAction:
            return (
                .driftClock(action.nodes, partsPerMillion: action.partsPerMillion),
                .endDrift(action.nodes, partsPerMillion: action.partsPerMillion)
            )
        default:
            throw LiveError(
                "\(scenario.file): the live engine does not know how to do what fault \"\(scenario.faults[occurrence.fault].id)\" does")
        }
    }
}
