import Foundation

/// What the pure modules (Protocol, Store, Sim) may not mention, because it would make two runs of one seed differ, or because
/// it waits, and what to use in its place.
///
/// Iteration over `Set` and `Dictionary` is found by a heuristic: names that the file declares with such a type must not stand where
/// their order shows. It misses what is declared in another file; the trace-hash tests catch those. A place where the order
/// provably does not matter carries a comment `// unordered: WHY` on its line or on the one above.
enum PureModules {
    struct Ban: Sendable {
        let identifier: String
        let instead: String
        var rooms: Set<String> = ["Protocol", "Store", "Sim"]
    }

    /// Identifiers are matched as whole words; a pattern that ends in `(` or `.` matches as it stands.
    static let bans: [Ban] = [
        Ban(identifier: "Foundation", instead: "the standard library"),
        Ban(identifier: "Dispatch", instead: "events and effects"),
        Ban(identifier: "DispatchQueue", instead: "events and effects"),
        Ban(identifier: "Thread", instead: "events and effects"),
        Ban(identifier: "await", instead: "events and effects"),
        Ban(identifier: "async", instead: "events and effects"),
        Ban(identifier: "Task", instead: "events and effects"),
        Ban(identifier: "actor", instead: "a value type that one owner mutates"),
        Ban(identifier: "Mutex", instead: "a value type that one owner mutates", rooms: ["Protocol"]),
        Ban(identifier: "Date(", instead: "the `now` argument"),
        Ban(identifier: "UUID(", instead: "ActorID.random(using:)"),
        Ban(identifier: "ContinuousClock.now", instead: "the `now` argument"),
        Ban(identifier: "SuspendingClock.now", instead: "the `now` argument"),
        Ban(identifier: "ContinuousClock(", instead: "the `now` argument"),
        Ban(identifier: "SuspendingClock(", instead: "the `now` argument"),
        Ban(identifier: "SystemRandomNumberGenerator", instead: "Random"),
        Ban(identifier: ".random(in", instead: "Random"),
        Ban(identifier: ".shuffled(", instead: "Random.shuffle"),
        Ban(identifier: ".shuffle(", instead: "Random.shuffle"),
        Ban(identifier: ".randomElement(", instead: "Random.pick"),
        Ban(identifier: "hashValue", instead: "Fingerprint"),
        Ban(identifier: "ObjectIdentifier", instead: "an identifier that is part of the state"),
    ]

    /// The few places that touch the machine on purpose.
    static let exceptions: [(path: String, identifier: String, reason: String)] = []

    static func check(_ file: RepositoryFile) -> [Violation] {
        let parts = file.path.split(separator: "/")
        guard parts.count >= 3, parts[0] == "Sources" else { return [] }
        let room = String(parts[1])
        let bans = bans.filter { $0.rooms.contains(room) }
        guard !bans.isEmpty else { return [] }
        let code = file.codeLines
        // Most files mention nothing; one quick search of the whole text spares the look at every line.
        let suspects = bans.filter { ban in file.text.withCString { strstr($0, ban.identifier) != nil } }
        var violations: [Violation] = []
        for (index, line) in code.enumerated() {
            for ban in suspects where mentions(line, ban.identifier) && !isExcepted(file.path, ban.identifier) {
                let name = ban.identifier.trimmingPrefix(".").split(separator: "(")[0]
                let message = "\(name) is banned in \(room): use \(ban.instead)"
                violations.append(Violation(path: file.path, line: index + 1, message: message))
            }
        }
        return violations + UnorderedIteration.check(file)
    }

    private static func isExcepted(_ path: String, _ identifier: String) -> Bool {
        exceptions.contains { $0.path == path && $0.identifier == identifier }
    }

    /// True when the code line has the identifier as a whole word, not as a part of another one. Calls that are given their source
    /// of randomness (`using:`) or are made of it (`random.shuffle(&nodes)`), and member names that happen to equal a keyword
    /// (`.actor`, `actor:`), do not count.
    static func mentions(_ line: Substring, _ identifier: String) -> Bool {
        var rest = line
        while let range = rest.firstRange(of: identifier) {
            let before =
                rest[..<range.lowerBound].last ?? (rest.startIndex == line.startIndex ? nil : line[line.index(before: rest.startIndex)])
            let after = rest[range.upperBound...].first
            rest = rest[range.upperBound...]
            if identifier.first?.isLetter == true, let before, isWordPart(before) { continue }
            if identifier.last?.isLetter == true, let after, isWordPart(after) { continue }
            if identifier.hasPrefix("."), line.contains("using:") || line.contains("andom\(identifier)&") { continue }
            if contextual.contains(identifier), !isKeyword(identifier, before: before, after: after, in: line) { continue }
            return true
        }
        return false
    }

    /// Words that are also fine names for a property: `actor` is one in nearly every file.
    private static let contextual: Set = ["actor", "async", "await", "Task", "Thread"]

    private static func isKeyword(_ word: String, before: Character?, after: Character?, in line: Substring) -> Bool {
        if word == "actor" { return line.contains(/\bactor\s+[A-Z]\w*\s*[:{<]/) }
        if before == "." || after == ":" { return false }
        return true
    }

    private static func isWordPart(_ character: Character) -> Bool { character.isLetter || character.isNumber || character == "_" }
}

/// The heuristic for iteration over containers whose order changes from process to process.
enum UnorderedIteration {
    static let marker = "// unordered:"

    static func check(_ file: RepositoryFile) -> [Violation] {
        let code = file.codeLines
        let names = declaredNames(in: code)
        guard !names.isEmpty else { return [] }
        let lines = file.lines
        var violations: [Violation] = []
        for (index, line) in code.enumerated() {
            guard let name = iterated(line, names) else { continue }
            if lines[index].contains(marker) || index > 0 && lines[index - 1].contains(marker) { continue }
            let message =
                "the order of \(name), a Set or Dictionary, differs between processes: use an ordered container, or sort, "
                + "or say why it does not matter with `\(marker) WHY`"
            violations.append(Violation(path: file.path, line: index + 1, message: message))
        }
        return violations
    }

    /// Names of constants, variables and parameters that are declared with a type of `Set` or `Dictionary`.
    static func declaredNames(in code: [Substring]) -> Set<String> {
        var names: Set<String> = []
        // The regular expressions cost a millisecond a line in a debug build; most lines can be told apart without them.
        for line in code where has(line, "Set") || has(line, "Dictionary") || has(line, "[") && has(line, ":") {
            for match in line.matches(of: /\b(\w+)\s*:\s*(?:inout\s+)?(?:Set<|Dictionary<|\[\s*[\w.]+\s*:\s*[\w.(\[]+)/) {
                names.insert(String(match.1))
            }
            for match in line.matches(
                of: /\b(?:let|var)\s+(\w+)\s*=\s*(?:Set<|Set\(|Dictionary<|Dictionary\(|\[\s*[A-Z][\w.]*\s*:\s*[\w.\[]+\]?\s*\]\()/)
            {
                names.insert(String(match.1))
            }
        }
        return names
    }

    private static func has(_ line: Substring, _ needle: String) -> Bool {
        let (line, needle) = (Array(line.utf8), Array(needle.utf8))
        guard line.count >= needle.count else { return false }
        return (0...(line.count - needle.count)).contains { line[$0] == needle[0] && line[$0..<($0 + needle.count)].elementsEqual(needle) }
    }

    /// The first declared name whose order shows on this line.
    static func iterated(_ line: Substring, _ names: Set<String>) -> String? {
        guard names.contains(where: { has(line, $0) }) else { return nil }
        for match in line.matches(of: /\bfor\s.*\bin\s+(?:self\.)?(\w+)(?:\.keys|\.values)?(?:\.enumerated\(\))?\s*(?:where\b|\{|$)/) {
            if names.contains(String(match.1)) { return String(match.1) }
        }
        let orderShows =
            #/
            \b(\w+) (?:\.keys|\.values)? \.
            (?:map|flatMap|compactMap|forEach|reduce|first|joined|enumerated|prefix|dropFirst|makeIterator)\b
            ( \([^)]*\) | \s*\{[^}]*\} )? (\.sorted\b|\.count\b|\.isEmpty\b)?
            /#
        for match in line.matches(of: orderShows) where names.contains(String(match.1)) && match.3 == nil { return String(match.1) }
        for match in line.matches(of: /\bArray\((?:self\.)?(\w+)(?:\.keys|\.values)?\)(\.sorted\b)?/) {
            if names.contains(String(match.1)), match.2 == nil { return String(match.1) }
        }
        return nil
    }
}
