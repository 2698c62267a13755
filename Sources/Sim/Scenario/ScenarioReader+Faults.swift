import PatinaProtocol
import PatinaTOML

/// Faults.
extension ScenarioReader {
    private static let commonFaultKeys = ["id", "kind", "at", "every", "from", "to", "for"]

    func readFaults() throws(ScenarioError) -> [Fault] {
        var faults: [Fault] = []
        let kinds = FaultKind.all.map(\.name)
        // Keys of kinds come more than once; the first of equals is as good as the last.
        let keys = Self.commonFaultKeys + FaultKind.all.flatMap { $0.keys.map(\.name) }
        for (index, table) in try top.tables("fault", allowed: keys).enumerated() {
            let id = try table.string("id") ?? "fault-\(index)"
            guard !id.isEmpty, id.utf8.allSatisfy(isIDByte) else {
                throw table.error("id", "an id has letters, digits, \"-\" and \"_\" only")
            }
            guard !faults.contains(where: { $0.id == id }) else { throw table.error("id", "there are two faults \"\(id)\"") }
            guard let name = try table.string("kind") else {
                throw table.error(nil, "a fault needs a kind; \"patina sim faults --list\" shows them all")
            }
            guard let kind = FaultKind.named(name) else {
                throw table.error(
                    "kind", "kind = \"\(name)\" is none of the \(kinds.count) that \"patina sim faults --list\" shows",
                    suggestion: Spelling.nearest(to: name, among: kinds))
            }
            faults.append(
                Fault(
                    id: id, kind: name, values: try readValues(of: kind, table), timing: try readTiming(table),
                    length: try readLength(of: kind, table)))
        }
        return faults
    }

    private func isIDByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    // MARK: Keys of a kind

    private func readValues(of kind: FaultKind, _ table: TableReader) throws(ScenarioError) -> FaultValues {
        let own = kind.keys.map(\.name)
        for key in table.keys where !own.contains(key) && !Self.commonFaultKeys.contains(key) {
            throw table.error(key, "a fault of kind \(kind.name) has no \(key)", suggestion: Spelling.nearest(to: key, among: own))
        }
        var entries: [FaultValues.Entry] = []
        for key in kind.keys {
            guard let value = try readValue(of: key, table) ?? key.fallback else {
                throw table.error(nil, "a fault of kind \(kind.name) needs \(key.name): \(key.summary)")
            }
            entries.append(FaultValues.Entry(key: key.name, value: value))
        }
        let values = FaultValues(entries)
        if case .sides(let sides)? = values["sides"], case .word(let direction)? = values["direction"] {
            guard direction == Fault.Direction.both.rawValue || sides.count == 2 else {
                throw table.error("direction", "only a partition with two sides has a direction")
            }
        }
        return values
    }

    private func readValue(of key: FaultKey, _ table: TableReader) throws(ScenarioError) -> FaultValue? {
        let name = key.name
        switch key.form {
        case .selector: return try selector(name, of: table, fixed: false).map { .selector($0) }
        case .sides: return try readSides(name, table)
        case .word(let words):
            guard let word = try table.string(name) else { return nil }
            guard words.contains(word) else {
                throw table.error(
                    name, "\(name) = \"\(word)\" is none of \(words.map { "\"\($0)\"" }.joined(separator: ", "))",
                    suggestion: Spelling.nearest(to: word, among: words))
            }
            return .word(word)
        case .share: return try table.share(name).map { .share($0) }
        case .duration: return try table.duration(name).map { .duration($0) }
        case .durations: return try table.durationRange(name).map { .durations($0) }
        case .count(let range): return try table.integer(name, in: range).map { .count($0) }
        case .bytes(let range):
            guard let bytes = try table.bytes(name) else { return nil }
            guard range.contains(bytes) else {
                let bounds = "\(Quantity.print(bytes: range.lowerBound)) to \(Quantity.print(bytes: range.upperBound))"
                throw table.error(name, "\(name) must be from \(bounds)")
            }
            return .bytes(bytes)
        case .bandwidth: return try table.quantity(name, like: "\"1Mbit/s\"") { Quantity.bandwidth($0) }.map { .bandwidth($0) }
        case .statements:
            guard let texts = try table.strings(name) else { return nil }
            guard !texts.isEmpty else { throw table.error(name, "\(name) must have at least one text") }
            return .statements(texts)
        case .partsPerMillion:
            return try table.quantity(name, like: "\"200ppm\"") { Quantity.partsPerMillion($0) }.map { .partsPerMillion($0) }
        }
    }

    private func readSides(_ key: String, _ table: TableReader) throws(ScenarioError) -> FaultValue? {
        guard let value = table[key] else { return nil }
        guard case .array(let values) = value else {
            throw table.error(key, "a partition needs sides, like [[\"50%\"], [\"rest\"]]")
        }
        var sides: [[Selector]] = []
        for value in values {
            guard case .array(let texts) = value else { throw table.error(key, "each side is an array of selectors") }
            var side: [Selector] = []
            for text in texts {
                guard case .string(let text) = text, let selector = Selector.parse(text) else {
                    throw table.error(key, "a side holds selectors: \(Selector.example)")
                }
                side.append(selector)
            }
            sides.append(side)
        }
        guard (2...16).contains(sides.count) else { throw table.error(key, "a partition has 2 to 16 sides, not \(sides.count)") }
        return .sides(sides)
    }

    private func readTiming(_ table: TableReader) throws(ScenarioError) -> Fault.Timing {
        let at = try anchor("at", of: table)
        let every: Fault.Pause? = try table.quantity("every", like: "\"20s\", \"10s..30s\" or \"exp(20s)\"") { text in
            if text.hasPrefix("exp("), text.hasSuffix(")") {
                return Quantity.duration(Quantity.trim(text.dropFirst(4).dropLast())).map { .exponential(mean: $0) }
            }
            return Quantity.durationRange(text).map { .uniform($0) }
        }
        switch (at, every) {
        case (let at?, nil):
            for key in ["from", "to"] where table[key] != nil { throw table.error(key, "\(key) belongs to every, not to at") }
            return .once(at)
        case (nil, let every?):
            let shortest =
                switch every {
                case .uniform(let range): range.lowerBound
                case .exponential(let mean): mean
                }
            guard shortest >= .milliseconds(10) else { throw table.error("every", "a pause between faults is at least 10ms") }
            return .every(
                every, from: try anchor("from", of: table) ?? TimeAnchor(.warmup), to: try anchor("to", of: table) ?? TimeAnchor(.heal))
        case (nil, nil): throw table.error(nil, "a fault needs at, like \"30s\", or every, like \"exp(20s)\"")
        case (.some, .some): throw table.error("every", "a fault has either at or every")
        }
    }

    private func readLength(of kind: FaultKind, _ table: TableReader) throws(ScenarioError) -> Fault.Length {
        guard kind.lasts else {
            if table["for"] != nil { throw table.error("for", "a fault of kind \(kind.name) happens at one instant, so it has no for") }
            return .uniform(.zero...(.zero))
        }
        switch try table.string("for") {
        case nil, "heal": return .untilHeal
        case "forever": return .forever
        case .some: return try table.durationRange("for").map { .uniform($0) } ?? .untilHeal
        }
    }
}
