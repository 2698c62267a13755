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
    /// As `table.column`.
    public var addedColumns: [String] = []
    public var createdIndexes: [String] = []
    public var droppedIndexes: [String] = []

    public init() {}

    /// True when the database already had this schema.
    public var isEmpty: Bool { createdTables.isEmpty && addedColumns.isEmpty && createdIndexes.isEmpty && droppedIndexes.isEmpty }
}
