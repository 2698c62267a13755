import PatinaProtocol
import PatinaTOML

/// Workloads.
extension ScenarioReader {
    // MARK: [[workload]]

    private static let workloadKeys = [
        "kind", "table", "rate", "every", "keys", "at", "from", "to", "rows", "row", "columns", "schema",
    ]

    func readWorkloads() throws(ScenarioError) -> [Workload] {
        var workloads: [Workload] = []
        for table in try top.tables("workload", allowed: Self.workloadKeys) {
            guard let kind = try table.choice("kind", Workload.Kind.self) else {
                let kinds = Workload.Kind.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
                throw table.error(nil, "a workload needs a kind: one of \(kinds)")
            }
            let every = try table.duration("every")
            let rate = try table.quantity("rate", like: "\"200/s\"") { Quantity.interval(rate: $0) }
            guard let interval = every ?? rate, every == nil || rate == nil, interval > .zero else {
                throw table.error(every == nil ? nil : "every", "a workload needs either rate, like \"200/s\", or every, like \"5ms\"")
            }
            let at = try table.string("at") == "any" ? .all : try selector("at", of: table, fixed: true) ?? .all
            let workload = Workload(
                kind: kind, table: try table.string("table") ?? kind.usualTable, interval: interval,
                keys: try readKeys(table, of: kind), at: at,
                from: try anchor("from", of: table) ?? TimeAnchor(.warmup), to: try anchor("to", of: table) ?? TimeAnchor(.heal),
                rows: try table.integer("rows", in: 1...100_000) ?? 1, rowBytes: try table.bytes("row") ?? kind.usualRowBytes,
                columns: try table.choice("columns", Workload.Columns.self) ?? .all,
                schema: try table.string("schema"))
            guard workload.rowBytes <= 1_048_576 else { throw table.error("row", "a row may have at most 1MiB") }
            guard workload.rows * workload.rowBytes <= 268_435_456 else {
                throw table.error("rows", "a transaction may have at most 256MiB: \(workload.rows) rows of \(workload.rowBytes) bytes")
            }
            try refuseStrangers(to: workload, table)
            workloads.append(workload)
        }
        return workloads
    }

    /// Keys that mean something for other kinds only.
    private func refuseStrangers(to workload: Workload, _ table: TableReader) throws(ScenarioError) {
        let kind = workload.kind
        if kind != .upsert, workload.columns != .all { throw table.error("columns", "only a workload of kind upsert has columns") }
        if ![.upsert, .delete, .counter].contains(kind), workload.rows != 1 {
            throw table.error("rows", "a workload of kind \(kind.rawValue) draws its rows itself")
        }
        if ![.upsert, .delete].contains(kind), workload.schema != nil {
            throw table.error("schema", "only workloads of kind upsert and delete have a schema")
        }
        guard kind == .schemaGrowth else { return }
        guard workload.table == GrowthScript.table else { throw table.error("table", "schema-growth has a table of its own") }
        guard workload.at == .all else { throw table.error("at", "a schema grows at all nodes") }
    }

    private enum KeyDistribution: String, CaseIterable { case uniform, zipf, sequential }

    private func readKeys(_ workload: TableReader, of kind: Workload.Kind) throws(ScenarioError) -> Workload.Keys {
        guard let table = try workload.table("keys", allowed: ["dist", "n", "s"]) else { return kind.usualKeys }
        guard let distribution = try table.choice("dist", KeyDistribution.self) else {
            throw table.error(nil, "keys need dist: \"uniform\", \"zipf\" or \"sequential\"")
        }
        let count = try table.integer("n", in: 1...1_000_000)
        let exponent = try table.thousandths("s", in: 0...10_000)
        if distribution != .zipf, exponent != nil { throw table.error("s", "only the zipf distribution has s") }
        if kind == .service, distribution != .uniform || (count ?? 0) > 10_000 {
            throw table.error("dist", "the keys of services are uniform, and n, at most 10,000, is how many each node has")
        }
        switch distribution {
        case .uniform: return .uniform(count: count ?? 1_000)
        case .zipf: return .zipf(count: count ?? 1_000, exponent: exponent ?? 1_000)
        case .sequential:
            if count != nil { throw table.error("n", "sequential keys never repeat, so they have no n") }
            return .sequential
        }
    }

    /// What workloads must not do to each other.
    func validateTogether(_ scenario: Scenario) throws(ScenarioError) {
        for (index, workload) in scenario.workloads.enumerated() {
            let path: [PathStep] = [.key("workload"), .index(index)]
            let shape = scenario.tables[workload.shape]
            switch workload.kind {
            case .counter:
                guard CounterScript.column(of: shape) != nil else {
                    throw source.error(at: path + [.key("table")], "table \"\(workload.table)\" has no column of whole numbers to count in")
                }
                let others = scenario.workloads.contains { $0.table == workload.table && $0.kind != .counter }
                if others { throw source.error(at: path + [.key("table")], "a table that is counted in is written by nothing else") }
            case .schemaGrowth:
                if scenario.faults.contains(where: { !$0.schemaFiles.isEmpty }) {
                    throw source.error(at: path + [.key("kind")], "schema-growth and faults of kind schema-change do not go together")
                }
                if scenario.workloads.count(where: { $0.table == GrowthScript.table }) > 1 {
                    throw source.error(
                        at: path + [.key("kind")], "the schema grows by one workload only, and nothing else writes its table")
                }
            case .upsert, .delete, .service, .large, .hot: break
            }
        }
    }
}

extension Workload.Kind {
    /// The table that is written unless the scenario names one.
    fileprivate var usualTable: String {
        switch self {
        case .upsert, .delete, .large, .hot: "items"
        case .counter: "counters"
        case .service: "services"
        case .schemaGrowth: GrowthScript.table
        }
    }

    fileprivate var usualRowBytes: Int { self == .large ? 200 : 64 }

    fileprivate var usualKeys: Workload.Keys {
        switch self {
        case .upsert, .delete: .uniform(count: 1_000)
        case .counter: .uniform(count: 20)
        case .service: .uniform(count: 10)
        case .large: .sequential
        case .hot: .zipf(count: 10, exponent: 1_200)
        case .schemaGrowth: .uniform(count: 100)
        }
    }
}
