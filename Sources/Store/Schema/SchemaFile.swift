/// A schema file: SQL text and the path that errors name.
public struct SchemaFile: Hashable, Sendable {
    public var path: String
    public var text: String

    public init(path: String, text: String) {
        self.path = path
        self.text = text
    }
}

/// What applying schema files changed. Names are sorted.
public struct SchemaReport: Hashable, Sendable {
    public var createdTables: [String] = []
    /// Tables that were there before, and are replicated from now on.
    public var adoptedTables: [String] = []
    /// The local transaction that the rows of adopted tables became, to be broadcast like any other; nil when there were none.
    public var adoption: TransactionOutcome?
    /// As `table.column`.
    public var addedColumns: [String] = []
    /// As `table.column`; only where destructive changes were allowed.
    public var droppedColumns: [String] = []
    public var changedColumns: [String] = []
    public var droppedTables: [String] = []
    public var createdIndexes: [String] = []
    public var droppedIndexes: [String] = []

    public init() {}

    /// True when the database already had this schema.
    public var isEmpty: Bool {
        createdTables.isEmpty && adoptedTables.isEmpty && addedColumns.isEmpty && createdIndexes.isEmpty && droppedIndexes.isEmpty
            && droppedColumns.isEmpty && changedColumns.isEmpty && droppedTables.isEmpty
    }

    mutating func sort() {
        createdTables.sort()
        adoptedTables.sort()
        addedColumns.sort()
        droppedColumns.sort()
        changedColumns.sort()
        droppedTables.sort()
        createdIndexes.sort()
        droppedIndexes.sort()
    }
}
