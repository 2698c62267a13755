import Foundation
import Logging
import Synchronization

/// Where and how an agent logs: to standard error, as text for people or as one JSON object a line, and which messages,
/// which may change while it runs.
public final class AgentLog: Sendable {
    private struct State {
        var filter: LogFilter
        /// What `reset` goes back to.
        let initial: LogFilter
    }

    private let state: Mutex<State>
    private let format: AgentConfiguration.Log.Format
    private let usesColors: Bool
    private let output: @Sendable ([UInt8]) -> Void

    /// - Parameters:
    ///   - colors: used only when the output is a terminal.
    ///   - output: takes one finished line with its line feed; standard error when nil.
    public init(
        filter: LogFilter, format: AgentConfiguration.Log.Format = .plaintext, colors: Bool = true,
        output: (@Sendable ([UInt8]) -> Void)? = nil
    ) {
        state = Mutex(State(filter: filter, initial: filter))
        self.format = format
        usesColors = colors && format == .plaintext && output == nil && isatty(STDERR_FILENO) == 1
        self.output = output ?? { line in line.withUnsafeBytes { _ = Foundation.write(STDERR_FILENO, $0.baseAddress, $0.count) } }
    }

    /// The filter of the environment: `PATINA_LOG`, `RUST_LOG` or `LOG_LEVEL`, in this order; `info` when none is set.
    public static func filter(environment: [String: String] = ProcessInfo.processInfo.environment) throws(LogFilterError) -> LogFilter {
        for variable in ["PATINA_LOG", "RUST_LOG", "LOG_LEVEL"] {
            if let text = environment[variable], !text.isEmpty { return try LogFilter(text) }
        }
        return LogFilter()
    }

    /// A logger that obeys this log's filter, also when it changes later.
    public func logger(label: String) -> Logger {
        Logger(label: label) { label in AgentLogHandler(label: label, log: self) }
    }

    /// What is logged now.
    public var filter: LogFilter { state.withLock { $0.filter } }

    public func setFilter(_ filter: LogFilter) { state.withLock { $0.filter = filter } }

    /// Back to the filter of the start.
    public func resetFilter() { state.withLock { $0.filter = $0.initial } }

    fileprivate func write(level: Logger.Level, label: String, message: String, metadata: [(String, String)]) {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let stamp = timestamp(time)
        var line: [UInt8]
        switch format {
        case .plaintext:
            let name = level.rawValue.uppercased()
            let padded = String(repeating: " ", count: max(0, 8 - name.count)) + name
            let shown = usesColors ? "\u{1B}[\(level.color)m\(padded)\u{1B}[0m" : padded
            var text = "\(stamp) \(shown) \(label): \(singleLine(message))"
            for (key, value) in metadata { text += " \(key)=\(singleLine(value))" }
            line = Array(text.utf8)
        case .json:
            var writer = JSONWriter()
            writer.raw("{\"timestamp\":")
            writer.string(stamp)
            writer.raw(",\"level\":")
            writer.string(level.rawValue.uppercased())
            writer.raw(",\"target\":")
            writer.string(label)
            writer.raw(",\"fields\":{\"message\":")
            writer.string(message)
            for (key, value) in metadata where key != "message" {
                writer.raw(",")
                writer.string(key)
                writer.raw(":")
                writer.string(value)
            }
            writer.raw("}}")
            line = writer.bytes
        }
        line.append(UInt8(ascii: "\n"))
        output(line)
    }
}

/// The part of swift-log that an `AgentLog` hands out.
private struct AgentLogHandler: LogHandler {
    let label: String
    let log: AgentLog
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    /// The log's filter decides, unless the logger was given a level of its own.
    private var ownLevel: Logger.Level?

    init(label: String, log: AgentLog) {
        self.label = label
        self.log = log
    }

    /// swift-log has no "off": nothing is ever logged at a level above critical, so `log(…)` checks again.
    var logLevel: Logger.Level {
        get { ownLevel ?? log.filter.level(for: label) ?? .critical }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        guard ownLevel != nil || log.filter.level(for: label) != nil else { return }
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { _, new in new } }
        if let explicit = event.metadata { all.merge(explicit) { _, new in new } }
        if let error = event.error { all["error"] = "\(error)" }
        let fields = all.keys.sorted().map { ($0, all[$0]?.description ?? "") }
        log.write(level: event.level, label: label, message: event.message.description, metadata: fields)
    }
}

extension Logger.Level {
    fileprivate var color: String {
        switch self {
        case .trace, .debug: "2"
        case .info, .notice: "32"
        case .warning: "33"
        case .error, .critical: "31"
        }
    }
}

/// UTC to the microsecond, as RFC 3339 writes it.
private func timestamp(_ time: timespec) -> String {
    var seconds = time.tv_sec
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func padded(_ number: some BinaryInteger, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    let date = "\(padded(parts.tm_year + 1_900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
    let clock = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
    return "\(date)T\(clock).\(padded(time.tv_nsec / 1_000, 6))Z"
}

/// Messages may carry text of strangers: one message stays one line, and sends no control codes to a terminal.
private func singleLine(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else { return text }
    var result = ""
    for scalar in text.unicodeScalars {
        let isControl = scalar.value < 0x20 || scalar.value == 0x7F
        if isControl { result += "\\u{\(String(scalar.value, radix: 16))}" } else { result.unicodeScalars.append(scalar) }
    }
    return result
}
