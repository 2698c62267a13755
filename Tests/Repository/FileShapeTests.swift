// Goal: one concept a file, lines that fit a screen, no loose ends, and a licence.
// Method: counted; every rule with a sample that must be reported.

import Testing

enum FileShape {
    static let linesMaximum = 450
    static let columnsMaximum = 140

    static func checkLength(_ file: RepositoryFile) -> [Violation] {
        let count = file.text.hasSuffix("\n") ? file.lines.count - 1 : file.lines.count
        guard count > linesMaximum else { return [] }
        return [Violation(path: file.path, line: count, message: "\(count) lines, at most \(linesMaximum): one concept, one file")]
    }

    static func checkLines(_ file: RepositoryFile) -> [Violation] {
        file.lines.enumerated().compactMap { index, line in
            guard line.count > columnsMaximum else { return nil }
            return Violation(path: file.path, line: index + 1, message: "\(line.count) columns, at most \(columnsMaximum)")
        }
    }

    /// Words that mark something unfinished, or a test that does not run. Put together here so that this file passes its own rule.
    static let looseEnds = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "not " + "implemented", ".dis" + "abled("]

    static func checkLooseEnds(_ file: RepositoryFile) -> [Violation] {
        file.lines.enumerated().flatMap { index, line in
            looseEnds.filter { line.contains($0) && isMark($0, in: line) }.map {
                Violation(path: file.path, line: index + 1, message: "\($0): finish it, or file an issue and leave no mark here")
            }
        }
    }

    /// Marks in capitals count as words of their own only: a template for temporary names has its letters in a row.
    private static func isMark(_ mark: String, in line: Substring) -> Bool {
        mark.contains { !$0.isUppercase } || line.split { !$0.isLetter }.contains { $0 == mark }
    }

    static func checkLicence(_ file: RepositoryFile?) -> [Violation] {
        guard let file else { return [Violation(path: "LICENSE", line: 1, message: "there is no LICENSE")] }
        let needed = [
            "Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS", "9. Accepting Warranty or Additional Liability",
        ]
        return needed.filter { !file.text.contains($0) }.map { Violation(path: file.path, line: 1, message: "lacks \"\($0)\"") }
    }
}

@Suite struct FileShapeTests {
    static let swift = ["Sources", "Tests"].flatMap { Tree.files(below: $0, suffix: ".swift") }

    @Test("repository: no source file is longer than its bound")
    func lengths() {
        #expect(Self.swift.filter { $0.path.hasPrefix("Sources/") }.flatMap(FileShape.checkLength) == [])
    }

    @Test("repository: no line is longer than its bound")
    func lines() {
        #expect(Self.swift.flatMap(FileShape.checkLines) == [])
    }

    @Test("repository: nothing is left unfinished or switched off")
    func looseEnds() {
        let scripts = Tree.files(below: "scripts", suffix: ".py") + Tree.files(below: "scripts", suffix: ".sh")
        let documents = Tree.files(below: "docs", suffix: ".md") + ["README.md", "ARCHITECTURE.md", "Makefile"].compactMap(Tree.file)
        #expect((Self.swift + scripts + documents).flatMap(FileShape.checkLooseEnds) == [])
    }

    @Test("repository: the licence is there, whole")
    func licence() {
        #expect(FileShape.checkLicence(Tree.file("LICENSE")) == [])
    }

    @Test("file length: one line too many is reported, the last allowed one is not")
    func tooLong() {
        let allowed = String(repeating: "a\n", count: FileShape.linesMaximum)
        #expect(FileShape.checkLength(RepositoryFile(path: "Sources/A.swift", text: allowed)) == [])
        #expect(FileShape.checkLength(RepositoryFile(path: "Sources/A.swift", text: allowed + "a\n")).count == 1)
        #expect(FileShape.checkLength(RepositoryFile(path: "Sources/A.swift", text: allowed + "a")).count == 1)
    }

    @Test("line length: one column too many is reported, the last allowed one is not")
    func tooWide() {
        let allowed = String(repeating: "é", count: FileShape.columnsMaximum)
        #expect(FileShape.checkLines(RepositoryFile(path: "A.swift", text: "a\n\(allowed)\n")) == [])
        #expect(FileShape.checkLines(RepositoryFile(path: "A.swift", text: "a\n\(allowed)b\n")).map(\.line) == [2])
    }

    @Test("loose ends: each mark is reported", arguments: FileShape.looseEnds)
    func looseEnd(mark: String) {
        #expect(FileShape.checkLooseEnds(RepositoryFile(path: "A.swift", text: "a\n// \(mark): later\n")).map(\.line) == [2])
    }

    @Test("loose ends: letters in a row inside of a longer word are no mark")
    func templateName() {
        let template = String(repeating: "X", count: 6)
        #expect(FileShape.checkLooseEnds(RepositoryFile(path: "A.swift", text: "mkdtemp(\"/tmp/a-\(template)\")")) == [])
        #expect(FileShape.checkLooseEnds(RepositoryFile(path: "A.swift", text: "// \(template.prefix(3))")).count == 1)
    }

    @Test("licence: a missing or shortened one is reported")
    func noLicence() {
        #expect(FileShape.checkLicence(nil).count == 1)
        #expect(FileShape.checkLicence(RepositoryFile(path: "LICENSE", text: "Apache License\nVersion 2.0, January 2004\n")).count == 2)
    }
}
