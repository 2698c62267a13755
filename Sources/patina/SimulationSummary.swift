import PatinaAgent
import PatinaSim

/// A report for people: what was run, whether each check holds, and the numbers.
enum SimulationSummary {
    static func lines(_ report: SimulationReport) -> [String] {
        var lines: [String] = []
        var facts = TextTable(columns: [("scenario", .left), (report.scenario, .left)])
        facts.add(["seed", "\(report.seed)"])
        let isLive = report.traceHash.isEmpty
        if !isLive { facts.add(["trace hash", report.traceHash]) }
        facts.add(["scenario hash", report.scenarioHash])
        facts.add([isLive ? "took" : "simulated", seconds(report.simulatedTime) + (isLive ? "" : speed(report))])
        facts.add(["events", grouped(report.events)])
        facts.add(["delivered", "\(grouped(report.messagesDelivered)) messages, \(grouped(report.bytesDelivered)) bytes"])
        lines += facts.lines() + [""]

        var checks = TextTable(columns: [("check", .left), ("", .left), ("", .left)])
        for check in report.checks { checks.add([check.name, check.isJudged ? check.valid ? "holds" : "FAILED" : "–", check.detail]) }
        lines += checks.lines() + [""]

        var metrics = TextTable(columns: [("metric", .left), ("value", .right)])
        for metric in report.metrics { metrics.add([metric.name, number(metric.value)]) }
        lines += metrics.lines() + [""]

        if !report.chaos.isEmpty {
            var chaos = TextTable(columns: [("chaos point", .left), ("strikes", .right)])
            for strikes in report.chaos { chaos.add([strikes.point, grouped(strikes.count)]) }
            lines += chaos.lines() + [""]
        }

        let failed = report.checks.filter { !$0.valid }
        if failed.isEmpty {
            let judged = report.checks.count(where: \.isJudged)
            let left = report.checks.count - judged
            lines.append("\(judged) checks hold" + (left == 0 ? "" : ", \(left) were not judged"))
        } else {
            lines.append("\(failed.count) of \(report.checks.count) checks failed: \(failed.map(\.name).joined(separator: ", "))")
        }
        return lines
    }

    private static func speed(_ report: SimulationReport) -> String {
        guard let wall = report.wallTime, wall > .zero else { return "" }
        let ratio = report.simulatedTime / wall
        return " in \(seconds(wall)), \(number((ratio * 10).rounded() / 10)) times real time"
    }

    private static func seconds(_ duration: Duration) -> String {
        let hundredths = (duration.components.seconds * 100) + duration.components.attoseconds / 10_000_000_000_000_000
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction) s"
    }

    /// Whole numbers in groups of three, others with at most three digits behind the point.
    private static func number(_ value: Double) -> String {
        guard value.magnitude < 1e15 else { return "\(value)" }
        if value == value.rounded() { return (value < 0 ? "-" : "") + grouped(UInt64(value.magnitude)) }
        return "\((value * 1_000).rounded() / 1_000)"
    }

    private static func grouped(_ number: UInt64) -> String {
        let digits = Array(String(number))
        return digits.indices.map { index in
            index > 0 && (digits.count - index) % 3 == 0 ? " \(digits[index])" : "\(digits[index])"
        }.joined()
    }
}
