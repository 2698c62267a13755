import PatinaAgent
import PatinaProtocol
import PatinaSim
import PatinaStore
import Synchronization

/// Sends the planned transactions over HTTP, each when it is due, whether or not the earlier ones were answered.
final class WorkloadDriver: Sendable {
    enum Bounds {
        /// Transactions without an answer; the next one is refused here.
        static let outstanding = 4_096
        /// A transaction that is sent later than this after its time is late.
        static let lateness: Duration = .milliseconds(10)
        /// How long an answer is waited for.
        static let answer: Duration = .seconds(30)
    }

    /// What became of a transaction.
    enum Outcome: Sendable {
        /// The agent said that it is committed, as this version; nil: it changed nothing. `rows` are those that it changed.
        case acknowledged(actor: ActorID?, version: UInt64?, rows: [RowWrite])
        /// It was never begun.
        case refused
        /// The connection broke before the answer came: it may be committed or not.
        case unknown
    }

    struct Entry: Sendable {
        let transaction: PlannedTransaction
        let outcome: Outcome
    }

    struct Result: Sendable {
        var entries: [Entry] = []
        /// Transactions that were sent later than they should have been.
        var late = 0
        var lateness = Histogram()
    }

    private let addresses: LoopbackPlan
    private let result = Mutex(Result())

    init(addresses: LoopbackPlan) { self.addresses = addresses }

    /// What is known so far.
    var results: Result { result.withLock { $0 } }

    /// Runs until all transactions are answered, or until the task is cancelled.
    func run(_ plan: [LivePlan.DueTransaction], zero: Instant) async {
        await withTaskGroup(of: Void.self) { group in
            var outstanding = 0
            for due in plan {
                let time = zero + (due.at - .zero)
                do { try await Monotonic.sleep(until: time) } catch { return }
                noteSent(Monotonic.now - time)
                while outstanding >= Bounds.outstanding, await group.next() != nil { outstanding -= 1 }
                outstanding += 1
                group.addTask { await self.send(due.transaction) }
            }
        }
    }

    private func noteSent(_ late: Duration) {
        result.withLock {
            $0.lateness.record(late)
            if late > Bounds.lateness { $0.late += 1 }
        }
    }

    private func send(_ transaction: PlannedTransaction) async {
        var client = APIClient(address: addresses.bound(transaction.node))
        client.timeout = Bounds.answer
        let outcome: Outcome
        do throws(APIClient.Failure) {
            let reply = try await client.execute(transaction.statements)
            let rows = zip(transaction.rows, reply.results).filter { $0.1.rowsAffected > 0 }.map(\.0)
            outcome = .acknowledged(actor: reply.actor, version: reply.version, rows: rows)
        } catch {
            switch error {
            case .refused: outcome = .refused
            case .unreachable(_, let reason): outcome = reason.contains("connect") || reason.contains("refused") ? .refused : .unknown
            case .malformed, .interrupted: outcome = .unknown
            }
        }
        result.withLock { $0.entries.append(Entry(transaction: transaction, outcome: outcome)) }
    }
}
