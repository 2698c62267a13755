/// Which columns the UPDATEs of one statement name, those of its triggers and conflict clauses included: the authorizer hears of each
/// when the statement is compiled. No other column of a row can change, so capture need not look at the others.
final class UpdatedColumns {
    /// What is to be looked at in rows of one table.
    struct Scope {
        /// Index into the catalog's tables.
        let table: Int
        /// Numbers of replicated columns, in ascending order.
        let columns: [Int]
        let mayChangeKey: Bool
    }

    private let names: [(table: String, column: String)]
    /// Worked out when the first row of a table changes. The statement does not outlive the catalog.
    @exclusivity(unchecked) private var scopes: [Scope] = []

    init(_ names: [(table: String, column: String)]) { self.names = names }

    func scope(of table: Table, index: Int) -> Scope {
        if let known = scopes.first(where: { $0.table == index }) { return known }
        let named = names.filter { $0.table == table.name }.map(\.column)
        let scope = Scope(
            table: index,
            columns: table.columns.indices.filter { number in named.contains(table.columns[number].name) },
            mayChangeKey: table.keyColumns.contains { key in named.contains(key.name) })
        scopes.append(scope)
        return scope
    }
}
