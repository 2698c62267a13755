import ArgumentParser
import Foundation
import PatinaAgent
import PatinaSim

struct SimSwarm: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "swarm",
        abstract: "Runs a scenario with many seeds, each with values of its own, on all cores.",
        discussion: """
            What is varied stands in the scenario's [swarm] section. Stops at the first failure unless told otherwise; each failure has \
            one line that reproduces it. Shards of one swarm may run on different machines; sim merge joins their reports.

            Exit codes: 0 every seed holds and everything that must happen sometimes did; 1 otherwise; 2 the scenario could not be judged.
            """)

    @OptionGroup var scenario: ScenarioOptions

    @Option(help: ArgumentHelp("How many seeds, over all shards.", valueName: "number"))
    var seeds: UInt64 = 100

    @Option(help: ArgumentHelp("The first seed. (default: the first of run.seeds)", valueName: "number"))
    var from: UInt64?

    @Option(help: ArgumentHelp("Processes at the same time. (default: one for each core)", valueName: "number"))
    var jobs: Int?

    @Option(help: ArgumentHelp("Run one part of the swarm only, such as 1/8 for the first of eight.", valueName: "i/n"))
    var shard = "1/1"

    @Flag(help: "Go on after a failure.")
    var keepGoing = false

    @Flag(help: "Print the report as one JSON object.")
    var json = false

    @Option(help: ArgumentHelp("Write swarm.json, and a folder for each of the first failures, to this folder.", valueName: "folder"))
    var out: String?

    @Flag(help: .hidden)
    var worker = false

    func run() throws {
        guard !worker else {
            return SwarmWorker.serve(overrides: scenario.settings) { line in
                Output.line(line)
                Output.flush()
            }
        }
        var command = SwarmCommand(file: scenario.file, count: seeds, jobs: jobs ?? ProcessInfo.processInfo.activeProcessorCount)
        command.overrides = scenario.settings
        command.from = from
        command.shard = try parsedShard()
        command.keepGoing = keepGoing
        command.executable = ownExecutable
        command.directory = out
        let ticker = Ticker()
        let report: SwarmReport
        do {
            report = try command.run { ticker.show(SwarmSummary.line($0), isLast: $0.done == $0.of) }
        } catch {
            throw Failure("\(error)", code: 2)
        }
        try SwarmSummary.print(report, json: json)
    }

    private func parsedShard() throws -> (UInt64, UInt64) {
        let parts = shard.split(separator: "/", omittingEmptySubsequences: false).map { UInt64($0) }
        guard parts.count == 2, let number = parts[0], let of = parts[1], number >= 1, number <= of else {
            throw ValidationError("'\(shard)' is no shard such as 1/8: the first number counts from 1 to the second.")
        }
        return (number, of)
    }
}

struct SimMerge: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge", abstract: "Joins the reports of a swarm's shards.",
        discussion: "Takes the swarm.json files that sim swarm --out wrote, or what it printed with --json. Exit codes as for sim swarm.")

    @Argument(help: ArgumentHelp("Reports of shards.", valueName: "report"))
    var reports: [String]

    @Flag(help: "Print the report as one JSON object.")
    var json = false

    func run() throws {
        let report: SwarmReport
        do {
            report = try SwarmCommand.merge(files: reports)
        } catch {
            throw Failure("\(error)", code: 2)
        }
        try SwarmSummary.print(report, json: json)
    }
}

/// This program's own file, which workers are started from.
var ownExecutable: String? { Bundle.main.executablePath }

/// Progress on standard error: on a terminal one line that is written over, elsewhere a line now and then.
final class Ticker {
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private var last = ContinuousClock.now - .seconds(60)

    func show(_ text: String, isLast: Bool) {
        let now = ContinuousClock.now
        guard isLast || now - last > (isTerminal ? .milliseconds(100) : .seconds(10)) else { return }
        last = now
        FileHandle.standardError.write(Data((isTerminal ? "\r\u{1B}[K\(text)\(isLast ? "\n" : "")" : text + "\n").utf8))
    }
}

/// A swarm for people.
enum SwarmSummary {
    /// Failures that are printed.
    private static let failuresShown = 20

    static func line(_ progress: SwarmCommand.Progress) -> String {
        let seconds = max(0.001, progress.elapsed / .seconds(1))
        let rate = (Double(progress.done) / seconds * 10).rounded() / 10
        return "\(progress.done) of \(progress.of) seeds, \(progress.failures) failed, \(rate) seeds/s"
    }

    static func print(_ report: SwarmReport, json: Bool) throws {
        if json {
            Output.bytes(Array(report.json.utf8))
        } else {
            for line in lines(report) { Output.line(line) }
        }
        Output.flush()
        if json {
            for failure in report.failures.prefix(failuresShown) {
                Output.error("reproduce with: \(report.reproduction(seed: failure.seed))")
            }
        }
        guard report.valid, report.isCovered else { throw ExitCode(1) }
    }

    private static func lines(_ report: SwarmReport) -> [String] {
        var lines = ["\(report.runs) of \(report.count) seeds of \(report.scenario), from \(report.from); digest \(report.digest)", ""]
        if !report.coverage.isEmpty {
            var table = TextTable(columns: [("must happen in one seed", .left), ("seeds", .right)])
            for covered in report.coverage { table.add([covered.check, "\(covered.seeds)"]) }
            lines += table.lines() + [""]
        }
        if !report.chaos.isEmpty {
            var table = TextTable(columns: [("chaos point", .left), ("on in seeds", .right), ("struck in", .right), ("strikes", .right)])
            for strikes in report.chaos { table.add([strikes.point, "\(strikes.on)", "\(strikes.seeds)", "\(strikes.count)"]) }
            lines += table.lines() + [""]
        }
        for failure in report.failures.prefix(failuresShown) {
            for check in failure.checks { lines.append("seed \(failure.seed): \(check.name): \(check.detail)") }
            lines.append("reproduce with: \(report.reproduction(seed: failure.seed))")
        }
        if report.failures.count > failuresShown { lines.append("…") }
        let uncovered = report.coverage.filter { $0.seeds == 0 }.map(\.check)
        if !report.isCovered { lines.append("did not happen in any seed: \(uncovered.joined(separator: ", "))") }
        lines.append(report.valid ? "no seed failed" : "\(report.failuresCount) seeds failed")
        return lines
    }
}
