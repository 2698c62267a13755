import PatinaProtocol
import PatinaStore

/// `schema-growth`: a table gets one nullable column after the other, node by node. Whoever has a column writes it at once, so for a
/// while nodes get cells of columns that they do not have. When the workload ends, all nodes get the last schema.
struct GrowthScript: WorkloadScript {
    /// The table that grows; the scenario's reader declares it.
    static let table = "growing"
    private static let columnsMaximum = 12

    /// The schema file with so many columns added.
    static func file(columns: Int) -> SchemaFile {
        let added = (0..<columns).map { ",\n    extra_\($0 + 1) TEXT" }.joined()
        let text = "CREATE TABLE \(table) (\n    id INTEGER NOT NULL PRIMARY KEY,\n    base TEXT NOT NULL DEFAULT ''\(added)\n);\n"
        return SchemaFile(path: "growing.sql", text: text)
    }

    private let writer: TableWriter
    private let schema: [SchemaFile]
    private var keys: KeyChooser
    private var columns = 1
    /// All nodes in the order in which they get the present column.
    private var order: [Int]
    private var given = 0
    /// The column is written next, rather than given to a further node.
    private var writes = false

    init(_ workload: Workload, _ writer: TableWriter, nodes: [Int], schema: [SchemaFile]) {
        self.writer = writer
        self.schema = schema
        order = nodes
        keys = KeyChooser(workload.keys)
    }

    mutating func next(number: inout UInt64, using random: inout Random) -> PlannedTransaction {
        if given == order.count, !writes, columns < Self.columnsMaximum {
            columns += 1
            given = 0
        }
        if given == 0 { random.shuffle(&order) }
        if given == order.count || writes {
            writes = false
            number += 1
            let key = keys.choose(using: &random)
            let sql =
                "INSERT INTO \(Self.table) (id, extra_\(columns)) VALUES (?1, ?2) "
                + "ON CONFLICT (id) DO UPDATE SET extra_\(columns) = excluded.extra_\(columns)"
            let value = WriteMark.value(number, as: .text, bytes: writer.rowBytes)
            return PlannedTransaction(
                node: order[random.below(given)],
                (
                    Statement(sql, .positional(writer.keyValues(key) + [value])),
                    RowWrite(table: writer.table, key: key, number: number, kind: .upsert(columns: 0))
                ))
        }
        given += 1
        writes = true
        return change(at: [order[given - 1]])
    }

    mutating func close() -> PlannedTransaction? { given == order.count ? nil : change(at: order) }

    private func change(at nodes: [Int]) -> PlannedTransaction {
        var transaction = PlannedTransaction(node: nodes[0])
        let base = Self.file(columns: 0).text
        let files = schema.map { $0.text == base ? Self.file(columns: columns) : $0 }
        transaction.schema = PlannedTransaction.SchemaStep(
            nodes: nodes.sorted(), change: SchemaChange(files: files, allowDestructive: false))
        return transaction
    }
}
