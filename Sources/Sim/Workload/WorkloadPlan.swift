import PatinaProtocol

/// All workloads of a run.
package struct WorkloadPlan {
    package let tables: [TableShape]
    package private(set) var sources: [WorkloadSource] = []
    /// The last mark that a written row was given.
    private var lastNumber: UInt64 = 0

    package init(scenario: Scenario, faults: FaultPlan, random: Random) {
        tables = scenario.tables
        for (index, workload) in scenario.workloads.enumerated() {
            let table = workload.shape
            // By index: two workloads may be alike.
            var own = random.fork("workload", UInt64(index))
            let nodes = workload.at.choose(
                from: scenario.topology, taken: [Bool](repeating: false, count: scenario.topology.nodes), using: &own)
            // An anchor of a fault that does not strike in this run: nothing is written.
            guard !nodes.isEmpty, let from = faults.time(of: workload.from), let to = faults.time(of: workload.to), from < to else {
                continue
            }
            let writer = TableWriter(workload, table: table, shape: tables[table])
            let script: any WorkloadScript =
                switch workload.kind {
                case .upsert, .delete: PlainScript(workload, writer, nodes: nodes)
                case .counter: CounterScript(workload, writer, nodes: nodes)
                case .service: ServiceScript(workload, writer, nodes: nodes)
                case .large: LargeScript(workload, writer, nodes: nodes, limits: scenario.node.limits)
                case .hot: HotScript(workload, writer, nodes: nodes)
                case .schemaGrowth: GrowthScript(workload, writer, nodes: nodes, schema: scenario.schema)
                }
            sources.append(WorkloadSource(workload, script: script, from: from, to: to, random: own))
        }
    }

    /// The transaction of a source that is due.
    package mutating func take(source: Int) -> PlannedTransaction { sources[source].take(number: &lastNumber) }
}
