import PatinaProtocol
import PatinaStore

/// `counter`: a transaction reads a number and writes the number plus one.
///
/// The last writer wins, so concurrent increments are lost and the sum is not kept; `AcknowledgedWrites` says what is.
struct CounterScript: WorkloadScript {
    private let workload: Workload
    private let writer: TableWriter
    private let nodes: [Int]
    private let column: Int
    private let statement: String
    private var keys: KeyChooser

    /// The column that is counted up: the first of whole numbers. Nil when a table has none.
    static func column(of shape: TableShape) -> Int? { shape.values.firstIndex { $0.content == .integer } }

    init(_ workload: Workload, _ writer: TableWriter, nodes: [Int]) {
        self.workload = workload
        self.writer = writer
        self.nodes = nodes
        let shape = writer.shape
        guard let column = Self.column(of: shape) else {
            preconditionFailure("a counter needs a column of whole numbers: validated before")
        }
        self.column = column
        let name = TableShape.quote(shape.values[column].name)
        let keys = shape.keys.map { TableShape.quote($0.name) }
        let marks = keys.indices.map { "?\($0 + 1)" }.joined(separator: ", ")
        let list = keys.joined(separator: ", ")
        statement =
            "INSERT INTO \(TableShape.quote(shape.name)) (\(list), \(name)) VALUES (\(marks), 1) "
            + "ON CONFLICT (\(list)) DO UPDATE SET \(name) = \(name) + 1"
        self.keys = KeyChooser(workload.keys)
    }

    mutating func next(number: inout UInt64, using random: inout Random) -> PlannedTransaction {
        var transaction = PlannedTransaction(node: nodes[random.below(nodes.count)])
        for _ in 0..<workload.rows {
            number += 1
            let key = keys.choose(using: &random)
            transaction.append(
                (
                    Statement(statement, .positional(writer.keyValues(key))),
                    RowWrite(table: writer.table, key: key, number: number, kind: .count(column: column))
                ))
        }
        return transaction
    }
}

/// `service`: agents register services, their checks change, and they are taken away again: by their own agent, by another one that
/// tidies up, or because another agent takes them over.
struct ServiceScript: WorkloadScript {
    private let writer: TableWriter
    private let nodes: [Int]
    private let servicesPerNode: Int
    /// Whether each service is registered, as far as the script knows: those of the first node first.
    private var isRegistered: [Bool]

    init(_ workload: Workload, _ writer: TableWriter, nodes: [Int]) {
        self.writer = writer
        self.nodes = nodes
        servicesPerNode = if case .uniform(let count) = workload.keys { count } else { 1 }
        isRegistered = Array(repeating: false, count: nodes.count * servicesPerNode)
    }

    mutating func next(number: inout UInt64, using random: inout Random) -> PlannedTransaction {
        number += 1
        let place = random.below(nodes.count)
        let (own, other) = (nodes[place], nodes[(place + random.below(nodes.count)) % nodes.count])
        let slot = place * servicesPerNode + random.below(servicesPerNode)
        let key = UInt64(slot)
        guard isRegistered[slot] else {
            isRegistered[slot] = true
            return PlannedTransaction(node: own, writer.upsert(key, number: number))
        }
        switch random.below(100) {
        case ..<70:
            // The last column is the one for what changes often.
            let column = writer.shape.values.count - 1
            var value = WriteMark.value(number, as: writer.shape.values[column].content, bytes: 0)
            if case .text(let mark) = value { value = .text(mark + (random.below(4) == 0 ? ".critical" : ".passing").utf8) }
            return PlannedTransaction(node: own, writer.update(key, column: column, value: value, number: number))
        case ..<85:
            isRegistered[slot] = false
            return PlannedTransaction(node: own, writer.delete(key, number: number))
        case ..<93:
            isRegistered[slot] = false
            return PlannedTransaction(node: other, writer.delete(key, number: number))
        default: return PlannedTransaction(node: other, writer.upsert(key, number: number))
        }
    }
}

/// `hot`: up to four nodes write the same row in the same instant, so that column versions are equal and values decide.
struct HotScript: WorkloadScript {
    private static let writersMaximum = 4

    private let writer: TableWriter
    private var nodes: [Int]
    private var keys: KeyChooser
    private var key: UInt64 = 0
    private var column = 0
    private var waiting: [Int] = []

    init(_ workload: Workload, _ writer: TableWriter, nodes: [Int]) {
        self.writer = writer
        self.nodes = nodes
        keys = KeyChooser(workload.keys)
    }

    var isUnderWay: Bool { !waiting.isEmpty }

    mutating func next(number: inout UInt64, using random: inout Random) -> PlannedTransaction {
        if waiting.isEmpty {
            random.shuffle(&nodes)
            waiting = Array(nodes.prefix(2 + random.below(Self.writersMaximum - 1)))
            key = keys.choose(using: &random)
            column = random.below(writer.shape.values.count)
        }
        number += 1
        let node = waiting.removeLast()
        switch random.below(10) {
        case 0: return PlannedTransaction(node: node, writer.delete(key, number: number))
        case 1: return PlannedTransaction(node: node, writer.upsert(key, number: number))
        default: return PlannedTransaction(node: node, writer.upsert(key, number: number, column: column))
        }
    }
}

/// `large`: transactions whose size is within 2% of a bound: of a chunk, of several, or of what one sync request brings.
struct LargeScript: WorkloadScript {
    /// Bytes that a row takes on the wire beside its texts and blobs, about.
    private static let overhead = 30
    /// Rows of one transaction.
    private static let rowsMaximum = 20_000

    private let writer: TableWriter
    private let nodes: [Int]
    private let bounds: [Int]
    private var keys: KeyChooser

    init(_ workload: Workload, _ writer: TableWriter, nodes: [Int], limits: Limits) {
        self.writer = writer
        self.nodes = nodes
        bounds = [limits.chunkBytes, limits.chunkBytes * 2, limits.chunkBytes * 8, limits.syncRequestBytes]
        keys = KeyChooser(workload.keys)
    }

    mutating func next(number: inout UInt64, using random: inout Random) -> PlannedTransaction {
        var transaction = PlannedTransaction(node: nodes[random.below(nodes.count)])
        let bytes = bounds[random.below(bounds.count)] * (980 + random.below(41)) / 1_000
        let rows = min(Self.rowsMaximum, max(1, bytes / (writer.rowBytes + Self.overhead)))
        for _ in 0..<rows {
            number += 1
            transaction.append(writer.upsert(keys.choose(using: &random), number: number))
        }
        return transaction
    }
}
