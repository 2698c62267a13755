// Goal: what the documents tell a reader to type or to open is there.
// Method: commands are taken from the fenced shell blocks of the documents and looked up in the Makefile and in the sources of the
// command line; links are followed; scenarios must say what they are about.

import Testing

@Suite struct DocumentationTests {
    static let documents = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"].compactMap(Tree.file)
    static let everyDocument = documents + Tree.files(below: "docs", suffix: ".md") + Tree.files(below: "results", suffix: ".md")
    static let makefile = Tree.file("Makefile")
    static let commandLine = CommandLineSources(Tree.files(below: "Sources/patina", suffix: ".swift"))

    @Test("repository: the documents of the root exist")
    func rootDocuments() {
        #expect(Self.documents.count == 4)
        #expect(Self.makefile != nil)
    }

    @Test("repository: every make target that a document names is in the Makefile")
    func makeTargets() throws {
        let targets = MakeTargets.parse(try #require(Self.makefile).text)
        #expect(targets.contains("help"))
        #expect(Self.everyDocument.flatMap { MakeTargets.check($0, targets: targets) } == [])
    }

    @Test("repository: every patina command and option that a document names is in the sources")
    func patinaCommands() {
        #expect(Self.commandLine.commands.contains(["sim", "run"]))
        #expect(Self.commandLine.options.contains("--config"))
        #expect(Self.everyDocument.flatMap(Self.commandLine.check) == [])
    }

    @Test("repository: every relative link of a document leads somewhere")
    func links() {
        #expect(Self.everyDocument.flatMap { Links.check($0, exists: Tree.exists) } == [])
    }

    @Test("repository: every scenario says what it is about")
    func scenarios() {
        let scenarios = Tree.files(below: "scenarios", suffix: ".toml")
        #expect(scenarios.count >= 6)
        #expect(scenarios.flatMap(ScenarioHeader.check) == [])
    }

    @Test("make targets: an unknown one is reported, a known one is not")
    func unknownTarget() {
        let targets = MakeTargets.parse("help: ## List\nbuild: deps ## Build\n.PHONY: build\nhidden:\n")
        #expect(targets == ["help", "build", "hidden"])
        let text = "Run `make build`, not `make biuld`.\n\n```sh\nmake help && make nothing ONLY=x\n```\nThey make sense.\n"
        let found = MakeTargets.check(RepositoryFile(path: "README.md", text: text), targets: targets)
        #expect(found.map(\.line) == [1, 4])
        #expect(found.map(\.message).joined().contains("biuld"))
    }

    @Test("patina commands: an unknown command or option is reported, a known one is not")
    func unknownCommand() {
        let source = """
            @main struct Patina: ParsableCommand {
                static let configuration = CommandConfiguration(commandName: "patina", subcommands: [Sim.self])
            }
            struct Sim: ParsableCommand {
                static let configuration = CommandConfiguration(
                    commandName: "sim", subcommands: [SimRun.self])
            }
            struct SimRun: ParsableCommand {
                static let configuration = CommandConfiguration(commandName: "run")
                @Option(name: .customLong("set"), help: "x") var settings: [String] = []
                @Flag(help: "y") var dryRun = false
                @Argument var file: String
            }
            """
        let commands = CommandLineSources([RepositoryFile(path: "Sources/patina/A.swift", text: source)])
        #expect(commands.commands == [[], ["sim"], ["sim", "run"]])
        #expect(commands.options == ["--set", "--dry-run", "--help", "--version"])
        let text = """
            ```sh
            patina sim run a.toml --set b=c --dry-run
            .build/release/patina sim walk a.toml
            patina sim run a.toml --dryrun  # comment --nothing
            echo patina fly
            patina
            ```
            In prose `patina sim jump` counts too, "patina swims" does not.
            """
        let found = commands.check(RepositoryFile(path: "README.md", text: text))
        #expect(found.map(\.line) == [3, 4, 8])
    }

    @Test("links: a dead one is reported, anchors and the web are left alone")
    func deadLink() {
        let text = "[a](docs/a.md) [b](docs/b.md#part)\n[c](https://example.com/c) [d](#d)\n[e](docs/e.md)\n"
        let found = Links.check(RepositoryFile(path: "README.md", text: text)) { ["docs/a.md", "docs/b.md"].contains($0) }
        #expect(found.map(\.line) == [3])
        let below = Links.check(RepositoryFile(path: "docs/a.md", text: "[b](b.md) [r](../README.md)")) {
            ["docs/b.md", "README.md"].contains($0)
        }
        #expect(below == [])
    }

    @Test("scenarios: one without a sentence is reported", arguments: ["name = \"a\"\n", "about = \"\"\n", "# about = \"x y z\"\n"])
    func silentScenario(text: String) {
        #expect(ScenarioHeader.check(RepositoryFile(path: "scenarios/smoke/a.toml", text: text)).count == 1)
    }
}
