import Foundation

/// A file of the repository, or a sample that a test makes up, with its path from the repository's root.
struct RepositoryFile: Sendable {
    let path: String
    let text: String

    /// The lines, without their ends.
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    /// The lines with comments and the contents of string literals blanked, so that rules see code alone.
    var codeLines: [Substring] { SwiftText.code(of: text).split(separator: "\n", omittingEmptySubsequences: false) }
}

/// What a rule found, with the place and what to do about it.
struct Violation: Hashable, Sendable, CustomStringConvertible {
    let path: String
    let line: Int
    let message: String

    var description: String { "\(path):\(line): \(message)" }
}

/// The checked-out tree that this test was built from.
enum Tree {
    /// The root of the repository: three levels above this file.
    static let root = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The text of one file; nil when there is none or when it is not text.
    static func file(_ path: String) -> RepositoryFile? {
        guard let text = try? String(contentsOf: root.appending(path: path), encoding: .utf8) else { return nil }
        return RepositoryFile(path: path, text: text)
    }

    /// True for a file or a folder.
    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appending(path: path).path(percentEncoded: false))
    }

    /// All files below a folder whose names end so, in order of path. Nothing when the folder does not exist.
    static func files(below folder: String, suffix: String) -> [RepositoryFile] {
        let base = root.appending(path: folder).path(percentEncoded: false)
        guard let names = FileManager.default.enumerator(atPath: base) else { return [] }
        return names.compactMap { $0 as? String }.filter { $0.hasSuffix(suffix) }.sorted().compactMap { file("\(folder)/\($0)") }
    }
}
