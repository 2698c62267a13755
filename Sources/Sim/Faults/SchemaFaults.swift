import PatinaProtocol
import PatinaStore

/// Schema files that nodes get in the middle of a run.
package struct SchemaChange: Hashable, Sendable {
    package var files: [SchemaFile]
    /// They may drop columns and tables, and change columns.
    package var allowDestructive: Bool
}

/// Nodes get other schema files, which they keep over restarts.
package struct SchemaAction: FaultAction {
    /// In ascending order.
    package let nodes: [Int]
    package let change: SchemaChange

    package func begin(in simulation: Simulation, strike: Int) {
        for node in nodes { simulation.changeSchema(of: simulation.hosts[node], to: change) }
    }

    package func end(in simulation: Simulation, strike: Int) {}
}

extension FaultKind {
    /// The schema.
    static let schemas: [FaultKind] = [
        FaultKind(
            "schema-change", "nodes have these schema files from then on, until the next schema-change",
            keys: [
                .select, FaultKey("sql", .statements, nil, "the files, as a list of texts"),
                FaultKey(
                    "destructive", .word(["no", "yes"]), .word("no"), "whether columns and tables may be dropped, and columns changed"),
            ], lasts: false, engines: [.sim, .live]
        ) { planning in
            let change = SchemaChange(files: planning.fault.schemaFiles, allowDestructive: planning.word("destructive") == "yes")
            return planning.whole(SchemaAction(nodes: planning.nodes(), change: change))
        }
    ]
}

extension Fault {
    /// The files of a schema-change.
    var schemaFiles: [SchemaFile] {
        guard case .statements(let texts)? = values["sql"] else { return [] }
        return texts.enumerated().map { SchemaFile(path: "\(id).sql[\($0)]", text: $1) }
    }
}

extension Simulation {
    func changeSchema(of host: Host, to change: SchemaChange) {
        host.schemaChange = change
        guard let process = host.process else { return }
        defer { if mutant == .backfillSent { backfill(host) } }
        do throws(StoreError) {
            _ = try process.store.applySchema(change.files, allowDestructive: change.allowDestructive)
        } catch {
            storeFailures.append("node:\(host.index) at \(clock.now): the schema cannot be changed: \(error)")
            occurred(.storeFailed, at: host, ": \(error)")
        }
        scheduleUpkeep(of: host)
    }

    /// Gives a store that was just opened the schema of its machine, and lets it finish what an earlier process left.
    func applySchema(to store: Store, of host: Host) throws(StoreError) {
        // A copy of the template has the first one.
        if scenario.hasDisks, host.life == 0 || host.schemaChange == nil { _ = try store.applySchema(scenario.schema) }
        if let change = host.schemaChange { _ = try store.applySchema(change.files, allowDestructive: change.allowDestructive) }
        while store.needsUpkeep { _ = try store.upkeep() }
        host.isUpkeepScheduled = false
    }

    /// Lets the store do a step of what it does by itself, once it is its turn.
    func scheduleUpkeep(of host: Host) {
        guard let process = host.process, process.store.needsUpkeep, !host.isUpkeepScheduled else { return }
        host.isUpkeepScheduled = true
        heap.push(.storeUpkeep(host: host.index, life: host.life), at: write(at: host).nanoseconds)
    }

    func storeUpkeep(at host: Host, life: Int) {
        guard host.life == life, let process = host.process else { return }
        host.isUpkeepScheduled = false
        do throws(StoreError) {
            let done = try process.store.upkeep()
            trace.record(.upkeep, host: host.index, at: clock.now)
            trace.record(number: UInt64(done.changes.count))
            if !done.changes.isEmpty { deliver(.storeChanged(done.changes), to: host) }
        } catch {
            storeFailures.append("node:\(host.index) at \(clock.now): upkeep failed: \(error)")
            occurred(.storeFailed, at: host, ": \(error)")
            return
        }
        scheduleUpkeep(of: host)
    }

    /// True for a transaction that names a table or column which this node does not have, in a scenario where nodes differ.
    func isRefusedForSchema(_ error: StoreError) -> Bool {
        guard scenario.faults.contains(where: { !$0.schemaFiles.isEmpty }), case .sqlite(_, let message, _) = error else { return false }
        return message.hasPrefix("no such table") || message.hasPrefix("no such column") || message.contains("has no column named")
    }
}
