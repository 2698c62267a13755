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

    @Option(
        help: ArgumentHelp("Record everything that the node handles and wants, user data included, for sim replay.", valueName: "folder"))
    var record: String?

    @Option(
        help: ArgumentHelp("The recording ends at this size, like 500MiB or 16GiB. (default: 4GiB)", valueName: "size"),
        transform: { try recordLimit($0) })
    var recordLimit: Int?

    @Flag(help: "Record digests of what the node wants, in place of all of it: fewer bytes, and differences are found, not shown.")
    var recordDigests = false

    @Option(
        help: ArgumentHelp(
            "For experiments: eight bytes, little-endian, by which this agent's wall clock is off in nanoseconds; read at each look at it.",
            valueName: "path", visibility: .hidden))
    var clockOffsetFile: String?

    @Option(
        help: ArgumentHelp(
            "For experiments: settings of the protocol in place of the default ones, as live run writes them.", valueName: "path",
            visibility: .hidden))
    var protocolSettingsFile: String?

    func run() async throws {
        var configuration = try global.configuration()
        configuration.clockOffsetFile = clockOffsetFile
        configuration.protocolSettingsFile = protocolSettingsFile
        if let record {
            var recording = AgentConfiguration.Recording(directory: record, build: "patina \(Version.current)")
            recording.limitBytes = recordLimit
            recording.keepsDigestsOnly = recordDigests
            configuration.recording = recording
        }
        do {
            let log = AgentLog(
                filter: try AgentLog.filter(), format: configuration.log.format, colors: configuration.log.colors)
            if untilInputEnds { stopWhenInputEnds() }
            try await Agent(configuration: configuration, log: log).run()
        } catch {
            throw Failure("\(error)")
        }
    }

    func validate() throws {
        guard record == nil, recordLimit != nil || recordDigests else { return }
        throw ValidationError("--record-limit and --record-digests say how to record; --record says where, and is missing.")
    }

    /// Bytes of a size with its unit, at least 1 MiB.
    private static func recordLimit(_ text: String) throws -> Int {
        let units = [("KiB", 1_024), ("MiB", 1_024 * 1_024), ("GiB", 1_024 * 1_024 * 1_024), ("TiB", 1_024 * 1_024 * 1_024 * 1_024)]
        for (unit, bytes) in units where text.hasSuffix(unit) {
            guard let count = Int(text.dropLast(unit.count)), (1...1_000_000).contains(count), count * bytes >= 1_024 * 1_024 else { break }
            return count * bytes
        }
        throw ValidationError("'\(text)' is no size of at least 1MiB, such as 500MiB or 16GiB.")
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
