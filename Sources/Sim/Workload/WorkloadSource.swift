import PatinaProtocol
import PatinaStore

/// A transaction that the workload asks of a node.
package struct PlannedTransaction {
    /// Index of the node.
    package let node: Int
    package let statements: [Statement]
    package let rows: [RowWrite]
}

/// What one statement of a workload does to one row.
package struct RowWrite: Hashable {
    /// Index into `WorkloadPlan.tables`.
    package var table: Int
    package var key: UInt64
    /// The mark that the written cells carry.
    package var number: UInt64
    package var kind: Kind

    package enum Kind: Hashable {
        /// Value columns by index; bit i for column i.
        case upsert(columns: UInt64)
        case delete
    }
}

/// The stream of transactions of one workload: when, where and what, as a function of the seed alone. What the cluster does,
/// and whether a node is up to take a transaction, changes nothing about the next one.
package struct WorkloadSource {
    private let workload: Workload
    private let table: Int
    private let shape: TableShape
    private let nodes: [Int]
    private let upsertAll: String
    private let upsertOne: [String]
    private let delete: String
    private let end: Instant
    private var keys: KeyChooser
    private var random: Random

    /// When the first transaction comes; nil when there is none.
    package private(set) var next: Instant?

    init(_ workload: Workload, table: Int, shape: TableShape, nodes: [Int], from: Instant, to: Instant, random: Random) {
        self.workload = workload
        self.table = table
        self.shape = shape
        self.nodes = nodes
        self.random = random
        keys = KeyChooser(workload.keys)
        end = to
        upsertAll = Self.upsert(shape, shape.values)
        upsertOne = shape.values.map { Self.upsert(shape, [$0]) }
        delete = "DELETE FROM \(TableShape.quote(shape.name)) WHERE " + Self.condition(shape)
        next = from
        advance()
    }

    private mutating func advance() {
        guard let last = next else { return }
        let following = last + max(.nanoseconds(1), random.exponential(mean: workload.interval))
        next = following < end ? following : nil
    }

    /// The transaction that is due at `next`; moves on to the one after it. `number` is the last mark that was given out.
    mutating func take(number: inout UInt64) -> PlannedTransaction {
        let node = nodes[random.below(nodes.count)]
        var statements: [Statement] = []
        var rows: [RowWrite] = []
        statements.reserveCapacity(workload.rows)
        rows.reserveCapacity(workload.rows)
        for _ in 0..<workload.rows {
            number += 1
            let key = keys.choose(using: &random)
            var values = shape.keys.map { WriteMark.key(key, as: $0.content, column: $0.name) }
            let kind: RowWrite.Kind
            let sql: String
            switch workload.kind {
            case .delete: (kind, sql) = (.delete, delete)
            case .upsert:
                let columns: [Int]
                switch workload.columns {
                case .all: (columns, sql) = (Array(shape.values.indices), upsertAll)
                case .one:
                    let column = random.below(shape.values.count)
                    (columns, sql) = ([column], upsertOne[column])
                }
                let filled = columns.count(where: { index in shape.values[index].content == .text || shape.values[index].content == .blob })
                for index in columns {
                    let content = shape.values[index].content
                    values.append(WriteMark.value(number, as: content, bytes: workload.rowBytes / max(1, filled)))
                }
                kind = .upsert(columns: columns.reduce(0) { $0 | 1 << UInt64($1) })
            }
            statements.append(Statement(sql, .positional(values)))
            rows.append(RowWrite(table: table, key: key, number: number, kind: kind))
        }
        advance()
        return PlannedTransaction(node: node, statements: statements, rows: rows)
    }

    private static func upsert(_ shape: TableShape, _ values: [TableShape.Column]) -> String {
        let columns = (shape.keys + values).map { TableShape.quote($0.name) }
        let marks = columns.indices.map { "?\($0 + 1)" }.joined(separator: ", ")
        let keys = shape.keys.map { TableShape.quote($0.name) }.joined(separator: ", ")
        let updates = values.map { "\(TableShape.quote($0.name)) = excluded.\(TableShape.quote($0.name))" }.joined(separator: ", ")
        let action = updates.isEmpty ? "NOTHING" : "UPDATE SET \(updates)"
        return "INSERT INTO \(TableShape.quote(shape.name)) (\(columns.joined(separator: ", "))) VALUES (\(marks)) "
            + "ON CONFLICT (\(keys)) DO \(action)"
    }

    private static func condition(_ shape: TableShape) -> String {
        shape.keys.enumerated().map { "\(TableShape.quote($0.element.name)) = ?\($0.offset + 1)" }.joined(separator: " AND ")
    }
}
