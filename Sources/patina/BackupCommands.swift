import ArgumentParser
import Foundation
import PatinaAgent
import PatinaProtocol
import PatinaStore
import Synchronization

struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Writes a consistent copy of the database, also while an agent uses it.",
        discussion: """
            The copy is one file without a log beside it, and without an identity: whoever opens it takes an actor id of its own, unless \
            'patina restore' gives it one. It holds everything that was committed when the command began. It is written as PATH.partial \
            and gets its name when it is whole and synced; an existing file is never replaced.

            With '-' the copy goes to standard output, behind a header with its length and checksum, as 'patina restore -' reads it: a \
            stream that was cut short or damaged is refused there. It is made whole first, in a file without a name beside the database.

            Reads the database file itself, so it must run on the agent's host; the agent need not run, and is not slowed while it does. \
            With --from-agent the running agent makes the copy and sends it over its admin socket. Progress goes to standard error when \
            that is a terminal.
            """)

    @OptionGroup(title: "Global options") var global: GlobalOptions

    @Argument(help: ArgumentHelp("The file to write; '-' for standard output.", valueName: "path"))
    var path: String

    @Flag(help: "Have the running agent send the copy over its admin socket.")
    var fromAgent = false

    @OptionGroup var output: JSONOption

    func validate() throws {
        if path == "-", output.json { throw ValidationError("--json has no place when the backup goes to standard output.") }
        if path == "-", isatty(STDOUT_FILENO) == 1 { throw ValidationError("A backup is not for a terminal: redirect standard output.") }
    }

    func run() async throws {
        do {
            if fromAgent { return try await receive() }
            if path == "-" { return try stream() }
        } catch {
            throw Failure("\(error)")
        }
        let database = try global.databasePath()
        do {
            let report = try Backup.write(.file(database), to: path, progressed: ProgressLine("copied").show)
            ProgressLine.clear()
            if output.json {
                var members: [(String, JSONValue)] = [("path", .string(path)), ("bytes", .integer(report.bytes))]
                if let actor = report.actor { members.append(("actor_id", .string(actor.description))) }
                output.print(members)
            } else {
                Output.line("\(path): \(report.bytes) bytes")
            }
        } catch {
            ProgressLine.clear()
            throw Failure("\(error)")
        }
        Output.flush()
    }

    /// To standard output.
    private func stream() throws {
        let database = try global.databasePath()
        let source = try SnapshotSource(of: .file(database), temporaryFile: database + ".snapshot")
        Output.bytes(source.header.encoded)
        while let piece = try source.next(atMost: SnapshotSource.pieceBytes) { Output.bytes(piece) }
        Output.flush()
    }

    /// What the agent sends, to standard output or a file.
    private func receive() async throws {
        let client = AdminClient(path: global.adminSocket())
        guard path != "-" else {
            try await client.receiveSnapshot { Output.bytes($0) }
            return Output.flush()
        }
        let file = SnapshotFile(path: path)
        try await client.receiveSnapshot { try file.take($0) }
        let bytes = try file.finish()
        if output.json {
            output.print([("path", .string(path)), ("bytes", .integer(bytes))])
        } else {
            Output.line("\(path): \(bytes) bytes")
        }
        Output.flush()
    }
}

/// The stream of a snapshot on its way to a file, which gets its name when all of it has come unharmed.
private final class SnapshotFile: Sendable {
    private struct State: ~Copyable {
        var head: [UInt8] = []
        var sink: SnapshotSink?
    }

    private let path: String
    private let state = Mutex(State())

    init(path: String) { self.path = path }

    func take(_ piece: [UInt8]) throws {
        try state.withLock { state in
            var rest = piece[...]
            if state.sink == nil {
                let missing = SnapshotHeader.encodedBytes - state.head.count
                state.head += rest.prefix(missing)
                rest = rest.dropFirst(missing)
                guard state.head.count == SnapshotHeader.encodedBytes else { return }
                guard let header = SnapshotHeader(state.head) else { throw BackupError.damaged(reason: "it does not begin as one") }
                state.sink = try SnapshotSink(byteCount: header.byteCount, fingerprint: header.fingerprint, file: path + ".partial")
            }
            if !rest.isEmpty { try state.sink?.append(Array(rest)) }
        }
    }

    func finish() throws -> Int64 {
        try state.withLock { state in
            guard let sink = state.sink, let header = SnapshotHeader(state.head) else {
                throw BackupError.damaged(reason: "only \(state.head.count) bytes came")
            }
            try sink.save(as: path)
            return header.byteCount
        }
    }
}

struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Replaces the database by a backup; the agent must be stopped.",
        discussion: """
            Without an option the agent comes back as a new actor: what the former one wrote stays in the cluster under its name. With \
            --self-actor-id it goes on as the actor of the database that is replaced, and with --actor-id as any other. It then never \
            gives out a version number again that it may have given out after the backup, and learns its own later writes from its peers.

            The backup stays as it is. Programs that have the database open for reading see the old rows until the restored ones are \
            there, all at once. When the command is interrupted, the database is what it was, or the restored one.

            With '-' the backup is read from standard input, as 'patina backup -' writes it; so is a file that holds such a stream. \
            Nothing is replaced before all of it has come, unharmed.
            """)

    @OptionGroup(title: "Global options") var global: GlobalOptions

    @Argument(help: ArgumentHelp("The backup; '-' for standard input.", valueName: "path"))
    var path: String

    @Flag(help: "Keep the actor id of the database that is replaced.")
    var selfActorId = false

    @Option(help: ArgumentHelp("Write as this actor from now on. No other agent may.", valueName: "uuid"))
    var actorId: String?

    @OptionGroup var output: JSONOption

    func validate() throws {
        guard let actorId else { return }
        if selfActorId { throw ValidationError("--self-actor-id and --actor-id exclude each other.") }
        guard ActorID(actorId) != nil else {
            throw ValidationError("'\(actorId)' is no actor id, such as 6c1f8a52-3e0b-4f57-9d44-2b9a7c0e5d13.")
        }
    }

    func run() async throws {
        let configuration = try global.configuration()
        let identity: Backup.Identity = selfActorId ? .ofDatabase : actorId.flatMap { ActorID($0) }.map { .actor($0) } ?? .fresh
        let database = configuration.database.path
        if await AdminClient(path: configuration.admin.socketPath).isAnswered() {
            throw Failure("\(BackupError.running(database: database))")
        }
        do {
            let result = try restore(to: database, as: identity)
            ProgressLine.clear()
            if output.json {
                output.print([
                    ("database", .string(database)), ("bytes_before", result.bytesBefore.map { .integer($0) } ?? .null),
                    ("bytes", .integer(result.bytes)), ("actor_id", result.actor.map { .string($0.description) } ?? .null),
                ])
            } else {
                let before = result.bytesBefore.map { "\($0) bytes" } ?? "nothing"
                let actor = result.actor.map { "actor \($0.description)" } ?? "a new actor id at the next start"
                Output.line("\(database): \(before) before, \(result.bytes) bytes now, \(actor)")
            }
        } catch {
            ProgressLine.clear()
            throw Failure("\(error)")
        }
        Output.flush()
    }
}

extension RestoreCommand {
    fileprivate func restore(to database: String, as identity: Backup.Identity) throws -> Backup.Restoration {
        let progress = ProgressLine("copied")
        guard path == "-" || SnapshotHeader.begins(path) else {
            return try Backup.restore(path, to: database, as: identity, progressed: progress.show)
        }
        let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("\(path): \(String(cString: strerror(errno)))") }
        defer { if path != "-" { close(descriptor) } }
        let received = database + ".received"
        let sink = try SnapshotSink.reading(descriptor, file: received)
        return try withExtendedLifetime(sink) { try Backup.restore(received, to: database, as: identity, progressed: progress.show) }
    }
}

/// `--json`: one document for programs in place of a line for people.
struct JSONOption: ParsableArguments {
    @Flag(help: "Print one JSON object instead of text.")
    var json = false

    func print(_ members: [(String, JSONValue)]) {
        let object = JSONValue.object(members.map { JSONValue.Member($0.0, $0.1) })
        Output.line(String(decoding: object.json(), as: UTF8.self))
    }
}

/// One line on a terminal's standard error that is written over and over.
struct ProgressLine {
    private let what: String

    init(_ what: String) { self.what = what }

    private static let isTerminal = isatty(STDERR_FILENO) == 1

    func show(_ progress: CopyProgress) {
        guard Self.isTerminal, progress.total > 0 else { return }
        FileHandle.standardError.write(Data("\r\(what) \(progress.done) of \(progress.total) pages".utf8))
    }

    static func clear() {
        if isTerminal { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
    }
}

extension GlobalOptions {
    /// The database that is meant: the option's, or the configuration's.
    fileprivate func databasePath() throws -> String {
        if let dbPath { return dbPath }
        return try configuration().database.path
    }
}
