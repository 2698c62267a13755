import CSQLite
import PatinaProtocol

/// A compiled statement of one connection. Finalized with its last reference.
final class PreparedStatement {
    let handle: OpaquePointer
    /// Keeps the connection open for as long as the statement lives.
    let connection: Connection
    /// The columns that the statement may change, for a user's statement; nil: any.
    var updates: UpdatedColumns?

    init(_ handle: OpaquePointer, _ connection: Connection) {
        self.handle = handle
        self.connection = connection
    }

    deinit { sqlite3_finalize(handle) }

    // MARK: Binding. Indexes count from 1. A failure to bind is a defect of ours or a value over SQLite's size limit.

    func bind(_ index: Int32, _ value: Int64) throws(StoreError) {
        let code = sqlite3_bind_int64(handle, index, value)
        if code != SQLITE_OK { try check(code) }
    }
    func bind(_ index: Int32, _ value: UInt64) throws(StoreError) { try bind(index, Int64(bitPattern: value)) }
    func bind(_ index: Int32, _ value: Int) throws(StoreError) { try bind(index, Int64(value)) }

    func bind(_ index: Int32, _ value: Value) throws(StoreError) {
        switch value {
        case .null: try check(sqlite3_bind_null(handle, index))
        case .integer(let number): try check(sqlite3_bind_int64(handle, index, number))
        case .real(let number): try check(sqlite3_bind_double(handle, index, number))
        case .text(let text): try bindText(index, text)
        case .blob(let blob): try bind(index, blob: blob)
        }
    }

    /// Binds without a copy: the value has to live unchanged until `forgetBorrowed`.
    func bindBorrowed(_ index: Int32, _ value: Value) throws(StoreError) {
        let code: Int32
        switch value {
        case .null: code = sqlite3_bind_null(handle, index)
        case .integer(let number): code = sqlite3_bind_int64(handle, index, number)
        case .real(let number): code = sqlite3_bind_double(handle, index, number)
        case .text(let text):
            code = text.withUnsafeBytes { bytes in
                guard let base = bytes.baseAddress, bytes.count > 0 else { return sqlite3_bind_text(handle, index, "", 0, nil) }
                return sqlite3_bind_text64(
                    handle, index, base.assumingMemoryBound(to: CChar.self), UInt64(bytes.count), nil, UInt8(SQLITE_UTF8))
            }
        case .blob(let blob):
            code = blob.withUnsafeBytes { bytes in
                guard let base = bytes.baseAddress, bytes.count > 0 else { return sqlite3_bind_zeroblob(handle, index, 0) }
                return sqlite3_bind_blob64(handle, index, base, UInt64(bytes.count), nil)
            }
        }
        if code != SQLITE_OK { try check(code) }
    }

    /// Binds without a copy: the bytes have to stay where they are until the statement has run.
    func bindBorrowed(_ index: Int32, blob bytes: UnsafeRawBufferPointer) throws(StoreError) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return try check(sqlite3_bind_zeroblob(handle, index, 0)) }
        let code = sqlite3_bind_blob64(handle, index, base, UInt64(bytes.count), nil)
        if code != SQLITE_OK { try check(code) }
    }

    /// As above.
    func bindBorrowed(_ index: Int32, text bytes: UnsafeRawBufferPointer) throws(StoreError) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return try check(sqlite3_bind_text(handle, index, "", 0, nil)) }
        let code = sqlite3_bind_text64(
            handle, index, base.assumingMemoryBound(to: CChar.self), UInt64(bytes.count), nil, UInt8(SQLITE_UTF8))
        if code != SQLITE_OK { try check(code) }
    }

    /// Lets go of what `bindBorrowed` bound.
    func forgetBorrowed() { sqlite3_clear_bindings(handle) }

    func bind(_ index: Int32, blob: [UInt8]) throws(StoreError) {
        try check(blob.withUnsafeBytes { bytes in bindBlob(index, bytes) })
    }

    func bind(_ index: Int32, text: String) throws(StoreError) { try bindText(index, Array(text.utf8)) }

    /// The bytes are copied.
    func bindBlob(_ index: Int32, _ bytes: UnsafeRawBufferPointer) -> Int32 {
        // A null pointer would bind NULL.
        guard let base = bytes.baseAddress, bytes.count > 0 else { return sqlite3_bind_zeroblob(handle, index, 0) }
        return sqlite3_bind_blob64(handle, index, base, UInt64(bytes.count), patina_sqlite3_transient())
    }

    private func bindText(_ index: Int32, _ text: [UInt8]) throws(StoreError) {
        let code = text.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, bytes.count > 0 else { return sqlite3_bind_text(handle, index, "", 0, nil) }
            return sqlite3_bind_text64(
                handle, index, base.assumingMemoryBound(to: CChar.self), UInt64(bytes.count), patina_sqlite3_transient(), UInt8(SQLITE_UTF8)
            )
        }
        try check(code)
    }

    func check(_ code: Int32) throws(StoreError) {
        guard code == SQLITE_OK else { throw connection.error(code, sql: sql) }
    }

    // MARK: Running

    var sql: String { sqlite3_sql(handle).map { String(cString: $0) } ?? "" }

    /// True when there is a row to read; false at the end, where the statement is also reset.
    func step() throws(StoreError) -> Bool {
        let code = sqlite3_step(handle)
        if code == SQLITE_ROW { return true }
        if code == SQLITE_DONE {
            sqlite3_reset(handle)
            return false
        }
        let error = connection.error(code, sql: sql)
        sqlite3_reset(handle)
        throw error
    }

    /// Runs a statement whose rows, if any, do not matter.
    func run() throws(StoreError) {
        while try step() {}
    }

    /// Ends reading before the last row.
    func reset() { sqlite3_reset(handle) }

    /// Ends reading and forgets the parameters, so that a cached statement holds neither locks nor values.
    func clear() {
        sqlite3_reset(handle)
        sqlite3_clear_bindings(handle)
    }

    // MARK: Columns of the present row. Indexes count from 0.

    var columnCount: Int32 { sqlite3_column_count(handle) }
    func isNull(_ index: Int32) -> Bool { sqlite3_column_type(handle, index) == SQLITE_NULL }
    func integer(_ index: Int32) -> Int64 { sqlite3_column_int64(handle, index) }
    func unsigned(_ index: Int32) -> UInt64 { UInt64(bitPattern: integer(index)) }

    /// The bytes of a blob or text, valid until the next step.
    func bytes(_ index: Int32) -> UnsafeRawBufferPointer {
        let base = sqlite3_column_blob(handle, index)
        return UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(handle, index)))
    }

    func blob(_ index: Int32) -> [UInt8] { Array(bytes(index)) }

    func text(_ index: Int32) -> String { String(decoding: textBytes(index), as: UTF8.self) }

    func textBytes(_ index: Int32) -> UnsafeRawBufferPointer {
        let base = sqlite3_column_text(handle, index)
        return UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(handle, index)))
    }

    func value(_ index: Int32) -> Value {
        switch sqlite3_column_type(handle, index) {
        case SQLITE_INTEGER: .integer(sqlite3_column_int64(handle, index))
        case SQLITE_FLOAT: .real(sqlite3_column_double(handle, index))
        case SQLITE_TEXT: .text(Array(textBytes(index)))
        case SQLITE_BLOB: .blob(Array(bytes(index)))
        default: .null
        }
    }

    /// Appends the value as changesets carry it.
    func appendValue(_ index: Int32, to output: inout [UInt8]) {
        switch sqlite3_column_type(handle, index) {
        case SQLITE_INTEGER: ValueCodec.append(integer: sqlite3_column_int64(handle, index), to: &output)
        case SQLITE_FLOAT: ValueCodec.append(real: sqlite3_column_double(handle, index), to: &output)
        case SQLITE_TEXT: ValueCodec.append(.text, textBytes(index), to: &output)
        case SQLITE_BLOB: ValueCodec.append(.blob, bytes(index), to: &output)
        default: ValueCodec.appendNull(to: &output)
        }
    }

    /// Appends the value as a column of a packed key.
    func appendKeyColumn(_ index: Int32, to output: inout [UInt8]) {
        switch sqlite3_column_type(handle, index) {
        case SQLITE_INTEGER: PackedKey.append(integer: sqlite3_column_int64(handle, index), to: &output)
        case SQLITE_FLOAT: PackedKey.append(real: sqlite3_column_double(handle, index), to: &output)
        case SQLITE_TEXT: PackedKey.append(.text, textBytes(index), to: &output)
        case SQLITE_BLOB: PackedKey.append(.blob, bytes(index), to: &output)
        default: output.append(PackedKey.KeyType.null.rawValue)
        }
    }
}
