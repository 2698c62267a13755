import PatinaAgent
import PatinaProtocol
import PatinaSim
import PatinaStore

/// What the tables of a scenario hold at one agent, asked over HTTP.
struct TableDump: Sendable {
    /// For each table its rows: key columns first, then the others, in the order of the keys.
    var tables: [[[Value]]] = []
    /// Why they could not be read; nil when they could.
    var failure: String?

    /// How long the answer to one question is waited for.
    private static let patience: Duration = .seconds(30)

    /// The tables of all agents that are running.
    static func all(_ plan: LivePlan, _ addresses: LoopbackPlan, running: [Int]) async -> [TableDump?] {
        var dumps = [TableDump?](repeating: nil, count: plan.nodes)
        for node in running {
            var dump = TableDump()
            do {
                for table in plan.scenario.tables { dump.tables.append(try await rows(of: table, at: addresses.bound(node))) }
            } catch {
                dump.failure = "\(error)"
            }
            dumps[node] = dump
        }
        return dumps
    }

    private static func rows(of table: TableShape, at address: Address) async throws -> [[Value]] {
        var client = APIClient(address: address)
        client.timeout = patience
        let columns = (table.keys + table.values).map { TableShape.quote($0.name) }.joined(separator: ", ")
        let keys = table.keys.map { TableShape.quote($0.name) }.joined(separator: ", ")
        let stream = try await client.query(Statement("SELECT \(columns) FROM \(TableShape.quote(table.name)) ORDER BY \(keys)"))
        var rows: [[Value]] = []
        for try await row in stream { rows.append(row) }
        return rows
    }
}
