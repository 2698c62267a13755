import PatinaProtocol
import PatinaTOML

/// What a run showed.
public struct SimulationReport: Hashable, Sendable {
    /// The scenario's name.
    public var scenario: String
    /// SHA-256 of the scenario's canonical form.
    public var scenarioHash: String
    public var seed: UInt64
    /// Digest of everything that happened; equal for equal scenario, seed and build of the protocol. Empty for a live run,
    /// which never happens twice.
    public var traceHash: String
    /// Virtual time that passed.
    public var simulatedTime: Duration
    /// Time that the run took; nil when nobody measured it.
    public var wallTime: Duration?
    /// Events that nodes handled.
    public var events: UInt64
    /// Datagrams, messages and pieces of sessions that nodes received.
    public var messagesDelivered: UInt64
    public var bytesDelivered: UInt64
    public var checks: [CheckResult]
    public var metrics: [Metric]
    /// The chaos points that were on, and how often each struck.
    public var chaos: [Strikes] = []

    public struct CheckResult: Hashable, Sendable {
        public var name: String
        /// For `sometimes`: true even when it did not occur, because one seed alone cannot tell; see `SimulationReport.uncovered`.
        public var valid: Bool
        /// Why, in a sentence: for a failed check what was seen where and when.
        public var detail: String
        /// For `sometimes` and `never`: how often it occurred. Nil for the others.
        public var occurrences: UInt64?
        /// True for `sometimes`: it must occur in one of the scenario's seeds.
        public var mustOccur = false
        /// False when the engine could not find out; `valid` then says nothing.
        public var isJudged = true
    }

    public struct Strikes: Hashable, Sendable {
        public var point: String
        public var count: UInt64
    }

    public struct Metric: Hashable, Sendable {
        public var name: String
        public var value: Double

        public init(name: String, value: Double) {
            self.name = name
            self.value = value
        }
    }

    /// True when every check holds.
    public var valid: Bool { checks.allSatisfy(\.valid) }

    /// The metric with this name; nil when there is none.
    public func metric(_ name: String) -> Double? { metrics.first { $0.name == name }?.value }

    /// Names of `sometimes` checks that occurred in none of the runs: the scenario does not show what it says it shows.
    public static func uncovered(in reports: [SimulationReport]) -> [String] {
        guard let first = reports.first else { return [] }
        return first.checks.filter(\.mustOccur).map(\.name).filter { name in
            !reports.contains { report in report.checks.contains { $0.name == name && ($0.occurrences ?? 0) > 0 } }
        }
    }

    /// One JSON object, with the fields of the command-line contract.
    public var json: String {
        var writer = JSONWriter()
        writer.object {
            $0.field("scenario", scenario)
            $0.field("scenario_hash", scenarioHash)
            $0.field("seed", number: "\(seed)")
            $0.field("valid", valid)
            $0.field("trace_hash", number: traceHash.isEmpty ? "null" : JSONWriter.quote(traceHash))
            $0.field("sim_seconds", JSONWriter.seconds(simulatedTime))
            $0.field("wall_seconds", wallTime.map(JSONWriter.seconds))
            $0.field("events", number: "\(events)")
            $0.field("messages_delivered", number: "\(messagesDelivered)")
            $0.field("bytes_delivered", number: "\(bytesDelivered)")
            $0.array("checks", of: checks) { check, writer in
                writer.object {
                    $0.field("name", check.name)
                    $0.field("valid", number: check.isJudged ? (check.valid ? "true" : "false") : "null")
                    $0.field("detail", check.detail)
                    if let occurrences = check.occurrences, check.isJudged { $0.field("occurrences", number: "\(occurrences)") }
                }
            }
            $0.array("chaos", of: chaos) { strikes, writer in
                writer.object {
                    $0.field("point", strikes.point)
                    $0.field("count", number: "\(strikes.count)")
                }
            }
            $0.key("metrics")
            $0.object { writer in
                for metric in metrics { writer.field(metric.name, metric.value) }
            }
        }
        return writer.text + "\n"
    }
}

/// Writes JSON (RFC 8259), indented by two spaces.
struct JSONWriter {
    private(set) var text = ""
    private var depth = 0
    private var isFirst = true

    mutating func object(_ body: (inout JSONWriter) -> Void) { nested("{", "}", body) }

    mutating func array<T>(_ name: String, of elements: [T], _ body: (T, inout JSONWriter) -> Void) {
        key(name)
        nested("[", "]") { writer in
            for element in elements {
                writer.separate()
                body(element, &writer)
            }
        }
    }

    mutating func key(_ name: String) {
        separate()
        text += JSONWriter.quote(name) + ": "
    }

    /// An element of an array.
    mutating func value(_ text: String) { self.text += JSONWriter.quote(text) }

    mutating func field(_ name: String, _ value: String) { field(name, number: JSONWriter.quote(value)) }
    mutating func field(_ name: String, _ value: Bool) { field(name, number: value ? "true" : "false") }
    /// Whole numbers are written without a fraction, `nil` and what is no number as null.
    mutating func field(_ name: String, _ value: Double?) {
        field(name, number: JSONWriter.number(value))
    }
    mutating func field(_ name: String, number: String) {
        key(name)
        text += number
    }

    private mutating func nested(_ open: String, _ close: String, _ body: (inout JSONWriter) -> Void) {
        text += open
        depth += 1
        isFirst = true
        body(&self)
        depth -= 1
        if !isFirst { text += "\n" + String(repeating: "  ", count: depth) }
        text += close
        isFirst = false
    }

    private mutating func separate() {
        text += (isFirst ? "\n" : ",\n") + String(repeating: "  ", count: depth)
        isFirst = false
    }

    /// A number as JSON has it.
    static func number(_ value: Double?) -> String {
        guard let value, value.isFinite else { return "null" }
        return value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
    }

    /// Seconds with six decimals.
    static func seconds(_ duration: Duration) -> Double { Double(duration.nanoseconds / 1_000) / 1_000_000 }

    /// A string as JSON has it. TOML escapes alike.
    static func quote(_ text: String) -> String { TOMLText.quote(text) }
}
