import PatinaProtocol
import PatinaStore
import PatinaTOML

extension Scenario {
    /// Reads a scenario file. Schema files that it names are looked for beside it.
    ///
    /// - Parameter overrides: `path=value` each, as with `--set`.
    public static func load(path: String, overrides: [String] = []) throws(ScenarioError) -> Scenario {
        let text: String
        do {
            text = try FileAccess.read(path)
        } catch {
            throw ScenarioError(file: path, line: nil, message: "the scenario cannot be read: \(error.reason)")
        }
        return try parse(text, file: path, overrides: overrides)
    }

    /// Reads a scenario from its text. `file` is what errors call it, and where schema files are looked for.
    public static func parse(_ text: String, file: String, overrides: [String] = []) throws(ScenarioError) -> Scenario {
        var document = try DocumentValue.parse(text, file: file)
        var source = DocumentSource(file: file, locator: KeyLocator(text))
        try Overrides.apply(overrides, to: &document, source: &source)
        return try ScenarioReader(document: document, source: source).read()
    }
}

/// Turns a document into a scenario: the frame, the run, the topology, the schema. Links, workloads, faults and checks have files of
/// their own.
struct ScenarioReader {
    static let formatVersion = 1
    /// Nodes that one simulation may have.
    static let nodesMaximum = 10_000
    /// Used when a scenario names no schema.
    static let builtInSchema = """
        CREATE TABLE items (
            id INTEGER NOT NULL PRIMARY KEY,
            name TEXT NOT NULL DEFAULT '',
            amount INTEGER NOT NULL DEFAULT 0,
            payload BLOB NOT NULL DEFAULT x''
        );
        CREATE TABLE services (
            node TEXT NOT NULL,
            id TEXT NOT NULL,
            name TEXT NOT NULL DEFAULT '',
            port INTEGER NOT NULL DEFAULT 0,
            meta TEXT NOT NULL DEFAULT '{}',
            PRIMARY KEY (node, id)
        );
        """

    /// Added to it for workloads that count.
    static let countersSchema = """
        CREATE TABLE counters (
            id INTEGER NOT NULL PRIMARY KEY,
            count INTEGER NOT NULL DEFAULT 0
        );
        """

    let source: DocumentSource
    let top: TableReader

    init(document: DocumentValue, source: DocumentSource) throws(ScenarioError) {
        self.source = source
        top = try TableReader(
            document, at: [], in: source,
            allowed: [
                "format", "name", "about", "run", "topology", "link", "node", "schema", "workload", "fault", "check", "chaos", "swarm",
            ])
    }

    func read() throws(ScenarioError) -> Scenario {
        guard let format = try top.integer("format", in: 0...Int.max) else {
            throw ScenarioError(file: source.file, line: nil, message: "format = \(Self.formatVersion) is required at the top of the file")
        }
        guard format == Self.formatVersion else {
            throw top.error("format", "format \(format) is unknown; this build reads format \(Self.formatVersion)")
        }
        let name = try top.requiredString("name")
        let about = try top.requiredString("about")
        let run = try readRun()
        let topology = try readTopology()
        let faults = try readFaults()
        let links = try readLinks(in: topology)
        let node: NodeSettings
        if let value = top["node"] { node = try NodeKey.read(value, at: top.path(of: "node"), in: source) } else { node = NodeSettings() }
        let overrides = try readNodeOverrides(node)
        var workloads = try readWorkloads()
        let schema = try readSchema(for: workloads)
        var probes: [SchemaProbe] = []
        let tables = try readTables(schema, faults, &workloads, &probes)
        let scenario = Scenario(
            name: name, about: about, duration: run.duration, warmup: run.warmup, drain: run.drain, seeds: run.seeds, topology: topology,
            links: links, node: node, nodeOverrides: overrides, schema: schema, workloads: workloads, faults: faults,
            checks: try readChecks(), chaos: try readChaos(), swarm: try readSwarm(), tables: tables, file: source.file,
            probe: probes.first { $0.schema == schema })
        try validate(scenario)
        try validateTogether(scenario)
        return scenario
    }

    // MARK: [run]

    private func readRun() throws(ScenarioError) -> (duration: Duration, warmup: Duration, drain: Duration, seeds: Scenario.Seeds) {
        guard let table = try top.table("run", allowed: ["duration", "warmup", "seeds", "drain"]) else {
            throw ScenarioError(file: source.file, line: nil, message: "[run] with a duration is required")
        }
        guard let duration = try table.duration("duration") else { throw table.error(nil, "run.duration is required") }
        let warmup = try table.duration("warmup") ?? min(.seconds(5), duration / 4)
        let drain = try table.duration("drain") ?? min(.seconds(10), duration / 4)
        guard duration > .zero else { throw table.error("duration", "a run needs some time") }
        guard warmup + drain < duration else {
            let key = ["drain", "warmup"].first { table[$0] != nil } ?? "duration"
            throw table.error(key, "warmup (\(Quantity.print(warmup))) and drain (\(Quantity.print(drain))) leave nothing of the run")
        }
        return (duration, warmup, drain, try readSeeds(table))
    }

    private func readSeeds(_ table: TableReader) throws(ScenarioError) -> Scenario.Seeds {
        switch table["seeds"] {
        case nil: return .range(from: 1, count: 1)
        case .table:
            guard let inner = try table.table("seeds", allowed: ["from", "count"]) else { return .range(from: 1, count: 1) }
            let from = try inner.integer("from", in: 0...Int.max) ?? 1
            return .range(from: UInt64(from), count: try inner.integer("count", in: 1...10_000_000) ?? 1)
        case .array(let values):
            var seeds: [UInt64] = []
            for value in values {
                guard case .integer(let number) = value, number >= 0 else {
                    throw table.error("seeds", "seeds must be whole numbers, not \(value.kind)")
                }
                seeds.append(UInt64(number))
            }
            guard !seeds.isEmpty else { throw table.error("seeds", "at least one seed is needed") }
            return .list(seeds)
        case .some: throw table.error("seeds", "seeds must be like { from = 1, count = 25 } or [7, 42]")
        }
    }

    // MARK: [schema]

    private func readSchema(for workloads: [Workload]) throws(ScenarioError) -> [SchemaFile] {
        var files: [SchemaFile]
        if let table = try top.table("schema", allowed: ["files", "sql"]) {
            files = try readSchemaFiles(table)
            guard !files.isEmpty else { throw table.error(nil, "[schema] names neither files nor sql") }
        } else {
            files = [SchemaFile(path: "built-in", text: Self.builtInSchema)]
            if workloads.contains(where: { $0.kind == .counter }) {
                files.append(SchemaFile(path: "built-in counters", text: Self.countersSchema))
            }
        }
        let growing = GrowthScript.file(columns: 0)
        // It is there already when this is the canonical form of a scenario.
        if workloads.contains(where: { $0.kind == .schemaGrowth }), !files.contains(where: { $0.text == growing.text }) {
            files.append(growing)
        }
        return files
    }

    /// What `files` and `sql` of a table name.
    func readSchemaFiles(_ table: TableReader) throws(ScenarioError) -> [SchemaFile] {
        var files: [SchemaFile] = []
        for path in try table.strings("files") ?? [] {
            do throws(FileAccess.Failure) {
                files.append(SchemaFile(path: path, text: try FileAccess.read(FileAccess.resolve(path, besides: source.file))))
            } catch {
                throw table.error("files", "the schema file \(path) cannot be read: \(error.reason)")
            }
        }
        for (index, text) in (try table.strings("sql") ?? []).enumerated() {
            files.append(SchemaFile(path: "\(source.file)#schema.sql[\(index)]", text: text))
        }
        return files
    }

    /// Asks SQLite for the tables that workloads write: one shape for each table and schema that it is taken from.
    private func readTables(
        _ schema: [SchemaFile], _ faults: [Fault], _ workloads: inout [Workload], _ probes: inout [SchemaProbe]
    ) throws(ScenarioError) -> [TableShape] {
        var shapes: [TableShape] = []
        for index in workloads.indices {
            let path: [PathStep] = [.key("workload"), .index(index)]
            var files = schema
            if let id = workloads[index].schema {
                files = faults.first { $0.id == id }?.schemaFiles ?? []
                guard !files.isEmpty else {
                    throw source.error(at: path + [.key("schema")], "there is no fault \"\(id)\" of kind \"schema-change\"")
                }
            }
            let shape = try readShape(of: workloads[index].table, files, at: path, &probes)
            if let known = shapes.firstIndex(of: shape) {
                workloads[index].shape = known
            } else {
                workloads[index].shape = shapes.count
                shapes.append(shape)
            }
        }
        for fault in faults where !fault.schemaFiles.isEmpty {
            do throws(StoreError) { _ = try probe(fault.schemaFiles, &probes) } catch {
                throw top.error("fault", "the schema of fault \"\(fault.id)\" is refused: \(error)")
            }
        }
        return shapes
    }

    /// Each schema is probed once.
    private func probe(_ schema: [SchemaFile], _ probes: inout [SchemaProbe]) throws(StoreError) -> SchemaProbe {
        if let known = probes.first(where: { $0.schema == schema }) { return known }
        probes.append(try SchemaProbe(schema))
        return probes[probes.count - 1]
    }

    private func readShape(
        of table: String, _ schema: [SchemaFile], at path: [PathStep], _ probes: inout [SchemaProbe]
    ) throws(ScenarioError) -> TableShape {
        let probe: SchemaProbe
        do throws(StoreError) {
            probe = try self.probe(schema, &probes)
        } catch {
            throw top.error("schema", "the schema is refused: \(error)")
        }
        guard let shape = probe.shape(of: table) else {
            throw source.error(
                at: path + [.key("table")], "the schema has no table \"\(table)\"",
                suggestion: Spelling.nearest(to: table, among: probe.tables))
        }
        guard (1...TableShape.valueColumnsMaximum).contains(shape.values.count), !shape.keys.isEmpty else {
            throw source.error(
                at: path + [.key("table")],
                "workloads write tables with a primary key and 1 to \(TableShape.valueColumnsMaximum) other columns")
        }
        return shape
    }

    // MARK: Shared

    /// A selector, which must mean the same nodes in every run when `fixed`.
    func selector(_ key: String, of table: TableReader, fixed: Bool) throws(ScenarioError) -> Selector? {
        guard let text = try table.string(key) else { return nil }
        guard let selector = Selector.parse(text) else {
            throw table.error(key, "\(key) = \"\(text)\" is no selector; expected one of \(Selector.example)")
        }
        if fixed, !selector.isFixed { throw table.error(key, "\(key) = \"\(text)\": a random selection is not possible here") }
        return selector
    }

    func anchor(_ key: String, of table: TableReader) throws(ScenarioError) -> TimeAnchor? {
        guard let text = try table.string(key) else { return nil }
        guard let anchor = TimeAnchor.parse(text) else {
            throw table.error(key, "\(key) = \"\(text)\" is no point in time; expected one of \(TimeAnchor.example)")
        }
        return anchor
    }
}
