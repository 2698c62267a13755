import PatinaProtocol

/// Which nodes are meant. Nodes are numbered from 0.
public enum Selector: Hashable, Sendable {
    /// `*`
    case all
    /// `node:17` or `node:3-7`
    case nodes(ClosedRange<Int>)
    /// `region:iad`
    case region(String)
    /// `3 random`, or `3`: drawn anew for each occurrence.
    case random(Int)
    /// `10%`, in millionths: drawn anew, rounded to the nearest node, at least one.
    case share(UInt32)
    /// `rest`: those that earlier selectors of the same list have not taken.
    case rest

    /// Parses one selector; nil for what is none.
    static func parse(_ text: String) -> Selector? {
        let text = Quantity.trim(text)
        if text == "*" { return .all }
        if text == "rest" { return .rest }
        if text.hasPrefix("node:") {
            let parts = text.dropFirst(5).split(separator: "-", omittingEmptySubsequences: false)
            guard (1...2).contains(parts.count), let low = Int(parts[0]), let high = Int(parts[parts.count - 1]), 0 <= low, low <= high
            else { return nil }
            return .nodes(low...high)
        }
        if text.hasPrefix("region:") { return text.utf8.count > 7 ? .region(String(text.dropFirst(7))) : nil }
        if let share = Quantity.share(text) { return .share(share) }
        let words = text.split(separator: " ", omittingEmptySubsequences: true)
        guard let count = words.first.flatMap({ Int($0) }), count > 0, words.count == 1 || (words.count == 2 && words[1] == "random")
        else { return nil }
        return .random(count)
    }

    /// What is expected of a selector, for error messages.
    static let example = "\"*\", \"node:3\", \"region:iad\", \"2 random\", \"10%\" or \"rest\""

    /// True when the selector means the same nodes in every run.
    var isFixed: Bool {
        switch self {
        case .all, .nodes, .region: true
        case .random, .share, .rest: false
        }
    }

    /// The nodes, in ascending order, among those that `taken` does not hold.
    func choose(from topology: Topology, taken: [Bool], using random: inout Random) -> [Int] {
        let free = (0..<topology.nodes).filter { !taken[$0] }
        switch self {
        case .all, .rest: return free
        case .nodes(let range): return free.filter { range.contains($0) }
        case .region(let name): return free.filter { topology.region(of: $0)?.name == name }
        case .random(let count): return Selector.draw(count, from: free, using: &random)
        case .share(let share):
            let count = max(1, (topology.nodes * Int(share) + 500_000) / 1_000_000)
            return Selector.draw(count, from: free, using: &random)
        }
    }

    private static func draw(_ count: Int, from nodes: [Int], using random: inout Random) -> [Int] {
        var nodes = nodes
        let count = min(count, nodes.count)
        for index in 0..<count { nodes.swapAt(index, index + random.below(nodes.count - index)) }
        return nodes.prefix(count).sorted()
    }

    /// The form that `parse` reads.
    public var text: String {
        switch self {
        case .all: "*"
        case .nodes(let range): range.count == 1 ? "node:\(range.lowerBound)" : "node:\(range.lowerBound)-\(range.upperBound)"
        case .region(let name): "region:\(name)"
        case .random(let count): "\(count) random"
        case .share(let share): Quantity.print(share: share)
        case .rest: "rest"
        }
    }
}

/// A point in time that a scenario names: a base and a distance from it.
public struct TimeAnchor: Hashable, Sendable {
    public enum Base: Hashable, Sendable {
        /// The beginning of the run.
        case beginning
        /// The end of the run.
        case end
        /// The end of the warm-up.
        case warmup
        /// The guaranteed heal: `drain` before the end.
        case heal
        /// The start of the first occurrence of a fault.
        case start(String)
        /// The end of the last occurrence of a fault.
        case finish(String)
    }

    public var base: Base
    /// Negative: before the base.
    public var offset: Duration

    public init(_ base: Base, offset: Duration = .zero) {
        self.base = base
        self.offset = offset
    }

    static let example = "\"30s\", \"-30s\", \"warmup\", \"heal\", \"cut.end\" or \"cut.end + 5s\""

    /// Parses `30s`, `-30s` (before the end), `warmup`, `heal`, `end`, `ID.start`, `ID.end`, each name with an optional `+ 5s` or `- 5s`.
    static func parse(_ text: String) -> TimeAnchor? {
        let text = Quantity.trim(text)
        if let duration = Quantity.duration(text) { return TimeAnchor(.beginning, offset: duration) }
        if text.hasPrefix("-") { return Quantity.duration(text.dropFirst()).map { TimeAnchor(.end, offset: .zero - $0) } }
        var name = text
        var offset: Duration = .zero
        // A sign between spaces, because ids may contain hyphens.
        for (sign, factor) in [(" + ", 1), (" - ", -1)] {
            guard let place = text.firstRange(of: sign) else { continue }
            guard let distance = Quantity.duration(Quantity.trim(text[place.upperBound...])) else { return nil }
            name = Quantity.trim(text[..<place.lowerBound])
            offset = distance * factor
            break
        }
        switch name {
        case "warmup": return TimeAnchor(.warmup, offset: offset)
        case "heal": return TimeAnchor(.heal, offset: offset)
        case "end": return TimeAnchor(.end, offset: offset)
        default:
            for (suffix, isStart) in [(".start", true), (".end", false)] where name.hasSuffix(suffix) && name.utf8.count > suffix.utf8.count
            {
                let id = String(name.dropLast(suffix.utf8.count))
                return TimeAnchor(isStart ? .start(id) : .finish(id), offset: offset)
            }
            return nil
        }
    }

    /// The form that `parse` reads.
    public var text: String {
        let name: String
        switch base {
        case .beginning: return Quantity.print(offset)
        case .end where offset < .zero: return "-" + Quantity.print(.zero - offset)
        case .end: name = "end"
        case .warmup: name = "warmup"
        case .heal: name = "heal"
        case .start(let id): name = "\(id).start"
        case .finish(let id): name = "\(id).end"
        }
        if offset == .zero { return name }
        return offset > .zero ? "\(name) + \(Quantity.print(offset))" : "\(name) - \(Quantity.print(.zero - offset))"
    }

    /// The id of the fault that the anchor hangs on.
    var faultID: String? {
        switch base {
        case .start(let id), .finish(let id): id
        case .beginning, .end, .warmup, .heal: nil
        }
    }
}
