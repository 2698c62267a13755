import PatinaProtocol
import PatinaStore

/// The check `matches-oracle`: at the end, the tables of every live node that has every version known to any live node are what the
/// oracle says. That no node has them all is a failure too: then nothing could be compared.
extension Simulation {
    func noteForOracle(_ outcome: TransactionOutcome, version: UInt64, by host: Host) {
        guard checks.watches(.matchesOracle) else { return }
        do throws(MalformedInput) {
            try oracle.record(actor: host.identity, version: version, chunks: outcome.chunks)
        } catch {
            checks.violated(.matchesOracle, at: clock.now, "node:\(host.index) wrote a chunk that cannot be read: \(error)")
        }
    }

    func checkOracle() {
        guard checks.watches(.matchesOracle) else { return }
        var known: [ActorID: IntervalSet] = [:]
        for host in hosts {
            guard let ledger = host.process?.store.ledger else { continue }
            for actor in ledger.actors {
                if let complete = ledger[actor]?.complete { known[actor, default: IntervalSet()].insert(complete) }
            }
        }
        let actors = known.keys.sorted()
        let outcome = oracle.outcome { known[$0] ?? IntervalSet() }
        var compared = 0
        for host in hosts {
            guard let store = host.process?.store else { continue }
            let isCurrent = actors.allSatisfy { actor in
                (known[actor] ?? IntervalSet()).subtracting(store.ledger[actor]?.complete ?? IntervalSet()).isEmpty
            }
            guard isCurrent else { continue }
            compared += 1
            do throws(StoreError) {
                if let difference = try difference(outcome, store) {
                    return checks.violated(.matchesOracle, at: clock.now, "node:\(host.index), \(difference)")
                }
            } catch {
                return checks.violated(.matchesOracle, at: clock.now, "node:\(host.index) cannot be read: \(error)")
            }
        }
        if compared == 0 { checks.violated(.matchesOracle, at: clock.now, "no live node has every version, so nothing was compared") }
    }

    private func difference(_ outcome: OracleLog.Outcome, _ store: Store) throws(StoreError) -> String? {
        let reader = try store.makeReader()
        defer { reader.close() }
        for (index, table) in outcome.tables.enumerated() {
            guard let shape = workloads.tables.first(where: { $0.name == table.name }) else {
                return "table \(table.name) was written and no workload writes it"
            }
            let columns = (shape.keys.map(\.name) + table.columns).map(TableShape.quote).joined(separator: ", ")
            let cursor = try reader.prepare(Statement("SELECT \(columns) FROM \(TableShape.quote(table.name))"))
            var rows: [(key: [Value], values: [Value])] = []
            while let row = try cursor.next() { rows.append((Array(row.prefix(shape.keys.count)), Array(row.dropFirst(shape.keys.count)))) }
            if let difference = outcome.difference(table: index, rows: rows) { return difference }
        }
        return nil
    }
}
