import PatinaProtocol

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// What `patina sim shrink` does: finds a small scenario that fails as a large one does.
///
/// The faults of the failing run are written out, then parts are taken away as long as the same check fails:
/// faults, workloads, time, nodes, load, link rules and settings, until nothing more can go or the runs are used up.
public struct ShrinkCommand: Sendable {
    /// A scenario file, or the directory of a run.
    public var source: String
    /// Nil: that of the directory's report, or the scenario's first one.
    public var seed: UInt64?
    public var overrides: [String] = []
    /// The knobs that `[swarm]` names are drawn from the seed first.
    public var draws = false
    /// The mistake that all nodes have.
    public var mutant: Mutant?
    /// Runs at most.
    public var runs = 600
    public var jobs = 1
    public var executable: String?

    /// Other seeds that are tried with a candidate.
    private static let otherSeeds: UInt64 = 3

    public init(source: String) { self.source = source }

    /// A scenario that fails, and how large it is.
    public struct Outcome: Sendable {
        public var scenario: Scenario
        public var seed: UInt64
        public var violated: String
        public var before: Size
        public var after: Size
        public var runs: Int
        /// False when the runs were used up before nothing more could go.
        public var isMinimal: Bool

        /// The scenario as a file.
        public var text: String { scenario.canonical }
    }

    public struct Size: Hashable, Sendable, CustomStringConvertible {
        public var nodes: Int
        public var faults: Int
        public var workloads: Int
        public var duration: Duration

        public var description: String {
            "\(faults) fault events, \(nodes) nodes, \(workloads) workloads, \(Quantity.print(duration))"
        }
    }

    /// Shrinks. `progress` is told in a sentence what was achieved.
    ///
    /// - Throws: when the scenario cannot be read, does not fail, or no worker can be started.
    public func run(progress: (String) -> Void) throws(ScenarioError) -> Outcome {
        let origin = try RunDirectory.origin(of: source, seed: seed)
        var scenario = try Scenario.load(path: origin.file, overrides: overrides)
        var seed = origin.seed ?? scenario.seeds.first
        if draws { scenario = scenario.drawn(seed: seed) }
        scenario.swarm = SwarmSettings()
        var search = try ShrinkSearch(pool: WorkerPool(executable: executable, overrides: [], jobs: jobs), runs: runs, mutant: mutant)
        defer { search.removeFiles() }
        let first = try search.run([(scenario, seed)])[0]
        guard let violated = first.failures.first?.check else {
            throw ScenarioError(file: source, line: nil, message: "seed \(seed) does not fail: there is nothing to shrink")
        }
        progress("seed \(seed) violates \(violated)")
        let explicit = scenario.explicit(seed: seed)
        let before = Size(explicit)
        if try search.run([(explicit, seed)])[0].violates(violated) {
            scenario = explicit
        } else {
            progress("with its faults written out it does not fail; they stay as they are")
        }
        var isMinimal = false
        search: while true {
            let start = scenario
            for step in ShrinkStep.allCases {
                // The same step again as long as it finds something: each removal makes room for the next.
                while true {
                    let candidates = step.candidates(scenario, violated: violated)
                    let seeds = step.triesOtherSeeds ? [seed] + (1...Self.otherSeeds).filter { $0 != seed } : [seed]
                    let requests = candidates.flatMap { candidate in seeds.map { (candidate, $0) } }
                    guard let found = try search.firstViolating(requests, violated) else { break }
                    (scenario, seed) = found
                    progress("\(step.rawValue): \(Size(scenario)) after \(search.used) runs")
                }
                if search.isUsedUp { break search }
            }
            if scenario == start {
                isMinimal = true
                break
            }
        }
        scenario.name += "-shrunk"
        scenario.about = "Shrunk from \(scenario.name.dropLast("-shrunk".count)): violates \(violated) with seed \(seed)."
        scenario.seeds = .list([seed])
        return Outcome(
            scenario: scenario, seed: seed, violated: violated, before: before, after: Size(scenario), runs: search.used,
            isMinimal: isMinimal)
    }
}

extension ShrinkCommand.Size {
    init(_ scenario: Scenario) {
        nodes = scenario.topology.nodes
        faults = scenario.faults.count
        workloads = scenario.workloads.count
        duration = scenario.duration
    }
}

extension WorkerResult {
    func violates(_ check: String) -> Bool { failures.contains { $0.check == check } }
}

/// Runs candidates, as files in a directory of their own where there are workers to read them, and counts.
private struct ShrinkSearch {
    let pool: WorkerPool
    let runs: Int
    let mutant: Mutant?
    private(set) var used = 0
    /// Nil: everything runs in this process.
    private let directory: String?
    private var files = 0

    init(pool: WorkerPool, runs: Int, mutant: Mutant?) throws(ScenarioError) {
        self.pool = pool
        self.runs = runs
        self.mutant = mutant
        guard pool.executable != nil else {
            directory = nil
            return
        }
        var template = Array("/tmp/patina-shrink-XXXXXX".utf8CString)
        guard let made = template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!).map { String(cString: $0) } }) else {
            throw ScenarioError(file: "/tmp", line: nil, message: "no directory can be made: \(String(cString: strerror(errno)))")
        }
        directory = made
    }

    var isUsedUp: Bool { used >= runs }

    func removeFiles() {
        guard let directory else { return }
        for number in 0..<files { unlink("\(directory)/\(number).toml") }
        rmdir(directory)
    }

    /// Runs all of them and returns the results in their order.
    mutating func run(_ candidates: [(Scenario, UInt64)]) throws(ScenarioError) -> [WorkerResult] {
        used += candidates.count
        guard let directory else { return candidates.map { runHere($0, seed: $1) } }
        var requests: [WorkerRequest] = []
        for (number, (scenario, seed)) in candidates.enumerated() {
            let path = "\(directory)/\(number).toml"
            try SimulationCommand.write(scenario.canonical, to: path)
            requests.append(WorkerRequest(seed: seed, file: path, draws: false, mutant: mutant))
        }
        files = max(files, requests.count)
        var results = [WorkerResult](repeating: WorkerResult(), count: requests.count)
        var next = 0
        let problem = pool.run {
            guard next < requests.count else { return nil }
            defer { next += 1 }
            return requests[next]
        } done: { request, result in
            if let place = requests.firstIndex(of: request) { results[place] = result }
            return true
        }
        if let problem { throw ScenarioError(file: directory, line: nil, message: problem) }
        return results
    }

    /// Through the canonical form, as a worker reads it: what cannot be written down is no scenario.
    private func runHere(_ candidate: Scenario, seed: UInt64) -> WorkerResult {
        do throws(ScenarioError) {
            return SwarmWorker.run(try Scenario.parse(candidate.canonical, file: candidate.file), seed: seed, mutant: mutant)
        } catch {
            return WorkerResult(failing: "the scenario is understood", error.description)
        }
    }

    /// The first candidate that violates the check, looked for a few at a time. The answer does not depend on the number of jobs.
    mutating func firstViolating(_ candidates: [(Scenario, UInt64)], _ check: String) throws(ScenarioError) -> (Scenario, UInt64)? {
        var start = 0
        while start < candidates.count, !isUsedUp {
            let chunk = Array(candidates[start..<min(candidates.count, start + max(1, min(pool.jobs, runs - used)))])
            let results = try run(chunk)
            if let found = results.firstIndex(where: { $0.violates(check) }) { return chunk[found] }
            start += chunk.count
        }
        return nil
    }
}

extension ShrinkCommand.Outcome {
    /// Writes the scenario. Throws when that fails.
    public func write(to path: String) throws(ScenarioError) { try SimulationCommand.write(text, to: path) }
}
