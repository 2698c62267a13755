import PatinaProtocol

/// What `patina sim swarm` does: runs a scenario with many seeds, each with knobs of its own, on all cores.
public struct SwarmCommand: Sendable {
    public var file: String
    public var overrides: [String] = []
    /// Nil: the first seed of the scenario.
    public var from: UInt64?
    public var count: UInt64
    /// Processes at the same time.
    public var jobs: Int
    /// This part of that many, from 1: every `of`-th seed.
    public var shard: (number: UInt64, of: UInt64) = (1, 1)
    /// Go on after a failure.
    public var keepGoing = false
    /// The program that is started as worker; nil: everything in this process.
    public var executable: String?
    /// Receives `swarm.json` and a folder for each of the first failures.
    public var directory: String?

    /// Seeds of one swarm at most.
    public static let countMaximum: UInt64 = 10_000_000
    /// Failures that get a folder of their own.
    static let foldersMaximum = 20

    public init(file: String, count: UInt64, jobs: Int) {
        self.file = file
        self.count = count
        self.jobs = jobs
    }

    /// How far a swarm is.
    public struct Progress: Sendable {
        public var done: UInt64
        public var of: UInt64
        public var failures: UInt64
        public var simulated: Duration
        public var elapsed: Duration
    }

    /// Runs it. `progress` is called after each run.
    ///
    /// - Throws: when the scenario cannot be read, a directory cannot be written, or no worker can be started.
    public func run(progress: (Progress) -> Void) throws(ScenarioError) -> SwarmReport {
        let scenario = try Scenario.load(path: file, overrides: overrides)
        let first = from ?? scenario.seeds.first
        guard count > 0, count <= Self.countMaximum, shard.number >= 1, shard.number <= shard.of, first <= UInt64.max - count else {
            throw ScenarioError(
                file: file, line: nil, message: "a swarm has 1 to \(Self.countMaximum) seeds, and shard I/N needs 1 <= I <= N")
        }
        if let directory { try SimulationCommand.prepare(directory) }
        var report = SwarmReport(
            scenario: scenario.name, scenarioHash: scenario.hash, file: file, overrides: overrides, from: first, count: count,
            shards: [shard.number], shardCount: shard.of)
        for check in scenario.checks {
            if check.mustHappen, !report.coverage.contains(where: { $0.check == check.name }) {
                report.coverage.append(SwarmReport.Coverage(check: check.name, seeds: 0))
            }
        }
        let started = SimulationCommand.monotonicNanoseconds()
        let total = count / shard.of + (count % shard.of >= shard.number ? 1 : 0)
        var index = shard.number - 1
        let pool = WorkerPool(executable: executable, overrides: overrides, jobs: max(1, jobs))
        let problem = pool.run {
            guard index < count else { return nil }
            defer { index += shard.of }
            return WorkerRequest(seed: first + index, file: file, draws: true)
        } done: { request, result in
            report.add(request, result)
            report.wallTime = .nanoseconds(SimulationCommand.monotonicNanoseconds() - started)
            progress(
                Progress(
                    done: report.runs, of: total, failures: report.failuresCount, simulated: report.simulated, elapsed: report.wallTime))
            return keepGoing || report.failuresCount == 0
        }
        if let problem { throw ScenarioError(file: file, line: nil, message: problem) }
        if let directory {
            try SimulationCommand.write(report.json, to: "\(directory)/swarm.json")
            for failure in report.failures.prefix(Self.foldersMaximum) { try keep(failure, of: scenario, in: directory) }
        }
        return report
    }

    /// What is needed to run a failure again and to look at it.
    private func keep(_ failure: SwarmReport.Failure, of scenario: Scenario, in directory: String) throws(ScenarioError) {
        let folder = "\(directory)/seed-\(failure.seed)"
        var drawn = scenario.drawn(seed: failure.seed)
        drawn.seeds = .list([failure.seed])
        try SimulationCommand.prepare(folder)
        try SimulationCommand.write(drawn.canonical, to: "\(folder)/scenario.toml")
        // A run that ends its process would end this one, too.
        guard failure.checks.allSatisfy({ $0.name != WorkerResult.deadProcess }) else { return }
        _ = try SimulationCommand.run(file: "\(folder)/scenario.toml", seed: failure.seed, out: folder)
    }

    /// Joins the reports of shards, as `--out` or `--json` wrote them.
    ///
    /// - Throws: when a file cannot be read, or the reports do not belong together.
    public static func merge(files: [String]) throws(ScenarioError) -> SwarmReport {
        var reports: [SwarmReport] = []
        for file in files {
            do {
                reports.append(try SwarmReport(json: try FileAccess.read(file)))
            } catch let failure as FileAccess.Failure {
                throw ScenarioError(file: file, line: nil, message: "the report cannot be read: \(failure.reason)")
            } catch {
                throw ScenarioError(file: file, line: nil, message: "no report of a swarm: \(error)")
            }
        }
        do {
            return try SwarmReport.merge(reports)
        } catch {
            throw ScenarioError(file: files.joined(separator: ", "), line: nil, message: error.description)
        }
    }
}
