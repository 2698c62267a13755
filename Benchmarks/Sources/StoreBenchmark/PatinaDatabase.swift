import PatinaProtocol
import PatinaStore

/// A store that runs the same steps through its public interface.
final class PatinaDatabase {
    let store: Store
    private let sql: [String]

    init(
        path: String, workload: Workload, identity: UInt64 = 1, synchronous: Synchronous = .normal, tables: Int = 1
    ) throws {
        var options = StoreOptions()
        options.synchronous = synchronous
        options.identity = ActorID(high: identity << 56 | 0x4000, low: 0x8000_0000_0000_0000)
        store = try Store(.file(path), options: options)
        var schema = workload.shape.schema()
        for number in 1..<max(tables, 2) where tables > 1 { schema += "\n" + workload.shape.schema(table: "other\(number)") }
        _ = try store.applySchema([SchemaFile(path: "schema.sql", text: schema)])
        sql = workload.sql
    }

    /// The transactions as the store takes them; made before the clock runs, as the steps are.
    func transactions(_ steps: [Step], batch: Int) -> [[Statement]] {
        steps.grouped(by: batch).map { group in group.map { Statement(sql[$0.kind], .positional($0.parameters)) } }
    }

    func run(_ transactions: [[Statement]]) throws {
        for transaction in transactions { _ = try store.transact(transaction) }
    }

    /// Runs the transactions and returns the chunks of each version.
    func record(_ transactions: [[Statement]]) throws -> [[Chunk]] { try transactions.map { try store.transact($0).chunks } }

    func apply(_ versions: [[Chunk]]) throws {
        for chunks in versions {
            guard case .applied(_, let refused) = store.perform(.apply(chunks: chunks, empties: [])), refused.isEmpty else {
                fatalError("a version was refused")
            }
        }
    }

    func close() { store.close() }
}
