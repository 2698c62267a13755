// Goal: nothing in the pure modules can make two runs of one seed differ, or wait.
// Method: banned identifiers by table, containers without order by heuristic; each with samples that must be reported.

import Testing

@Suite struct PureModulesTests {
    @Test("repository: the pure modules mention nothing banned")
    func pureModulesArePure() {
        let files = ["Protocol", "Store", "Sim"].flatMap { Tree.files(below: "Sources/\($0)", suffix: ".swift") }
        #expect(files.count > 10, "the tree was not found")
        #expect(files.flatMap(PureModules.check) == [])
    }

    @Test("pure modules: a banned identifier is reported with its replacement", arguments: PureModules.bans.map(\.identifier))
    func bannedIdentifier(identifier: String) throws {
        let ban = try #require(PureModules.bans.first { $0.identifier == identifier })
        let use: String
        switch identifier {
        case "actor": use = "actor Counter { var a = 1 }"
        case let call where call.hasSuffix("("): use = "let a = b\(call.hasPrefix(".") ? "" : " + ")\(call))"
        case let member where member.hasPrefix("."): use = "let a = Int\(member): 0..<3)"
        default: use = "let a = \(identifier) + 1"
        }
        for room in ban.rooms.sorted() {
            let found = PureModules.check(RepositoryFile(path: "Sources/\(room)/A.swift", text: "import Swift\n\(use)\n"))
            #expect(found.map(\.line) == [2], "\(use)")
            #expect(found.first?.message.contains(ban.instead) == true)
        }
        #expect(PureModules.check(RepositoryFile(path: "Sources/Runtime/A.swift", text: use)) == [])
    }

    @Test(
        "pure modules: names that only look like banned ones pass",
        arguments: [
            "let asynchronous = awaited", "let task = Tasks()", "init(actor: ActorID) { self.actor = actor }", "case .actor: break",
            "let a = items.shuffled(using: &random)", "// Date() in a comment", "let text = \"UUID() in a string\"",
            "let update(now: Instant)",
        ])
    func lookAlike(text: String) {
        #expect(PureModules.check(RepositoryFile(path: "Sources/Protocol/A.swift", text: text)) == [])
    }

    @Test(
        "unordered iteration: reported",
        arguments: [
            "var peers: Set<ActorID> = []\nfor peer in peers { send(peer) }",
            "let peers = Set<ActorID>()\nfor peer in self.peers where peer.up {",
            "var heads: [ActorID: UInt64] = [:]\nfor (actor, head) in heads {",
            "var heads: [ActorID: UInt64] = [:]\nlet all = heads.map { $0 }",
            "var heads: [ActorID: [UInt64]] = [:]\nfor head in heads.values {",
            "func f(heads: [ActorID: UInt64]) {\nlet all = Array(heads.keys)",
            "var heads = [ActorID: UInt64]()\nlet one = heads.keys.first",
        ])
    func unordered(text: String) {
        let found = PureModules.check(RepositoryFile(path: "Sources/Sim/A.swift", text: text))
        #expect(found.map(\.line) == [2])
    }

    @Test(
        "unordered iteration: keyed look-up, sorting, ordered containers and explained places pass",
        arguments: [
            "var heads: [ActorID: UInt64] = [:]\nlet one = heads[actor]\nheads[actor] = 2\nlet n = heads.count",
            "var heads: [ActorID: UInt64] = [:]\nfor key in heads.keys.sorted() {",
            "var heads: OrderedDictionary<ActorID, UInt64> = [:]\nfor (key, value) in heads {",
            "var heads: [ActorID: UInt64] = [:]\n// unordered: a sum\nfor (key, value) in heads {",
            "var list: [UInt64] = []\nfor item in list {",
        ])
    func ordered(text: String) {
        #expect(PureModules.check(RepositoryFile(path: "Sources/Sim/A.swift", text: text)) == [])
    }

    @Test("Swift text: comments and literals are blanked, interpolations stay")
    func swiftText() {
        #expect(SwiftText.code(of: "a // b\nc") == "a     \nc")
        #expect(SwiftText.code(of: "a /* b /* c */ d */ e") == "a                   e")
        #expect(SwiftText.code(of: #"x("a\(b)c\"d", e)"#) == #"x("# + "    b      , e)")
        #expect(SwiftText.code(of: "\"\"\"\n a \\(b)\n\"\"\" c") == "   \n     b \n    c")
        #expect(SwiftText.code(of: "#\"a\\(b)\\#(c)\"# d") == "          c    d")
    }
}
