import PatinaProtocol
import PatinaStore
import Synchronization

@testable import PatinaAgent

/// A node of closures: small, in memory, and answering what a test wants.
///
/// Unless told otherwise it accepts every transaction, and answers a query with one row: the values of its parameters.
struct ScriptedBackend: AgentNode {
    var actor = ActorID(high: 0x1122_3344_5566_7788, low: 0x99AA_BBCC_DDEE_FF00)
    var gossipAddress = Address(ipv4: 0x7F00_0001, port: 4_001)
    var reportedStatus: AgentStatus?
    var knownMembers: [Member] = []
    let record = Record()

    var onTransact: @Sendable ([Statement], Duration?) async throws(StoreError) -> TransactionOutcome = {
        (statements, _) async throws(StoreError) in ScriptedBackend.outcome(statements.count)
    }
    var onQuery: @Sendable (Statement, Duration?) async throws(StoreError) -> RowBatches = { (statement, _) async throws(StoreError) in
        ScriptedBackend.echo(statement)
    }
    var onReload: @Sendable ([SchemaFile]) async throws(StoreError) -> SchemaReport = { (_) async throws(StoreError) in SchemaReport() }
    var onShutdown: @Sendable () async -> Void = {}
    var onFatal: @Sendable () async -> StoreError? = {
        try? await Task.sleep(for: .seconds(86_400))
        return nil
    }

    init() { reportedStatus = AgentStatus(actor: actor, aliveMembers: 3) }

    /// What was asked of the backend.
    final class Record: Sendable {
        let transactions = Mutex<[(statements: [Statement], timeout: Duration?)]>([])
        let queries = Mutex<[(statement: Statement, timeout: Duration?)]>([])
        let rejoins = Mutex(0)
        let reconnects = Mutex(0)
        let shutdowns = Mutex(0)
        let schemas = Mutex<[[SchemaFile]]>([])
        let destructiveReloads = Mutex<[Bool]>([])
    }

    static func outcome(_ count: Int, version: UInt64? = 12) -> TransactionOutcome {
        let results = (0..<count).map { StatementResult(rowsAffected: $0 + 1, duration: .microseconds(271)) }
        return TransactionOutcome(results: results, version: version, timestamp: HybridTimestamp(ntp64: 1), chunks: [])
    }

    static func echo(_ statement: Statement) -> RowBatches {
        switch statement.parameters {
        case .none: rows(columns: ["sql"], [[.text(statement.sql)]])
        case .positional(let values): rows(columns: values.indices.map { "?\($0 + 1)" }, [values])
        case .named(let values): rows(columns: values.map(\.name), [values.map(\.value)])
        }
    }

    static func rows(columns: [String], _ batches: [[Value]]...) -> RowBatches {
        let rest = Box(Mutex(batches[...]))
        return RowBatches(columns: columns) { () async throws(StoreError) -> [[Value]]? in rest.mutex.withLock { $0.popFirst() } }
    }

    /// Mutexes cannot be captured; what holds one can.
    final class Box<Value: Sendable>: Sendable {
        let mutex: Mutex<Value>
        init(_ mutex: consuming sending Mutex<Value>) { self.mutex = mutex }
    }

    func transact(_ statements: [Statement], timeout: Duration?) async throws(StoreError) -> TransactionOutcome {
        record.transactions.withLock { $0.append((statements, timeout)) }
        return try await onTransact(statements, timeout)
    }

    func query(_ statement: Statement, timeout: Duration?) async throws(StoreError) -> RowBatches {
        record.queries.withLock { $0.append((statement, timeout)) }
        return try await onQuery(statement, timeout)
    }

    func members() async -> [Member] { knownMembers }
    func status() async -> AgentStatus? { reportedStatus }

    func reloadSchema(_ files: [SchemaFile], allowDestructive: Bool) async throws(StoreError) -> SchemaReport {
        record.schemas.withLock { $0.append(files) }
        record.destructiveReloads.withLock { $0.append(allowDestructive) }
        return try await onReload(files)
    }

    func rejoin() async { record.rejoins.withLock { $0 += 1 } }
    func closeConnections() async { record.reconnects.withLock { $0 += 1 } }
    func untilFatal() async -> StoreError? { await onFatal() }
    func shutdown() async {
        record.shutdowns.withLock { $0 += 1 }
        await onShutdown()
    }
}

/// A door that tasks wait at until it is opened. Gives up waiting when the task is cancelled.
final class Gate: Sendable {
    private let announcement = Announcement<Bool>()
    /// How many tasks have come to the door.
    let arrivals = Mutex(0)

    func open() { announcement.give(true) }

    func pass() async {
        arrivals.withLock { $0 += 1 }
        _ = await announcement.value()
    }
}

/// Waits until something holds, for at most ten seconds; tells whether it does.
func eventually(_ condition: @Sendable () -> Bool) async -> Bool {
    for _ in 0..<2_000 {
        if condition() { return true }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return condition()
}
