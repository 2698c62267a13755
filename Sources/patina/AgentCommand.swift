import ArgumentParser
import Foundation
import PatinaAgent

struct AgentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent",
        abstract: "Runs an agent until SIGTERM or SIGINT.",
        discussion: """
            It logs to standard error; PATINA_LOG or RUST_LOG sets the level (trace, debug, info, warning, error). A signal makes \
            it leave the cluster, finish its commits and exit with 0 within 5 seconds; it exits with 1 when it cannot start or its storage \
            fails.
            """)

    @OptionGroup(title: "Global options") var global: GlobalOptions

    @Flag(help: "Also stop when standard input ends: for programs that start agents and must not leave them behind.")
    var untilInputEnds = false

    func run() async throws {
        let configuration = try global.configuration()
        do {
            let log = AgentLog(
                filter: try AgentLog.filter(), format: configuration.log.format, colors: configuration.log.colors)
            if untilInputEnds { stopWhenInputEnds() }
            try await Agent(configuration: configuration, log: log).run()
        } catch {
            throw Failure("\(error)")
        }
    }

    /// Sends this process SIGTERM when nobody holds the other end of standard input any more.
    private func stopWhenInputEnds() {
        Thread.detachNewThread {
            var byte: UInt8 = 0
            while true {
                let count = read(STDIN_FILENO, &byte, 1)
                if count == 0 || count < 0 && errno != EINTR { break }
            }
            kill(getpid(), SIGTERM)
        }
    }
}
