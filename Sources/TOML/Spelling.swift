/// Finds what somebody meant to write.
public enum Spelling {
    /// The candidate with the smallest edit distance to `word`; nil when none is near enough to be worth a guess. The first
    /// of equals wins.
    ///
    /// - Parameter slips: this many edits are always near enough; a third of the word's bytes is, too.
    public static func nearest(to word: String, among candidates: [String], slips: Int = 2) -> String? {
        var best: (distance: Int, candidate: String)?
        for candidate in candidates {
            let distance = editDistance(Array(word.utf8), Array(candidate.utf8))
            if distance < best?.distance ?? .max { best = (distance, candidate) }
        }
        guard let best, best.distance <= max(slips, word.utf8.count / 3) else { return nil }
        return best.candidate
    }

    /// How many insertions, deletions, replacements and swaps of neighbours turn one word into the other
    /// (Damerau's distance, each place edited once).
    public static func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
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
