import CSQLite
import Glibc
import PatinaProtocol

extension Store {
    /// Runs the statements in order as one transaction. If any fails, nothing has happened.
    ///
    /// Statements that return rows, control transactions, change the schema or attach databases are refused; SAVEPOINT, RELEASE and
    /// ROLLBACK TO are allowed. Returns after the commit, as durable as `StoreOptions.synchronous` says.
    ///
    /// - Parameter willRun: called before each statement, and before the commit: so that an engine can bound the time of each.
    public func transact(_ statements: [Statement], willRun: () -> Void = {}) throws(StoreError) -> TransactionOutcome {
        try checkUsable()
        let outcome = try write { () throws(StoreError) in try capture(statements, willRun: willRun) }
        committed(outcome)
        return outcome
    }

    /// Runs the statements within the open transaction and turns what they changed into a version. The caller commits.
    func capture(_ statements: [Statement], willRun: () -> Void) throws(StoreError) -> TransactionOutcome {
        context.beginTransaction()
        // Of a single statement nothing is taken back but everything.
        if statements.count > 1 { try connection.statement(.enlist).run() }
        let results = try run(statements, willRun)
        willRun()
        return try flush(results)
    }

    /// Runs the statements of one transaction.
    private func run(_ statements: [Statement], _ willRun: () -> Void) throws(StoreError) -> [StatementResult] {
        var results: [StatementResult] = []
        results.reserveCapacity(statements.count)
        var start = now()
        for statement in statements {
            willRun()
            let rows = try run(statement)
            // One reading ends a statement and begins the next.
            let end = now()
            results.append(StatementResult(rowsAffected: rows, duration: end - start))
            start = end
        }
        return results
    }

    /// Returns the number of rows that the statement changed.
    private func run(_ statement: Statement) throws(StoreError) -> Int {
        context.phase = .user
        context.willCompile()
        defer { context.phase = .own }
        do throws(StoreError) {
            let prepared = try connection.userStatement(statement.sql)
            defer { connection.recycle(prepared, statement.sql) }
            if prepared.updates == nil { prepared.updates = UpdatedColumns(context.compiledUpdates) }
            context.updates = prepared.updates
            // What is bound belongs to the statement, which lives until the parameters are cleared.
            try statement.bind(to: prepared)
            if try prepared.step() {
                throw .statementRefused(message: "Execute returned results - did you mean to call query?", sql: statement.sql)
            }
            if let violation = context.buffer.violation { throw violation }
            let isReadOnly = sqlite3_stmt_readonly(prepared.handle) != 0
            return isReadOnly ? 0 : Int(sqlite3_changes64(connection.handle))
        } catch {
            if let refusal = context.refusal { throw .statementRefused(message: refusal, sql: statement.sql) }
            throw error
        }
    }

    /// Turns what was captured into a version: clocks, key list and chunks. The caller commits.
    func flush(_ results: [StatementResult]) throws(StoreError) -> TransactionOutcome {
        let timestamp = clock.tick(wall: options.wallClock())
        var outcome = TransactionOutcome(results: results, version: nil, timestamp: timestamp, chunks: [])
        if !context.buffer.isEmpty {
            let next = try nextVersion()
            context.setCapturing(false)
            let clocks = clocks
            var folder = TransactionFolder(context.buffer, tables: catalog.tables, clocks: clocks, site: ownSite, version: next)
            let folded = try folder.fold()
            // So large a transaction would fill the overlay by itself: its clocks go to their tables.
            let isLarge = folded.rows.count > unfoldedLimit / 4
            if isLarge || chaos.point(.foldedEarly) { try clocks.fold() } else { try makeRoom(rows: folded.rows.count) }
            let chunkBytes = options.limits.chunkBytes / (chaos.point(.chunksSmall) ? 16 : 1)
            let writer = TransactionWriter(
                buffer: context.buffer, folded: folded, tables: catalog.tables, clocks: clocks, chunkBytes: chunkBytes,
                logsClocks: !isLarge)
            if let written = try writer.writeClocks() {
                var keys = written.keys
                // Its clocks are read again for that.
                let hasPages = folded.rows.count > KeyPages.rowLimit
                if hasPages {
                    try take(written.clocks, of: Bookkeeping.versionID(ownSite, next))
                    let stored = StoredVersion(
                        actor: actor, site: ownSite, version: next, timestamp: timestamp, lastSequence: written.lastSequence, keys: keys)
                    keys = try KeyPages.write(stored, clocks: clocks)
                }
                try Bookkeeping.insertVersion(
                    connection, site: ownSite, version: next, timestamp: timestamp, lastSequence: written.lastSequence,
                    keys: keys, clocks: written.clocks)
                if unwrittenVersions >= Self.unwrittenVersionLimit { try writeOwnRanges() }
                outcome.version = next
                outcome.chunks = writer.makeChunks(actor: actor, timestamp: timestamp, lastSequence: written.lastSequence)
                // Last, because nothing can fail any more but the commit.
                if !hasPages { try take(written.clocks, of: Bookkeeping.versionID(ownSite, next)) }
            }
            context.setCapturing(true)
        }
        context.isFlushed = true
        return outcome
    }

    /// Bytes of the overlay from which on it is folded, whatever the number of clocks.
    static var unfoldedBytes: Int { 8 << 20 }

    private func take(_ log: [UInt8]?, of id: Int64) throws(StoreError) {
        guard let log else { return overlay.took(id, logBytes: nil) }
        do { try ClockLog.replay(log, of: id, into: overlay) } catch {
            throw .corrupt(message: "a log of clocks that was written just now cannot be read: \(error.reason)")
        }
    }

    /// Brings memory up to date after the commit.
    func committed(_ outcome: TransactionOutcome) {
        context.buffer.clear()
        guard let version = outcome.version else { return }
        ledger.apply(.completed(actor, versions: version...version))
        unwrittenVersions += 1
    }

    /// Own versions above the written ranges are found by their rows when the database is opened; this bounds how many.
    static var unwrittenVersionLimit: Int { 512 }

    /// Writes the complete ranges of our own actor as they are known now.
    func writeOwnRanges() throws(StoreError) {
        guard unwrittenVersions > 0, let entry = ledger[actor] else { return }
        for range in entry.complete.ranges { try Bookkeeping.writeRange(connection, site: ownSite, range) }
        unwrittenVersions = 0
    }

    /// A reading for durations; always zero in a simulation, where real time must not show.
    private func now() -> Duration {
        if options.simulated { return .zero }
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}

extension Statement {
    /// Binds the parameters without copying them: this statement has to outlive their use, until the compiled one is cleared. Positional
    /// ones must be as many as the statement has; names must occur in it.
    func bind(to statement: PreparedStatement) throws(StoreError) {
        let count = Int(sqlite3_bind_parameter_count(statement.handle))
        switch parameters {
        case .none:
            if count > 0 { throw wrongNumber(got: 0, needed: count) }
        case .positional(let values):
            guard values.count == count else { throw wrongNumber(got: values.count, needed: count) }
            for offset in values.indices { try statement.bindBorrowed(Int32(offset + 1), values[offset]) }
        case .named(let values):
            for named in values {
                let index = sqlite3_bind_parameter_index(statement.handle, named.name)
                guard index > 0 else { throw .parameter(message: "Invalid parameter name: \(named.name)", sql: sql) }
                try statement.bindBorrowed(index, named.value)
            }
        }
    }

    private func wrongNumber(got: Int, needed: Int) -> StoreError {
        .parameter(message: "Wrong number of parameters passed to query. Got \(got), needed \(needed)", sql: sql)
    }
}
