import PatinaProtocol

/// What a worker is asked for: one run.
struct WorkerRequest: Hashable {
    var seed: UInt64
    /// The scenario file.
    var file: String
    /// Draw the scenario's knobs from the seed, as its `[swarm]` says.
    var draws: Bool
    /// The mistake that all nodes have.
    var mutant: Mutant?

    /// One line of the protocol between a pool and its workers.
    var line: String { "\(draws ? "swarm" : "plain") \(seed) \(mutant?.rawValue ?? "-") \(file)" }

    init(seed: UInt64, file: String, draws: Bool, mutant: Mutant? = nil) {
        self.seed = seed
        self.file = file
        self.draws = draws
        self.mutant = mutant
    }

    /// Nil for a line that no pool writes.
    init?(line: String) {
        let parts = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 4, ["swarm", "plain"].contains(parts[0]), let seed = UInt64(parts[1]), !parts[3].isEmpty else { return nil }
        let mutant = Mutant(rawValue: String(parts[2]))
        guard mutant != nil || parts[2] == "-" else { return nil }
        self.init(seed: seed, file: String(parts[3]), draws: parts[0] == "swarm", mutant: mutant)
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
    /// The chaos points that were on, and how often each struck.
    var chaos: [Occurrence] = []

    var valid: Bool { failures.isEmpty }

    init() {}

    init(_ report: SimulationReport) {
        traceHash = report.traceHash
        events = report.events
        simulated = report.simulatedTime
        failures = report.checks.filter { !$0.valid }.map { Failure(check: $0.name, detail: $0.detail) }
        occurrences = report.checks.filter(\.mustOccur).map { Occurrence(check: $0.name, count: $0.occurrences ?? 0) }
        chaos = report.chaos.map { Occurrence(check: $0.point, count: $0.count) }
    }

    /// What a process that ended in the middle of a run is reported as.
    static let deadProcess = "the process survives"

    init(failing check: String, _ detail: String) { failures = [Failure(check: check, detail: detail)] }

    /// One line of JSON.
    var line: String {
        let failed = failures.map { "[\(JSONWriter.quote($0.check)),\(JSONWriter.quote($0.detail))]" }.joined(separator: ",")
        func pairs(_ occurrences: [Occurrence]) -> String {
            occurrences.map { "[\(JSONWriter.quote($0.check)),\($0.count)]" }.joined(separator: ",")
        }
        return "{\"trace\":\(JSONWriter.quote(traceHash)),\"events\":\(events),\"nanoseconds\":\(simulated.nanoseconds),"
            + "\"failures\":[\(failed)],\"occurrences\":[\(pairs(occurrences))],\"chaos\":[\(pairs(chaos))]}"
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
        occurrences = try Self.pairs(try document.required("occurrences"))
        chaos = try Self.pairs(try document.required("chaos"))
    }

    private static func pairs(_ document: JSONDocument) throws(JSONFailure) -> [Occurrence] {
        var pairs: [Occurrence] = []
        for pair in try document.elements() {
            let words = try pair.elements()
            guard words.count == 2 else { throw JSONFailure("an occurrence is not a pair") }
            pairs.append(Occurrence(check: try words[0].string(), count: try words[1].whole()))
        }
        return pairs
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

    static func run(_ scenario: Scenario, seed: UInt64, mutant: Mutant?) -> WorkerResult {
        WorkerResult(Simulation(scenario: scenario, seed: seed, mutant: mutant).run())
    }

    static func run(_ request: WorkerRequest, overrides: [String]) -> WorkerResult {
        do throws(ScenarioError) {
            var scenario = try Scenario.load(path: request.file, overrides: overrides)
            if request.draws { scenario = scenario.drawn(seed: request.seed) }
            return run(scenario, seed: request.seed, mutant: request.mutant)
        } catch {
            return WorkerResult(failing: "the scenario is understood", error.description)
        }
    }
}
