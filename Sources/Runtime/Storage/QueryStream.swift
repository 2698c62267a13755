import PatinaProtocol
import PatinaStore

/// The result of a query: the names of its columns, and its rows in batches as they are read.
///
/// May be iterated once. The query advances no more than a few batches ahead of the iteration; it ends, and its connection
/// is free again, when the last row was read, when the iterating task is cancelled, or when the stream and its iterator are
/// released. An error in the middle is thrown after the rows before it.
public struct QueryStream: AsyncSequence, Sendable {
    /// Rows, each with a value for every column. Never empty.
    public typealias Element = [[Value]]
    public typealias Failure = StoreError

    public let columns: [String]
    private let handle: QueryHandle

    init(columns: [String], handle: QueryHandle) {
        self.columns = columns
        self.handle = handle
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(handle: handle) }

    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let handle: QueryHandle

        /// The next rows; nil after the last.
        public mutating func next() async throws(StoreError) -> [[Value]]? { try await handle.next() }

        /// As `next()`, on whatever executor the caller runs.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(StoreError) -> [[Value]]? {
            try await handle.next()
        }
    }

    /// The most batches that ever waited for this consumer.
    var highWater: Int { handle.pipe.highWater }
}

/// The consumer's hold on a running query: releasing it ends the query.
final class QueryHandle: Sendable {
    let pipe: QueryPipe
    private let pool: ReaderPool

    init(pipe: QueryPipe, pool: ReaderPool) {
        self.pipe = pipe
        self.pool = pool
    }

    deinit { pool.cancel(pipe) }

    func columns() async throws(StoreError) -> [String] {
        let opened = await withTaskCancellationHandler {
            await pipe.opened.wait() ?? .failure(.interrupted)
        } onCancel: {
            pool.cancel(pipe)
        }
        return try opened.get()
    }

    func next() async throws(StoreError) -> [[Value]]? {
        let result = await withTaskCancellationHandler {
            await pipe.next()
        } onCancel: {
            pool.cancel(pipe)
        }
        return try result.get()
    }
}
