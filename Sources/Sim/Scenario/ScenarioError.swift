/// Why a scenario cannot be judged: where, what is wrong, and what was probably meant. Exit code 2.
public struct ScenarioError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file as it was named, or the override (`--set run.duration=5`) that the mistake is in.
    public let file: String
    /// Counted from 1; nil when the mistake has no line (a missing file, an override).
    public let line: Int?
    /// What is wrong, as a sentence without its full stop.
    public let message: String
    /// The nearest spelling that would be right, when there is a near one.
    public let suggestion: String?

    public init(file: String, line: Int?, message: String, suggestion: String? = nil) {
        self.file = file
        self.line = line
        self.message = message
        self.suggestion = suggestion
    }

    /// `scenarios/a.toml:12: unknown key "duratoin" in [run]; did you mean "duration"?`
    public var description: String {
        var text = file
        if let line { text += ":\(line)" }
        text += ": \(message)"
        if let suggestion { text += "; did you mean \"\(suggestion)\"?" }
        return text
    }
}
