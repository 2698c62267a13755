import CSQLite
import PatinaProtocol

/// An empty database with a schema, of which many databases in memory are begun as copies: opening a copy neither compiles schema files nor
/// examines tables. For simulations, which open thousands.
///
/// A copy that is begun this way holds what `Store.init` and `applySchema` would have made, with two exceptions: it has no guards against
/// other programs (none can get at memory), and its pages are smaller.
public final class StoreTemplate: Sendable {
    /// The pages.
    let image: [UInt8]
    /// In ascending order of name.
    let tables: [TableDescription]
    let keyings: [Int64: Keying]
    /// SQLite's own counter of schema changes in the image.
    let schemaVersion: Int64

    /// The replicated tables, in ascending order.
    public var tableNames: [String] { tables.map(\.name) }

    /// Stands for the actor that each copy gets.
    private static let nobody = ActorID(high: 0, low: 0)

    /// Throws `StoreError.schema` for what `Store.applySchema` refuses.
    public init(_ schema: [SchemaFile]) throws(StoreError) {
        // The address of a byte is unique among the templates of this process.
        let mark = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1)
        defer { mark.deallocate() }
        var options = StoreOptions()
        options.simulated = true
        options.guardsTables = false
        options.wallClock = { 0 }
        options.identity = Self.nobody
        let store = try Store(.memory(name: "template-" + String(UInt(bitPattern: mark), radix: 16)), options: options)
        defer { store.close() }
        _ = try store.applySchema(schema)
        while store.needsUpkeep { _ = try store.upkeep() }
        // Generation 0 says that nobody has opened it.
        try Bookkeeping.writeMeta(store.connection, "generation", 0)
        tables = store.catalog.tables.map(\.description)
        keyings = store.catalog.keyings
        schemaVersion = store.catalog.schemaVersion
        var size: Int64 = 0
        guard let bytes = sqlite3_serialize(store.connection.handle, "main", &size, 0) else {
            throw .sqlite(code: SQLITE_NOMEM, message: "the template's pages cannot be copied", sql: nil)
        }
        image = Array(UnsafeBufferPointer(start: bytes, count: Int(size)))
        sqlite3_free(bytes)
    }

    /// Makes an untouched copy the database of an actor, opened for the first time. False when it was opened before.
    func begin(_ connection: Connection, as actor: ActorID) throws(StoreError) -> Bool {
        try connection.statement(.begin).run()
        do throws(StoreError) {
            let isUntouched = try Bookkeeping.readMeta(connection, "generation") == 0
            if isUntouched {
                let name = try connection.prepareUncached("UPDATE __patina_sites SET actor = ?1")
                try name.bind(1, blob: actor.bytes)
                try name.run()
                try Bookkeeping.writeMeta(connection, "generation", 1)
            }
            try connection.statement(.commit).run()
            return isUntouched
        } catch {
            connection.rollBack()
            throw error
        }
    }
}

/// Keeps the content of an in-memory database alive while no store has it open: the simulator's disk that survives a crash.
public final class MemoryAnchor {
    /// The file below the connections. Nil once it is closed.
    private var file: UnsafeMutablePointer<sqlite3_file>?

    /// Holds the database of that name, which may be empty yet.
    /// - Parameter template: what a database that is empty begins with.
    public init(name: String, template: StoreTemplate? = nil) throws(StoreError) {
        guard let memory = sqlite3_vfs_find("memdb"), let open = memory.pointee.xOpen else {
            throw .sqlite(code: SQLITE_ERROR, message: "this SQLite is built without databases in memory", sql: nil)
        }
        let raw = UnsafeMutableRawPointer.allocate(byteCount: Int(memory.pointee.szOsFile), alignment: 16)
        let file = raw.bindMemory(to: sqlite3_file.self, capacity: 1)
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB
        let code = StoreLocation.sharedMemoryName(name).withCString { open(memory, $0, file, flags, nil) }
        guard code == SQLITE_OK else {
            raw.deallocate()
            throw .sqlite(code: code, message: "the memory of database \(name) cannot be had", sql: nil)
        }
        self.file = file
        guard let template else { return }
        var size: Int64 = 0
        var filled = file.pointee.pMethods.pointee.xFileSize(file, &size)
        if filled == SQLITE_OK, size == 0 {
            filled = template.image.withUnsafeBytes { file.pointee.pMethods.pointee.xWrite(file, $0.baseAddress, Int32($0.count), 0) }
        }
        guard filled == SQLITE_OK else {
            close()
            throw .sqlite(code: filled, message: "the template of database \(name) cannot be copied", sql: nil)
        }
    }

    deinit { close() }

    /// Lets the content go, unless a store has it open.
    public func close() {
        guard let file else { return }
        self.file = nil
        _ = file.pointee.pMethods.pointee.xClose(file)
        UnsafeMutableRawPointer(file).deallocate()
    }
}
