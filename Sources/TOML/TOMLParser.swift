/// Parses TOML 1.0 (https://toml.io/en/v1.0.0).
public enum TOMLParser {
    /// Tables and arrays inside each other, and parts of a key, at most.
    public static let depthLimit = 64

    /// - Throws: `TOMLError` with the place of the first mistake.
    public static func parse(_ text: String) throws(TOMLError) -> TOMLTable {
        var document = Document(scanner: TOMLScanner(text))
        try document.parse()
        return document.root.value
    }

    /// A table while it is being built, and how it came to be: that decides what may still be added to it.
    private final class Node {
        enum Origin {
            /// A step on the way to another table: `[a.b]` makes `a`. Its own header may follow.
            case implied
            /// `[a]`
            case header
            /// `a.b = 1` makes `a`; further dotted keys of the same section may follow.
            case dotted
            /// `{ … }`: complete.
            case inline
        }

        enum Content {
            case value(TOMLValue)
            case table(Node)
            /// `[[a]]`
            case tables([Node])
        }

        var origin: Origin
        var keys: [(name: String, line: Int)] = []
        var contents: [String: Content] = [:]

        init(_ origin: Origin) { self.origin = origin }

        func insert(_ key: String, _ content: Content, line: Int) {
            keys.append((key, line))
            contents[key] = content
        }

        var value: TOMLTable {
            TOMLTable(
                entries: keys.compactMap { key in
                    switch contents[key.name] {
                    case .value(let value): .init(key: key.name, value: value, line: key.line)
                    case .table(let node): .init(key: key.name, value: .table(node.value), line: key.line)
                    case .tables(let nodes): .init(key: key.name, value: .array(nodes.map { .table($0.value) }), line: key.line)
                    case nil: nil
                    }
                })
        }
    }

    private struct Document {
        var scanner: TOMLScanner
        let root = Node(.header)

        mutating func parse() throws(TOMLError) {
            var current = root
            while true {
                try scanner.skipLines()
                guard let byte = scanner.next else { return }
                if byte == UInt8(ascii: "[") { current = try header() } else { try pair(into: current) }
                scanner.skipBlanks()
                try scanner.skipComment()
                guard try scanner.takeLineEnd() || scanner.isAtEnd else { throw scanner.error("the line should end here") }
            }
        }

        /// `a."b".c`, with its place.
        private mutating func keyPath() throws(TOMLError) -> (path: [String], start: Int) {
            let start = scanner.position
            var path = [try scanner.key()]
            scanner.skipBlanks()
            while scanner.take(UInt8(ascii: ".")) {
                guard path.count < depthLimit else { throw scanner.error("a key of more than \(depthLimit) parts") }
                scanner.skipBlanks()
                path.append(try scanner.key())
                scanner.skipBlanks()
            }
            return (path, start)
        }

        private mutating func header() throws(TOMLError) -> Node {
            let opening = scanner.position
            scanner.advance()
            let isArray = scanner.take(UInt8(ascii: "["))
            scanner.skipBlanks()
            let (path, start) = try keyPath()
            guard scanner.take(UInt8(ascii: "]")), !isArray || scanner.take(UInt8(ascii: "]")) else {
                throw scanner.error("the header of a table is not closed")
            }
            let line = scanner.line(at: opening)
            var node = root
            for name in path.dropLast() {
                switch node.contents[name] {
                case .table(let next) where next.origin != .inline: node = next
                case .tables(let nodes): node = nodes[nodes.count - 1]
                case nil:
                    let next = Node(.implied)
                    node.insert(name, .table(next), line: line)
                    node = next
                case .table, .value: throw scanner.error("\(name) has a value already and is no table", at: start)
                }
            }
            let name = path[path.count - 1]
            switch (node.contents[name], isArray) {
            case (nil, false):
                let next = Node(.header)
                node.insert(name, .table(next), line: line)
                return next
            case (nil, true):
                let next = Node(.header)
                node.insert(name, .tables([next]), line: line)
                return next
            case (.tables(let nodes), true):
                let next = Node(.header)
                node.contents[name] = .tables(nodes + [next])
                return next
            case (.table(let next), false) where next.origin == .implied:
                next.origin = .header
                return next
            case (.table, _), (.tables, _), (.value, _):
                throw scanner.error("\(path.joined(separator: ".")) is defined twice", at: start)
            }
        }

        /// `a.b = 1`. `depth` counts the values around it.
        private mutating func pair(into table: Node, depth: Int = 0) throws(TOMLError) {
            let (path, start) = try keyPath()
            guard scanner.take(UInt8(ascii: "=")) else { throw scanner.error("a = is missing behind the key") }
            guard depth + path.count <= depthLimit else {
                throw scanner.error("more than \(depthLimit) tables inside each other", at: start)
            }
            scanner.skipBlanks()
            let line = scanner.line(at: start)
            var node = table
            for name in path.dropLast() {
                switch node.contents[name] {
                case .table(let next) where next.origin == .dotted: node = next
                case nil:
                    let next = Node(.dotted)
                    node.insert(name, .table(next), line: line)
                    node = next
                case .table, .tables, .value: throw scanner.error("\(name) is defined already and cannot be added to here", at: start)
                }
            }
            let name = path[path.count - 1]
            guard node.contents[name] == nil else { throw scanner.error("\(path.joined(separator: ".")) is defined twice", at: start) }
            node.insert(name, try content(depth: depth + path.count - 1), line: line)
        }

        private mutating func content(depth: Int) throws(TOMLError) -> Node.Content {
            if scanner.next == UInt8(ascii: "{") { return .table(try inlineTable(depth: depth + 1)) }
            return .value(try value(depth: depth))
        }

        private mutating func value(depth: Int) throws(TOMLError) -> TOMLValue {
            switch scanner.next {
            case UInt8(ascii: "\""), UInt8(ascii: "'"): return .string(try scanner.string())
            case UInt8(ascii: "["): return .array(try array(depth: depth + 1))
            case UInt8(ascii: "{"): return .table(try inlineTable(depth: depth + 1).value)
            default: return try scanner.scalar()
            }
        }

        private mutating func array(depth: Int) throws(TOMLError) -> [TOMLValue] {
            guard depth <= depthLimit else { throw scanner.error("more than \(depthLimit) arrays and tables inside each other") }
            let opening = scanner.position
            scanner.advance()
            var elements: [TOMLValue] = []
            while true {
                try scanner.skipLines()
                guard !scanner.isAtEnd else { throw scanner.error("an array that is not closed", at: opening) }
                if scanner.take(UInt8(ascii: "]")) { return elements }
                elements.append(try value(depth: depth))
                try scanner.skipLines()
                if scanner.take(UInt8(ascii: ",")) { continue }
                guard scanner.take(UInt8(ascii: "]")) else { throw scanner.error("a comma or the end of the array is missing") }
                return elements
            }
        }

        private mutating func inlineTable(depth: Int) throws(TOMLError) -> Node {
            guard depth <= depthLimit else { throw scanner.error("more than \(depthLimit) arrays and tables inside each other") }
            scanner.advance()
            let table = Node(.header)
            scanner.skipBlanks()
            if !scanner.take(UInt8(ascii: "}")) {
                while true {
                    scanner.skipBlanks()
                    try pair(into: table, depth: depth)
                    scanner.skipBlanks()
                    if scanner.take(UInt8(ascii: ",")) { continue }
                    guard scanner.take(UInt8(ascii: "}")) else { throw scanner.error("a comma or the end of the table is missing") }
                    break
                }
            }
            close(table)
            return table
        }

        /// Nothing may be added to an inline table, nor to the tables in it.
        private func close(_ table: Node) {
            table.origin = .inline
            for key in table.keys {
                if case .table(let inner) = table.contents[key.name], inner.origin != .inline { close(inner) }
            }
        }
    }
}
