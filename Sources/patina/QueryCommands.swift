import ArgumentParser
import PatinaAgent
import PatinaProtocol
import PatinaStore

struct Query: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "Asks the agent with one SQL statement that only reads, and prints the rows.",
        discussion: """
            One row a line, cells joined by a bar. NULL is printed as nothing, a blob as x'…' in hexadecimal, text as it is, without \
            quotes or escapes. The rows are printed as they come.
            """)

    @OptionGroup(title: "Global options") var global: GlobalOptions
    @OptionGroup var statement: StatementOptions

    @Flag(help: "Print the names of the columns first.")
    var columns = false

    func run() async throws {
        let client = try global.client()
        let clock = ContinuousClock()
        let began = clock.now
        do {
            let rows = try await client.query(statement.statement, timeout: statement.timeout)
            if columns { Output.line(rows.columns.joined(separator: "|")) }
            var line: [UInt8] = []
            for try await row in rows {
                line.removeAll(keepingCapacity: true)
                CellText.append(row, to: &line)
                Output.bytes(line)
            }
        } catch {
            throw Failure("\(error)")
        }
        if statement.timer { Output.line("time: \(CellText.seconds(began.duration(to: clock.now)))s") }
        Output.flush()
    }
}

struct Execute: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec",
        abstract: "Runs one SQL statement that writes, as a transaction of its own.",
        discussion: "Returns once the agent has committed it; the other agents get it in the background.")

    @OptionGroup(title: "Global options") var global: GlobalOptions
    @OptionGroup var statement: StatementOptions

    func run() async throws {
        let client = try global.client()
        let clock = ContinuousClock()
        let began = clock.now
        do {
            let reply = try await client.execute([statement.statement], timeout: statement.timeout)
            for result in reply.results { Output.line("Rows affected: \(result.rowsAffected)") }
        } catch {
            throw Failure("\(error)")
        }
        if statement.timer { Output.line("Run Time: real \(CellText.seconds(began.duration(to: clock.now)))") }
        Output.flush()
    }
}

/// What `query` and `exec` have in common.
struct StatementOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("The statement.", valueName: "sql"))
    var sql: String

    @Option(
        name: .customLong("param"), parsing: .singleValue,
        help: ArgumentHelp("The value of the next parameter of the statement, as text. May be repeated.", valueName: "text"))
    var parameters: [String] = []

    @Flag(help: "Print how long it took, last.")
    var timer = false

    @Option(
        name: .customLong("timeout"),
        help: ArgumentHelp("Give up after so many seconds; 0: never. (default: what the agent thinks fit)", valueName: "seconds"))
    var timeoutSeconds: Double?

    var statement: Statement {
        Statement(sql, parameters.isEmpty ? .none : .positional(parameters.map { .text($0) }))
    }

    var timeout: Duration? { timeoutSeconds.map { .seconds($0) } }

    func validate() throws {
        guard let timeoutSeconds else { return }
        // A year is more than anybody waits, and far from where durations end.
        guard timeoutSeconds >= 0, timeoutSeconds <= 31_536_000 else {
            throw ValidationError("--timeout must be a number of seconds, 0 or more, not \(timeoutSeconds).")
        }
    }
}

extension GlobalOptions {
    /// A client of the agent that is meant. The configuration is read when it says where the agent is, or whether it wants a token.
    func client() throws -> APIClient {
        if let apiAddr {
            let token = (try? AgentConfiguration.load(file: configurationPath))?.api.bearerToken
            return APIClient(address: apiAddr, bearerToken: token)
        }
        let configuration = try configuration()
        guard let address = configuration.api.bind.first else { throw Failure("\(configurationPath) has no api.bind_addr") }
        return APIClient(address: address.reachable, bearerToken: configuration.api.bearerToken)
    }
}

extension Address {
    /// Where to call an agent that is bound to this address: one that is bound to all addresses answers on loopback.
    fileprivate var reachable: Address {
        if ipv4 == 0 { return Address(ipv4: 0x7F00_0001, port: port) }
        return high == 0 && low == 0 ? Address(high: 0, low: 1, port: port) : self
    }
}

/// How rows are printed.
enum CellText {
    /// The cells joined by bars, and a line feed.
    static func append(_ row: [Value], to line: inout [UInt8]) {
        for (index, value) in row.enumerated() {
            if index > 0 { line.append(UInt8(ascii: "|")) }
            append(value, to: &line)
        }
        line.append(UInt8(ascii: "\n"))
    }

    private static func append(_ value: Value, to line: inout [UInt8]) {
        switch value {
        case .null: break
        case .integer(let number): line += "\(number)".utf8
        case .real(let number): line += text(of: number).utf8
        case .text(let bytes): line += bytes
        case .blob(let bytes): line += "x'\(hexadecimalString(bytes))'".utf8
        }
    }

    /// As Corrosion prints them: whole numbers without a fraction.
    private static func text(of number: Double) -> String {
        number == number.rounded() && number.magnitude < 1e15 ? "\(Int64(number))" : "\(number)"
    }

    /// Seconds with microseconds.
    static func seconds(_ duration: Duration) -> String {
        let microseconds = duration.components.seconds * 1_000_000 + duration.components.attoseconds / 1_000_000_000_000
        let fraction = String(microseconds % 1_000_000)
        return "\(microseconds / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
    }
}
