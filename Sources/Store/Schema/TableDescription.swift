import PatinaProtocol

/// What is known of a replicated table without a look at its rows: the same in every database with the same schema.
struct TableDescription: Sendable {
    /// In key lists. Never reused.
    let id: Int64
    let name: String
    let keying: Keying
    let keyColumns: [KeyColumn]
    let columns: [Column]
    /// The same columns as capture sees them.
    let keyCapture: [CaptureColumn]
    let capture: [CaptureColumn]
    /// The names of the table and of its columns as they travel; the latter also one behind the other.
    let wireName: [UInt8]
    let wireColumns: [[UInt8]]
    let allWireColumns: [UInt8]
    /// 0, 1, 2… for each column.
    let columnOrder: [Int]
    /// Column numbers by name.
    let columnNumbers: [String: Int]
    /// The numbers by which clock records know the columns, in the order of `columns`; nil as long as they are the same, which is
    /// until a column is dropped.
    let recordNumbers: [Int]?
    /// Columns by the numbers of clock records; -1 for those that were dropped.
    let columnsByRecordNumber: [Int]
    /// A name for the rowid that no column hides. Empty for `packedKey`.
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
