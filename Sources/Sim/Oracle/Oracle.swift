import PatinaProtocol

/// A plain, slow model of what the tables of every node must hold, written from `docs/crdt.md` alone. It shares no code with the store
/// and the merge, except the types of values and identities.
///
/// Nodes write versions and come to have those of others; what a node holds follows from the versions that it has. Each version is
/// kept as it was written: how it travels, in which pieces and how often, is not the oracle's business.
///
/// Not modelled: triggers, cascades, CHECK, changes of the schema, text that SQLite turns into numbers, keys that SQLite takes for equal
/// although their bytes differ (1 and 1.0 in a column without affinity).
public struct Oracle {
    public let tables: [OracleTable]
    /// The nodes' identities. Writers and nodes are named by their index here.
    public let actors: [ActorID]
    /// Versions by writer; version 1 first.
    public private(set) var versions: [[OracleVersion]]
    private var rule: OracleRule
    private var nodes: [Node]

    private struct Node {
        /// The rows that it has heard of, in that order.
        var names: [OracleRowName] = []
        var history: [OracleRowName: [OracleEvent]] = [:]
        var seen: [Set<UInt64>]
    }

    public init(tables: [OracleTable], actors: [ActorID]) { self.init(tables: tables, actors: actors, mutation: nil) }

    /// - Parameter mutation: for tests that show that a comparison with the oracle can fail.
    init(tables: [OracleTable], actors: [ActorID], mutation: OracleMutation?) {
        self.tables = tables
        self.actors = actors
        versions = actors.map { _ in [] }
        rule = OracleRule(ranks: actors.map { actor in actors.count { $0 < actor } }, mutation: mutation)
        nodes = actors.map { _ in Node(seen: actors.map { _ in [] }) }
    }

    /// A node runs a transaction. If a statement fails, nothing has happened.
    ///
    /// - Returns: the version that it became; nil when it changed nothing.
    @discardableResult
    public mutating func transact(node: Int, _ statements: [OracleStatement]) throws(OracleRefusal) -> OracleVersion? {
        let number = UInt64(versions[node].count) + 1
        let before = self
        var transaction = OracleTransaction(
            tables: tables, writer: node, version: number, mutation: rule.mutation, committed: { before.row($0, at: node) },
            known: { table in before.nodes[node].names.filter { $0.table == table } })
        do throws(OracleRefusal) {
            for statement in statements { try transaction.run(statement) }
        } catch {
            if rule.mutation == .failureCounts { append(OracleVersion(writer: node, version: number, events: []), node) }
            throw error
        }
        let version = OracleVersion(writer: node, version: number, events: transaction.events())
        guard !version.events.isEmpty else { return nil }
        append(version, node)
        return version
    }

    private mutating func append(_ version: OracleVersion, _ node: Int) {
        versions[node].append(version)
        complete(node: node, writer: node, version: version.version)
    }

    /// A node has merged a version as a whole. Once more changes nothing.
    public mutating func complete(node: Int, writer: Int, version: UInt64) {
        guard nodes[node].seen[writer].insert(version).inserted else { return }
        for event in versions[writer][Int(version) - 1].events {
            if nodes[node].history[event.row] == nil { nodes[node].names.append(event.row) }
            nodes[node].history[event.row, default: []].append(event)
        }
    }

    /// Whether a node has the version.
    public func has(node: Int, _ version: OracleVersion) -> Bool { nodes[node].seen[version.writer].contains(version.version) }

    /// What a node must hold of one row.
    public func row(_ name: OracleRowName, at node: Int) -> OracleRow {
        rule.row(from: (nodes[node].history[name] ?? [])[...], columns: tables[name.table].columns.count)
    }

    /// Everything that a node has heard of, deleted rows included, in ascending order of table and key.
    public func rows(at node: Int) -> [(name: OracleRowName, row: OracleRow)] {
        nodes[node].names.sorted(by: OracleRowName.scanOrder).map { ($0, row($0, at: node)) }
    }

    /// Whether the node has every version that was written.
    public func isCurrent(node: Int) -> Bool { versions.indices.allSatisfy { nodes[node].seen[$0].count == versions[$0].count } }
}

/// A transaction of a node, as what is left of it when it commits.
public struct OracleVersion: Hashable, Sendable {
    /// Index among the oracle's actors.
    public var writer: Int
    public var version: UInt64
    public var events: [OracleEvent]

    /// The last sequence number that is still in use.
    public var lastSequence: UInt64 {
        var last: UInt64 = 0
        for event in self.events {
            for cell in event.cells { last = max(last, cell.sequence) }
            last = max(last, event.sentinel ?? 0)
        }
        return last
    }
}
