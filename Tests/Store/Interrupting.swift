import CSQLite

@testable import PatinaStore

/// Defines `stop()`, which interrupts the connection that runs it.
func interruptingFunction(_ store: Store, _ interrupter: UnsafeMutableRawPointer) -> Int32 {
    sqlite3_create_function_v2(
        store.connection.handle, "stop", 0, SQLITE_UTF8, interrupter,
        { context, _, _ in
            if let data = sqlite3_user_data(context) { Unmanaged<Interrupter>.fromOpaque(data).takeUnretainedValue().interrupt() }
            sqlite3_result_int(context, 0)
        }, nil, nil, nil)
}
