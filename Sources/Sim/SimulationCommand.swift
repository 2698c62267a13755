import CSQLite
import PatinaProtocol

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// What `patina sim run` does: reads a scenario, runs it, measures how long that took, writes the results.
public enum SimulationCommand {
    /// Runs a scenario file once.
    ///
    /// - Parameters:
    ///   - file: the scenario.
    ///   - seed: nil: the scenario's first seed.
    ///   - overrides: `path=value` each, as with `--set`.
    ///   - draws: draw the knobs that the scenario's `[swarm]` names from the seed, as a swarm does.
    ///   - mutant: a mistake that all nodes are to have.
    ///   - directory: made when it is missing; receives `report.html`, `report.json`, `metrics.json`, `trace.json`, `trace.digests` and the
    ///     canonical `scenario.toml`. Nil: nothing is written, and nothing is recorded.
    /// - Throws: when the scenario cannot be judged: exit code 2.
    public static func run(
        file: String, seed: UInt64? = nil, overrides: [String] = [], draws: Bool = false, mutant: Mutant? = nil,
        out directory: String? = nil
    ) throws(ScenarioError) -> SimulationReport {
        var scenario = try Scenario.load(path: file, overrides: overrides)
        let seed = seed ?? scenario.seeds.first
        if draws { scenario = scenario.drawn(seed: seed) }
        if let directory { try prepare(directory) }
        if scenario.topology.nodes >= manyNodes { _ = patina_return_large_memory(largePiece) }
        let started = monotonicNanoseconds()
        let simulation = Simulation(scenario: scenario, seed: seed, mutant: mutant)
        if directory != nil { simulation.startRecording() }
        var report = simulation.run()
        report.wallTime = .nanoseconds(monotonicNanoseconds() - started)
        if let directory {
            try write(report.json, to: "\(directory)/report.json")
            try write(scenario.canonical, to: "\(directory)/scenario.toml")
            try writeRecording(of: simulation, report: report, to: directory)
        }
        return report
    }

    /// From so many nodes on, holes in the heap matter more than the time to give memory back: the lists of members grow at all nodes at
    /// once, and each growth leaves a hole. At 4,453 nodes they make the difference between more and less than 4 GiB.
    private static let manyNodes = 1_000
    /// Bytes from which on a piece of memory goes back to the system when it is freed.
    private static let largePiece: Int32 = 64 * 1_024

    /// The command line that runs the same thing again.
    public static func reproduction(file: String, seed: UInt64, overrides: [String] = [], draws: Bool = false) -> String {
        let words = ["patina", "sim", "run", file, "--seed", "\(seed)"] + (draws ? ["--swarm"] : []) + overrides.flatMap { ["--set", $0] }
        return words.map(quoteForShell).joined(separator: " ")
    }

    private static func quoteForShell(_ word: String) -> String {
        let isPlain = word.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "="), UInt8(ascii: ":"): true
            default: false
            }
        }
        if isPlain, !word.isEmpty { return word }
        return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }

    private static func writeRecording(
        of simulation: Simulation, report: SimulationReport, to directory: String
    ) throws(ScenarioError) {
        guard let recorder = simulation.recorder else { return }
        let scenario = simulation.scenario
        let metrics = MetricsDocument(report: report, scenario: scenario, metrics: simulation.metrics, recorder: recorder)
        try write(metrics.json, to: "\(directory)/metrics.json")
        try write(TraceDocument.text(of: recorder, scenario: scenario), to: "\(directory)/trace.json")
        let page = ReportPage(report: report, scenario: scenario, metrics: metrics, recorder: recorder)
        try write(page.html, to: "\(directory)/report.html")
        try write(recorder.digests.bytes, to: "\(directory)/trace.digests")
    }

    static func prepare(_ directory: String) throws(ScenarioError) {
        do {
            try FileAccess.makeDirectory(directory)
        } catch {
            throw ScenarioError(file: directory, line: nil, message: "the directory cannot be made: \(error.reason)")
        }
    }

    static func write(_ text: String, to path: String) throws(ScenarioError) { try write(Array(text.utf8), to: path) }

    private static func write(_ bytes: [UInt8], to path: String) throws(ScenarioError) {
        do {
            try FileAccess.write(bytes, to: path)
        } catch {
            throw ScenarioError(file: path, line: nil, message: "the file cannot be written: \(error.reason)")
        }
    }

    /// The only clock that this module reads: it says how long a run took and has no part in it.
    static func monotonicNanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
