import PatinaProtocol

/// The table of a measurement: a text key of 20 characters, then as many INTEGER as TEXT columns.
struct Shape {
    /// Columns outside the key: 8 (4 INTEGER, 4 TEXT of 16 characters) or 2 (one of each).
    let columns: Int

    func schema(table: String = "t") -> String {
        let names = (0..<columns).map { isText($0) ? "c\($0) TEXT" : "c\($0) INTEGER" }
        return "CREATE TABLE \(table) (id TEXT NOT NULL PRIMARY KEY, \(names.joined(separator: ", ")));"
    }

    func isText(_ column: Int) -> Bool { column % 2 == 1 }

    func insertSQL(table: String = "t") -> String {
        "INSERT INTO \(table) VALUES (\((0...columns).map { "?\($0 + 1)" }.joined(separator: ", ")))"
    }

    /// One of the columns: `?1` is the value, `?2` the key.
    func updateSQL(column: Int) -> String { "UPDATE t SET c\(column) = ?1 WHERE id = ?2" }
    var deleteSQL: String { "DELETE FROM t WHERE id = ?1" }
}

/// Numbers that are the same in every run (SplitMix64).
struct Numbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }

    mutating func text(_ length: Int) -> Value {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(length)
        for _ in 0..<length { bytes.append(UInt8(97 + below(26))) }
        return .text(bytes)
    }

    /// A value for a column.
    mutating func value(isText: Bool) -> Value { isText ? text(16) : .integer(Int64(truncatingIfNeeded: next() >> 40)) }

    mutating func shuffle(_ values: inout [Int]) {
        for index in values.indices.dropFirst().reversed() { values.swapAt(index, below(index + 1)) }
    }
}

/// One statement as both sides run it: which of the prepared statements, and its parameters.
struct Step {
    /// 0: insert; 1: delete; 2 and up: update of column `kind` - 2.
    var kind: Int
    var parameters: [Value]
}

/// Everything that one round writes, made before any clock runs.
struct Workload {
    let shape: Shape
    private(set) var keys: [Value] = []
    private(set) var inserts: [Step] = []
    private(set) var updates: [Step] = []
    private(set) var deletes: [Step] = []

    /// - Parameter changes: how many updates, and how many deletions, follow the inserts.
    init(_ shape: Shape, rows: Int, changes: Int, seed: UInt64) {
        self.shape = shape
        var numbers = Numbers(seed: seed)
        for _ in 0..<rows {
            let key = numbers.text(20)
            keys.append(key)
            inserts.append(Step(kind: 0, parameters: [key] + (0..<shape.columns).map { numbers.value(isText: shape.isText($0)) }))
        }
        for _ in 0..<changes { updates.append(makeUpdate(&numbers, row: numbers.below(rows))) }
        var order = Array(0..<rows)
        numbers.shuffle(&order)
        deletes = order.prefix(changes).map { Step(kind: 1, parameters: [keys[$0]]) }
    }

    private func makeUpdate(_ numbers: inout Numbers, row: Int) -> Step {
        let column = numbers.below(shape.columns)
        return Step(kind: 2 + column, parameters: [numbers.value(isText: shape.isText(column)), keys[row]])
    }

    /// One update of every row, in the order of insertion.
    func updatesOfEveryRow(seed: UInt64) -> [Step] {
        var numbers = Numbers(seed: seed)
        return keys.indices.map { makeUpdate(&numbers, row: $0) }
    }

    var sql: [String] { [shape.insertSQL(), shape.deleteSQL] + (0..<shape.columns).map { shape.updateSQL(column: $0) } }
}

extension Array {
    /// The elements in groups of `size`; the last one may be smaller.
    func grouped(by size: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: count, by: size).map { self[$0..<Swift.min($0 + size, count)] }
    }
}
