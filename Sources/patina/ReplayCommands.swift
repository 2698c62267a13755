import ArgumentParser
import Foundation
import PatinaAgent
import PatinaSim

struct SimShrink: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shrink",
        abstract: "Reduces a failing run to a small scenario that fails in the same way.",
        discussion: """
            Faults are written out and taken away one by one, as are workloads, nodes, time, link rules and settings, as long as the same \
            check fails. The small scenario is printed, or written to --out.

            Exit codes: 0 a scenario was found; 2 the run does not fail, or cannot be read.
            """)

    @Argument(help: ArgumentHelp("A scenario, or the folder of a run.", valueName: "file|folder"))
    var source: String

    @Option(help: ArgumentHelp("The failing seed. (default: that of the run, or the first of run.seeds)", valueName: "number"))
    var seed: UInt64?

    @Option(help: ArgumentHelp("Write the scenario to this file.", valueName: "file"))
    var out: String?

    @Option(help: ArgumentHelp("Runs at most.", valueName: "number"))
    var runs = 600

    @Option(help: ArgumentHelp("Processes at the same time. (default: one for each core)", valueName: "number"))
    var jobs: Int?

    @OptionGroup var overrides: OverrideOptions
    @OptionGroup var drawOption: DrawOption

    @Option(help: ArgumentHelp("The mistake with which the run failed, as with sim run.", valueName: "name"))
    var mutant: String?

    func run() throws {
        var command = ShrinkCommand(source: source)
        command.seed = seed
        command.overrides = overrides.settings
        command.draws = drawOption.draws
        command.mutant = try mutant.map(SimRun.mistake)
        command.runs = runs
        command.jobs = jobs ?? ProcessInfo.processInfo.activeProcessorCount
        command.executable = ownExecutable
        let outcome: ShrinkCommand.Outcome
        do {
            outcome = try command.run { Output.error($0) }
            if let out { try outcome.write(to: out) }
        } catch {
            throw Failure("\(error)", code: 2)
        }
        if out == nil { Output.bytes(Array(outcome.text.utf8)) }
        Output.error("from \(outcome.before)")
        Output.error("to   \(outcome.after), in \(outcome.runs) runs\(outcome.isMinimal ? "" : "; more runs may find less")")
        let again = SimulationCommand.reproduction(file: out ?? "FILE", seed: outcome.seed)
        Output.error("violates \(outcome.violated); reproduce with: \(again)\(mutant.map { " --mutant \($0)" } ?? "")")
    }
}

struct SimReplay: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Runs a simulated run, or a recorded agent, again and compares, or stops in the middle and shows the state.",
        discussion: """
            The folder is one that sim run --out wrote. Without --until the run goes to its end and the trace hashes are compared; where \
            they differ, the first step that does is shown.

            Or it is one that agent --record wrote, or one log in it. Every event is handed to the same node again, and what it wants is \
            compared with what it wanted; where they differ, the first event and both are shown.

            Exit codes: 0 identical, or shown; 1 different; 2 the folder is damaged, or of another scenario.
            """)

    @Argument(help: ArgumentHelp("The folder of a run, or of a recording.", valueName: "folder"))
    var folder: String

    @Option(
        help: ArgumentHelp(
            "Stop there: a time (12.5s, cut.end), the number of a step or of a recorded event, or violation.", valueName: "event"))
    var until: String?

    @Option(help: ArgumentHelp("Show this node only.", valueName: "number"))
    var node: Int?

    @Option(help: ArgumentHelp("Compare with the run of this folder, in place of a new run.", valueName: "folder"))
    var against: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        if json, until != nil { throw ValidationError("--json is for a comparison; --until shows the state, to people.") }
    }

    func run() throws {
        if RecordingReplay.isRecording(folder) {
            try replayRecording()
        } else {
            try replayRun()
        }
    }

    private func replayRecording() throws {
        guard node == nil, against == nil else {
            throw Failure("\(folder) is a recording of one agent: --node and --against are for simulated runs", code: 2)
        }
        let replay = RecordingReplay(path: folder)
        let report: RecordingReport
        do {
            if let until {
                for line in try replay.show(until: until) { Output.line(line) }
                return
            }
            report = try replay.compare()
        } catch {
            throw Failure("\(error)", code: 2)
        }
        if json {
            Output.bytes(Array(report.json.utf8))
        } else {
            Output.line("a recording")
            for line in report.lines { Output.line(line) }
        }
        Output.flush()
        guard report.exitCode == 0 else { throw ExitCode(report.exitCode) }
    }

    private func replayRun() throws {
        var command = ReplayCommand(directory: folder)
        command.until = until
        command.node = node
        command.against = against
        let outcome: ReplayCommand.Outcome
        do {
            outcome = try command.run()
        } catch {
            throw Failure("\(error)", code: 2)
        }
        if json {
            Output.bytes(Array(outcome.json.utf8))
        } else {
            for line in ["a simulated run"] + outcome.lines { Output.line(line) }
        }
        Output.flush()
        guard outcome.isIdentical else { throw ExitCode(1) }
    }
}

struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Puts two results side by side: deltas with confidence intervals, and distances of distributions.",
        discussion: """
            Each result is a metrics.json, the folder of a run, or a folder of such folders: several runs. Intervals come from resampling \
            whole runs and need at least two on each side; fewer than ten are no evidence.

            Exit codes: 0 compared; 1 a bound was given and is exceeded; 2 a result cannot be read.
            """)

    @Argument(help: ArgumentHelp("The first result.", valueName: "a"))
    var left: String

    @Argument(help: ArgumentHelp("The second result.", valueName: "b"))
    var right: String

    @Option(help: ArgumentHelp("Another result like b: how far two of the same kind are apart.", valueName: "result"))
    var floor: String?

    @Option(help: ArgumentHelp("Fail when the KS distance of the propagation latency is larger.", valueName: "0..1"))
    var ksAtMost: Double?

    @Flag(help: "Print one JSON object.")
    var json = false

    @Flag(help: "Print an HTML page.")
    var html = false

    func run() throws {
        let comparison: Comparison
        do {
            comparison = try CompareCommand.run(left, right, floor: floor)
        } catch {
            throw Failure("\(error)", code: 2)
        }
        if json {
            Output.bytes(Array(comparison.json.utf8))
        } else if html {
            Output.bytes(Array(comparison.html.utf8))
        } else {
            Output.line(comparison.title)
            for warning in comparison.warnings { Output.line("note: \(warning)") }
            for cells in [comparison.distanceCells, comparison.metricCells] {
                Output.line("")
                var table = TextTable(columns: cells[0].enumerated().map { ($0.element, $0.offset == 0 ? .left : .right) })
                for row in cells.dropFirst() { table.add(row) }
                for line in table.lines() { Output.line(line) }
            }
        }
        Output.flush()
        if let ksAtMost, (comparison.propagationDistance ?? 1) > ksAtMost {
            throw Failure("the KS distance of the propagation latency is \(comparison.propagationDistance ?? 1), more than \(ksAtMost)")
        }
    }
}
