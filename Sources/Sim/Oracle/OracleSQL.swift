import PatinaProtocol
import PatinaStore

extension OracleStatement {
    /// The SQL statement that has this meaning, for tables of those shapes.
    public func sql(_ tables: [OracleTable]) -> Statement {
        switch self {
        case .insert(let row, let values, let conflict):
            let (head, parameters) = Self.insertion(row, values, tables[row.table], verb: "INSERT\(Self.clause(conflict))")
            return Statement(head, .positional(parameters))
        case .upsert(let row, let inserting, let updating):
            let table = tables[row.table]
            var (text, parameters) = Self.insertion(row, inserting, table, verb: "INSERT")
            let set = Self.list(updating.map { Self.name(table.columns[$0.column]) + " = ?" })
            text += " ON CONFLICT (\(Self.list(table.keys.map(Self.name)))) DO " + (updating.isEmpty ? "NOTHING" : "UPDATE SET \(set)")
            parameters += updating.map(\.value)
            return Statement(text, .positional(parameters))
        case .update(let row, let values):
            let table = tables[row.table]
            return Statement(
                "UPDATE \(Self.name(table)) SET \(Self.set(values, table)) WHERE \(Self.condition(table))",
                .positional(values.map(\.value) + row.key))
        case .updateAll(let index, let values):
            let table = tables[index]
            return Statement("UPDATE \(Self.name(table)) SET \(Self.set(values, table))", .positional(values.map(\.value)))
        case .changeKey(let row, let key, let values, let conflict):
            let table = tables[row.table]
            let set = Self.list(table.keys.map { Self.name($0) + " = ?" } + values.map { Self.name(table.columns[$0.column]) + " = ?" })
            return Statement(
                "UPDATE\(Self.clause(conflict)) \(Self.name(table)) SET \(set) WHERE \(Self.condition(table))",
                .positional(key + values.map(\.value) + row.key))
        case .delete(let row):
            let table = tables[row.table]
            return Statement("DELETE FROM \(Self.name(table)) WHERE \(Self.condition(table))", .positional(row.key))
        case .deleteAll(let index): return Statement("DELETE FROM \(Self.name(tables[index]))")
        case .savepoint(let number): return Statement("SAVEPOINT s\(number)")
        case .rollbackTo(let number): return Statement("ROLLBACK TO s\(number)")
        case .release(let number): return Statement("RELEASE s\(number)")
        }
    }

    private static func insertion(_ row: OracleRowName, _ values: [Assignment], _ table: OracleTable, verb: String) -> (String, [Value]) {
        let names = table.keys.map(name) + values.map { name(table.columns[$0.column]) }
        let marks = list(names.map { _ in "?" })
        return ("\(verb) INTO \(name(table)) (\(list(names))) VALUES (\(marks))", row.key + values.map(\.value))
    }

    private static func clause(_ conflict: Conflict) -> String {
        switch conflict {
        case .abort: ""
        case .ignore: " OR IGNORE"
        case .replace: " OR REPLACE"
        }
    }

    private static func set(_ values: [Assignment], _ table: OracleTable) -> String {
        list(values.map { name(table.columns[$0.column]) + " = ?" })
    }

    private static func condition(_ table: OracleTable) -> String { table.keys.map { name($0) + " = ?" }.joined(separator: " AND ") }

    private static func list(_ parts: [String]) -> String { parts.joined(separator: ", ") }

    private static func quoted(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }

    private static func name(_ table: OracleTable) -> String { Self.quoted(table.name) }

    private static func name(_ column: OracleTable.Column) -> String { Self.quoted(column.name) }
}
