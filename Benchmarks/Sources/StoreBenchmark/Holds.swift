import CSQLite
import Glibc
import PatinaProtocol
import PatinaStore

/// How long one thing keeps the writer, so that whoever wants to write at its beginning has to wait: the distribution for each kind.
///
/// One thread writes single rows as fast as it can and does upkeep between them, much more often than an agent would. A second one moves
/// the log, as an agent's checkpoint thread does. Two read rows at random places. The same with plain SQLite, whose writer moves the log
/// itself, tells what the disk alone costs.
struct Holds {
    let directory: Directory
    let options: Options

    /// The times of one kind, in seconds.
    private struct Times {
        var all: [Double] = []

        mutating func measure<Result>(_ body: () throws -> Result) rethrows -> Result {
            let start = wallSeconds()
            defer { all.append(wallSeconds() - start) }
            return try body()
        }

        func line(_ name: String) -> String {
            let sorted = all.sorted()
            func at(_ share: Double) -> Int {
                sorted.isEmpty ? 0 : Int(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))] * 1e6)
            }
            return "{\"name\": \"\(name)\", \"count\": \(all.count), \"p50_us\": \(at(0.5)), \"p99_us\": \(at(0.99)), "
                + "\"p999_us\": \(at(0.999)), \"max_us\": \(at(1)), \"unit\": \"us\"}"
        }
    }

    /// What the threads share.
    private final class Shared: @unchecked Sendable {
        private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        private var stops = false
        private var wanted = false
        private var left = false
        var passes = Times()
        var reads = 0

        init() {
            mutex.initialize(to: pthread_mutex_t())
            pthread_mutex_init(mutex, nil)
        }

        private func locked<Result>(_ body: () -> Result) -> Result {
            pthread_mutex_lock(mutex)
            defer { pthread_mutex_unlock(mutex) }
            return body()
        }

        func stop() { locked { stops = true } }
        var isStopped: Bool { locked { stops } }
        func want() { locked { wanted = true } }
        func takeWanted() -> Bool {
            locked {
                defer { wanted = false }
                return wanted && !left
            }
        }
        func leaveToWriter() { locked { left = true } }
        var isLeftToWriter: Bool { locked { left } }
        func finished() { locked { left = false } }
        func add(reads count: Int) { locked { reads += count } }
    }

    func measure(rows: Int, synchronous: Synchronous) throws {
        try measureStore(rows: rows, synchronous: synchronous)
        measurePlain(rows: rows, synchronous: synchronous)
    }

    /// Each with a sync of its own under `full`.
    private func writeCount(_ synchronous: Synchronous) -> Int { synchronous == .full ? 20_000 : 200_000 }
    private static let schema = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b, c, d);"

    private func key(_ row: Int) -> Value {
        let digits = String(row)
        return .text(Array(("key-" + String(repeating: "0", count: 16 - digits.utf8.count) + digits).utf8))
    }

    private func fill(_ row: Int) -> [Value] {
        [key(row), .integer(Int64(row)), .text(Array("text \(row)".utf8)), .real(Double(row)), .null]
    }

    // MARK: The store

    private func measureStore(rows: Int, synchronous: Synchronous) throws {
        defer { directory.empty() }
        var storeOptions = StoreOptions()
        storeOptions.leavesCheckpoints = true
        storeOptions.synchronous = synchronous
        storeOptions.tombstoneRetention = .zero
        let path = directory.file("patina")
        let store = try Store(.file(path), options: storeOptions)
        _ = try store.applySchema([SchemaFile(path: "s", text: Self.schema)])
        let checkpointer = try store.makeCheckpointer()
        for start in stride(from: 0, to: rows, by: 10_000) {
            let part = (start..<min(rows, start + 10_000)).map { Statement("INSERT INTO t VALUES (?, ?, ?, ?, ?)", .positional(fill($0))) }
            _ = try store.transact(part)
            if store.logPages >= Store.checkpointPages { _ = try checkpointer.run() }
        }
        _ = try checkpointer.run()
        let shared = Shared()
        let movers = Helper { [shared] in
            while !shared.isStopped {
                guard shared.takeWanted() else {
                    usleep(200)
                    continue
                }
                guard let outcome = try? shared.passes.measure({ try checkpointer.run() }) else { fatalError("the log cannot be moved") }
                if outcome.isLeftToWriter, outcome.waitingPages > 0 { shared.leaveToWriter() }
            }
            checkpointer.close()
        }
        let readers = (0..<2).map { number in Helper { Self.read(path, rows: rows, seed: UInt64(number), shared) } }
        let kinds = ["write", "checkpoint", "fold", "key-lists", "tombstones", "vacuum", "ledger"]
        var times = [String: Times](uniqueKeysWithValues: kinds.map { ($0, Times()) })
        var numbers = Numbers(seed: 7)
        let began = wallSeconds()
        for number in 0..<writeCount(synchronous) {
            let key = key(numbers.below(rows))
            let statement =
                number % 10 == 9
                ? Statement("DELETE FROM t WHERE id = ?", .positional([key]))
                : Statement("UPDATE t SET a = ? WHERE id = ?", .positional([.integer(Int64(number)), key]))
            _ = try times["write", default: Times()].measure { try store.transact([statement]) }
            if store.logPages >= Store.checkpointPages { shared.want() }
            if shared.isLeftToWriter {
                _ = try times["checkpoint", default: Times()].measure { try store.finishCheckpoint() }
                shared.finished()
            }
            let task: MaintenanceTask? =
                switch number % 200 {
                case 50: .clocks
                case 100: .keyLists
                case 150: .tombstones
                case 180: .vacuum
                case 190: .ledger
                default: nil
                }
            if let task { _ = try times[Self.name(of: task), default: Times()].measure { try store.maintain(task) } }
        }
        let writing = wallSeconds() - began
        let prefix = "hold-\(synchronous.rawValue)"
        for kind in kinds { print(times[kind, default: Times()].line("\(prefix)/\(kind)")) }
        try measureForeignFold(store, rows: rows, prefix)
        try measureColumns(store, shared, prefix)
        shared.stop()
        for helper in readers + [movers] { helper.join() }
        print(shared.passes.line("\(prefix)/beside-the-writer/checkpoint"))
        let rate = Int(Double(writeCount(synchronous)) / writing)
        print("{\"name\": \"\(prefix)/writes\", \"value\": \(rate), \"unit\": \"transactions/s\", \"reads\": \(shared.reads)}")
        store.close()
    }

    private static func name(of task: MaintenanceTask) -> String {
        switch task {
        case .clocks: "fold"
        case .tombstones: "tombstones"
        case .keyLists: "key-lists"
        case .vacuum: "vacuum"
        case .ledger: "ledger"
        }
    }

    /// A merge of a row whose clock waits in memory has all that wait written first.
    private func measureForeignFold(_ store: Store, rows: Int, _ prefix: String) throws {
        let workload = Directory(below: options.directory)
        defer { workload.remove() }
        var peerOptions = StoreOptions()
        peerOptions.identity = ActorID(high: 9 << 56 | 0x4000, low: 0x8000_0000_0000_0000)
        let peer = try Store(.file(workload.file("origin")), options: peerOptions)
        defer { peer.close() }
        _ = try peer.applySchema([SchemaFile(path: "s", text: Self.schema)])
        var times = Times()
        var numbers = Numbers(seed: 9)
        for round in 0..<10 {
            var last = 0
            for _ in 0..<12 {
                let updates = (0..<1_000).map { number in
                    last = numbers.below(rows)
                    return Statement("UPDATE t SET a = ? WHERE id = ?", .positional([.integer(Int64(number)), key(last)]))
                }
                _ = try store.transact(updates)
            }
            let chunks = try peer.transact([
                Statement(
                    "INSERT INTO t VALUES (?, ?, 1, 1, 1) ON CONFLICT DO UPDATE SET a = ?2",
                    .positional([key(last), .integer(Int64(round))]))
            ]).chunks
            times.measure { _ = store.perform(.apply(chunks: chunks, empties: [])) }
        }
        print(times.line("\(prefix)/merge-that-folds"))
    }

    /// A column is dropped, and cleared away in the background.
    private func measureColumns(_ store: Store, _ shared: Shared, _ prefix: String) throws {
        var (schema, steps, checkpoints) = (Times(), Times(), Times())
        let text = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a, b, c);"
        _ = try schema.measure { try store.applySchema([SchemaFile(path: "s", text: text)], allowDestructive: true) }
        while store.needsUpkeep {
            _ = try steps.measure { try store.upkeep() }
            if store.logPages >= Store.checkpointPages { shared.want() }
            if shared.isLeftToWriter {
                _ = try checkpoints.measure { try store.finishCheckpoint() }
                shared.finished()
            }
        }
        print(schema.line("\(prefix)/schema-that-drops-a-column"))
        print(steps.line("\(prefix)/column-cleaning"))
        print(checkpoints.line("\(prefix)/checkpoint-beside-column-cleaning"))
    }

    private static func read(_ path: String, rows: Int, seed: UInt64, _ shared: Shared) {
        guard let reader = PlainReader(path: path) else { fatalError("\(path) cannot be read") }
        var numbers = Numbers(seed: seed)
        var count = 0
        while !shared.isStopped {
            reader.read(row: numbers.below(rows))
            count += 1
            usleep(500)
        }
        reader.close()
        shared.add(reads: count)
    }

    // MARK: Plain SQLite on the same disk

    private func measurePlain(rows: Int, synchronous: Synchronous) {
        defer { directory.empty() }
        let path = directory.file("plain")
        let workload = Workload(Shape(columns: 2), rows: 1, changes: 0, seed: 1)
        let plain = PlainDatabase(path: path, workload: workload, synchronous: synchronous.rawValue)
        plain.execute("CREATE TABLE p (id TEXT NOT NULL PRIMARY KEY, a, b, c, d)")
        plain.execute("PRAGMA wal_autocheckpoint = 0")
        for start in stride(from: 0, to: rows, by: 10_000) {
            let end = min(rows, start + 10_000)
            plain.execute(
                """
                INSERT INTO p WITH RECURSIVE n(x) AS (SELECT \(start) UNION ALL SELECT x + 1 FROM n WHERE x < \(end - 1))
                SELECT printf('key-%016d', x), x, 'text ' || x, x * 1.0, NULL FROM n
                """)
        }
        _ = plain.checkpoint()
        var (writes, checkpoints) = (Times(), Times())
        var numbers = Numbers(seed: 7)
        for number in 0..<writeCount(synchronous) {
            guard case .text(let bytes) = key(numbers.below(rows)) else { continue }
            let text = String(decoding: bytes, as: UTF8.self)
            writes.measure { plain.execute("UPDATE p SET a = \(number) WHERE id = '\(text)'") }
            if number % 1_000 == 999 { _ = checkpoints.measure { plain.checkpoint() } }
        }
        print(writes.line("hold-\(synchronous.rawValue)/plain/write"))
        print(checkpoints.line("hold-\(synchronous.rawValue)/plain/checkpoint-of-1000-pages"))
        plain.close()
    }
}

/// A thread that runs one closure.
private final class Helper: @unchecked Sendable {
    private var thread = pthread_t()

    init(_ body: @escaping () -> Void) {
        let box = Unmanaged.passRetained(Box(body))
        let code = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        precondition(code == 0, "a thread can be made")
    }

    func join() { pthread_join(thread, nil) }

    private final class Box {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }
}

/// A program that reads the database beside its writer.
private final class PlainReader {
    private let handle: OpaquePointer
    private let select: OpaquePointer

    init?(path: String) {
        var (opened, statement): (OpaquePointer?, OpaquePointer?)
        guard sqlite3_open_v2(path, &opened, SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READONLY, nil) == SQLITE_OK, let opened else { return nil }
        sqlite3_busy_timeout(opened, 5_000)
        guard
            sqlite3_prepare_v3(opened, "SELECT a FROM t WHERE rowid = ?1", -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
                == SQLITE_OK,
            let statement
        else { return nil }
        handle = opened
        select = statement
    }

    func read(row: Int) {
        sqlite3_bind_int64(select, 1, Int64(row))
        while sqlite3_step(select) == SQLITE_ROW {}
        sqlite3_reset(select)
    }

    func close() {
        sqlite3_finalize(select)
        sqlite3_close_v2(handle)
    }
}
