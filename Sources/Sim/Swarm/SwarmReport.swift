import PatinaProtocol

/// What many seeds of one scenario showed, or one shard of them.
public struct SwarmReport: Hashable, Sendable {
    public static let formatVersion = 2
    /// Failures that are listed; further ones are counted.
    static let failuresMaximum = 1_000

    public var scenario: String
    /// SHA-256 of the canonical form of the file: only reports of one file can be merged.
    public var scenarioHash: String
    /// The scenario file and `--set` arguments, for the lines that reproduce.
    public var file: String
    public var overrides: [String]
    public var from: UInt64
    public var count: UInt64
    /// Which shards of how many are in here, from 1, ascending.
    public var shards: [UInt64]
    public var shardCount: UInt64
    public var runs: UInt64 = 0
    public var events: UInt64 = 0
    public var simulated: Duration = .zero
    public var wallTime: Duration = .zero
    public var failures: [Failure] = []
    public var failuresCount: UInt64 = 0
    /// The `sometimes` checks of the file, and in how many seeds what they ask for occurred.
    public var coverage: [Coverage] = []
    /// The chaos points that were on in some seed, and in how many seeds each struck.
    public var chaos: [Strikes] = []
    /// A digest over seeds and trace hashes that does not depend on the order: equal for equal builds.
    public var digest = Fingerprint.zero

    public struct Failure: Hashable, Sendable {
        public var seed: UInt64
        public var checks: [Check]

        public struct Check: Hashable, Sendable {
            public var name: String
            public var detail: String
        }
    }

    public struct Coverage: Hashable, Sendable {
        public var check: String
        public var seeds: UInt64
    }

    public struct Strikes: Hashable, Sendable {
        public var point: String
        /// Seeds in which it was on, and those of them in which it struck.
        public var on: UInt64
        public var seeds: UInt64
        /// How often, all seeds together.
        public var count: UInt64
    }

    /// True when no seed failed. Whether every `sometimes` occurred is `isCovered`.
    public var valid: Bool { failuresCount == 0 }
    public var isComplete: Bool { runs == count && UInt64(shards.count) == shardCount }
    /// False when every seed ran and something that must occur in one of them did not.
    public var isCovered: Bool { !isComplete || coverage.allSatisfy { $0.seeds > 0 } }

    /// The line that runs a failing seed again.
    public func reproduction(seed: UInt64) -> String {
        SimulationCommand.reproduction(file: file, seed: seed, overrides: overrides, draws: true)
    }

    mutating func add(_ request: WorkerRequest, _ result: WorkerResult) {
        runs += 1
        events += result.events
        simulated += result.simulated
        var hasher = Fingerprint.Hasher()
        hasher.combine(request.seed)
        hasher.combine(result.traceHash)
        digest += hasher.finish()
        for occurrence in result.occurrences where occurrence.count > 0 {
            if let place = coverage.firstIndex(where: { $0.check == occurrence.check }) { coverage[place].seeds += 1 }
        }
        for struck in result.chaos {
            add(Strikes(point: struck.check, on: 1, seeds: struck.count > 0 ? 1 : 0, count: struck.count))
        }
        guard !result.valid else { return }
        add(Failure(seed: request.seed, checks: result.failures.map { Failure.Check(name: $0.check, detail: $0.detail) }))
    }

    private mutating func add(_ strikes: Strikes) {
        guard let place = chaos.firstIndex(where: { $0.point >= strikes.point }), chaos[place].point == strikes.point else {
            return chaos.insert(strikes, at: chaos.firstIndex { $0.point > strikes.point } ?? chaos.endIndex)
        }
        chaos[place].on += strikes.on
        chaos[place].seeds += strikes.seeds
        chaos[place].count += strikes.count
    }

    private mutating func add(_ failure: Failure) {
        failuresCount += 1
        let place = failures.firstIndex { $0.seed > failure.seed } ?? failures.endIndex
        failures.insert(failure, at: place)
        if failures.count > Self.failuresMaximum { failures.removeLast() }
    }

    /// Joins the reports of shards. Throws when they are not of the same experiment, or one is there twice.
    public static func merge(_ reports: [SwarmReport]) throws(JSONFailure) -> SwarmReport {
        guard var sum = reports.first else { throw JSONFailure("there is no report to merge") }
        for report in reports.dropFirst() {
            guard report.scenarioHash == sum.scenarioHash else {
                throw JSONFailure("the reports are of different scenarios: \(sum.scenarioHash) and \(report.scenarioHash)")
            }
            guard report.from == sum.from, report.count == sum.count, report.shardCount == sum.shardCount else {
                throw JSONFailure("the reports are of different swarms: other seeds, or another number of shards")
            }
            if let twice = report.shards.first(where: { sum.shards.contains($0) }) {
                throw JSONFailure("shard \(twice)/\(sum.shardCount) is there twice")
            }
            sum.shards = (sum.shards + report.shards).sorted()
            sum.runs += report.runs
            sum.events += report.events
            sum.simulated += report.simulated
            sum.wallTime += report.wallTime
            sum.digest += report.digest
            for covered in report.coverage {
                if let place = sum.coverage.firstIndex(where: { $0.check == covered.check }) {
                    sum.coverage[place].seeds += covered.seeds
                } else {
                    sum.coverage.append(covered)
                }
            }
            for strikes in report.chaos { sum.add(strikes) }
            let listed = UInt64(report.failures.count)
            for failure in report.failures { sum.add(failure) }
            sum.failuresCount += report.failuresCount - listed
        }
        return sum
    }
}

extension SwarmReport {
    /// One JSON object; `init(json:)` reads it.
    public var json: String {
        var writer = JSONWriter()
        writer.object {
            $0.field("format", number: "\(Self.formatVersion)")
            $0.field("scenario", scenario)
            $0.field("scenario_hash", scenarioHash)
            $0.field("file", file)
            $0.field("overrides", number: "[\(overrides.map(JSONWriter.quote).joined(separator: ", "))]")
            $0.field("from", number: "\(from)")
            $0.field("count", number: "\(count)")
            $0.field("shards", number: "[\(shards.map { "\($0)" }.joined(separator: ", "))]")
            $0.field("shard_count", number: "\(shardCount)")
            $0.field("runs", number: "\(runs)")
            $0.field("valid", valid)
            $0.field("covered", isCovered)
            $0.field("events", number: "\(events)")
            $0.field("sim_seconds", JSONWriter.seconds(simulated))
            $0.field("wall_seconds", JSONWriter.seconds(wallTime))
            $0.field("digest", digest.description)
            $0.field("failures_count", number: "\(failuresCount)")
            $0.array("failures", of: failures) { failure, writer in
                writer.object {
                    $0.field("seed", number: "\(failure.seed)")
                    $0.field("reproduce", reproduction(seed: failure.seed))
                    $0.array("checks", of: failure.checks) { check, writer in
                        writer.object {
                            $0.field("name", check.name)
                            $0.field("detail", check.detail)
                        }
                    }
                }
            }
            $0.array("coverage", of: coverage) { covered, writer in
                writer.object {
                    $0.field("check", covered.check)
                    $0.field("seeds", number: "\(covered.seeds)")
                }
            }
            $0.array("chaos", of: chaos) { strikes, writer in
                writer.object {
                    $0.field("point", strikes.point)
                    $0.field("on", number: "\(strikes.on)")
                    $0.field("seeds", number: "\(strikes.seeds)")
                    $0.field("count", number: "\(strikes.count)")
                }
            }
        }
        return writer.text + "\n"
    }

    /// Reads what `json` writes.
    public init(json text: String) throws(JSONFailure) {
        let top = try JSONDocument.parse(text)
        guard try top.required("format").whole() == UInt64(Self.formatVersion) else {
            throw JSONFailure("a swarm report of another format")
        }
        scenario = try top.required("scenario").string()
        scenarioHash = try top.required("scenario_hash").string()
        file = try top.required("file").string()
        overrides = []
        for each in try top.required("overrides").elements() { overrides.append(try each.string()) }
        from = try top.required("from").whole()
        count = try top.required("count").whole()
        shards = []
        for each in try top.required("shards").elements() { shards.append(try each.whole()) }
        shardCount = try top.required("shard_count").whole()
        runs = try top.required("runs").whole()
        events = try top.required("events").whole()
        simulated = .microseconds(Int64((try top.required("sim_seconds").number() * 1_000_000).rounded()))
        wallTime = .microseconds(Int64((try top.required("wall_seconds").number() * 1_000_000).rounded()))
        guard let digest = ActorID(try top.required("digest").string()) else { throw JSONFailure("the digest is none") }
        self.digest = Fingerprint(high: digest.high, low: digest.low)
        failuresCount = try top.required("failures_count").whole()
        for each in try top.required("failures").elements() {
            var failure = Failure(seed: try each.required("seed").whole(), checks: [])
            for check in try each.required("checks").elements() {
                failure.checks.append(
                    Failure.Check(name: try check.required("name").string(), detail: try check.required("detail").string()))
            }
            failures.append(failure)
        }
        for each in try top.required("coverage").elements() {
            coverage.append(Coverage(check: try each.required("check").string(), seeds: try each.required("seeds").whole()))
        }
        for each in try top.required("chaos").elements() {
            chaos.append(
                Strikes(
                    point: try each.required("point").string(), on: try each.required("on").whole(),
                    seeds: try each.required("seeds").whole(), count: try each.required("count").whole()))
        }
        guard failuresCount >= UInt64(failures.count) else { throw JSONFailure("more failures are listed than counted") }
    }
}
