import PatinaProtocol
import PatinaStore

/// A transaction that the workload asks of a node.
package struct PlannedTransaction {
    /// Index of the node.
    package let node: Int
    package private(set) var statements: [Statement] = []
    package private(set) var rows: [RowWrite] = []
    /// In place of a transaction: nodes get another schema.
    package var schema: SchemaStep?

    package struct SchemaStep: Sendable {
        /// In ascending order.
        package let nodes: [Int]
        package let change: SchemaChange
    }

    init(node: Int) { self.node = node }

    init(node: Int, _ write: (Statement, RowWrite)) {
        self.node = node
        append(write)
    }

    mutating func append(_ write: (Statement, RowWrite)) {
        statements.append(write.0)
        rows.append(write.1)
    }
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
        /// The number in a column becomes one more; it carries no mark.
        case count(column: Int)
        case delete
    }
}

/// The stream of transactions of one workload: when, where and what, as a function of the seed alone. What the cluster does,
/// and whether a node is up to take a transaction, changes nothing about the next one.
package struct WorkloadSource {
    private let interval: Duration
    private let end: Instant
    private var script: any WorkloadScript
    private var random: Random
    /// The stream has ended; what is left is to close it.
    private var closing: PlannedTransaction?

    /// When the next transaction comes; nil when there is none.
    package private(set) var next: Instant?

    init(_ workload: Workload, script: any WorkloadScript, from: Instant, to: Instant, random: Random) {
        interval = workload.interval
        self.script = script
        self.random = random
        end = to
        next = from
        advance()
    }

    private mutating func advance() {
        guard let last = next, closing == nil else {
            next = nil
            return
        }
        if script.isUnderWay { return }
        let following = last + max(.nanoseconds(1), random.exponential(mean: interval))
        if following < end {
            next = following
            return
        }
        closing = script.close()
        next = closing == nil ? nil : end
    }

    /// The transaction that is due at `next`; moves on to the one after it. `number` is the last mark that was given out.
    mutating func take(number: inout UInt64) -> PlannedTransaction {
        let transaction = closing ?? script.next(number: &number, using: &random)
        advance()
        return transaction
    }
}
