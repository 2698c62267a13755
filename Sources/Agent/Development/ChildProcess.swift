import Foundation
import Synchronization

/// A running child process. Its output is appended to a file, and its standard input is a pipe that ends with us, so that a child that
/// watches its input never outlives its parent, however the parent ends.
package final class ChildProcess: Sendable {
    /// How a process ended.
    package enum Ending: Sendable, Equatable, CustomStringConvertible {
        case exited(Int32)
        case killed(signal: Int32)

        package var description: String {
            switch self {
            case .exited(let code): "exited with code \(code)"
            case .killed(let signal): "was ended by signal \(signal)"
            }
        }
    }

    private struct State {
        var ending: Ending?
        var waiting: [CheckedContinuation<Ending, Never>] = []
    }

    package let identifier: Int32
    private let process: Process
    private let input: Pipe
    private let state = Mutex(State())

    /// Starts the executable.
    /// - Parameters:
    ///   - environment: put over that of this process.
    ///   - output: the file that standard output and standard error are appended to.
    ///   - ended: called once, from any thread, when the process has ended.
    package init(
        executable: String, arguments: [String], environment: [String: String] = [:], output: String,
        ended: @escaping @Sendable (Ending) -> Void
    ) throws {
        if !FileManager.default.fileExists(atPath: output) { _ = FileManager.default.createFile(atPath: output, contents: nil) }
        guard let log = FileHandle(forWritingAtPath: output) else { throw DevelopmentError("cannot write \(output)") }
        _ = try log.seekToEnd()
        let process = Process()
        let input = Pipe()
        process.executableURL = URL(filePath: executable)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, given in given }
        process.standardInput = input
        process.standardOutput = log
        process.standardError = log
        let relay = Relay()
        process.terminationHandler = {
            relay.deliver($0.terminationReason == .exit ? .exited($0.terminationStatus) : .killed(signal: $0.terminationStatus))
        }
        do {
            try process.run()
        } catch {
            throw DevelopmentError("cannot start \(executable): \(error)")
        }
        try? log.close()
        try? input.fileHandleForReading.close()
        self.process = process
        self.input = input
        identifier = process.processIdentifier
        relay.receive { [weak self] ending in
            self?.finish(ending)
            ended(ending)
        }
    }

    package var hasEnded: Bool { state.withLock { $0.ending != nil } }

    /// Sends a signal; nothing happens when the process has ended.
    package func signal(_ number: Int32) {
        state.withLock { if $0.ending == nil { kill(identifier, number) } }
    }

    /// Waits for the end of the process.
    package func waitUntilEnded() async -> Ending {
        await withCheckedContinuation { continuation in
            let ending = state.withLock { state -> Ending? in
                if state.ending == nil { state.waiting.append(continuation) }
                return state.ending
            }
            if let ending { continuation.resume(returning: ending) }
        }
    }

    private func finish(_ ending: Ending) {
        let waiting = state.withLock { state in
            state.ending = ending
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume(returning: ending) }
    }

    /// Hands the ending over, whichever comes first: the ending, or whoever wants to hear of it.
    private final class Relay: Sendable {
        private struct State {
            var ending: Ending?
            var receiver: (@Sendable (Ending) -> Void)?
        }

        private let state = Mutex(State())

        func deliver(_ ending: Ending) {
            let receiver = state.withLock { state in
                state.ending = ending
                return state.receiver
            }
            receiver?(ending)
        }

        func receive(_ receiver: @escaping @Sendable (Ending) -> Void) {
            let ending = state.withLock { state in
                state.receiver = receiver
                return state.ending
            }
            if let ending { receiver(ending) }
        }
    }
}

/// Something that a development cluster could not do, as a sentence for its user.
public struct DevelopmentError: Error, CustomStringConvertible, Sendable {
    public let description: String

    init(_ description: String) { self.description = description }
}
