import PatinaProtocol
import PatinaTOML

/// What `patina sim replay` does with the directory of a simulated run: runs it again and compares the traces; or stops somewhere and
/// shows the state.
public struct ReplayCommand: Sendable {
    public var directory: String
    /// Where to stop: a point in time (`12.5s`, `cut.end`), the number of a step, or `violation`. Nil: run to the end and compare.
    public var until: String?
    /// Show this node only.
    public var node: Int?
    /// Compare with this run in place of a run by this build.
    public var against: String?

    /// Entries that are shown before and after the place where it stops, nodes that are shown, and entries of a divergence.
    private static let before = 20
    private static let after = 10
    private static let nodesMaximum = 16
    private static let divergenceMaximum = 64

    public init(directory: String) { self.directory = directory }

    public struct Outcome: Sendable {
        /// False when the traces differ.
        public var isIdentical: Bool
        public var lines: [String]

        /// One JSON object.
        public var json: String {
            var writer = JSONWriter()
            writer.object {
                $0.field("kind", "simulation")
                $0.field("identical", isIdentical)
                $0.array("lines", of: lines) { line, writer in writer.value(line) }
            }
            return writer.text + "\n"
        }
    }

    public func run() throws(ScenarioError) -> Outcome {
        let recorded = try RunDirectory(directory)
        if let node, node < 0 || node >= recorded.scenario.topology.nodes {
            throw ScenarioError(
                file: directory, line: nil, message: "there is no node \(node); the nodes are 0 to \(recorded.scenario.topology.nodes - 1)")
        }
        if let until { return try show(recorded, until: until) }
        return try compare(recorded)
    }

    // MARK: Comparing

    private func compare(_ recorded: RunDirectory) throws(ScenarioError) -> Outcome {
        let other: (hash: String, digests: DigestList?, name: String)
        if let against {
            let second = try RunDirectory(against)
            guard second.scenario.hash == recorded.scenario.hash, second.seed == recorded.seed else {
                throw ScenarioError(file: against, line: nil, message: "this run has another scenario or seed: their traces differ anyway")
            }
            other = (second.traceHash, second.digests, against)
        } else {
            let simulation = Simulation(scenario: recorded.scenario, seed: recorded.seed)
            simulation.startRecording()
            let report = simulation.run()
            other = (report.traceHash, simulation.recorder?.digests, "this build")
        }
        guard other.hash != recorded.traceHash else {
            return Outcome(isIdentical: true, lines: ["identical: trace hash \(recorded.traceHash), as \(other.name) has it"])
        }
        var lines = ["different: trace hash \(recorded.traceHash) recorded, \(other.hash) by \(other.name)"]
        guard let own = recorded.digests, let theirs = other.digests else {
            lines.append("there is no trace.digests to find the first difference with")
            return Outcome(isIdentical: false, lines: lines)
        }
        guard let place = own.divergence(from: theirs) else {
            lines.append("the recorded digests agree: the runs part in the last \(max(own.stride, theirs.stride)) steps")
            return Outcome(isIdentical: false, lines: lines)
        }
        lines.append("the first \(place.lowerBound) steps are the same; the first difference is at step \(place.upperBound) at the latest")
        lines.append("these steps as this build takes them:")
        lines += steps(recorded, from: place.lowerBound + 1, to: place.upperBound)
        return Outcome(isIdentical: false, lines: lines)
    }

    private func steps(_ recorded: RunDirectory, from first: UInt64, to last: UInt64) -> [String] {
        let simulation = Simulation(scenario: recorded.scenario, seed: recorded.seed)
        simulation.startRecording()
        var number: UInt64 = 0
        var lines: [String] = []
        simulation.advance {
            _ in
            number >= last
        } watch: { now, happening in
            number += 1
            guard number >= first, lines.count <= Self.divergenceMaximum else { return }
            lines.append(
                lines.count == Self.divergenceMaximum ? "  …" : "  step \(number) at \(now): \(simulation.line(happening))")
        }
        return lines
    }

    // MARK: Showing

    private enum Place {
        case time(Instant)
        case step(UInt64)
        case violation
    }

    private func place(_ text: String, in simulation: Simulation) throws(ScenarioError) -> Place {
        if text == "violation" { return .violation }
        if let number = UInt64(text) { return .step(number) }
        if let anchor = TimeAnchor.parse(text) {
            let ids = simulation.scenario.faults.map(\.id)
            if let id = anchor.faultID, !ids.contains(id) {
                throw ScenarioError(
                    file: directory, line: nil, message: "there is no fault \"\(id)\"", suggestion: Spelling.nearest(to: id, among: ids))
            }
            guard let time = simulation.faults.time(of: anchor) else {
                throw ScenarioError(file: directory, line: nil, message: "\(text) does not come in this run")
            }
            return .time(time)
        }
        throw ScenarioError(
            file: directory, line: nil,
            message: "\"\(text)\" is no place in a run; expected a time, like 12.5s or cut.end, a step, or violation")
    }

    private func show(_ recorded: RunDirectory, until text: String) throws(ScenarioError) -> Outcome {
        let simulation = Simulation(scenario: recorded.scenario, seed: recorded.seed)
        simulation.startRecording()
        let place = try place(text, in: simulation)
        var number: UInt64 = 0
        var recent: [String] = []
        func watch(_ now: Instant, _ happening: Happening) {
            number += 1
            if let node, !simulation.concerns(happening, node: node) { return }
            recent.append("  step \(number) at \(now): \(simulation.line(happening))")
            if recent.count > Self.before { recent.removeFirst() }
        }
        simulation.advance(
            until: { simulation in
                switch place {
                case .time(let time): simulation.heap.firstTime.map { $0 > time.nanoseconds } ?? true
                case .step(let step): number >= step
                case .violation: simulation.checks.firstViolation != nil
                }
            }, watch: watch)
        var lines = ["stopped after step \(number), at \(simulation.clock.now)"]
        if case .violation = place, simulation.checks.firstViolation == nil {
            lines.append("nothing was violated on the way; what is judged at the end only is in report.json")
        }
        lines += ["what happened before:"] + recent + [""]
        let nodes = node.map { [$0] } ?? Array((0..<simulation.hosts.count).prefix(Self.nodesMaximum))
        for node in nodes { lines += simulation.state(of: node) }
        if nodes.count < simulation.hosts.count, node == nil {
            lines.append("\(simulation.hosts.count - nodes.count) more nodes: choose one with --node")
        }
        recent = []
        var shown = 0
        let stop = number + 10_000
        simulation.advance(
            until: { _ in shown >= Self.after || number >= stop },
            watch: { now, happening in
                let known = recent.count
                watch(now, happening)
                if recent.count > known { shown += 1 }
            })
        lines += ["", "what happens next:"] + recent
        return Outcome(isIdentical: true, lines: lines)
    }
}
