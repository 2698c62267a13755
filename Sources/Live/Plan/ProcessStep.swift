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
        /// SIGSTOP for so long, a millisecond of running, and so on.
        case slowDown([Int], Duration)
        case speedUp([Int], Duration)
        /// Agents are told to close their connections.
        case reset([Int])
        /// SIGKILL, and the database is gone.
        case wipe([Int])
        /// The files of databases are copied, to be put back later.
        case keepCopy([Int], mark: UInt64)
        /// SIGKILL, and the files are what they were when the copy of that mark was made.
        case restoreCopy([Int], mark: UInt64, DiskFault.Reservation)
        /// Bits of a file of agents that do not run are turned over, and they are started again.
        case damage([Int], DiskFault.File, bits: Int)
        /// SIGKILL, and the next process shows expired certificates, or valid ones again.
        case expireCertificates([Int])
        case renewCertificates([Int])
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
        case let action as SlowAction:
            return (.slowDown(action.nodes, action.eventCost), .speedUp(action.nodes, action.eventCost))
        case let action as ResetAction: return (.reset(action.nodes), nil)
        case let action as CertificateAction: return (.expireCertificates(action.nodes), .renewCertificates(action.nodes))
        case let action as BackupAction: return (.keepCopy(action.nodes, mark: action.mark), nil)
        case let action as DiskAction:
            switch action.fault {
            case .wipe: return (.wipe(action.nodes), .revive(action.nodes))
            case .restoreBackup(let reservation):
                return (.restoreCopy(action.nodes, mark: action.mark, reservation), .revive(action.nodes))
            case .bitFlip(let file, let bits): return (.kill(action.nodes), .damage(action.nodes, file, bits: bits))
            case .powerLoss, .tornWrite, .errors, .full, .slow: throw unknown(occurrence, scenario)
            }
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
        default: throw unknown(occurrence, scenario)
        }
    }

    private static func unknown(_ occurrence: FaultPlan.Occurrence, _ scenario: Scenario) -> LiveError {
        LiveError("\(scenario.file): the live engine does not know how to do what fault \"\(scenario.faults[occurrence.fault].id)\" does")
    }
}
