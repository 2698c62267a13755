import HTTPTypes
import PatinaProtocol
import PatinaStore

/// `POST /v1/transactions` and `POST /v1/queries`.
extension APIResponder {
    func transactionReply(_ statements: [Statement], timeout: Duration?) async -> APIReply {
        guard !statements.isEmpty else { return transactionFailure(.badRequest, "at least 1 statement is required") }
        let started = ContinuousClock.now
        do throws(StoreError) {
            let outcome = try await backend.transact(statements, timeout: timeout)
            return .json(.ok, encode(outcome, time: started.duration(to: .now)))
        } catch {
            return transactionFailure(error.isOverload ? .serviceUnavailable : .internalServerError, error.message)
        }
    }

    /// The rows begin to stream once the statement is known to be good.
    func queryReply(_ statement: Statement, timeout: Duration?) async -> APIReply {
        let started = ContinuousClock.now
        do throws(StoreError) {
            return .rows(try await backend.query(statement, timeout: timeout), started: started)
        } catch {
            switch error {
            // What SQLite says about the statement itself, before it ran.
            case .sqlite, .notReadOnly, .statementRefused:
                return .error(error.isFatal || error.isOutOfSpace ? .internalServerError : .badRequest, error.description)
            case .busy, .closed:
                return .error(.serviceUnavailable, error.description)
            case .parameter, .schema, .corrupt, .tooLarge, .interrupted:
                return .error(.internalServerError, error.description)
            }
        }
    }

    private func encode(_ outcome: TransactionOutcome, time: Duration) -> [UInt8] {
        var writer = JSONWriter(capacity: 128 + 48 * outcome.results.count)
        writer.raw("{\"results\":")
        writer.array(outcome.results) { writer, result in
            writer.raw("{\"rows_affected\":")
            writer.integer(result.rowsAffected)
            writer.raw(",\"time\":")
            writer.seconds(result.duration)
            writer.raw("}")
        }
        finish(&writer, time: time, version: outcome.version)
        return writer.bytes
    }

    private func transactionFailure(_ status: HTTPResponse.Status, _ message: String) -> APIReply {
        var writer = JSONWriter()
        writer.raw("{\"results\":[{\"error\":")
        writer.string(message)
        writer.raw("}]")
        finish(&writer, time: .zero, version: nil)
        return .json(status, writer.bytes)
    }

    private func finish(_ writer: inout JSONWriter, time: Duration, version: UInt64?) {
        writer.raw(",\"time\":")
        writer.seconds(time)
        writer.raw(",\"version\":")
        if let version { writer.integer(version) } else { writer.null() }
        writer.raw(",\"actor_id\":")
        writer.string(backend.actor.hexadecimal)
        writer.raw("}")
    }
}

extension StoreError {
    /// Trying again later may help: the request itself is fine.
    fileprivate var isOverload: Bool {
        switch self {
        case .busy, .closed: true
        case .sqlite, .schema, .corrupt, .notReadOnly, .statementRefused, .parameter, .tooLarge, .interrupted: false
        }
    }

    /// What the database says carries the prefix that Corrosion's clients know.
    fileprivate var message: String {
        switch self {
        case .sqlite, .notReadOnly, .statementRefused, .parameter, .interrupted: "rusqlite: \(description)"
        case .schema, .corrupt, .tooLarge, .busy, .closed: description
        }
    }
}
