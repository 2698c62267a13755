import PatinaProtocol
import PatinaStore

/// Processes and their disks: start, crash, storage work, local transactions.
extension Simulation {
    // MARK: Life and death

    /// Starts a process on a machine, unless a crash holds it down. A restart finds what the last process committed.
    func start(_ host: Host) {
        guard host.process == nil, host.heldDownBy == 0, host.pausedBy == 0, clock.now >= host.startAt else { return }
        let wall = host.wall
        var options = StoreOptions()
        options.limits = host.settings.limits
        options.wallClock = { wall.nanoseconds }
        options.identity = host.identity
        options.simulated = true
        options.reversesTies = mutant == .tieBreakReversed
        options.synchronous = host.settings.machine.synchronous
        do throws(StoreError) {
            if !scenario.hasDisks {
                options.guardsTables = false
                options.sharesMemory = mutant == .foreignHand
                options.template = try storeTemplate()
            }
            let store = try Store(try storeLocation(of: host), options: options)
            try applySchema(to: store, of: host)
            let members = try store.members()
            host.life += 1
            var seeds = host.nodeRandom.fork("life", UInt64(host.life))
            var configuration = NodeConfiguration(
                actor: store.actor, address: host.address, generation: store.generation, bootstrap: host.bootstrap,
                membership: host.settings.membership, broadcast: host.settings.broadcast, sync: host.settings.sync,
                limits: host.settings.limits, seed: seeds.next())
            configuration.cluster = 1
            configuration.chaos = scenario.chaos.configuration
            store.chaos = Chaos(configuration.chaos, random: host.nodeRandom.fork("store", UInt64(host.life)))
            host.wire = host.nextWire
            host.heardSessions = []
            if host.wire == .laterMinor { configuration.limits.datagramBytes -= Self.laterFieldBytes }
            if let mutant { mutate(&configuration, by: mutant) }
            let node = Node(configuration: configuration, ledger: store.ledger, members: members)
            nodeLogs?.begin(
                host.index, wall: wall.nanoseconds, now: clock.now, configuration: configuration, ledger: store.ledger, members: members)
            host.process = Process(node: node, store: store)
            host.upSince = clock.now
            host.diskFree = clock.now
        } catch {
            if openingFailed(at: host, error) { return }
            storeFailures.append("node:\(host.index) could not open its store at \(clock.now): \(error)")
            return
        }
        trace.record(.started, host: host.index, at: clock.now)
        recorder?.changed(host.index, to: .up, at: clock.now)
        if host.life > 1 { catchUpBegins() }
        deliver(.started, to: host)
    }

    /// Ends a process at once, as SIGKILL does: what was not committed never happened.
    func crash(_ host: Host) {
        guard let process = host.process else { return }
        metrics.crashed(host.index, at: clock.now)
        trace.record(.crashed, host: host.index, at: clock.now)
        recorder?.changed(host.index, to: .down, at: clock.now)
        host.process = nil
        endDisk(of: host)
        process.store.close()
        host.inbox = Inbox()
        host.busyUntil = clock.now
        abandonSessions(of: host)
        let silence = clock.now + host.settings.machine.idleTimeout
        for connection in host.connections {
            connections[connection].blockedSince = nil
            guard connections[connection].isEstablished else { continue }
            heap.push(.connectionExpires(connection: connection, epoch: connections[connection].epoch), at: silence.nanoseconds)
        }
    }

    // MARK: Faults

    func faultStarts(_ index: Int) {
        trace.record(.faultStarted, host: index, at: clock.now)
        recorder?.faultStarted(index, id: scenario.faults[faults.occurrences[index].fault].id, at: clock.now)
        activeFaults += 1
        metrics.faults += 1
        faults.occurrences[index].action.begin(in: self, strike: index)
    }

    func faultEnds(_ index: Int) {
        trace.record(.faultEnded, host: index, at: clock.now)
        recorder?.faultEnded(index, at: clock.now)
        activeFaults -= 1
        lastFaultEnd = clock.now
        faults.occurrences[index].action.end(in: self, strike: index)
    }

    // MARK: Disk

    /// Storage work that a node asked for: writes wait for each other, reads do not.
    func startStore(_ operation: StoreOperation, _ token: StoreToken, at host: Host) {
        let done: Instant
        switch operation {
        case .apply, .saveMembers: done = write(at: host)
        case .read: done = clock.now + host.diskRandom.duration(in: host.settings.machine.diskRead)
        }
        heap.push(.storeFinishes(host: host.index, life: host.life, operation, token), at: done.nanoseconds)
    }

    /// Takes a place in the queue of the writer; the time when its turn is over.
    func write(at host: Host) -> Instant {
        host.diskFree = max(clock.now, host.diskFree) + host.diskRandom.duration(in: host.settings.machine.diskWrite)
        return host.diskFree
    }

    /// The work takes effect when it finishes: a crash before that leaves no trace of it.
    func storeFinishes(_ operation: StoreOperation, _ token: StoreToken, at host: Host, life: Int) {
        guard host.life == life, let process = host.process else { return }
        let result: StoreResult
        if let mutant {
            let asked = mutated(operation, by: mutant)
            let answer = asked.map { process.store.perform($0) } ?? pretended(operation)
            guard let told = mutated(answer, at: host, by: mutant) else { return }
            result = told
        } else {
            result = process.store.perform(operation)
        }
        chargeSyncs(to: host)
        trace.record(.stored, host: host.index, at: clock.now)
        trace.record(number: token.number)
        switch result {
        case .applied(let changes, let refused): trace.record(number: UInt64(changes.count) << 32 | UInt64(refused.count))
        case .read(let chunks, let empties, _): trace.record(number: UInt64(chunks.count) << 32 | UInt64(empties.count))
        case .savedMembers: break
        case .failed(let reason):
            trace.record(number: .max)
            if !storeFailed(at: host, reason) { storeFailures.append("node:\(host.index) at \(clock.now): \(reason)") }
        }
        // The process may have ended because of it.
        guard host.life == life, host.isUp else { return }
        deliver(.stored(token, result), to: host)
        scheduleUpkeep(of: host)
    }

    // MARK: Workload

    func scheduleTransaction(source: Int) {
        guard let next = workloads.sources[source].next else { return }
        heap.push(.transactionArrives(source: source), at: next.nanoseconds)
    }

    func transactionArrives(source: Int) {
        let transaction = workloads.take(source: source)
        scheduleTransaction(source: source)
        if let step = transaction.schema {
            for node in step.nodes { changeSchema(of: hosts[node], to: step.change) }
            return
        }
        let host = hosts[transaction.node]
        guard host.isUp else {
            trace.record(.refused, host: host.index, at: clock.now)
            metrics.transactionsRefused += 1
            return
        }
        heap.push(.transactionFinishes(life: host.life, transaction), at: write(at: host).nanoseconds)
    }

    /// Commits a transaction and acknowledges it in the same instant.
    func transactionFinishes(_ transaction: PlannedTransaction, life: Int) {
        let host = hosts[transaction.node]
        guard host.life == life, let process = host.process else {
            metrics.transactionsRefused += 1
            return
        }
        if mutant != nil, pretendsToCommit(transaction, at: host) { return }
        let outcome: TransactionOutcome
        do throws(StoreError) {
            outcome = try process.store.transact(transaction.statements)
        } catch {
            if isRefusedForSchema(error) {
                trace.record(.refused, host: host.index, at: clock.now)
                metrics.transactionsRefused += 1
                return
            }
            // Before the process that it may end is gone, and with it the name under which it writes.
            acknowledged.recordUncertain(host: host.writer, rows: transaction.rows)
            if !storeFailed(at: host, "\(error)") {
                storeFailures.append("node:\(host.index) at \(clock.now): a transaction failed: \(error)")
            }
            return
        }
        chargeSyncs(to: host)
        for point in process.store.chaos.takeStruck() { metrics.struck(point) }
        trace.record(.transaction, host: host.index, at: clock.now)
        metrics.transactionsAcknowledged += 1
        guard let version = outcome.version else { return }
        trace.record(number: version)
        for chunk in outcome.chunks { trace.record(bytes: chunk.body) }
        var rows: [RowWrite] = []
        rows.reserveCapacity(transaction.rows.count)
        for (row, result) in zip(transaction.rows, outcome.results) where result.rowsAffected > 0 { rows.append(row) }
        noteForOracle(outcome, version: version, by: host)
        if host.disk != nil, let reuse = versions.record(process.store.actor, version, at: clock.now) {
            occurred(.versionReused, at: host, ": \(reuse)")
        }
        acknowledged.record(host: host.writer, actor: host.identity, version: version, rows: rows)
        metrics.acknowledged(version: version, by: host.index, at: clock.now)
        recorder?.note(host.index, .broadcast, "commits version \(version)", at: clock.now)
        if let mutant {
            guard let chunks = mutated(committed: outcome.chunks, by: mutant) else { return }
            return deliver(.transactionCommitted(chunks), to: host)
        }
        deliver(.transactionCommitted(outcome.chunks), to: host)
    }
}
