import CSQLite
import PatinaProtocol

/// One read-only connection. Not sendable: one thread at a time owns it.
public final class StoreReader {
    init() {}
    public var interrupter: Interrupter { preconditionFailure("under construction") }
    /// Refuses statements that are not read-only.
    public func prepare(_ statement: Statement) throws(StoreError) -> RowCursor { throw .closed }
    public func read(_ request: ReadRequest) -> StoreResult { .failed(reason: StoreError.closed.description) }
    public func close() {}
}

/// The rows of a query, one at a time.
public final class RowCursor {
    public let columns: [String] = []
    init() {}
    /// The next row; nil after the last.
    public func next() throws(StoreError) -> [Value]? { nil }
    /// Ends the query early. Called by itself after the last row.
    public func finish() {}
}
