/// The pieces of a document that a reader may type: lines of fenced shell blocks, and code in backticks.
enum Commands {
    /// Code with the number of the line that it stands on. Comments after `#` are cut off.
    static func code(in file: RepositoryFile) -> [(line: Int, text: Substring)] {
        var result: [(line: Int, text: Substring)] = []
        var language: Substring?
        for (index, line) in file.lines.enumerated() {
            let trimmed = line.drop(while: \.isWhitespace)
            if trimmed.hasPrefix("```") {
                language = language == nil ? trimmed.dropFirst(3) : nil
            } else if let language {
                guard ["", "sh", "bash", "console", "shell"].contains(language) else { continue }
                result.append((index + 1, trimmed.firstRange(of: " #").map { trimmed[..<$0.lowerBound] } ?? trimmed))
            } else {
                result += line.matches(of: /`([^`]+)`/).map { (index + 1, $0.1) }
            }
        }
        return result
    }
}

/// The targets of the Makefile, and the documents' mentions of them.
enum MakeTargets {
    static func parse(_ makefile: String) -> Set<String> {
        Set(makefile.split(separator: "\n").compactMap { $0.prefixMatch(of: /([a-z0-9][a-z0-9-]*):(?!=)/).map { String($0.1) } })
    }

    static func check(_ file: RepositoryFile, targets: Set<String>) -> [Violation] {
        Commands.code(in: file).flatMap { line, text in
            text.matches(of: /(?:^|&&|;|\$)\s*make\s+([a-z][a-z0-9-]*)/).compactMap { match in
                targets.contains(String(match.1))
                    ? nil : Violation(path: file.path, line: line, message: "the Makefile has no target \(match.1)")
            }
        }
    }
}

/// The commands and options of the executable, read from its sources: `commandName:`, `subcommands:`, `@Option` and `@Flag`.
struct CommandLineSources: Sendable {
    /// Paths of command names from the root, `[]` for the root itself.
    private(set) var commands: Set<[String]> = []
    private(set) var options: Set<String> = ["--help", "--version"]

    init(_ files: [RepositoryFile]) {
        var names: [String: String] = [:]
        var children: [String: [String]] = [:]
        for file in files {
            var type: String?
            for piece in file.text.split(separator: "\nstruct ").flatMap({ $0.split(separator: "@main struct ") }) {
                guard let head = piece.prefixMatch(of: /(\w+):[^{\n]*Command/) else { continue }
                type = String(head.1)
                guard let type, let name = piece.firstMatch(of: /commandName:\s*"([\w-]+)"/) else { continue }
                names[type] = String(name.1)
                if let list = piece.firstMatch(of: /subcommands:\s*\[([^\]]*)\]/) {
                    children[type] = list.1.matches(of: /(\w+)\.self/).map { String($0.1) }
                }
            }
            // Line by line: one expression over the whole text would try every way to divide its blanks.
            var declaration = ""
            for line in file.text.split(separator: "\n") {
                if line.contains("@Option") || line.contains("@Flag") { declaration = " " }
                guard !declaration.isEmpty else { continue }
                declaration += line
                guard let name = line.firstMatch(of: /\bvar (\w+)/) else { continue }
                let custom = declaration.matches(of: /customLong\("([\w-]+)"\)/).map { "--\($0.1)" }
                options.formUnion(custom.isEmpty ? ["--" + Self.kebab(String(name.1))] : custom)
                declaration = ""
            }
        }
        guard let root = names.first(where: { $0.value == "patina" })?.key else { return }
        add(root, path: [], names: names, children: children)
    }

    private mutating func add(_ type: String, path: [String], names: [String: String], children: [String: [String]]) {
        commands.insert(path)
        for child in children[type] ?? [] { add(child, path: path + [names[child] ?? child], names: names, children: children) }
    }

    private static func kebab(_ name: String) -> String {
        name.reduce(into: "") { $0 += $1.isUppercase ? "-\($1.lowercased())" : String($1) }
    }

    func check(_ file: RepositoryFile) -> [Violation] {
        Commands.code(in: file).flatMap { line, text -> [Violation] in
            guard let match = text.firstMatch(of: /(?:^|&&|\$)\s*(?:\S*\/)?patina(?:\s+(.*))?$/) else { return [] }
            let words = (match.1 ?? "").split(separator: " ")
            var violations: [Violation] = []
            var path: [String] = []
            for word in words.prefix(while: { $0.wholeMatch(of: /[a-z][a-z-]*/) != nil }) {
                // Arguments begin where the tree of commands ends.
                guard commands.contains(where: { $0.count > path.count && $0.starts(with: path) }) else { break }
                path.append(String(word))
            }
            if !commands.contains(path) {
                violations.append(
                    Violation(path: file.path, line: line, message: "there is no command: patina \(path.joined(separator: " "))"))
            }
            for word in words {
                guard let option = word.prefixMatch(of: /--[a-z][a-z-]*/), !options.contains(String(option.0)) else { continue }
                violations.append(Violation(path: file.path, line: line, message: "no patina command has the option \(option.0)"))
            }
            return violations
        }
    }
}

/// Relative links of a document.
enum Links {
    static func check(_ file: RepositoryFile, exists: (String) -> Bool) -> [Violation] {
        file.lines.enumerated().flatMap { index, line in
            line.matches(of: /\]\(([^)\s]+)\)/).compactMap { match -> Violation? in
                let target = match.1.prefix(while: { $0 != "#" })
                guard !target.isEmpty, !target.contains("://"), !target.hasPrefix("mailto:") else { return nil }
                var path = file.path.split(separator: "/").dropLast()
                for part in target.split(separator: "/") where part != "." {
                    if part == ".." { _ = path.popLast() } else { path.append(part) }
                }
                let joined = path.joined(separator: "/")
                return exists(joined) ? nil : Violation(path: file.path, line: index + 1, message: "the link leads nowhere: \(joined)")
            }
        }
    }
}

/// The header of a scenario file.
enum ScenarioHeader {
    static func check(_ file: RepositoryFile) -> [Violation] {
        let says = file.lines.contains { $0.prefixMatch(of: /about\s*=\s*"[^"]*\w+ \w+ \w+/) != nil }
        return says ? [] : [Violation(path: file.path, line: 1, message: "a scenario needs a sentence: about = \"...\"")]
    }
}
