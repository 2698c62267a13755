import PatinaProtocol
import PatinaStore

/// What the transactions of one kind of workload do, one after the other. Each step is a function of the steps before it and of the
/// random stream alone: what the cluster does with a transaction changes nothing about the next one.
protocol WorkloadScript: Sendable {
    /// The next transaction. `number` is the last mark that was given out.
    mutating func next(number: inout UInt64, using random: inout Random) -> PlannedTransaction
    /// The following transaction belongs to this one and comes in the same instant.
    var isUnderWay: Bool { get }
    /// What is still to be done when the workload ends; nil when nothing is.
    mutating func close() -> PlannedTransaction?
}

extension WorkloadScript {
    var isUnderWay: Bool { false }
    mutating func close() -> PlannedTransaction? { nil }
}

/// Statements about one table, and what the checkers must know of them.
struct TableWriter: Sendable {
    /// Index into `WorkloadPlan.tables`.
    let table: Int
    let shape: TableShape
    /// Bytes that the text and blob columns of a row are filled up to, together.
    let rowBytes: Int
    private let upsertAll: String
    private let upsertOne: [String]
    private let updateOne: [String]
    private let deleteRow: String

    init(_ workload: Workload, table: Int, shape: TableShape) {
        self.table = table
        self.shape = shape
        rowBytes = workload.rowBytes
        upsertAll = Self.upsert(shape, shape.values)
        upsertOne = shape.values.map { Self.upsert(shape, [$0]) }
        let condition = Self.condition(shape)
        updateOne = shape.values.map { column in
            "UPDATE \(TableShape.quote(shape.name)) SET \(TableShape.quote(column.name)) = ?\(shape.keys.count + 1) WHERE \(condition)"
        }
        deleteRow = "DELETE FROM \(TableShape.quote(shape.name)) WHERE \(condition)"
    }

    /// Writes all value columns, or one, of a row that may or may not exist.
    func upsert(_ key: UInt64, number: UInt64, column: Int? = nil) -> (Statement, RowWrite) {
        let columns = column.map { [$0] } ?? Array(shape.values.indices)
        let filled = columns.count(where: { index in shape.values[index].content == .text || shape.values[index].content == .blob })
        var values = keyValues(key)
        for index in columns {
            values.append(WriteMark.value(number, as: shape.values[index].content, bytes: rowBytes / max(1, filled)))
        }
        return (
            Statement(column.map { upsertOne[$0] } ?? upsertAll, .positional(values)),
            RowWrite(table: table, key: key, number: number, kind: .upsert(columns: columns.reduce(0) { $0 | 1 << UInt64($1) }))
        )
    }

    /// Writes one column of a row if it exists.
    func update(_ key: UInt64, column: Int, value: Value, number: UInt64) -> (Statement, RowWrite) {
        (
            Statement(updateOne[column], .positional(keyValues(key) + [value])),
            RowWrite(table: table, key: key, number: number, kind: .upsert(columns: 1 << UInt64(column)))
        )
    }

    func delete(_ key: UInt64, number: UInt64) -> (Statement, RowWrite) {
        (Statement(deleteRow, .positional(keyValues(key))), RowWrite(table: table, key: key, number: number, kind: .delete))
    }

    func keyValues(_ key: UInt64) -> [Value] { shape.keys.map { WriteMark.key(key, as: $0.content, column: $0.name) } }

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

/// `upsert` and `delete`: rows of drawn keys.
struct PlainScript: WorkloadScript {
    private let workload: Workload
    private let writer: TableWriter
    private let nodes: [Int]
    private var keys: KeyChooser

    init(_ workload: Workload, _ writer: TableWriter, nodes: [Int]) {
        self.workload = workload
        self.writer = writer
        self.nodes = nodes
        keys = KeyChooser(workload.keys)
    }

    mutating func next(number: inout UInt64, using random: inout Random) -> PlannedTransaction {
        var transaction = PlannedTransaction(node: nodes[random.below(nodes.count)])
        for _ in 0..<workload.rows {
            number += 1
            let key = keys.choose(using: &random)
            if workload.kind == .delete {
                transaction.append(writer.delete(key, number: number))
            } else {
                let column = workload.columns == .one ? random.below(writer.shape.values.count) : nil
                transaction.append(writer.upsert(key, number: number, column: column))
            }
        }
        return transaction
    }
}
