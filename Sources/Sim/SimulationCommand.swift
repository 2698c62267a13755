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
    ///   - directory: made when it is missing; receives `report.json` and the canonical `scenario.toml`. Nil: nothing is written.
    /// - Throws: when the scenario cannot be judged: exit code 2.
    public static func run(
        file: String, seed: UInt64? = nil, overrides: [String] = [], out directory: String? = nil
    ) throws(ScenarioError) -> SimulationReport {
        let scenario = try Scenario.load(path: file, overrides: overrides)
        if let directory { try prepare(directory) }
        let started = monotonicNanoseconds()
        var report = Simulation(scenario: scenario, seed: seed ?? scenario.seeds.first).run()
        report.wallTime = .nanoseconds(monotonicNanoseconds() - started)
        if let directory {
            try write(report.json, to: "\(directory)/report.json")
            try write(scenario.canonical, to: "\(directory)/scenario.toml")
        }
        return report
    }

    /// The command line that runs the same thing again.
    public static func reproduction(file: String, seed: UInt64, overrides: [String] = []) -> String {
        let words = ["patina", "sim", "run", file, "--seed", "\(seed)"] + overrides.flatMap { ["--set", $0] }
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

    private static func prepare(_ directory: String) throws(ScenarioError) {
        do {
            try FileAccess.makeDirectory(directory)
        } catch {
            throw ScenarioError(file: directory, line: nil, message: "the directory cannot be made: \(error.reason)")
        }
    }

    private static func write(_ text: String, to path: String) throws(ScenarioError) {
        do {
            try FileAccess.write(text, to: path)
        } catch {
            throw ScenarioError(file: path, line: nil, message: "the file cannot be written: \(error.reason)")
        }
    }

    /// The only clock that this module reads: it says how long a run took and has no part in it.
    private static func monotonicNanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
