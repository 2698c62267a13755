import PatinaProtocol

/// A local transaction that shares its commit with others.
public struct SharedTransaction {
    public var statements: [Statement]
    /// Called right before the transaction begins; again when it has to be run a second time.
    public var willBegin: () -> Void
    /// Called before each statement, and before its changes are turned into a version.
    public var willRun: () -> Void
    /// Called when it has run, well or not. The commit comes later.
    public var didEnd: () -> Void

    public init(
        _ statements: [Statement], willBegin: @escaping () -> Void = {}, willRun: @escaping () -> Void = {},
        didEnd: @escaping () -> Void = {}
    ) {
        self.statements = statements
        self.willBegin = willBegin
        self.willRun = willRun
        self.didEnd = didEnd
    }
}

extension Store {
    /// Runs transactions one after the other, each as `transact` would, and commits those that succeed together: several versions,
    /// one sync of the disk. One that fails is taken back alone.
    ///
    /// SQLite takes back everything when it interrupts a statement that writes, or meets `ON CONFLICT ROLLBACK`. Nobody has an answer
    /// by then, so the transactions before the one at fault are run again, without it.
    ///
    /// - Parameter next: the next transaction; nil ends the group. The caller bounds how many there are.
    /// - Returns: what became of each, in the order in which `next` gave them. Those that succeeded are as durable as
    ///   `StoreOptions.synchronous` says, and their versions follow each other. When the commit fails, all have failed.
    public func transactTogether(next: () -> SharedTransaction?) -> [Result<TransactionOutcome, StoreError>] {
        var group = TransactionGroup(store: self)
        while group.canGrow, let transaction = next() { group.run(transaction) }
        group.commit()
        return group.results
    }
}

/// Local transactions on the way to one commit.
private struct TransactionGroup {
    private let store: Store
    private var transactions: [SharedTransaction] = []
    private(set) var results: [Result<TransactionOutcome, StoreError>] = []
    /// Those that have run since the SQLite transaction began, and that only lack the commit.
    private var uncommitted: [Int] = []
    private(set) var canGrow = true

    private static let savepoint = "SAVEPOINT one__patina_transaction"
    private static let release = "RELEASE one__patina_transaction"
    private static let rollBack = "ROLLBACK TO one__patina_transaction"

    init(store: Store) { self.store = store }

    mutating func run(_ transaction: SharedTransaction) {
        transactions.append(transaction)
        results.append(.failure(.closed))
        run(transactions.count - 1)
    }

    private mutating func run(_ index: Int) {
        do throws(StoreError) {
            results[index] = .success(try outcome(of: transactions[index]))
            uncommitted.append(index)
        } catch {
            results[index] = .failure(error)
            store.note(error)
            recover()
        }
    }

    /// Runs one in the open SQLite transaction. When it fails, its changes are taken back, or everything is.
    private func outcome(of transaction: SharedTransaction) throws(StoreError) -> TransactionOutcome {
        transaction.willBegin()
        defer { transaction.didEnd() }
        try store.checkUsable()
        // The first one has nothing before it that a rollback could take away.
        let isFirst = uncommitted.isEmpty
        let changes = store.overlay.changes
        do throws(StoreError) {
            if isFirst { try store.beginWriting() } else { try store.connection.statement(Self.savepoint).run() }
            let outcome = try store.capture(transaction.statements, willRun: transaction.willRun)
            if !isFirst { try store.connection.statement(Self.release).run() }
            // In memory before the commit, so that the next one gets the next version; `recover` and `commit` know how to take it back.
            store.committed(outcome)
            return outcome
        } catch {
            store.context.phase = .own
            if isFirst {
                store.connection.rollBack()
            } else if store.connection.isInTransaction {
                do throws(StoreError) {
                    try store.connection.statement(Self.rollBack).run()
                    try store.connection.statement(Self.release).run()
                } catch {
                    store.connection.rollBack()
                }
            }
            store.abandonCapture()
            do throws(StoreError) { try store.restoreClocks(changes: changes) } catch { store.failure = store.failure ?? error }
            throw error
        }
    }

    /// After a failure: when everything was taken back, what had succeeded before is run again.
    private mutating func recover() {
        guard !uncommitted.isEmpty, !store.connection.isInTransaction else { return }
        let again = uncommitted
        uncommitted = []
        canGrow = false
        guard store.forgetUncommitted() else {
            for index in again { results[index] = .failure(store.failure ?? .interrupted) }
            return
        }
        for index in again { run(index) }
    }

    mutating func commit() {
        guard !uncommitted.isEmpty else { return }
        do throws(StoreError) {
            try store.commitWriting()
        } catch {
            store.burnVersion()
            store.connection.rollBack()
            store.abandonCapture()
            store.note(error)
            _ = store.forgetUncommitted()
            for index in uncommitted { results[index] = .failure(error) }
        }
        uncommitted = []
    }
}

extension Store {
    /// Takes what the open transaction has captured away, after a rollback.
    fileprivate func abandonCapture() {
        context.buffer.clear()
        context.setCapturing(true)
        unwrittenVersions = Self.unwrittenVersionLimit
    }

    /// Brings memory back to what is committed. False when that cannot be read, which leaves the store of no more use.
    fileprivate func forgetUncommitted() -> Bool {
        guard failure == nil else { return false }
        do throws(StoreError) {
            try reloadMemory()
            return true
        } catch {
            failure = failure ?? error
            return false
        }
    }
}
