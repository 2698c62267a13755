import ArgumentParser
import Foundation
import PatinaStore

struct Db: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "db", abstract: "Database files.", subcommands: [DbCheck.self])
}

struct DbCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Checks every invariant of a database file.",
        discussion: """
            Looks at SQLite's own structures, and whether rows, clocks, tombstones, versions, bookkeeping and the reservation of version \
            numbers agree (docs/crdt.md lists the invariants). Reads only. No agent may have the file open: stop it, or check a backup.

            Exit codes: 0 the database is sound; 1 it is not, and each violation is a line; 2 the file could not be judged.
            """)

    @Argument(help: ArgumentHelp("The database.", valueName: "file"))
    var file: String

    @Flag(help: "Print the outcome as one JSON object.")
    var json = false

    private struct Report: Encodable {
        let file: String
        let valid: Bool
        let violations: [String]
        let actor: String
        let generation: UInt64
        let head: UInt64
        let tables: Int

        init(file: String, _ outcome: DatabaseCheck.Outcome) {
            self.file = file
            valid = outcome.violations.isEmpty
            violations = outcome.violations
            actor = "\(outcome.actor)"
            generation = outcome.generation
            head = outcome.head
            tables = outcome.tables
        }
    }

    func run() throws {
        let outcome: DatabaseCheck.Outcome
        do {
            outcome = try DatabaseCheck.run(path: file) { what, rows in
                if rows > 0 { Output.error("\(what): \(rows) checked") }
            }
        } catch {
            throw Failure("\(error)", code: 2)
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            Output.bytes(Array(try encoder.encode(Report(file: file, outcome))) + [UInt8(ascii: "\n")])
        } else if outcome.violations.isEmpty {
            Output.line("\(file): sound; actor \(outcome.actor), \(outcome.tables) tables, own versions up to \(outcome.head)")
        } else {
            for violation in outcome.violations { Output.line(violation) }
        }
        Output.flush()
        if !outcome.violations.isEmpty { throw ExitCode(1) }
    }
}
