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

/// Finds what somebody meant to write.
enum Spelling {
    /// The candidate with the smallest edit distance to `word`; nil when none is near enough to be worth a guess. The first
    /// of equals wins.
    static func nearest(to word: String, among candidates: [String]) -> String? {
        var best: (distance: Int, candidate: String)?
        for candidate in candidates {
            let distance = editDistance(Array(word.utf8), Array(candidate.utf8))
            if distance < best?.distance ?? .max { best = (distance, candidate) }
        }
        guard let best, best.distance <= max(2, word.utf8.count / 3) else { return nil }
        return best.candidate
    }

    /// How many insertions, deletions, replacements and swaps of neighbours turn one word into the other
    /// (Damerau's distance, each place edited once).
    static func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforePrevious: [Int] = []
        var previous = Array(0...right.count)
        for row in 0..<left.count {
            var current = [row + 1]
            current.reserveCapacity(right.count + 1)
            for column in 0..<right.count {
                var cost = min(previous[column + 1] + 1, current[column] + 1, previous[column] + (left[row] == right[column] ? 0 : 1))
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    cost = min(cost, beforePrevious[column - 1] + 1)
                }
                current.append(cost)
            }
            (beforePrevious, previous) = (previous, current)
        }
        return previous[right.count]
    }
}
