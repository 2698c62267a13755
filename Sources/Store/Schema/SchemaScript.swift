import CSQLite
import PatinaProtocol

/// What schema files declare, found out by running them in an empty database.
struct SchemaScript {
    struct Declaration {
        var shape: TableShape
        var file: String
        var line: Int
        /// The lines of the columns, by name, where they could be told.
        var columnLines: [String: Int]
        /// The text of each column's definition, by name.
        var columnTexts: [String: String]

        func error(_ message: String, column: String? = nil) -> StoreError {
            .schema(file: file, line: column.flatMap { columnLines[$0] } ?? line, message: message)
        }
    }

    /// In the order of declaration.
    private(set) var tables: [Declaration] = []
    /// Tables that `DROP TABLE IF EXISTS` names.
    private(set) var droppedTables: [(name: String, file: String, line: Int)] = []
    /// Where each index was declared, by name.
    private(set) var indexPlaces: [String: (file: String, line: Int)] = [:]

    private let scratch: Connection

    init(_ files: [SchemaFile]) throws(StoreError) {
        scratch = try Connection.scratch()
        defer { scratch.close() }
        for file in files { try run(file) }
        for dropped in droppedTables where tables.contains(where: { $0.shape.name == dropped.name }) {
            throw .schema(
                file: dropped.file, line: dropped.line,
                message: "table '\(dropped.name)' is declared by the same schema: remove its CREATE TABLE or this DROP TABLE")
        }
        for index in tables.indices {
            // Read once more: indexes may have followed.
            guard let shape = try scratch.shape(of: tables[index].shape.name) else { continue }
            tables[index].shape = shape
            try SchemaRules.check(tables[index], indexPlaces)
        }
    }

    private mutating func run(_ file: SchemaFile) throws(StoreError) {
        let text = Array(file.text.utf8)
        if let zero = text.firstIndex(of: 0) {
            throw .schema(file: file.path, line: lineNumber(text, zero), message: "the file contains a zero byte")
        }
        var offset = 0
        while offset < text.count {
            var scanner = SQLScanner(text, from: offset)
            guard let first = scanner.next() else { return }
            if first.kind == .symbol(UInt8(ascii: ";")) {
                offset = scanner.position
                continue
            }
            let start = first.range.lowerBound
            let line = lineNumber(text, start)
            let kind = try Self.kind(of: text, from: start, file.path, line)
            let end: Int
            do throws(StoreError) {
                let prepared = try scratch.prepareNext(text, from: start)
                end = prepared.end
                if kind == .dropTable {
                    droppedTables.append((try Self.droppedTable(text, from: start, file.path, line), file.path, line))
                    offset = end
                    continue
                }
                try runStatement(prepared.statement, kind, Array(text[start..<end]), file, line)
            } catch {
                if case .schema = error { throw error }
                let place = scratch.errorOffset.map { min(start + $0, text.count) } ?? start
                throw .schema(file: file.path, line: lineNumber(text, place), message: error.description)
            }
            offset = end
        }
    }

    private enum StatementKind { case createTable, createIndex, dropIndex, dropTable }

    /// What the statement is, by its first words. Refuses everything that is not allowed in schema files.
    private static func kind(of text: [UInt8], from start: Int, _ file: String, _ line: Int) throws(StoreError) -> StatementKind {
        var scanner = SQLScanner(text, from: start)
        var words: [String] = []
        while words.count < 4, let token = scanner.next() { words.append(token.kind == .word ? scanner.text(of: token) : "") }
        switch (words.first ?? "", words.count > 1 ? words[1] : "") {
        case ("CREATE", "TABLE"): return .createTable
        case ("CREATE", "INDEX"): return .createIndex
        case ("CREATE", "UNIQUE"):
            throw .schema(
                file: file, line: line, message: "unique indexes are not supported: two nodes could write equal values at once")
        case ("CREATE", "TEMP"), ("CREATE", "TEMPORARY"):
            throw .schema(file: file, line: line, message: "temporary tables are not supported in schema files")
        case ("DROP", "INDEX"):
            guard words.count > 3, words[2] == "IF", words[3] == "EXISTS" else {
                throw .schema(file: file, line: line, message: "DROP INDEX is only supported as DROP INDEX IF EXISTS")
            }
            return .dropIndex
        case ("DROP", "TABLE"):
            guard words.count > 3, words[2] == "IF", words[3] == "EXISTS" else {
                throw .schema(file: file, line: line, message: "DROP TABLE is only supported as DROP TABLE IF EXISTS")
            }
            return .dropTable
        default:
            let what = words.prefix(2).filter { !$0.isEmpty }.joined(separator: " ")
            throw .schema(
                file: file, line: line,
                message:
                    "\(what.isEmpty ? "this" : what) is not supported: a schema has CREATE TABLE, "
                    + "CREATE INDEX, DROP INDEX and DROP TABLE IF EXISTS"
            )
        }
    }

    private mutating func runStatement(
        _ statement: PreparedStatement?, _ kind: StatementKind, _ text: [UInt8], _ file: SchemaFile, _ line: Int
    ) throws(StoreError) {
        let before = try names()
        try statement?.run()
        if try scratch.integer("SELECT count(*) FROM sqlite_temp_schema") > 0 {
            throw .schema(file: file.path, line: line, message: "temporary tables are not supported in schema files")
        }
        let after = try names()
        switch kind {
        case .createTable:
            guard let name = after.tables.first(where: { !before.tables.contains($0) }), let shape = try scratch.shape(of: name) else {
                return
            }
            try refuseSelect(text, file, line)
            var declaration = Declaration(shape: shape, file: file.path, line: line, columnLines: [:], columnTexts: [:])
            for definition in SQLScanner.definitions(of: text) {
                declaration.columnLines[definition.name] = line + lineNumber(text, definition.range.lowerBound) - 1
                declaration.columnTexts[definition.name] = String(decoding: text[definition.range], as: UTF8.self)
            }
            tables.append(declaration)
        case .createIndex:
            if let name = after.indexes.first(where: { !before.indexes.contains($0) }) { indexPlaces[name] = (file.path, line) }
        case .dropTable: break
        case .dropIndex:
            if after.indexes.count < before.indexes.count {
                throw .schema(file: file.path, line: line, message: "an index that the same schema creates cannot be dropped")
            }
        }
    }

    /// The name behind DROP TABLE IF EXISTS.
    private static func droppedTable(_ text: [UInt8], from start: Int, _ file: String, _ line: Int) throws(StoreError) -> String {
        var scanner = SQLScanner(text, from: start)
        for _ in 0..<4 { _ = scanner.next() }
        guard let token = scanner.next() else { throw .schema(file: file, line: line, message: "DROP TABLE names no table") }
        if let dot = scanner.next(), dot.kind == .symbol(UInt8(ascii: ".")) {
            throw .schema(file: file, line: line, message: "DROP TABLE takes the name of a table, without the name of a database")
        }
        // Names without quotes as they are written, like the tables that are there.
        return token.kind == .word ? String(decoding: text[token.range], as: UTF8.self) : scanner.text(of: token)
    }

    /// CREATE TABLE … AS SELECT has no parenthesis behind the name.
    private func refuseSelect(_ text: [UInt8], _ file: SchemaFile, _ line: Int) throws(StoreError) {
        var scanner = SQLScanner(text)
        while let token = scanner.next(), token.kind != .symbol(UInt8(ascii: "(")) {
            if token.kind == .word, scanner.text(of: token) == "AS" {
                throw .schema(file: file.path, line: line, message: "CREATE TABLE AS SELECT is not supported: declare the columns")
            }
        }
    }

    private func names() throws(StoreError) -> (tables: [String], indexes: [String]) {
        let statement = try scratch.prepareUncached(
            "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name")
        var result: (tables: [String], indexes: [String]) = ([], [])
        while try statement.step() {
            if statement.text(0) == "table" { result.tables.append(statement.text(1)) } else { result.indexes.append(statement.text(1)) }
        }
        return result
    }
}

private func lineNumber(_ text: [UInt8], _ offset: Int) -> Int { text[..<offset].count { $0 == 10 } + 1 }
