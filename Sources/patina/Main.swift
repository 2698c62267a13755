import ArgumentParser
import Foundation

/// Parses, runs, and turns whatever went wrong into a message on standard error and one of three exit codes.
@main
enum Main {
    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        do {
            var command = try Patina.parseAsRoot(arguments)
            if !type(of: command).configuration.subcommands.isEmpty {
                // A group alone does nothing; what it lacks is a command.
                Output.error(Patina.helpMessage(for: type(of: command)))
                exit(2)
            }
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            Output.flush()
        } catch let failure as Failure {
            Output.error("error: \(failure.message)")
            exit(failure.code)
        } catch let code as ExitCode {
            Output.flush()
            exit(code.rawValue)
        } catch {
            leave(because: error, arguments)
        }
    }

    /// For the errors of the argument parser, requests for help among them, and for errors that no command took care of.
    private static func leave(because error: any Error, _ arguments: [String]) -> Never {
        switch Patina.exitCode(for: error) {
        case .success:
            Output.line(Patina.fullMessage(for: error))
            Output.flush()
            exit(0)
        case .validationFailure:
            var message = Patina.fullMessage(for: error)
            if let suggestion = Suggestion.command(for: arguments) { message += "\nDid you mean '\(suggestion)'?" }
            Output.error(message)
            exit(2)
        default:
            Output.error("error: \(error)")
            exit(1)
        }
    }
}

/// A command could not do its work. The message is for the user; it says what, where, and what to do about it.
struct Failure: Error {
    let message: String
    /// 1: it failed. 2: what was asked for made no sense.
    let code: Int32

    init(_ message: String, code: Int32 = 1) {
        self.message = message
        self.code = code
    }
}

/// Finds the command that a misspelt one was meant to be.
enum Suggestion {
    static func command(for arguments: [String]) -> String? {
        var level: any ParsableCommand.Type = Patina.self
        var path = ["patina"]
        var skipsValue = false
        for argument in arguments {
            if skipsValue {
                skipsValue = false
            } else if argument.hasPrefix("-") {
                skipsValue = ["-c", "--config", "--api-addr", "--db-path", "--admin-path"].contains(argument)
            } else {
                let below = level.configuration.subcommands
                if let next = below.first(where: { $0.configuration.commandName == argument }) {
                    path.append(argument)
                    level = next
                } else {
                    var nearest: (distance: Int, name: String)?
                    for command in below {
                        guard let name = command.configuration.commandName else { continue }
                        let distance = distance(argument, name)
                        if distance <= 2, distance < nearest?.distance ?? .max { nearest = (distance, name) }
                    }
                    guard let nearest else { return nil }
                    return (path + [nearest.name]).joined(separator: " ")
                }
            }
        }
        return nil
    }

    /// How many characters must be inserted, removed, replaced, or swapped with their neighbour.
    static func distance(_ left: String, _ right: String) -> Int {
        let (left, right) = (Array(left), Array(right))
        var rows = [Array(0...right.count)]
        for i in 0..<left.count {
            var row = [i + 1]
            for j in 0..<right.count {
                var best = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (left[i] == right[j] ? 0 : 1))
                if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] { best = min(best, rows[i - 1][j - 1] + 1) }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[left.count][right.count]
    }
}
