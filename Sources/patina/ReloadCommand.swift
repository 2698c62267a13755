import ArgumentParser
import PatinaAgent

struct Reload: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Makes the agent on this host read its schema files again.",
        discussion: """
            Tables, columns and indexes that are new are created. A column that is gone or different, and a table that DROP TABLE IF \
            EXISTS names, is an error unless destructive changes are allowed: here, or by db.allow_destructive_schema in the \
            configuration. What such a column or table held is then lost on this node; other nodes do what their own files say.
            """)

    @OptionGroup(title: "Global options") var global: GlobalOptions

    @Flag(help: "Drop columns and tables, and change columns, where the files say so.")
    var allowDestructive = false

    func run() async throws {
        do {
            _ = try await AdminClient(path: global.adminSocket()).send(.reload(allowDestructive: allowDestructive)) { _, message in
                Output.line(message)
            }
        } catch {
            throw Failure("\(error)")
        }
        Output.flush()
    }
}
