import PatinaProtocol

/// `[swarm]`: what a swarm draws anew for each seed. A plain run does not look at it.
public struct SwarmSettings: Hashable, Sendable {
    public var vary: [Variation] = []
    /// Faults that no `[[fault]]` asks for; nil: none.
    public var faults: Faults?
    /// Chaos points that are drawn; nil: none.
    public var chaos: Chaos?

    public init() {}

    /// A path into the scenario, as `--set` takes it, and what its value becomes.
    public struct Variation: Hashable, Sendable {
        public var path: String
        public var range: Range

        public enum Range: Hashable, Sendable {
            /// Between two quantities of the form that the key has, both included: `0%..30%`, `1ms..1s`, `1..5`.
            case between(String, String)
            /// The scenario's value times a factor between the two, in thousandths: `x0.1..x10`.
            case scaled(Int, Int)
            /// Whatever the key takes, near its value: the path stands alone.
            case any
        }

        public init(path: String, range: Range) {
            self.path = path
            self.range = range
        }

        /// Reads `path range`; nil for what is none.
        public init?(_ text: String) {
            let words = text.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
            guard (1...2).contains(words.count), let path = words.first else { return nil }
            guard path.split(separator: ".", omittingEmptySubsequences: false).allSatisfy({ !$0.isEmpty }) else { return nil }
            self.path = path
            guard words.count == 2 else {
                range = .any
                return
            }
            guard let dots = words[1].firstRange(of: "..") else { return nil }
            let (low, high) = (String(words[1][..<dots.lowerBound]), String(words[1][dots.upperBound...]))
            guard !low.isEmpty, !high.isEmpty else { return nil }
            if low.hasPrefix("x"), high.hasPrefix("x") {
                guard let low = Quantity.decimal(String(low.dropFirst()), times: 1_000),
                    let high = Quantity.decimal(String(high.dropFirst()), times: 1_000), low <= high, high <= 1_000_000
                else { return nil }
                range = .scaled(Int(low), Int(high))
            } else {
                range = .between(low, high)
            }
        }

        /// The form that is read.
        public var text: String {
            switch range {
            case .between(let low, let high): "\(path) \(low)..\(high)"
            case .scaled(let low, let high): "\(path) x\(Self.decimal(low))..x\(Self.decimal(high))"
            case .any: path
            }
        }

        private static func decimal(_ thousandths: Int) -> String {
            var fraction = String(1_000 + thousandths % 1_000).dropFirst()
            while fraction.hasSuffix("0") { fraction.removeLast() }
            return fraction.isEmpty ? "\(thousandths / 1_000)" : "\(thousandths / 1_000).\(fraction)"
        }
    }

    /// In millionths: which share of the kinds of faults is on in a run, and how likely one that is on strikes in each second.
    public struct Faults: Hashable, Sendable {
        public var kinds: UInt32
        public var strike: UInt32

        public init(kinds: UInt32, strike: UInt32) {
            self.kinds = kinds
            self.strike = strike
        }
    }

    /// In millionths: which share of the chaos points is on in a run, and how often one that is on strikes when the code comes by.
    public struct Chaos: Hashable, Sendable {
        public var sites: UInt32
        public var fire: UInt32

        public init(sites: UInt32, fire: UInt32) {
            self.sites = sites
            self.fire = fire
        }
    }
}

/// `[[node.where]]`: settings of some nodes that differ from those of the others.
public struct NodeOverride: Hashable, Sendable {
    /// Drawn once, before the run.
    public var select: Selector
    public var settings: [Setting]

    /// A key of `[node]` with its value as TOML.
    public struct Setting: Hashable, Sendable {
        public var key: String
        public var value: String
    }

    /// Puts the settings over those of a node.
    func apply(to node: inout NodeSettings) {
        for setting in settings {
            guard let key = NodeKey.all.first(where: { $0.name == setting.key }),
                case .table(let entries)? = try? DocumentValue.parse("value = \(setting.value)", file: ""), let entry = entries.first,
                key.set(entry.value, &node)
            else { preconditionFailure("the setting \(setting.key) was read a moment ago") }
        }
    }
}
