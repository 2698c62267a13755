import PatinaProtocol

/// What is known of a replicated table without a look at its rows: the same in every database with the same schema.
struct TableDescription: Sendable {
    let id: Int64
    let name: String
    let keying: Keying
    let keyColumns: [KeyColumn]
    let columns: [Column]
    let keyCapture: [CaptureColumn]
    let capture: [CaptureColumn]
    let wireName: [UInt8]
    let wireColumns: [[UInt8]]
    let allWireColumns: [UInt8]
    let columnOrder: [Int]
    let columnNumbers: [String: Int]
    let recordNumbers: [Int]?
    let columnsByRecordNumber: [Int]
    let rowidName: String
    let sql: TableSQL

    /// - Parameters:
    ///   - recordNumbers: the numbers that clock records know the columns by.
    ///   - recordColumns: how many numbers were ever given out.
    init(
        id: Int64, name: String, keying: Keying, keyColumns: [KeyColumn], columns: [Column], recordNumbers: [Int], recordColumns: Int,
        rowidName: String
    ) {
        self.id = id
        self.name = name
        self.keying = keying
        self.keyColumns = keyColumns
        self.columns = columns
        keyCapture = keyColumns.map { CaptureColumn(hook: $0.hook, affinity: $0.affinity, hasDefault: false) }
        capture = columns.map { CaptureColumn(hook: $0.hook, affinity: $0.affinity, hasDefault: $0.defaultValue != nil) }
        wireName = ChangesetWriter.encodedName(name)
        wireColumns = columns.map { ChangesetWriter.encodedName($0.name) }
        allWireColumns = Array(wireColumns.joined())
        columnOrder = Array(columns.indices)
        self.rowidName = rowidName
        var byName: [String: Int] = [:]
        for (number, column) in columns.enumerated() { byName[column.name] = number }
        columnNumbers = byName
        self.recordNumbers = recordNumbers.elementsEqual(0..<recordColumns) ? nil : recordNumbers
        var byNumber = Array(repeating: -1, count: recordColumns)
        for (column, number) in recordNumbers.enumerated() { byNumber[number] = column }
        columnsByRecordNumber = byNumber
        sql = TableSQL(name: name, keying: keying, keys: keyColumns.map(\.name), columns: columns.map(\.name), rowid: rowidName)
    }
}
