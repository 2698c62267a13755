/// A table for a terminal: columns as wide as their widest cell, a rule below the header. A cell of the last column may have several lines.
public struct TextTable: Sendable {
    /// Where the cells of a column stand.
    public enum Alignment: Sendable { case left, right }

    private let header: [String]
    private let alignments: [Alignment]
    private var rows: [[String]] = []

    /// - Parameter columns: the titles, each with the alignment of its cells.
    public init(columns: [(title: String, alignment: Alignment)]) {
        header = columns.map(\.title)
        alignments = columns.map(\.alignment)
    }

    /// Appends a row. Missing cells are empty; it is a mistake of the caller to give more cells than there are columns.
    public mutating func add(_ cells: [String]) {
        precondition(cells.count <= header.count, "a table of \(header.count) columns was given \(cells.count) cells")
        rows.append(cells + Array(repeating: "", count: header.count - cells.count))
    }

    /// Characters of the longest line.
    private static func width(_ cell: String) -> Int { cell.split(separator: "\n").map(\.count).max() ?? 0 }

    /// The lines of the table, without trailing blanks, each indented by `indentation` blanks.
    public func lines(indentation: Int = 0) -> [String] {
        let widths = header.indices.map { column in ([header] + rows).map { Self.width($0[column]) }.max() ?? 0 }
        let rule = widths.map { String(repeating: "─", count: $0) }
        return ([header, rule] + rows).map { row in
            let cells = row.indices.map { column -> String in
                let padding = String(repeating: " ", count: widths[column] - Self.width(row[column]))
                return alignments[column] == .left ? row[column] + padding : padding + row[column]
            }
            var line = String(repeating: " ", count: indentation) + cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
