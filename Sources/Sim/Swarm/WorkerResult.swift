import PatinaProtocol

/// What a worker is asked for: one run.
struct WorkerRequest: Hashable {
    var seed: UInt64
    /// The scenario file.
    var file: String
    /// Draw the scenario's knobs from the seed, as its `[swarm]` says.
    var draws: Bool

    /// One line of the protocol between a pool and its workers.
    var line: String { "\(draws ? "swarm" : "plain") \(seed) \(file)" }

    init(seed: UInt64, file: String, draws: Bool) {
        self.seed = seed
        self.file = file
        self.draws = draws
    }

    /// Nil for a line that no pool writes.
    init?(line: String) {
        let parts = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, ["swarm", "plain"].contains(parts[0]), let seed = UInt64(parts[1]), !parts[2].isEmpty else { return nil }
        self.init(seed: seed, file: String(parts[2]), draws: parts[0] == "swarm")
    }
}

/// What became of one run.
struct WorkerResult: Hashable {
    struct Failure: Hashable {
        var check: String
        var detail: String
    }

    struct Occurrence: Hashable {
        var check: String
        var count: UInt64
    }

    var traceHash = ""
    var events: UInt64 = 0
    var simulated = Duration.zero
    /// Checks that failed; also a process that died or a scenario that could not be read.
    var failures: [Failure] = []
    /// The `sometimes` checks, and how often what they ask for occurred.
    var occurrences: [Occurrence] = []

    var valid: Bool { failures.isEmpty }

    init() {}

    init(_ report: SimulationReport) {
        traceHash = report.traceHash
        events = report.events
        simulated = report.simulatedTime
        failures = report.checks.filter { !$0.valid }.map { Failure(check: $0.name, detail: $0.detail) }
        occurrences = report.checks.compactMap { check in check.occurrences.map { Occurrence(check: check.name, count: $0) } }
    }

    /// What a process that ended in the middle of a run is reported as.
    static let deadProcess = "the process survives"

    init(failing check: String, _ detail: String) { failures = [Failure(check: check, detail: detail)] }

    /// One line of JSON.
    var line: String {
        let failed = failures.map { "[\(JSONWriter.quote($0.check)),\(JSONWriter.quote($0.detail))]" }.joined(separator: ",")
        let occurred = occurrences.map { "[\(JSONWriter.quote($0.check)),\($0.count)]" }.joined(separator: ",")
        return "{\"trace\":\(JSONWriter.quote(traceHash)),\"events\":\(events),\"nanoseconds\":\(simulated.nanoseconds),"
            + "\"failures\":[\(failed)],\"occurrences\":[\(occurred)]}"
    }

    init(line: String) throws(JSONFailure) {
        let document = try JSONDocument.parse(line)
        traceHash = try document.required("trace").string()
        events = try document.required("events").whole()
        simulated = .nanoseconds(Int64(clamping: try document.required("nanoseconds").whole()))
        for pair in try document.required("failures").elements() {
            let words = try pair.elements()
            guard words.count == 2 else { throw JSONFailure("a failure is not a pair") }
            failures.append(Failure(check: try words[0].string(), detail: try words[1].string()))
        }
        for pair in try document.required("occurrences").elements() {
            let words = try pair.elements()
            guard words.count == 2 else { throw JSONFailure("an occurrence is not a pair") }
            occurrences.append(Occurrence(check: try words[0].string(), count: try words[1].whole()))
        }
    }
}

/// The other end of a pool: reads requests from standard input and answers each with one line.
public enum SwarmWorker {
    /// Works until standard input ends. `answer` writes one line at once.
    public static func serve(overrides: [String], answer: (String) -> Void) {
        while let line = readLine() {
            guard let request = WorkerRequest(line: line) else {
                answer(WorkerResult(failing: "the request is understood", "a worker was asked \"\(line)\"").line)
                continue
            }
            answer(run(request, overrides: overrides).line)
        }
    }

    static func run(_ request: WorkerRequest, overrides: [String]) -> WorkerResult {
        do throws(ScenarioError) {
            var scenario = try Scenario.load(path: request.file, overrides: overrides)
            if request.draws { scenario = scenario.drawn(seed: request.seed) }
            return WorkerResult(Simulation(scenario: scenario, seed: request.seed).run())
        } catch {
            return WorkerResult(failing: "the scenario is understood", error.description)
        }
    }
}
