// Goal: no room of the house reaches into a room, or a library, that the dependency law does not give it.
// Method: every import in Sources is looked up in the table below; a room that is not in the table may not exist.

import Testing

/// The dependency law (ARCHITECTURE.md, section 1), as the modules that each room may import.
enum DependencyLaw {
    static let collections: Set = ["OrderedCollections", "DequeModule", "HeapModule"]
    static let system: Set = ["Foundation", "Dispatch", "Glibc", "Musl", "Darwin", "Synchronization"]
    static let sockets: Set = ["NIOCore", "NIOPosix", "NIOConcurrencyHelpers", "NIOFoundationCompat"]

    static let allowed: [String: Set<String>] = [
        "CSQLite": [], "CNgtcp2": [], "CGnuTLS": [],
        "Protocol": collections,
        "TOML": [],
        "Store": collections.union(["PatinaProtocol", "CSQLite", "Synchronization", "Glibc", "Musl", "Darwin"]),
        "Sim": collections.union(["PatinaProtocol", "PatinaStore", "CSQLite", "PatinaTOML", "Crypto", "Glibc", "Musl", "Darwin"]),
        "Runtime": collections.union(system).union(sockets).union([
            "PatinaProtocol", "PatinaStore", "CNgtcp2", "CGnuTLS", "Logging",
        ]),
        "Agent": collections.union(system).union(sockets).union([
            "PatinaProtocol", "PatinaStore", "PatinaRuntime", "PatinaTOML", "NIOHTTP1", "NIOHTTP2", "NIOHTTPTypes", "NIOHTTPTypesHTTP1",
            "NIOHTTPTypesHTTP2", "Logging", "Hummingbird", "HummingbirdCore", "ServiceLifecycle", "UnixSignals", "AsyncHTTPClient",
            "HTTPTypes",
            "X509", "Crypto", "SwiftASN1",
        ]),
        "Live": system.union(["PatinaProtocol", "PatinaStore", "PatinaTOML", "PatinaSim", "PatinaAgent"]),
        "patina": system.union([
            "PatinaProtocol", "PatinaStore", "PatinaSim", "PatinaAgent", "PatinaLive", "ArgumentParser", "Logging",
        ]),
    ]

    static func check(_ file: RepositoryFile) -> [Violation] {
        let parts = file.path.split(separator: "/")
        guard parts.count >= 3, parts[0] == "Sources" else { return [] }
        guard let modules = allowed[String(parts[1])] else {
            return [
                Violation(path: file.path, line: 1, message: "the dependency law has no room named \(parts[1]); add it to the table first")
            ]
        }
        var violations: [Violation] = []
        for (index, line) in file.codeLines.enumerated() {
            guard let module = importedModule(line), !modules.contains(module) else { continue }
            violations.append(
                Violation(
                    path: file.path, line: index + 1, message: "\(parts[1]) must not import \(module) (dependency law, ARCHITECTURE.md)"))
        }
        return violations
    }

    /// The module of an import line, attributes and access levels aside: `Foo` for `@preconcurrency public import struct Foo.Bar`.
    static func importedModule(_ line: Substring) -> String? {
        let words = line.split(whereSeparator: \.isWhitespace)
        guard let position = words.firstIndex(of: "import"), position + 1 < words.count else { return nil }
        let prefixes: Set<Substring> = ["public", "package", "internal", "fileprivate", "private"]
        guard words[..<position].allSatisfy({ $0.hasPrefix("@") || prefixes.contains($0) }) else { return nil }
        let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
        let name = kinds.contains(words[position + 1]) && position + 2 < words.count ? words[position + 2] : words[position + 1]
        return name.split(separator: ".").first.map(String.init)
    }
}

@Suite struct DependencyLawTests {
    @Test("repository: every import in Sources obeys the dependency law")
    func everyImportIsAllowed() {
        let files = Tree.files(below: "Sources", suffix: ".swift")
        #expect(files.count > 20, "the tree was not found")
        #expect(files.flatMap(DependencyLaw.check) == [])
    }

    @Test(
        "dependency law: a forbidden import is reported with its line",
        arguments: [
            ("Sources/Protocol/Basics/A.swift", "Foundation"), ("Sources/Protocol/Node/A.swift", "PatinaStore"),
            ("Sources/Store/A.swift", "Foundation"), ("Sources/Store/A.swift", "PatinaSim"), ("Sources/Sim/A.swift", "PatinaRuntime"),
            ("Sources/Sim/A.swift", "NIOCore"), ("Sources/Runtime/A.swift", "PatinaSim"), ("Sources/Runtime/A.swift", "PatinaAgent"),
            ("Sources/Agent/A.swift", "PatinaSim"), ("Sources/Live/A.swift", "PatinaRuntime"), ("Sources/Sim/A.swift", "PatinaLive"),
            ("Sources/TOML/A.swift", "PatinaProtocol"),
            ("Sources/Agent/A.swift", "ArgumentParser"), ("Sources/patina/A.swift", "CSQLite"),
        ])
    func forbiddenImport(path: String, module: String) {
        let samples = ["import \(module)", "@preconcurrency public import struct \(module).Thing", "  private import \(module)"]
        for sample in samples {
            let found = DependencyLaw.check(RepositoryFile(path: path, text: "// header\n\n\(sample)\n"))
            #expect(found.map(\.line) == [3])
            #expect(found.first?.message.contains("must not import \(module)") == true)
        }
    }

    @Test("dependency law: an unknown room is reported")
    func unknownRoom() {
        let found = DependencyLaw.check(RepositoryFile(path: "Sources/Attic/A.swift", text: "let a = 1\n"))
        #expect(found.count == 1)
    }

    @Test("dependency law: an import in a comment, and the word elsewhere, are no imports")
    func noImports() {
        let text = "// import Foundation\nlet important = \"import Foundation\"\nfunc `import`() {}\n"
        #expect(DependencyLaw.check(RepositoryFile(path: "Sources/Protocol/A.swift", text: text)) == [])
    }
}
