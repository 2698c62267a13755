import PatinaProtocol
import PatinaStore

/// What the simulator sees of the nodes, and the judgement of the checks. Nothing here changes what happens.
extension Simulation {
    // MARK: What nodes say

    func observe(_ notice: Notice, at host: Host) {
        if let recorder { record(notice, at: host, by: recorder) }
        switch notice {
        case .versionApplied(let origin, let version):
            if applications.record(origin, version, at: host.index, life: host.life) {
                checks.violated(.noDuplicateApply, at: clock.now, "node:\(host.index) applied version \(version) of \(origin) twice")
            }
            guard let index = hostOf[origin] else { return }
            let quietSince = activeFaults == 0 ? lastFaultEnd : nil
            let latency = metrics.applied(version: version, of: index, at: clock.now, quietSince: quietSince)
            if let latency {
                recorder?.applied(after: latency, at: clock.now)
                measured(latency, of: index, at: host)
            }
        case .memberDown(let record):
            departures.departed(record, at: host.index, life: host.life)
            declaredDown(record, by: host)
        case .memberSuspected(let record): occurred(.suspected, at: host, about: hostOf[record.actor], " suspects \(record.address)")
        case .refuted(let incarnation):
            occurred(.refuted, at: host, "")
            if let problem = incarnations.refuted(incarnation, at: host.index, life: host.life, generation: ownGeneration(of: host)) {
                checks.violated(.incarnationAscends, at: clock.now, "node:\(host.index) \(problem)")
            }
        case .malformed(let from, let reason): occurred(.malformedInput, at: host, " from \(from): \(reason)")
        case .chunkRefused(let id, let reason): occurred(.chunkRefused, at: host, ", \(id): \(reason)")
        case .storeFailed(let reason): occurred(.storeFailed, at: host, ": \(reason)")
        case .memberUp(let record):
            if departures.isResurrection(record, at: host.index, life: host.life) {
                checks.violated(
                    .noResurrection, at: clock.now,
                    "node:\(host.index) takes back \(record.address) with generation \(record.generation), which was gone")
            }
        case .memberLeft(let record): departures.departed(record, at: host.index, life: host.life)
        case .left: break
        }
    }

    private func ownGeneration(of host: Host) -> UInt64 {
        host.process?.node.aliveMembers.first { $0.actor == host.identity }?.generation ?? 0
    }

    func observe(_ measurement: Measurement, at host: Host) {
        metrics.record(measurement)
        recorder?.measured(measurement, node: host.index, at: clock.now)
        switch measurement {
        case .repaired(let id): occurred(.lazyRepair, at: host, ", \(id)")
        case .synced(_, let chunks, _) where chunks > 0: occurred(.syncRepair, at: host, ", \(chunks) chunks")
        case .dropped(let bound): occurred(.limitReached, at: host, ", \(bound)")
        case .skipped(let kind): occurred(.laterKindSkipped, at: host, ", \(kind)")
        case .synced, .sent, .received, .duplicate, .delivered, .probed, .foreignCluster, .announced, .graftSent, .leftToSync,
            .syncRefused, .chaos:
            break
        }
    }

    private func declaredDown(_ record: MemberRecord, by observer: Host) {
        metrics.downDeclarations += 1
        guard let index = hostOf[record.actor] else { return }
        let target = hosts[index]
        guard let process = target.process else { return metrics.detected(index, at: clock.now) }
        // Of an earlier process: that one is down indeed.
        guard record.generation == process.store.generation else { return }
        for (check, grace) in checks.declaredDownGraces {
            let start = clock.now - grace
            guard !target.isHindered, !observer.isHindered, target.lastHindered <= start, observer.lastHindered <= start,
                target.upSince <= start, observer.upSince <= start, network.wasWhole(between: index, and: observer.index, since: start)
            else { continue }
            let happened = Happened(observer: observer.index, target: index, from: clock.now, to: clock.now)
            if let condition = checks.condition(of: check), !holds(condition, for: happened) { continue }
            checks.declaredDown(check: check, at: clock.now, "node:\(observer.index) declared node:\(index) down")
        }
    }

    // MARK: Looks while the run goes on

    private var liveLedgers: [VersionLedger] { hosts.compactMap { $0.process?.store.ledger } }

    private func tracker() -> GoalTracker { GoalTracker(begun: clock.now, nodes: hosts.count, ledgers: liveLedgers) }

    func checkBegins(_ check: Int) {
        checks.begin(check, goal: tracker())
        poll()
    }

    /// A cut has healed or a process has been started again: how long until everybody is up to date?
    func catchUpBegins() {
        catchUps.append(tracker())
        schedulePoll()
    }

    /// How often goals are looked at while one is pending: their times are exact to this.
    private var pollInterval: Duration {
        switch hosts.count {
        case ...32: .milliseconds(20)
        case ...256: .milliseconds(100)
        default: .milliseconds(500)
        }
    }

    private func schedulePoll() {
        guard !pollIsScheduled else { return }
        pollIsScheduled = true
        // Not later than the next deadline: what comes true in time must be seen in time.
        var next = clock.now + pollInterval
        if let deadline = checks.nextDeadline(at: clock.now), deadline > clock.now { next = min(next, deadline) }
        heap.push(.poll, at: next.nanoseconds)
    }

    func poll() {
        for index in catchUps.indices.reversed() where missing(&catchUps[index]) == nil {
            metrics.catchUp.record(clock.now - catchUps[index].begun)
            catchUps.remove(at: index)
        }
        for (check, goal) in checks.pending(at: clock.now) {
            checks.look(check, at: clock.now) { tracker in
                switch goal {
                case .caughtUp: self.missing(&tracker)
                case .converged: self.divergence()
                case .membersAgree: MemberAgreement.difference(hosts: self.hosts)
                }
            }
        }
        if !catchUps.isEmpty || !checks.pending(at: clock.now).isEmpty { schedulePoll() }
    }

    /// What some live node still lacks of a goal.
    private func missing(_ goal: inout GoalTracker) -> String? {
        for host in hosts {
            guard let ledger = host.process?.store.ledger else { continue }
            if let lacking = goal.missing(at: host.index, ledger) { return "node:\(host.index) lacks \(lacking)" }
        }
        return nil
    }

    /// In what live nodes differ; nil when they are equal. Rows are compared only once the ledgers are equal.
    func divergence() -> String? {
        let ledgers = hosts.compactMap { host in host.process.map { (node: host.index, digest: $0.store.ledger.fingerprint) } }
        if let difference = Agreement.difference(in: "the ledgers", among: ledgers) { return difference }
        var contents: [(node: Int, digest: Fingerprint)] = []
        for host in hosts {
            guard let store = host.process?.store else { continue }
            do throws(StoreError) {
                contents.append((host.index, try store.contentFingerprint()))
            } catch {
                return "node:\(host.index) cannot be read: \(error)"
            }
        }
        return Agreement.difference(in: "the rows", among: contents)
    }

    /// The regular look: one node at a time, each in its turn.
    func look() {
        let host = hosts[looks % hosts.count]
        looks += 1
        if let store = host.process?.store {
            checkBookkeeping(of: store, at: host)
            checkState(of: host)
            if checks.watches(.noAcknowledgedWriteLost), !host.hasLostData,
                let missing = acknowledged.missing(from: store.ledger, onlyHost: host.index)
            {
                checks.violated(.noAcknowledgedWriteLost, at: clock.now, "node:\(host.index) itself lacks \(missing)")
            }
            host.process?.node.checkInvariants()
        }
        heap.push(.look, at: (clock.now + Self.lookInterval).nanoseconds)
    }

    /// What can be said of one node at any time.
    private func checkState(of host: Host) {
        guard let process = host.process else { return }
        if checks.watches(.gapsWellFormed), let problem = GapShape.problem(process.node.ledger) {
            checks.violated(.gapsWellFormed, at: clock.now, "node:\(host.index): \(problem)")
        }
        if checks.watches(.noVersionFromNowhere), let problem = VersionOrigin.problem(process.node.ledger, hosts: hosts) {
            checks.violated(.noVersionFromNowhere, at: clock.now, "node:\(host.index) \(problem)")
        }
        let status = process.node.status
        if checks.watches(.queuesBounded), let problem = QueueBounds.problem(status, host.settings.limits) {
            checks.violated(.queuesBounded, at: clock.now, "node:\(host.index) has \(problem)")
        }
        if checks.watches(.bytesBounded), let problem = ByteBounds.problem(status, host.settings.limits) {
            checks.violated(.bytesBounded, at: clock.now, "node:\(host.index) has \(problem)")
        }
    }

    private func checkBookkeeping(of store: Store, at host: Host) {
        guard checks.watches(.bookkeepingMatchesRows) else { return }
        do throws(StoreError) {
            let problems = try store.verify()
            if let first = problems.first {
                checks.violated(.bookkeepingMatchesRows, at: clock.now, "node:\(host.index), \(problems.count) problems: \(first)")
            }
        } catch {
            checks.violated(.bookkeepingMatchesRows, at: clock.now, "node:\(host.index) cannot be verified: \(error)")
        }
    }

    // MARK: The end

    func finish() -> SimulationReport {
        poll()
        metrics.catchUpsUnfinished = UInt64(catchUps.count)
        for host in hosts {
            guard let process = host.process else { continue }
            process.node.checkInvariants()
            checkBookkeeping(of: process.store, at: host)
            checkState(of: host)
            if checks.watches(.ledgerMatchesStore), let problem = LedgerCopy.difference(process.node, process.store) {
                checks.violated(.ledgerMatchesStore, at: clock.now, "node:\(host.index): \(problem)")
            }
        }
        checkAcknowledgedWrites()
        checkOracle()
        let numbers = ReportMetrics.all.map { SimulationReport.Metric(name: $0.name, value: $0.value(metrics)) }
        var results = checks.results(metrics: numbers)
        if let first = storeFailures.first {
            // No scenario asks for this one: a store that fails by itself invalidates every run.
            results.append(
                SimulationReport.CheckResult(name: "stores work", valid: false, detail: "\(storeFailures.count) failures; first: \(first)"))
        }
        return SimulationReport(
            scenario: scenario.name, scenarioHash: scenario.hash, seed: seed, traceHash: trace.digest.description,
            simulatedTime: scenario.duration, wallTime: nil, events: events, messagesDelivered: metrics.deliveredMessages,
            bytesDelivered: metrics.deliveredBytes, checks: results, metrics: numbers,
            chaos: scenario.chaos.points.map { SimulationReport.Strikes(point: $0.name, count: metrics.strikes(of: $0)) })
    }

    private func checkAcknowledgedWrites() {
        guard checks.watches(.noAcknowledgedWriteLost) else { return }
        var verified: Set<Fingerprint> = []
        for host in hosts {
            guard let store = host.process?.store else { continue }
            if let missing = acknowledged.missing(from: store.ledger) {
                checks.violated(.noAcknowledgedWriteLost, at: clock.now, "node:\(host.index) lacks \(missing)")
                return
            }
            do throws(StoreError) {
                // Nodes with equal rows need one look only.
                guard verified.insert(try store.contentFingerprint()).inserted else { continue }
                if let wrong = try wrongRow(of: store) {
                    checks.violated(.noAcknowledgedWriteLost, at: clock.now, "node:\(host.index), \(wrong)")
                    return
                }
            } catch {
                checks.violated(.noAcknowledgedWriteLost, at: clock.now, "node:\(host.index) cannot be read: \(error)")
                return
            }
        }
    }

    private func wrongRow(of store: Store) throws(StoreError) -> String? {
        let reader = try store.makeReader()
        defer { reader.close() }
        for (index, table) in workloads.tables.enumerated() {
            guard let key = table.keys.first else { continue }
            let columns = ([key] + table.values).map { TableShape.quote($0.name) }.joined(separator: ", ")
            let cursor = try reader.prepare(Statement("SELECT \(columns) FROM \(TableShape.quote(table.name))"))
            var rows: [(key: UInt64, marks: [UInt64])] = []
            while let row = try cursor.next() {
                guard let first = row.first, let number = WriteMark.keyNumber(of: first, column: key.name) else {
                    return "table \(table.name) has a row whose key no workload makes"
                }
                rows.append((number, row.dropFirst().map(WriteMark.number)))
            }
            if let wrong = acknowledged.wrong(table: index, rows: rows) { return "table \(table.name), \(wrong)" }
        }
        return nil
    }
}
