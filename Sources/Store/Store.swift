import CSQLite
import PatinaProtocol

/// Keeps the content of an in-memory database alive while no store has it open.
public final class MemoryAnchor {
    public init(name: String) throws(StoreError) { throw .closed }
    public func close() {}
}

/// A replicated SQLite database: one writing connection. Not sendable: one thread owns it.
public final class Store {
    public let actor: ActorID
    /// How often this database was opened, this time included.
    public let generation: UInt64
    /// What is known of every actor's versions, equal to what is on disk.
    public private(set) var ledger = VersionLedger()
    /// The error after which the store is of no more use, once one has occurred.
    public private(set) var failure: StoreError?

    public init(_ location: StoreLocation, options: StoreOptions) throws(StoreError) { throw .closed }

    public var interrupter: Interrupter { preconditionFailure("under construction") }
    public func members() throws(StoreError) -> [MemberRecord] { throw .closed }
    public func applySchema(_ files: [SchemaFile]) throws(StoreError) -> SchemaReport { throw .closed }
    public func transact(_ statements: [Statement]) throws(StoreError) -> TransactionOutcome { throw .closed }
    public func perform(_ operation: StoreOperation) -> StoreResult { .failed(reason: StoreError.closed.description) }
    public func makeReader() throws(StoreError) -> StoreReader { throw .closed }
    public func contentFingerprint() throws(StoreError) -> Fingerprint { throw .closed }
    public func verify() throws(StoreError) -> [String] { throw .closed }
    public func close() {}
}
