import CSQLite
import Synchronization

/// Stops what a connection is doing, from any thread. Stays valid, and then does nothing, after the connection is closed.
public final class Interrupter: Sendable {
    /// The connection's address; nil once it is closed. The lock keeps `interrupt` and `close` apart.
    private let connection: Mutex<UInt?>

    init(_ handle: OpaquePointer) { connection = Mutex(UInt(bitPattern: handle)) }

    /// Makes the running statements of the connection fail with `StoreError.interrupted`. Statements that start later are not affected.
    public func interrupt() {
        connection.withLock { address in
            if let address, let handle = OpaquePointer(bitPattern: address) { sqlite3_interrupt(handle) }
        }
    }

    /// Must be called before the connection is closed.
    func invalidate() { connection.withLock { $0 = nil } }
}
